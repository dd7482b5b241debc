#ifndef CANDOR_HTTPLIB_SERVICE_THREADS_HPP
#define CANDOR_HTTPLIB_SERVICE_THREADS_HPP

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <list>
#include <mutex>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include <candor/httplib/listener.hpp>
#include <candor/httplib/server_connection.hpp>
#include <candor/platform/thread.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/server.hpp>

namespace candor::detail {

/// Serves the connections of a listener with a few threads. One of them, the leader, waits for all sockets at once; as
/// soon as there is something to do another one takes its place, and it does that. So a connection that waits costs
/// nothing but its memory, and a server without requests does not run at all.
class service_threads {
public:
    /// Throws `configuration_error` where the address cannot be had, and `std::system_error` where no thread can.
    service_threads(http_service& service, const server_options& options)
        : settings_{service, options}, listener_{options.address, options.port} {
        polled_.reserve(16);
        threads_.reserve(number_of_threads);
        try {
            while (threads_.size() < number_of_threads)
                threads_.push_back(start_worker_thread("candor-server", [this] { work(); }));
        } catch (const std::system_error&) {
            if (threads_.empty()) throw;
        }
    }
    service_threads(const service_threads&) = delete;
    service_threads& operator=(const service_threads&) = delete;
    ~service_threads() { stop(); }

    [[nodiscard]] std::uint16_t port() const noexcept { return listener_.port(); }

    /// See `server`. One thread at a time.
    void stop() noexcept {
        {
            const std::lock_guard guard{mutex_};
            if (!settings_.is_stopping())
                settings_.end = after(std::chrono::steady_clock::now(), settings_.options.stop_timeout);
            if (!wake_.is_ours()) listener_.knock();
            wake_leader();
        }
        for (auto& thread : threads_) {
            if (thread.joinable()) thread.join();
        }
    }

private:
    using connection_list = std::list<server_connection>;
    using need = server_connection::need;

    static constexpr std::size_t number_of_threads = 4;
    static constexpr std::size_t extra_connections = 16;  ///< beyond the limit, to be told so

    void work() noexcept {
        std::unique_lock lock{mutex_};
        while (!settings_.is_stopping() || is_listening_ || open() > 0) {
            if (!ready_.empty()) {
                serve_first(lock);
            } else if (!is_led_) {
                lead(lock);
            } else {
                changed_.wait(lock);
            }
        }
        changed_.notify_all();
        wake_leader();
    }

    void serve_first(std::unique_lock<std::mutex>& lock) noexcept {
        connection_list mine;
        mine.splice(mine.begin(), ready_, ready_.begin());
        ++served_;
        if (!ready_.empty() || !is_led_) changed_.notify_one();
        lock.unlock();
        if (mine.front().serve() == need::close) mine.clear();
        lock.lock();
        --served_;
        waiting_.splice(waiting_.end(), mine);
        wake_leader();
    }

