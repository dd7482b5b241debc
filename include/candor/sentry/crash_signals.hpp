#ifndef CANDOR_SENTRY_CRASH_SIGNALS_HPP
#define CANDOR_SENTRY_CRASH_SIGNALS_HPP

#ifndef _WIN32

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/ucontext.h>  // the other one is deprecated there
#else
#include <ucontext.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#endif

#include <candor/sentry/crash_record.hpp>
#include <candor/sentry/crash_writer.hpp>
#include <candor/sentry/stack.hpp>
#include <candor/sentry/terminate.hpp>

namespace candor::sentry::detail {

inline constexpr std::array crash_signals{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

/// What the signal handlers need, which know no object. What is no atomic is set before `process`, or belongs to the
/// thread that writes.
struct crash_state {
    std::atomic<pid_t> owner{0};           ///< the process whose handler this is; 0: there is none
    std::atomic<pid_t> process{0};         ///< the same while it is installed
    std::atomic<std::uint64_t> thread{0};  ///< which crashed first, and writes; 0: none has
    std::atomic<bool> is_written{false};
    std::array<struct sigaction, crash_signals.size()> previous{};
    crash_writer writer;

    const void* context = nullptr;  ///< where the signal interrupted the thread
    struct itimerval timer_before {};
    struct sigaction alarm_before {};
    sigjmp_buf retreat{};
    volatile sig_atomic_t can_retreat = 0;
    volatile sig_atomic_t was_cut = 0;  ///< a step has been given up
    volatile sig_atomic_t step = 0;
};

inline constinit crash_state the_crash;

inline std::uint64_t this_thread() noexcept {
#ifdef __linux__
    return static_cast<std::uint64_t>(::syscall(SYS_gettid));
#else
    return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(::pthread_self()));
#endif
}

/// Where a thread was when a signal came.
struct machine_state {
    bool is_known = false;
    std::uint64_t instruction = 0;
    std::uint64_t stack = 0;   ///< where a call that has just been made left its return address; 0: in a register
    std::uint64_t caller = 0;  ///< that register
};

inline machine_state machine_state_of(const void* context) noexcept {
    machine_state out;
    if (context == nullptr) return out;
    out.is_known = true;
    [[maybe_unused]] const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__linux__) && defined(__x86_64__)
    out.instruction = static_cast<std::uint64_t>(machine.gregs[REG_RIP]);
    out.stack = static_cast<std::uint64_t>(machine.gregs[REG_RSP]);
#elif defined(__linux__) && defined(__aarch64__)
    out.instruction = machine.pc;
    out.caller = machine.regs[30];
#elif defined(__APPLE__) && defined(__x86_64__)
    out.instruction = machine->__ss.__rip;
    out.stack = machine->__ss.__rsp;
#elif defined(__APPLE__) && defined(__aarch64__)
    out.instruction = __darwin_arm_thread_state64_get_pc(machine->__ss);
    out.caller = __darwin_arm_thread_state64_get_lr(machine->__ss);
#else
    out.is_known = false;
#endif
    return out;
}

/// Whether a signal was sent, by abort() or kill(), and so does not come from an instruction that would fail again.
inline bool was_sent(const siginfo_t& info) noexcept {
#ifdef BUS_MCEERR_AO
    if (info.si_signo == SIGBUS && info.si_code == BUS_MCEERR_AO) return true;
#endif
    return info.si_code <= 0 || info.si_code == SI_USER || info.si_code == SI_QUEUE;  // positive outside of Linux
}

inline crash_facts facts_of(const siginfo_t& info, const void* context) noexcept {
    struct timespec now {};
    ::clock_gettime(CLOCK_REALTIME, &now);
    crash_facts out;
    out.time = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
    if (!was_sent(info)) out.fault_address = reinterpret_cast<std::uintptr_t>(info.si_addr);
    out.instruction = machine_state_of(context).instruction;
    out.thread = this_thread();
    out.signal = info.si_signo;
    out.code = info.si_code;
    return out;
}

// The steps of writing a record.

inline void write_facts() noexcept { the_crash.writer.write_facts(); }

