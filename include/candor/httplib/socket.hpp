#ifndef CANDOR_HTTPLIB_SOCKET_HPP
#define CANDOR_HTTPLIB_SOCKET_HPP

#include <httplib.h>

#include <cerrno>
#include <utility>

#ifndef _WIN32
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

#include <candor/policy/fork.hpp>

namespace candor::detail {

/// A second descriptor of a socket that httplib owns. Shutting the socket down through it ends whatever httplib is
/// doing there. httplib may close its own descriptor at any moment, and the number may then mean something else of the
/// host program; this one keeps its meaning until it is destroyed. Not thread-safe.
class socket_handle {
public:
    socket_handle() = default;
    socket_handle(socket_handle&& other) noexcept { *this = std::move(other); }
#ifdef _WIN32
    explicit socket_handle(socket_t original) noexcept : own_{duplicate(original)} {}
    socket_handle& operator=(socket_handle&& other) noexcept {
        std::swap(own_, other.own_);
        return *this;
    }
    ~socket_handle() {
        if (own_ != INVALID_SOCKET) ::closesocket(own_);
    }
#else
    explicit socket_handle(socket_t original) noexcept : own_{duplicate(original)}, not_in_child_{own_, original} {}
    socket_handle& operator=(socket_handle&& other) noexcept {
        std::swap(own_, other.own_);
        not_in_child_ = std::move(other.not_in_child_);
        return *this;
    }
    ~socket_handle() {
        not_in_child_.end();
        if (own_ != INVALID_SOCKET) ::close(own_);
    }
#endif

    [[nodiscard]] socket_t get() const noexcept { return own_; }

    /// Ends reading and writing, and a pending connect.
    void shut_down() const noexcept {
#ifdef _WIN32
        shut_down(SD_BOTH);
#else
        shut_down(SHUT_RDWR);
#endif
    }

    /// As `shut_down`, and forgets what has come already, which could be read otherwise.
    void discard() const noexcept {
        shut_down();
#ifndef _WIN32
        char bytes[16 * 1024];
        while (::recv(own_, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
        }
#endif
    }

    /// Reads see the end of the stream from now on; writes go on.
    void stop_reading() const noexcept {
#ifdef _WIN32
        shut_down(SD_RECEIVE);
#else
        shut_down(SHUT_RD);
#endif
    }

private:
    void shut_down(int how) const noexcept {
        if (own_ != INVALID_SOCKET) ::shutdown(own_, how);
    }

    static socket_t duplicate(socket_t original) noexcept {
#ifdef _WIN32
        WSAPROTOCOL_INFOW description;
        if (::WSADuplicateSocketW(original, ::GetCurrentProcessId(), &description) != 0) return INVALID_SOCKET;
        return ::WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &description, 0,
                            WSA_FLAG_OVERLAPPED);
#else
        return ::fcntl(original, F_DUPFD_CLOEXEC, 0);
#endif
    }

    socket_t own_ = INVALID_SOCKET;
#ifndef _WIN32
    closed_in_child not_in_child_;
#endif
};

/// While it lives, a write to a connection that the peer has closed raises no SIGPIPE in this thread. Neither httplib
/// nor OpenSSL asks the system for that, and the host's own disposition of the signal is not ours to change.
class sigpipe_guard {
public:
    sigpipe_guard(const sigpipe_guard&) = delete;
    sigpipe_guard& operator=(const sigpipe_guard&) = delete;

#ifdef _WIN32
    sigpipe_guard() = default;
#else
    sigpipe_guard() noexcept {
        sigemptyset(&pipe_);
        sigaddset(&pipe_, SIGPIPE);
        was_pending_ = pending();
        ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }

    ~sigpipe_guard() {
        const int kept = errno;
        if (!was_pending_ && pending()) {
#ifdef __APPLE__
            int raised = 0;
            sigwait(&pipe_, &raised);
#else
            const timespec at_once{};
            while (::sigtimedwait(&pipe_, nullptr, &at_once) == -1 && errno == EINTR) {
            }
#endif
        }
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
        errno = kept;
    }

private:
    static bool pending() noexcept {
        sigset_t set;
        sigemptyset(&set);
        ::sigpending(&set);
        return sigismember(&set, SIGPIPE) == 1;
    }

    sigset_t pipe_{};
    sigset_t before_{};
    bool was_pending_ = false;
#endif
};

}  // namespace candor::detail

#endif