    /// Waits until there is something to do, and makes it ready. Meanwhile others may add to `waiting_`, at its end.
    void lead(std::unique_lock<std::mutex>& lock) noexcept {
        auto now = std::chrono::steady_clock::now();
        const bool can_be_woken = wake_.is_ours();
        if (!can_be_woken) settings_.end = now;  // the program has closed it, and all the rest most likely
        if (settings_.is_stopping()) {
            stop_listening();
            if (!ready_.empty() || open() == 0) return;
        }
        const bool accepts = is_listening_ && now >= accept_from_;
        auto until = is_listening_ && !accepts ? accept_from_ : steady_time::max();
        if (!can_be_woken) until = now + std::chrono::milliseconds{5};  // others still serve
        polled_.clear();
        polled_.push_back({can_be_woken ? wake_.get() : INVALID_SOCKET, POLLIN, 0});
        // A listening socket is never writable. What has taken its number, where the program has closed it, mostly is.
        polled_.push_back({accepts ? listener_.get() : INVALID_SOCKET, POLLIN | POLLOUT, 0});
        for (const auto& c : waiting_) {
            polled_.push_back({c.socket(), static_cast<short>(c.now_needs() == need::writable ? POLLOUT : POLLIN), 0});
            until = std::min(until, c.now_needs() == need::turn ? now : c.deadline());
        }
        is_led_ = true;
        lock.unlock();
        const bool has_waited = wait_for_sockets(polled_, until);
        lock.lock();
        is_led_ = is_woken_ = false;

        now = std::chrono::steady_clock::now();
        if (polled_[0].revents != 0) wake_.take();
        auto next = waiting_.begin();
        for (std::size_t i = 2; i < polled_.size(); ++i) {
            const auto c = next++;
            if (now >= c->deadline()) {
                waiting_.erase(c);
            } else if (polled_[i].revents != 0 || c->now_needs() == need::turn) {
                ready_.splice(ready_.end(), waiting_, c);
            }
        }
        if (polled_[1].revents != 0) accept_all();
        if (!has_waited) make_room();  // the program has lowered its limit of descriptors
    }

    /// Takes in what came before the server was stopped, and no more: a connection that has nothing to say when it is
    /// next asked is closed.
    void stop_listening() noexcept {
        if (std::exchange(is_listening_, false)) {
            accept_all();
            listener_.close();
        }
        for (auto next = waiting_.begin(); next != waiting_.end();) {
            const auto c = next++;
            if (c->now_needs() != need::writable) ready_.splice(ready_.end(), waiting_, c);
        }
    }

    void accept_all() noexcept {
        is_listening_ = is_listening_ && listener_.is_ours();
        while (listener_.has_waiting()) {
            if (auto socket = listener_.accept()) {
                add(std::move(socket));
            } else if (would_block(socket_error()) || make_room()) {
                return;
            } else {
                // Where descriptors are short the connection goes on waiting, and the next poll would find it at once.
                accept_from_ = std::chrono::steady_clock::now() + std::chrono::milliseconds{50};
                return;
            }
        }
    }

    void add(owned_socket socket) noexcept {
        const auto most = settings_.options.max_connections;
        const bool is_too_many = open() >= most && !make_room();
        if (is_too_many && open() - most >= extra_connections) return;
        try {
            if (polled_.capacity() < open() + 3) polled_.reserve(2 * open() + 3);
            waiting_.emplace_back(std::move(socket), settings_, is_too_many);
        } catch (const std::bad_alloc&) {  // the client sees its connection closed
        }
    }

    /// Closes the connection that would be the first to be closed for want of a request. False: all have one.
    bool make_room() noexcept {
        auto oldest = waiting_.end();
        for (auto c = waiting_.begin(); c != waiting_.end(); ++c) {
            if (c->is_spare() && (oldest == waiting_.end() || c->deadline() < oldest->deadline())) oldest = c;
        }
        if (oldest == waiting_.end()) return false;
        waiting_.erase(oldest);
        return true;
    }

    [[nodiscard]] std::size_t open() const noexcept { return waiting_.size() + ready_.size() + served_; }

    void wake_leader() noexcept {
        if (is_led_ && !std::exchange(is_woken_, true)) wake_.raise();
    }

    connection_settings settings_;
    wake_signal wake_;
    std::mutex mutex_;  ///< guards what follows, but for `polled_`, which is the leader's
    std::condition_variable changed_;
    listener listener_;
    bool is_listening_ = true;
    steady_time accept_from_ = steady_time::min();
    connection_list waiting_;  ///< for their sockets
    connection_list ready_;    ///< for a thread
    std::size_t served_ = 0;   ///< how many a thread has
    bool is_led_ = false;      ///< somebody waits for the sockets
    bool is_woken_ = false;    ///< and has been told to look again
    std::vector<pollfd> polled_;
    std::vector<worker_thread> threads_;
};

}  // namespace candor::detail

#endif