inline void gather_frames() noexcept {
    auto& writer = the_crash.writer;
    const auto& facts = writer.facts;
    const auto machine = machine_state_of(the_crash.context);
    if (machine.is_known) writer.add_frame(machine.instruction);
    if (machine.is_known && facts.signal == SIGSEGV && facts.code > 0 && facts.fault_address == machine.instruction) {
        // A wrong pointer was called. No frame leads from there to the caller, but the call left its address.
        std::uint64_t caller = machine.caller;
        if (machine.stack != 0) std::memcpy(&caller, reinterpret_cast<const void*>(machine.stack), sizeof caller);
        writer.add_frame(caller);
        return;
    }
    // The walk begins here, in the handler: what counts comes after the instruction that the signal interrupted.
    bool is_reached = !machine.is_known;
    auto visit = [&](std::uintptr_t address) {
        if (is_reached) return address != 0 && writer.add_frame(address);  // nothing above the first function
        is_reached = address == machine.instruction;
        return true;
    };
    walk_stack(visit);
}

inline void write_frames() noexcept { the_crash.writer.write_frames(); }
inline void write_breadcrumbs() noexcept { the_crash.writer.write_breadcrumbs(); }

inline void write_end() noexcept {
    if (the_crash.was_cut == 0) the_crash.writer.write_end();
}

/// Lets the signals through by which a step is given up. A fault whose signal is blocked ends the process at once.
inline void unblock_crash_signals() noexcept {
    sigset_t needed;
    ::sigemptyset(&needed);
    ::sigaddset(&needed, SIGALRM);
    for (const int signal : crash_signals) ::sigaddset(&needed, signal);
    ::pthread_sigmask(SIG_UNBLOCK, &needed, nullptr);
}

/// Takes the steps one by one. A step that itself crashes or hangs, because the stack or the memory is broken, is given
/// up for the next one. Has no variables of its own: signal handlers jump back to it.
inline void write_crash() noexcept {
    static constexpr std::array steps{&write_facts, &gather_frames, &write_frames, &write_breadcrumbs, &write_end};
    if (sigsetjmp(the_crash.retreat, 0) != 0) the_crash.was_cut = 1;
    the_crash.can_retreat = 1;
    unblock_crash_signals();  // again after a retreat, which comes from a handler
    while (the_crash.step < static_cast<sig_atomic_t>(steps.size())) {
        the_crash.step = the_crash.step + 1;
        steps[static_cast<std::size_t>(the_crash.step - 1)]();
    }
    the_crash.can_retreat = 0;
}

/// On the thread that writes, gives up the step that it is in.
inline void give_up_step() noexcept {
    if (the_crash.can_retreat == 0) return;
    the_crash.can_retreat = 0;
    siglongjmp(the_crash.retreat, 1);
}

/// A step takes too long. The system gives the signal of the timer to any thread.
inline void on_crash_alarm(int) noexcept {
    const int error = errno;
    const auto writer = the_crash.thread.load();
    if (writer == this_thread()) {
        give_up_step();
    } else if (!the_crash.is_written) {
#ifdef __linux__
        ::syscall(SYS_tgkill, ::getpid(), static_cast<pid_t>(writer), SIGALRM);
#else
        ::pthread_kill(reinterpret_cast<pthread_t>(static_cast<std::uintptr_t>(writer)), SIGALRM);
#endif
    }
    errno = error;
}

/// From now on a step that does not come to its end is given up. All of them end within a second.
inline void set_crash_alarm() noexcept {
    struct sigaction action {};
    action.sa_handler = &on_crash_alarm;
    action.sa_flags = SA_ONSTACK | SA_RESTART;
    ::sigaction(SIGALRM, &action, &the_crash.alarm_before);
    const struct itimerval timer {
        {0, 100'000}, { 0, 300'000 }
    };
    ::setitimer(ITIMER_REAL, &timer, &the_crash.timer_before);
}

inline void unset_crash_alarm() noexcept {
    ::setitimer(ITIMER_REAL, &the_crash.timer_before, nullptr);
    ::sigaction(SIGALRM, &the_crash.alarm_before, nullptr);
}

