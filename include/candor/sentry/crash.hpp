#ifndef CANDOR_SENTRY_CRASH_HPP
#define CANDOR_SENTRY_CRASH_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#ifndef _WIN32
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>
#endif

#include <candor/identity/uuid.hpp>
#include <candor/policy/clock.hpp>
#include <candor/sentry/breadcrumbs.hpp>
#include <candor/sentry/crash_file.hpp>
#include <candor/sentry/crash_record.hpp>
#include <candor/sentry/crash_signals.hpp>
#include <candor/sentry/crash_writer.hpp>
#include <candor/sentry/stack.hpp>

namespace candor::sentry {

/// What a crash handler is told.
struct crash_options {
    std::filesystem::path directory{};  ///< for the records; made (0700) where there is none
    std::string release{};
    const breadcrumb_ring* breadcrumbs = nullptr;  ///< outlives the handler; null: none are recorded
};

namespace detail {

#ifdef _WIN32

/// What the filter needs, which knows no object.
struct crash_state {
    std::atomic<bool> is_installed{false};
    std::atomic<bool> is_taken{false};  ///< a thread writes
    LPTOP_LEVEL_EXCEPTION_FILTER previous = nullptr;
    crash_writer writer;
};

inline constinit crash_state the_crash;

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

inline LONG WINAPI on_crash(EXCEPTION_POINTERS* pointers) {
    auto& crash = the_crash;
    if (crash.is_installed && !crash.is_taken.exchange(true)) {
        auto& writer = crash.writer;
        const auto& exception = *pointers->ExceptionRecord;
        FILETIME now;
        ::GetSystemTimeAsFileTime(&now);  // hundreds of nanoseconds since 1601
        const auto count = static_cast<std::int64_t>(now.dwHighDateTime) << 32 | now.dwLowDateTime;
        writer.facts.time = (count - 116'444'736'000'000'000) * 100;
        writer.facts.signal = signal_of(exception.ExceptionCode);
        writer.facts.code = static_cast<std::int32_t>(exception.ExceptionCode);
        if (exception.ExceptionCode == EXCEPTION_ACCESS_VIOLATION && exception.NumberParameters >= 2)
            writer.facts.fault_address = exception.ExceptionInformation[1];
        writer.facts.instruction = reinterpret_cast<std::uintptr_t>(exception.ExceptionAddress);
        writer.facts.thread = ::GetCurrentThreadId();
        writer.write_facts();
        // The filter runs on the stack of the thread that crashed, above the frames of the system.
        void* addresses[most_frames];
        const auto found = ::CaptureStackBackTrace(0, static_cast<DWORD>(most_frames), addresses, nullptr);
        const auto first = std::find(addresses, addresses + found, exception.ExceptionAddress);
        writer.add_frame(writer.facts.instruction);
        for (auto at = first; at != addresses + found; ++at)
            if (at != first) writer.add_frame(reinterpret_cast<std::uintptr_t>(*at));
        writer.write_frames();
        writer.write_breadcrumbs();
        writer.write_end();
    }
    return crash.previous != nullptr ? crash.previous(pointers) : EXCEPTION_CONTINUE_SEARCH;
}

/// The part of the stack that an overflow leaves to the filter.
inline void prepare_stack() noexcept {
    ULONG size = 64 * 1024;
    ::SetThreadStackGuarantee(&size);
}

#else

/// A stack of its own for the signal handlers of the thread that makes it: the one that has overflowed is of no use.
/// A thread that already has one keeps it.
class signal_stack {
public:
    signal_stack() noexcept {
        stack_t before{};
        if (::sigaltstack(nullptr, &before) != 0 || (before.ss_flags & SS_DISABLE) == 0) return;
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        std::size_t size = 64 * 1024;
#ifdef _SC_SIGSTKSZ
        // Processors with wide registers save more of them than any constant says.
        if (const long least = ::sysconf(_SC_SIGSTKSZ); least > 0) size += static_cast<std::size_t>(least);
#endif
        size_ = (size + page - 1) / page * page + page;
        void* const memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return;
        memory_ = static_cast<char*>(memory);
        ::mprotect(memory_, page, PROT_NONE);  // it grows down: past its end is a fault, not somebody's memory
        stack_t mine{};
        mine.ss_sp = memory_ + page;
        mine.ss_size = size_ - page;
        if (::sigaltstack(&mine, nullptr) != 0) release();
    }

    /// On another thread than it was made, the memory stays: the first one may still use it.
    ~signal_stack() {
        stack_t now{};
        if (memory_ == nullptr || ::sigaltstack(nullptr, &now) != 0 || now.ss_sp < memory_ ||
            now.ss_sp >= memory_ + size_)
            return;
        now.ss_flags = SS_DISABLE;
        if (::sigaltstack(&now, nullptr) == 0) release();
    }

    signal_stack(const signal_stack&) = delete;
    signal_stack& operator=(const signal_stack&) = delete;

private:
    void release() noexcept {
        ::munmap(memory_, size_);
        memory_ = nullptr;
    }

    char* memory_ = nullptr;
    std::size_t size_ = 0;
};

/// For children of fork(): the record is the parent's.
inline void leave_crash_to_parent() noexcept {
    the_crash.process = 0;
    if (the_crash.writer.file != nullptr) the_crash.writer.file->close();
}

#endif

}  // namespace detail

/// While it lives, a crash of the program leaves a record for `recover_crashes` of the next start.
///
/// The signals SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT are taken (on Windows: the unhandled-exception filter, which
/// does not see abort()). The record is a file made beforehand, its space too. When the program crashes the handler
/// writes what happened, the stack and the breadcrumbs to it, and hands on to what stood there before, which ends the
/// program by the same signal, with the same core dump, as without it; within a second whatever is broken. A signal
/// that was sent by another process and ignored before stays ignored. A fault that the previous handler repairs is
/// reported too, at the next start, and those after it are not.
///
/// In the handler everything is async-signal-safe but the walk along the stack, for which there is nothing of the kind:
/// the unwinder reads memory that may be broken, and before glibc 2.35 takes the loader's lock. The facts are therefore
/// written first, and a walk that crashes or hangs is given up.
///
/// The thread that makes it gets a signal stack, unless it has one, so that a stack overflow is recorded as well; other
/// threads need their own for that (sigaltstack). Makers of daemons: make it after the last fork(). A child has none
/// and leaves the parent's alone; it may make its own. One a process: where there is one already another does nothing.
/// The breadcrumbs must have been redacted; of the loaded modules the record has the names without directories. It is
/// for the user alone (0600) until the next start.
class crash_handler {
public:
    /// Installs it, in less than 100 us. Where that cannot be, `problem` says why and all is as before. Throws
    /// `std::bad_alloc`.
    explicit crash_handler(const crash_options& options) { install(options); }

