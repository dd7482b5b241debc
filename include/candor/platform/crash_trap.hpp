#ifndef CANDOR_PLATFORM_CRASH_TRAP_HPP
#define CANDOR_PLATFORM_CRASH_TRAP_HPP

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#ifndef _WIN32
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#endif

#include <candor/platform/crash_cause.hpp>
#include <candor/platform/library.hpp>
#include <candor/platform/signal_stack.hpp>
#include <candor/platform/windows.hpp>

namespace candor::detail {

/// What is done in a crash, on the thread that crashed: nothing but what a signal handler may do.
struct crash_plan {
    using step = void (*)(const crash_cause&) noexcept;

    bool (*is_wanted)(int signal) noexcept;  ///< where it is not, nothing is done
    std::span<const step> steps;             ///< one by one; one that itself crashes or hangs is given up for the next
    step end;                                ///< the last one, where none was given up
};

#ifdef _WIN32

/// What the filter uses, since it is passed no object.
struct trap_state {
    std::atomic<bool> is_owned{false};
    std::atomic<bool> is_sprung{false};  ///< a thread has crashed
    const crash_plan* plan = nullptr;
    LPTOP_LEVEL_EXCEPTION_FILTER previous = nullptr;
};

inline constinit trap_state the_trap;

/// On the stack of the thread that crashed, above the frames of the system.
inline LONG WINAPI on_crash(EXCEPTION_POINTERS* pointers) {
    const auto previous = the_trap.previous;
    if (the_trap.is_owned && !the_trap.is_sprung.exchange(true)) {
        const auto cause = cause_of(*pointers);
        if (the_trap.plan->is_wanted(cause.signal)) {
            for (const auto step : the_trap.plan->steps) step(cause);
            the_trap.plan->end(cause);
        }
    }
    return previous != nullptr ? previous(pointers) : EXCEPTION_CONTINUE_SEARCH;
}

#else

inline constexpr std::array crash_signals{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

/// What the signal handlers use, since they are passed no object. What is not atomic is set before `process`, or
/// belongs to the thread that crashed.
struct trap_state {
    std::atomic<pid_t> owner{0};           ///< the process whose trap this is; 0: there is none
    std::atomic<pid_t> process{0};         ///< the same while it is armed
    std::atomic<std::uint64_t> thread{0};  ///< which crashed first, and takes the steps; 0: none has
    std::atomic<bool> is_done{false};
    std::array<struct sigaction, crash_signals.size()> previous{};
    const crash_plan* plan = nullptr;

    crash_cause cause{};
    struct itimerval timer_before {};
    struct sigaction alarm_before {};
    sigjmp_buf retreat{};
    volatile sig_atomic_t can_retreat = 0;
    volatile sig_atomic_t was_cut = 0;  ///< a step has been given up
    volatile sig_atomic_t step = 0;
};

inline constinit trap_state the_trap;

/// Lets the signals through by which a step is given up. A fault whose signal is blocked ends the process at once.
inline void unblock_crash_signals() noexcept {
    sigset_t needed;
    sigemptyset(&needed);
    sigaddset(&needed, SIGALRM);
    for (const int signal : crash_signals) sigaddset(&needed, signal);
    ::pthread_sigmask(SIG_UNBLOCK, &needed, nullptr);
}

/// Has no variables of its own: signal handlers jump back to it.
inline void take_steps() noexcept {
    if (sigsetjmp(the_trap.retreat, 0) != 0) the_trap.was_cut = 1;
    the_trap.can_retreat = 1;
    unblock_crash_signals();  // again after a retreat, which comes from a handler
    while (the_trap.step < static_cast<sig_atomic_t>(the_trap.plan->steps.size())) {
        the_trap.step = the_trap.step + 1;
        the_trap.plan->steps[static_cast<std::size_t>(the_trap.step - 1)](the_trap.cause);
    }
    if (the_trap.was_cut == 0) the_trap.plan->end(the_trap.cause);
    the_trap.can_retreat = 0;
}

/// On the thread that crashed, gives up the step that it is in.
inline void give_up_step() noexcept {
    if (the_trap.can_retreat == 0) return;
    the_trap.can_retreat = 0;
    siglongjmp(the_trap.retreat, 1);
}

/// A step takes too long. The system gives the signal of the timer to any thread.
inline void on_crash_alarm(int) noexcept {
    const int error = errno;
    const auto writer = the_trap.thread.load();
    if (writer == this_thread_id()) {
        give_up_step();
    } else if (!the_trap.is_done) {
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
    ::sigaction(SIGALRM, &action, &the_trap.alarm_before);
    const struct itimerval timer {
        {0, 100'000}, { 0, 300'000 }
    };
    ::setitimer(ITIMER_REAL, &timer, &the_trap.timer_before);
}

inline void unset_crash_alarm() noexcept {
    ::setitimer(ITIMER_REAL, &the_trap.timer_before, nullptr);
    ::sigaction(SIGALRM, &the_trap.alarm_before, nullptr);
}

/// Waits until another thread has taken its steps, and then a little more for that thread to end the process.
inline void wait_for_other_crash() noexcept {
    for (int i = 0; i < 200 && !the_trap.is_done; ++i) ::poll(nullptr, 0, 5);
    ::poll(nullptr, 0, 100);
}

/// What was there before for a signal; null where that is not a signal of a crash.
inline const struct sigaction* previous_of(int signal) noexcept {
    for (std::size_t i = 0; i < crash_signals.size(); ++i)
        if (crash_signals[i] == signal) return &the_trap.previous[i];
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
    sigemptyset(&this_one);
    sigaddset(&this_one, signal);
    ::pthread_sigmask(SIG_BLOCK, &this_one, nullptr);  // until this handler returns
#ifdef __linux__
    // With all that it said the first time, the sender included.
    if (info != nullptr && ::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), ::syscall(SYS_gettid), signal, info) == 0)
        return;
#endif
    static_cast<void>(info);
    ::raise(signal);
}

/// Whether a signal would have no effect without candor: another process sent it, and it was ignored until candor came.
inline bool was_ignored(int signal, const siginfo_t& info) noexcept {
    if (!was_sent(info) || info.si_pid == ::getpid()) return false;
    const auto* before = previous_of(signal);
    return before != nullptr && (before->sa_flags & SA_SIGINFO) == 0 && before->sa_handler == SIG_IGN;
}

inline void on_crash(int signal, siginfo_t* info, void* context) noexcept {
    const int error = errno;
    const auto thread = this_thread_id();
    auto& trap = the_trap;
    if (trap.thread == thread) give_up_step();  // does not return where there is one
    if (info != nullptr && trap.process == ::getpid() && trap.plan->is_wanted(signal)) {
        if (was_ignored(signal, *info)) return;
        std::uint64_t nobody = 0;
        if (trap.thread.compare_exchange_strong(nobody, thread)) {
            trap.cause = cause_of(*info, context);
            set_crash_alarm();
            take_steps();
            unset_crash_alarm();
            trap.is_done = true;
        } else if (nobody != thread) {
            wait_for_other_crash();
        }
    }
    hand_on(signal, info);
    errno = error;
}

/// Notes what stands there now and takes the signals of crashes.
inline void take_crash_signals() noexcept {
    stay_loaded(&on_crash);  // whoever takes the signals after us may keep it as what stood there before
    struct sigaction action {};
    action.sa_sigaction = &on_crash;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigfillset(&action.sa_mask);
    sigdelset(&action.sa_mask, SIGALRM);
    for (const int signal : crash_signals) sigdelset(&action.sa_mask, signal);
    for (std::size_t i = 0; i < crash_signals.size(); ++i) {
        struct sigaction before {};
        ::sigaction(crash_signals[i], nullptr, &before);
        const bool is_ours = (before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction == &on_crash;
        if (!is_ours) the_trap.previous[i] = before;
        ::sigaction(crash_signals[i], &action, nullptr);
    }
}

/// Puts back what stood there before, unless the program has set something else since.
inline void release_crash_signals() noexcept {
    for (std::size_t i = 0; i < crash_signals.size(); ++i) {
        struct sigaction now {};
        ::sigaction(crash_signals[i], nullptr, &now);
        if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == &on_crash)
            ::sigaction(crash_signals[i], &the_trap.previous[i], nullptr);
    }
}

#endif

/// Sees a crash of the program: by the signals SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT, on Windows by the filter of
/// unhandled exceptions, which does not see abort(). There is one per process. The handler that was there before gets
/// the crash afterwards and ends the program, within a second whatever is broken. In a child of `fork()` there is none,
/// and the child may make its own. Not thread-safe, except that several threads may make one.
class crash_trap {
public:
    /// Nothing happens before `arm`.
    crash_trap() noexcept;
    crash_trap(const crash_trap&) = delete;
    crash_trap& operator=(const crash_trap&) = delete;
    ~crash_trap();

