#ifndef CANDOR_PLATFORM_CRASH_CAUSE_HPP
#define CANDOR_PLATFORM_CRASH_CAUSE_HPP

#include <cstdint>

#ifdef _WIN32
#include <csignal>
#else
#include <pthread.h>
#include <signal.h>
#include <time.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <candor/platform/machine_state.hpp>
#include <candor/platform/windows.hpp>

namespace candor::detail {

/// What the system says of a crash.
struct crash_cause {
    std::int64_t time = 0;            ///< nanoseconds since 1970
    std::uint64_t fault_address = 0;  ///< what could not be accessed or executed; 0 for a signal that was sent
    std::uint64_t thread = 0;         ///< the system's id of it
    std::int32_t signal = 0;          ///< SIGSEGV and so on
    std::int32_t code = 0;            ///< `si_code`; on Windows the exception's code
    machine_state machine{};
};

#ifdef _WIN32

/// The signal that another platform has for an exception.
inline int signal_of(DWORD exception) noexcept {
    switch (exception) {
        case EXCEPTION_ACCESS_VIOLATION:
        case EXCEPTION_ARRAY_BOUNDS_EXCEEDED:
        case EXCEPTION_DATATYPE_MISALIGNMENT:
        case EXCEPTION_GUARD_PAGE:
        case EXCEPTION_IN_PAGE_ERROR:
        case EXCEPTION_STACK_OVERFLOW:
            return SIGSEGV;
        case EXCEPTION_ILLEGAL_INSTRUCTION:
        case EXCEPTION_PRIV_INSTRUCTION:
            return SIGILL;
        case EXCEPTION_FLT_DENORMAL_OPERAND:
        case EXCEPTION_FLT_DIVIDE_BY_ZERO:
        case EXCEPTION_FLT_INEXACT_RESULT:
        case EXCEPTION_FLT_INVALID_OPERATION:
        case EXCEPTION_FLT_OVERFLOW:
        case EXCEPTION_FLT_STACK_CHECK:
        case EXCEPTION_FLT_UNDERFLOW:
        case EXCEPTION_INT_DIVIDE_BY_ZERO:
        case EXCEPTION_INT_OVERFLOW:
            return SIGFPE;
        default:
            return SIGABRT;
    }
}

inline crash_cause cause_of(const EXCEPTION_POINTERS& pointers) noexcept {
    const auto& exception = *pointers.ExceptionRecord;
    FILETIME now;
    ::GetSystemTimeAsFileTime(&now);  // hundreds of nanoseconds since 1601
    const auto count = static_cast<std::int64_t>(now.dwHighDateTime) << 32 | now.dwLowDateTime;
    crash_cause out;
    out.time = (count - 116'444'736'000'000'000) * 100;
    if (exception.ExceptionCode == EXCEPTION_ACCESS_VIOLATION && exception.NumberParameters >= 2)
        out.fault_address = exception.ExceptionInformation[1];
    out.thread = ::GetCurrentThreadId();
    out.signal = signal_of(exception.ExceptionCode);
    out.code = static_cast<std::int32_t>(exception.ExceptionCode);
    out.machine = machine_state_of(pointers.ContextRecord);
    return out;
}

#else

inline std::uint64_t this_thread_id() noexcept {
#ifdef __linux__
    return static_cast<std::uint64_t>(::syscall(SYS_gettid));
#else
    return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(::pthread_self()));
#endif
}

/// Whether a signal was sent, by abort() or kill(), and so does not come from an instruction that would fail again.
inline bool was_sent(const siginfo_t& info) noexcept {
#ifdef BUS_MCEERR_AO
    if (info.si_signo == SIGBUS && info.si_code == BUS_MCEERR_AO) return true;
#endif
    return info.si_code <= 0 || info.si_code == SI_USER || info.si_code == SI_QUEUE;  // positive outside of Linux
}

inline crash_cause cause_of(const siginfo_t& info, const void* context) noexcept {
    struct timespec now {};
    ::clock_gettime(CLOCK_REALTIME, &now);
    crash_cause out;
    out.time = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
    if (!was_sent(info)) out.fault_address = reinterpret_cast<std::uintptr_t>(info.si_addr);
    out.thread = this_thread_id();
    out.signal = info.si_signo;
    out.code = info.si_code;
    out.machine = machine_state_of(context);
    return out;
}

#endif

}  // namespace candor::detail

#endif
