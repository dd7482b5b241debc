#ifndef CANDOR_HTTPLIB_SERVER_HPP
#define CANDOR_HTTPLIB_SERVER_HPP

#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include <candor/delivery/options.hpp>
#include <candor/delivery/worker_thread.hpp>
#include <candor/httplib/listener.hpp>
#include <candor/httplib/request_engine.hpp>
#include <candor/httplib/server_stream.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/server.hpp>

namespace candor {

/// An HTTP/1 server over cpp-httplib, 0.11.4 or later: the one that programs use.
///
/// One thread accepts and one serves each connection; `request_timeout` is for the whole of a request, however it
/// trickles in. With `max_connections` open, a new one takes the place of the one that has been without a request for
/// longest; where all have one under way, it is answered 503. Bodies come with a length or in chunks; all bodies under
/// way together take at most twice `body_limit`, further ones are answered 503. Compressed ones need
/// CPPHTTPLIB_ZLIB_SUPPORT.
///
/// `port` and `stop` may be called from any thread.
class httplib_server {
public:
    httplib_server(const server_options& options, http_service& service)
        : options_{checked(options)},
          listener_{options.address, options.port},
          engine_{service, options},
          acceptor_{detail::start_worker_thread([this] { accept_all(); })} {}

    httplib_server(const httplib_server&) = delete;
    httplib_server& operator=(const httplib_server&) = delete;
    ~httplib_server() { stop(); }

    [[nodiscard]] std::uint16_t port() const noexcept { return listener_.port(); }

    void stop() noexcept {
        const std::lock_guard one_at_a_time{stopping_};
        if (!acceptor_.joinable()) return;
        stop_.raise(options_.stop_timeout);
        acceptor_.join();
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [&] { return connections_.empty(); });
        if (last_.joinable()) last_.join();
    }

private:
    static constexpr std::chrono::seconds farewell{1};    ///< for a client that still sends when it has its answer
    static constexpr std::size_t extra_connections = 16;  ///< beyond the limit, to be told so

    enum class state { idle, busy, evicted };

    /// Guarded by `mutex_`, but for `stream`, which is for the thread.
    struct connection {
        connection(detail::owned_socket socket, const detail::stop_signal& stop, bool is_extra_one)
            : stream{std::move(socket), stop}, is_extra{is_extra_one} {}

        detail::server_stream stream;
        const bool is_extra;  ///< its request is answered 503
        state now = state::idle;
        steady_time idle_since = std::chrono::steady_clock::now();
        std::thread thread;
    };
    using connection_list = std::list<connection>;

    static const server_options& checked(const server_options& options) {
        detail::check_positive("body_limit", options.body_limit);
        detail::check_positive("max_connections", options.max_connections);
        detail::check_positive("request_timeout", options.request_timeout);
        detail::check_positive("idle_timeout", options.idle_timeout);
        detail::check_positive("stop_timeout", options.stop_timeout);
        return options;
    }

    static steady_time in(std::chrono::milliseconds time) noexcept {
        return detail::after(std::chrono::steady_clock::now(), time);
    }

    /// Until the signal, and then once more what waits.
    void accept_all() noexcept {
        while (stop_.wait(listener_.get(), POLLIN, steady_time::max())) {
            auto socket = listener_.accept();
            if (socket) {
                start(std::move(socket));
            } else if (const int error = detail::socket_error(); !detail::would_block(error)) {
                // Where descriptors are short the connection goes on waiting, and the next poll would find it at once.
                make_room();
                if (!stop_.pause(std::chrono::milliseconds{50})) return;
            }
        }
    }

    void start(detail::owned_socket socket) noexcept {
        try {
            const std::lock_guard guard{mutex_};
            auto open = live();
            if (open >= options_.max_connections && evict_one()) --open;
            // Those who have been told to go count here until they have gone.
            if (connections_.size() >= options_.max_connections + extra_connections) return;
            const auto mine =
                connections_.emplace(connections_.end(), std::move(socket), stop_, open >= options_.max_connections);
            try {
                mine->thread = detail::start_worker_thread([this, mine] {
                    serve(*mine);
                    leave(mine);
                });
            } catch (const std::system_error&) {  // no thread to be had
                connections_.erase(mine);
            }
        } catch (const std::bad_alloc&) {  // the client sees its connection closed
        }
    }

    void make_room() noexcept {
        const std::lock_guard guard{mutex_};
        evict_one();
    }

    /// Ends the connection that has had no request for longest. False: all have one.
    bool evict_one() noexcept {
        connection* oldest = nullptr;
        for (auto& c : connections_) {
            if (c.now == state::idle && (oldest == nullptr || c.idle_since < oldest->idle_since)) oldest = &c;
        }
        if (oldest == nullptr) return false;
        oldest->now = state::evicted;
        oldest->stream.shut_down();
        return true;
    }

    [[nodiscard]] std::size_t live() const noexcept {
        return static_cast<std::size_t>(std::count_if(connections_.begin(), connections_.end(),
                                                      [](const connection& c) { return c.now != state::evicted; }));
    }

    void serve(connection& mine) noexcept {
        const auto idle_timeout = mine.is_extra ? std::chrono::milliseconds{farewell} : options_.idle_timeout;
        const auto request_timeout = mine.is_extra
                                         ? std::min<std::chrono::milliseconds>(farewell, options_.request_timeout)
                                         : options_.request_timeout;
        auto result = detail::request_engine::outcome::kept;
        while (result == detail::request_engine::outcome::kept && mine.stream.await_request(in(idle_timeout)) &&
               turn(mine, state::busy)) {
            mine.stream.begin_request(in(request_timeout));
            result = engine_.serve(mine.stream, mine.is_extra);
            if (!turn(mine, state::idle)) return;
        }
        if (result == detail::request_engine::outcome::abandoned) mine.stream.linger(in(farewell));
    }

    /// False: another connection has been given its place.
    bool turn(connection& mine, state to) noexcept {
        const std::lock_guard guard{mutex_};
        if (mine.now == state::evicted) return false;
        mine.now = to;
        mine.idle_since = std::chrono::steady_clock::now();
        return true;
    }

    /// The end of a connection's thread. Nobody waits for threads while the server runs, so each joins the one that
    /// ended before it.
    void leave(connection_list::iterator mine) noexcept {
        std::thread before;
        {
            const std::lock_guard guard{mutex_};
            before = std::exchange(last_, std::move(mine->thread));
            connections_.erase(mine);
            changed_.notify_all();
        }
        if (before.joinable()) before.join();
    }

    const server_options options_;
    detail::stop_signal stop_;
    detail::listener listener_;
    detail::request_engine engine_;
    std::mutex stopping_;
    std::mutex mutex_;
    std::condition_variable changed_;
    connection_list connections_;
    std::thread last_;  ///< the last one that has ended
    std::thread acceptor_;
};

}  // namespace candor

#endif