    /// False where the process has another, and in a child.
    [[nodiscard]] bool is_only_one() const noexcept;
    [[nodiscard]] bool is_armed() const noexcept { return is_armed_ && is_only_one(); }

    /// To be called only where it is the only one. A stack overflow is seen on threads that have a signal stack: the
    /// one that calls this gets one.
    void arm(const crash_plan& plan) noexcept;

    /// Puts back what was there before. Waits for a crash under way, and returns whether there was one.
    bool disarm() noexcept;

private:
    std::optional<signal_stack> stack_;
    bool is_armed_ = false;
#ifdef _WIN32
    bool is_only_one_ = false;
#else
    pid_t process_ = 0;
#endif
};

#ifdef _WIN32

inline crash_trap::crash_trap() noexcept : is_only_one_{!the_trap.is_owned.exchange(true)} {}

inline crash_trap::~crash_trap() {
    disarm();
    if (is_only_one()) the_trap.is_owned = false;
}

inline bool crash_trap::is_only_one() const noexcept { return is_only_one_; }

inline void crash_trap::arm(const crash_plan& plan) noexcept {
    stack_.emplace();
    the_trap.plan = &plan;
    the_trap.is_sprung = false;
    is_armed_ = true;
    the_trap.previous = ::SetUnhandledExceptionFilter(&on_crash);
}

inline bool crash_trap::disarm() noexcept {
    if (!is_armed()) return false;
    is_armed_ = false;
    // There is no way to ask for the filter but to set one.
    const auto now = ::SetUnhandledExceptionFilter(the_trap.previous);
    if (now != &on_crash) ::SetUnhandledExceptionFilter(now);
    return the_trap.is_sprung.exchange(true);
}

#else

inline crash_trap::crash_trap() noexcept {
    const pid_t process = ::getpid();
    auto owner = the_trap.owner.load();
    if (owner != process && the_trap.owner.compare_exchange_strong(owner, process)) process_ = process;
}

inline crash_trap::~crash_trap() {
    disarm();
    if (is_only_one()) the_trap.owner = 0;
}

inline bool crash_trap::is_only_one() const noexcept { return process_ != 0 && process_ == ::getpid(); }

inline void crash_trap::arm(const crash_plan& plan) noexcept {
    stack_.emplace();
    the_trap.plan = &plan;
    the_trap.thread = 0;
    the_trap.is_done = false;
    the_trap.can_retreat = 0;
    the_trap.was_cut = 0;
    the_trap.step = 0;
    is_armed_ = true;
    the_trap.process = process_;
    take_crash_signals();
}

inline bool crash_trap::disarm() noexcept {
    if (!is_armed()) return false;
    is_armed_ = false;
    the_trap.process = 0;
    // The program may come to its end while another thread crashes: that is a crash.
    for (int i = 0; i < 200 && the_trap.thread != 0 && !the_trap.is_done; ++i) ::poll(nullptr, 0, 5);
    release_crash_signals();
    return the_trap.thread != 0;
}

#endif

}  // namespace candor::detail

#endif
