#ifndef CANDOR_HTTPLIB_CANCELLATION_HANDLE_HPP
#define CANDOR_HTTPLIB_CANCELLATION_HANDLE_HPP

#include <httplib.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include <candor/httplib/resolver.hpp>
#include <candor/httplib/socket.hpp>
#include <candor/platform/at_exit.hpp>

namespace candor::detail {

/// Why an exchange was ended from outside; the greater one counts.
enum class stop_reason { none, deadline, cancelled };

/// What another thread needs to end an exchange under way: its socket and its question to the resolver. Thread-safe.
class cancellation_handle {
public:
    /// A new exchange starts.
    void begin() noexcept {
        const std::lock_guard guard{mutex_};
        reason_ = stop_reason::none;
    }

    /// The exchange uses this socket from now on.
    void watch(socket_t socket) noexcept {
        const std::lock_guard guard{mutex_};
        socket_ = socket_handle{socket};
        if (reason_ != stop_reason::none) socket_.shut_down();
    }

    /// The exchange waits for this answer; null: no longer.
    void watch(std::shared_ptr<lookup> question) noexcept {
        const std::lock_guard guard{mutex_};
        question_ = std::move(question);
        if (question_ && reason_ != stop_reason::none) question_->interrupt();
    }

    /// Ends the exchange. A socket that is just about to connect may escape: call it again while the exchange lasts.
    void stop(stop_reason why) noexcept {
        const auto lock = at_exit::lock(mutex_);
        if (!lock) return;
        reason_ = std::max(reason_, why);
        socket_.shut_down();
        if (question_) question_->interrupt();
    }

    /// Nothing more is wanted from this socket, not even what has come already.
    void discard() noexcept {
        const std::lock_guard guard{mutex_};
        socket_.discard();
    }

    /// The peer will not be listened to again: httplib then closes a TLS connection without waiting for its goodbye.
    void stop_reading() noexcept {
        const std::lock_guard guard{mutex_};
        socket_.stop_reading();
    }

    /// Whether httplib's descriptor still is the socket.
    [[nodiscard]] bool is_intact() const noexcept {
        const std::lock_guard guard{mutex_};
        return socket_.is_original_intact();
    }

    /// httplib has closed its descriptor: close ours.
    void release_socket() noexcept {
        const std::lock_guard guard{mutex_};
        socket_ = socket_handle{};
    }

    /// Our own descriptor; for the thread of the exchange, until the next `watch` or `release_socket`.
    [[nodiscard]] const socket_handle& socket() const noexcept { return socket_; }

    [[nodiscard]] stop_reason reason() const noexcept {
        const std::lock_guard guard{mutex_};
        return reason_;
    }

private:
    mutable std::mutex mutex_;
    socket_handle socket_;
    std::shared_ptr<lookup> question_;
    stop_reason reason_ = stop_reason::none;
};

}  // namespace candor::detail

#endif
