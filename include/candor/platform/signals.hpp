#ifndef CANDOR_PLATFORM_SIGNALS_HPP
#define CANDOR_PLATFORM_SIGNALS_HPP

#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <cerrno>
#include <initializer_list>

#include <candor/platform/errno_guard.hpp>
#endif

namespace candor::detail {

/// While it lives, one signal has no effect that this thread raises by what it does. The host's own disposition of the
/// signal, which would end it, is not ours to change. The call that raised it fails as usual. Not thread-safe; does
/// nothing on Windows, which has no such signals.
class signal_guard {
public:
    signal_guard(const signal_guard&) = delete;
    signal_guard& operator=(const signal_guard&) = delete;

#ifdef _WIN32
    static signal_guard broken_pipe() noexcept { return {}; }
    static signal_guard file_size() noexcept { return {}; }
    ~signal_guard() {}  // so that a guard is not taken for an unused variable

private:
    signal_guard() = default;
#else
    /// SIGPIPE, at a write to a connection that the peer has closed.
    static signal_guard broken_pipe() noexcept { return signal_guard{SIGPIPE}; }
    /// SIGXFSZ, at a write past the limit of a file's size.
    static signal_guard file_size() noexcept { return signal_guard{SIGXFSZ}; }

    ~signal_guard() {
        const errno_guard guard;
        if (!was_pending_ && pending()) {
#ifdef __APPLE__
            int raised = 0;
            sigwait(&set_, &raised);
#else
            const timespec at_once{};
            while (::sigtimedwait(&set_, nullptr, &at_once) == -1 && errno == EINTR) {
            }
#endif
        }
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

private:
    explicit signal_guard(int signal) noexcept : signal_{signal} {
        sigemptyset(&set_);
        sigaddset(&set_, signal_);
        was_pending_ = pending();
        ::pthread_sigmask(SIG_BLOCK, &set_, &before_);
    }

    [[nodiscard]] bool pending() const noexcept {
        sigset_t raised;
        sigemptyset(&raised);
        ::sigpending(&raised);
        return sigismember(&raised, signal_) == 1;
    }

    int signal_;
    sigset_t set_{};
    sigset_t before_{};
    bool was_pending_ = false;
#endif
};

/// While it lives, this thread takes no signal, nor does a thread that it starts, ever: they go to the program's own
/// threads, and one that waits for SIGTERM with `sigwait` gets it. The signals of a fault in the thread itself are not
/// held back, which would make no sense. Does nothing on Windows.
class no_signals {
public:
    no_signals(const no_signals&) = delete;
    no_signals& operator=(const no_signals&) = delete;

#ifdef _WIN32
    no_signals() = default;
    ~no_signals() {}
#else
    no_signals() noexcept {
        sigset_t all;
        sigfillset(&all);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) sigdelset(&all, fault);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~no_signals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_{};
#endif
};

}  // namespace candor::detail

#endif