    /// All is as before: the record is removed, unless there was a crash.
    ~crash_handler();

    crash_handler(const crash_handler&) = delete;
    crash_handler& operator=(const crash_handler&) = delete;

    /// Why it is not installed, for a person; empty where it is.
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

    /// What the event of a crash will be called.
    [[nodiscard]] uuid event_id() const noexcept { return event_id_; }

private:
    void install(const crash_options& options);

    /// Makes the file; the record goes on behind the start of it. False where there is a problem.
    bool prepare(const crash_options& options) {
        std::error_code error;
        const auto directory = std::filesystem::absolute(options.directory, error);
        try {
            const auto modules = loaded_modules();
            for (int attempts = 3; attempts > 0 && !error; --attempts) {
                event_id_ = uuid::random();
                const auto start =
                    detail::start_section(event_id_, system_clock{}.wall_now(), options.release, modules);
                file_ = detail::record_file::create(directory / detail::record_name(event_id_), start,
                                                    start.size() + detail::largest_crash, error);
                if (!error) {
                    auto& writer = detail::the_crash.writer;
                    writer.file = &file_;
                    writer.breadcrumbs = options.breadcrumbs;
                    writer.at = start.size();
                    writer.frame_count = 0;
                    return true;
                }
                if (error == std::errc::operation_would_block) error.clear();
            }
        } catch (const std::system_error& exception) {  // no randomness
            error = exception.code();
        }
        problem_ = "no crash is recorded in " + options.directory.string() + ": " +
                   (error ? error.message() : "other processes remove the file");
        return false;
    }

    uuid event_id_;
    std::string problem_;
    detail::record_file file_;
#ifndef _WIN32
    std::optional<detail::signal_stack> stack_;
    pid_t process_ = 0;  ///< 0: not installed
#endif
};

#ifdef _WIN32

inline void crash_handler::install(const crash_options& options) {
    auto& crash = detail::the_crash;
    if (crash.is_installed.exchange(true)) {
        problem_ = "another crash handler is installed in this process";
    } else if (!prepare(options)) {
        crash.is_installed = false;
    } else {
        detail::prepare_stack();
        crash.is_taken = false;
        crash.previous = ::SetUnhandledExceptionFilter(&detail::on_crash);
    }
}

inline crash_handler::~crash_handler() {
    if (!problem_.empty()) return;
    auto& crash = detail::the_crash;
    // There is no way to ask for the filter but to set one.
    const auto now = ::SetUnhandledExceptionFilter(crash.previous);
    if (now != &detail::on_crash) ::SetUnhandledExceptionFilter(now);
    if (!crash.is_taken.exchange(true)) file_.remove();
    crash.is_installed = false;
}

#else

inline void crash_handler::install(const crash_options& options) {
    auto& crash = detail::the_crash;
    const pid_t process = ::getpid();
    auto owner = crash.owner.load();
    if (owner == process || !crash.owner.compare_exchange_strong(owner, process)) {
        problem_ = "another crash handler is installed in this process";
        return;
    }
    struct give_back {
        bool is_due = true;
        ~give_back() {
            if (is_due) detail::the_crash.owner = 0;
        }
    } owned;
    static const bool is_told_of_forks = ::pthread_atfork(nullptr, nullptr, &detail::leave_crash_to_parent) == 0;
    static_cast<void>(is_told_of_forks);  // else a child holds the record until it ends, and still does not write it
    if (!prepare(options)) return;
    void* frames[4];
    capture_stack(frames);  // the first walk takes memory
    stack_.emplace();
    crash.thread = 0;
    crash.is_written = false;
    crash.can_retreat = 0;
    crash.was_cut = 0;
    crash.step = 0;
    process_ = process;
    owned.is_due = false;
    crash.process = process;
    detail::take_crash_signals();
}

inline crash_handler::~crash_handler() {
    if (process_ == 0 || process_ != ::getpid()) return;  // in a child, closing the file is all there is to do
    auto& crash = detail::the_crash;
    crash.process = 0;
    // The program may come to its end while another thread crashes: that is a crash.
    for (int i = 0; i < 200 && crash.thread != 0 && !crash.is_written; ++i) ::poll(nullptr, 0, 5);
    detail::release_crash_signals();
    if (crash.thread == 0) file_.remove();
    crash.writer.file = nullptr;
    crash.owner = 0;
}

#endif

}  // namespace candor::sentry

#endif