/// Waits until another thread has written its record, and then a little more for that thread to end the process.
inline void wait_for_other_crash() noexcept {
    for (int i = 0; i < 200 && !the_crash.is_written; ++i) ::poll(nullptr, 0, 5);
    ::poll(nullptr, 0, 100);
}

/// What stood there before for a signal; null where it is none of a crash.
inline const struct sigaction* previous_of(int signal) noexcept {
    for (std::size_t i = 0; i < crash_signals.size(); ++i)
        if (crash_signals[i] == signal) return &the_crash.previous[i];
    return nullptr;
}

/// Puts the previous handler back and sees to it that the signal comes once more when this one returns: with the
/// interrupted thread as it was, for whatever stood there before, the end of the process in most programs. The other
/// signals stay: a thread that crashes by one of them now waits, and does not end the process by it.
inline void hand_on(int signal, siginfo_t* info) noexcept {
    if (const auto* previous = previous_of(signal)) ::sigaction(signal, previous, nullptr);
#ifdef __linux__
    if (info != nullptr && !was_sent(*info)) return;  // the instruction fails again
#endif
    sigset_t this_one;
    ::sigemptyset(&this_one);
    ::sigaddset(&this_one, signal);
    ::pthread_sigmask(SIG_BLOCK, &this_one, nullptr);  // until this handler returns
#ifdef __linux__
    // With all that it said the first time, the sender included.
    if (info != nullptr && ::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), ::syscall(SYS_gettid), signal, info) == 0)
        return;
#endif
    static_cast<void>(info);
    ::raise(signal);
}

/// Whether a signal changes nothing without candor either: sent by another process, and ignored until candor came.
inline bool was_ignored(int signal, const siginfo_t& info) noexcept {
    if (!was_sent(info) || info.si_pid == ::getpid()) return false;
    const auto* before = previous_of(signal);
    return before != nullptr && (before->sa_flags & SA_SIGINFO) == 0 && before->sa_handler == SIG_IGN;
}

inline void on_crash(int signal, siginfo_t* info, void* context) noexcept {
    const int error = errno;
    const auto thread = this_thread();
    auto& crash = the_crash;
    if (crash.thread == thread) give_up_step();  // does not return where there is one
    const bool is_report = signal == SIGABRT && the_termination.is_told;
    if (info != nullptr && crash.process == ::getpid() && !is_report && crash.writer.file->is_intact()) {
        if (was_ignored(signal, *info)) return;
        std::uint64_t nobody = 0;
        if (crash.thread.compare_exchange_strong(nobody, thread)) {
            crash.context = context;
            crash.writer.facts = facts_of(*info, context);
            set_crash_alarm();
            write_crash();
            unset_crash_alarm();
            crash.is_written = true;
        } else if (nobody != thread) {
            wait_for_other_crash();
        }
    }
    hand_on(signal, info);
    errno = error;
}

/// Notes what stands there now and takes the signals of crashes.
inline void take_crash_signals() noexcept {
    struct sigaction action {};
    action.sa_sigaction = &on_crash;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigfillset(&action.sa_mask);
    ::sigdelset(&action.sa_mask, SIGALRM);
    for (const int signal : crash_signals) ::sigdelset(&action.sa_mask, signal);
    for (std::size_t i = 0; i < crash_signals.size(); ++i) {
        struct sigaction before {};
        ::sigaction(crash_signals[i], nullptr, &before);
        const bool is_ours = (before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction == &on_crash;
        if (!is_ours) the_crash.previous[i] = before;
        ::sigaction(crash_signals[i], &action, nullptr);
    }
}

/// Puts back what stood there before, unless the program has set something else since.
inline void release_crash_signals() noexcept {
    for (std::size_t i = 0; i < crash_signals.size(); ++i) {
        struct sigaction now {};
        ::sigaction(crash_signals[i], nullptr, &now);
        if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == &on_crash)
            ::sigaction(crash_signals[i], &the_crash.previous[i], nullptr);
    }
}

}  // namespace candor::sentry::detail

#endif

#endif
