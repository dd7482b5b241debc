#ifndef CANDOR_POLICY_SIGNAL_GUARD_HPP
#define CANDOR_POLICY_SIGNAL_GUARD_HPP

#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <cerrno>
#endif

namespace candor::detail {

/// While it lives, what this thread does raises one signal without effect: SIGPIPE at a write to a connection that is
/// closed, SIGXFSZ at one past the limit of a file's size. The host's own disposition of the signal, which would end
/// it, is not ours to change. The call that raised it fails as ever. Not thread-safe; does nothing on Windows.
class signal_guard {
public:
    signal_guard(const signal_guard&) = delete;
    signal_guard& operator=(const signal_guard&) = delete;

#ifdef _WIN32
    explicit signal_guard(int) noexcept {}
#else
    explicit signal_guard(int signal) noexcept : signal_{signal} {
        sigemptyset(&set_);
        sigaddset(&set_, signal_);
        was_pending_ = pending();
        ::pthread_sigmask(SIG_BLOCK, &set_, &before_);
    }

    ~signal_guard() {
        const int kept = errno;
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
        errno = kept;
    }

private:
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

}  // namespace candor::detail

#endif
