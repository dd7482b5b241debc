#ifndef CANDOR_HTTPLIB_TRANSPORT_HPP
#define CANDOR_HTTPLIB_TRANSPORT_HPP

#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <candor/httplib/connection.hpp>
#include <candor/httplib/proxy.hpp>
#include <candor/httplib/resolver.hpp>
#include <candor/httplib/socket.hpp>
#include <candor/platform/at_exit.hpp>
#include <candor/platform/errno_guard.hpp>
#include <candor/platform/fork.hpp>
#include <candor/platform/signals.hpp>
#include <candor/platform/standard_streams.hpp>
#include <candor/platform/thread.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/transport.hpp>
#include <candor/policy/url.hpp>

namespace candor {

namespace detail {

#if defined(CPPHTTPLIB_OPENSSL_SUPPORT) || defined(CPPHTTPLIB_SSL_ENABLED)
inline constexpr bool has_tls = true;
#else
inline constexpr bool has_tls = false;
#endif
inline constexpr const char* tls_advice =
    "http, for this program was built without TLS; for https define CPPHTTPLIB_OPENSSL_SUPPORT and link OpenSSL";

/// The connections of a transport in one process, and the thread that keeps their deadlines. Thread-safe, but that no
/// `send` may be under way when it is destroyed. What is passed to the constructor outlives it.
template <resolver Resolver>
class connection_pool {
public:
    connection_pool(const Resolver& resolve, const proxy_settings& proxies) : resolve_{resolve}, proxies_{proxies} {}
    connection_pool(const connection_pool&) = delete;
    connection_pool& operator=(const connection_pool&) = delete;

    ~connection_pool() {
        {
            const std::lock_guard guard{mutex_};
            closing_ = true;
            changed_.notify_all();
        }
        if (watchdog_.joinable()) watchdog_.join();
        const auto quiet = signal_guard::broken_pipe();  // a TLS connection is taken leave of
        for (auto& [origin, slot] : slots_) slot->peer.reset();
    }

    /// Throws what the HTTP library throws.
    http_response send(const http_request& request) {
        constexpr std::chrono::milliseconds longest = std::chrono::hours{24};
        const auto timeout = std::clamp(request.timeout, std::chrono::milliseconds{0}, longest);
        const auto connect_timeout = std::clamp(request.connect_timeout, std::chrono::milliseconds{1}, longest);
        const auto deadline = std::chrono::steady_clock::now() + timeout;
        const std::string_view address = request.url;
        const auto authority = address.find("://");
        const auto path = std::min(address.find('/', authority == address.npos ? 0 : authority + 3), address.size());
        origin_slot* const mine = find(address.substr(0, path));
        if (mine == nullptr)
            return failure(transport_error::unreachable,
                           "\"" + printable(request.url) + "\" is not an http or https URL");
        connection& peer = mine->peer;
        turn now;
        switch (now.take(*this, *mine, deadline)) {
            case transport_error::none:
                break;
            case transport_error::cancelled:
                return peer.failure(transport_error::cancelled, "cancelled");
            default:
                return peer.failure(transport_error::timeout, "other requests took all the time");
        }
        if (!has_tls && peer.server().scheme == "https") return peer.failure(transport_error::tls, tls_advice);
        if (!peer.route().error.empty()) return peer.failure(transport_error::unreachable, peer.route().error);
        outgoing out{.request = request,
                     .target = path < address.size() ? address.substr(path) : "/",
                     .payload = request.body,
                     .compressed = false,
                     .deadline = deadline,
                     .await_body = [&] { return limit_body(*mine); }};
        if (request.compress && !request.body.empty()) {
            if (const auto shorter = peer.encoder.encode(request.body)) {
                out.payload = *shorter;
                out.compressed = true;
            }
        }
        if (!peer.keeps_deadline(out) && !watch_deadlines())
            return peer.failure(transport_error::unreachable, "no thread to keep the deadline");
        if (peer.is_open()) {
            auto tried = peer.exchange(out, connect_timeout);
            // The server may close a kept connection at any time. Where no answer began, it may never have seen the
            // request: once more, on a connection of its own.
            const bool was_closed = tried.response.error == transport_error::broken && !tried.answered && !tried.opened;
            const bool has_moved = tried.response.error == transport_error::unreachable && !tried.reached;
            if (!was_closed && !has_moved) return tried.response;
        }
        return connect_and_send(peer, out, std::min(deadline, std::chrono::steady_clock::now() + connect_timeout));
    }

    /// Ends every `send` under way, and every later one at once. Final. Again and again, since a socket that is just
    /// about to connect escapes; it returns when all have ended, after 50 ms at the latest.
    void cancel() noexcept {
        constexpr std::chrono::milliseconds again{2};
        auto lock = at_exit::lock(mutex_);
        if (!lock) return;
        cancelled_ = true;
        for (auto tries = std::chrono::milliseconds{50} / again; tries > 0; --tries) {
            bool is_busy = false;
            for (auto& [origin, slot] : slots_) {
                if (slot->busy) slot->peer.handle.stop(stop_reason::cancelled);
                is_busy = is_busy || slot->busy;
                slot->idle.notify_all();
            }
            if (!is_busy || at_exit::is_quick()) return;  // then it is called again
            ended_.wait_for(lock, again);
        }
    }

    static http_response failure(transport_error error, const std::string& message) {
        return {.error = error, .message = message};
    }

private:
    /// A server's connection and whose turn it is. Guarded by `mutex_`, but for `peer`, which is for the thread whose
    /// turn it is.
    struct origin_slot {
        origin_slot(url server, proxy_route route) : peer{std::move(server), std::move(route)} {}

        connection peer;
        std::condition_variable idle;
        bool busy = false;
        steady_time deadline{};
    };

    /// A turn on a server's connection.
    class turn {
    public:
        /// `transport_error::none`, or why there is no turn.
        transport_error take(connection_pool& owner, origin_slot& mine, steady_time deadline) {
            std::unique_lock lock{owner.mutex_};
            mine.idle.wait_until(lock, deadline, [&] { return owner.cancelled_ || !mine.busy; });
            if (owner.cancelled_) return transport_error::cancelled;
            if (mine.busy) return transport_error::timeout;
            mine.busy = true;
            mine.deadline = deadline;
            mine.peer.handle.begin();
            owner_ = &owner;
            mine_ = &mine;
            if (deadline < owner.wakes_at_) owner.changed_.notify_all();
            return transport_error::none;
        }

        turn() = default;
        turn(const turn&) = delete;
        turn& operator=(const turn&) = delete;

        ~turn() {
            if (mine_ == nullptr) return;
            if (std::uncaught_exceptions() > exceptions_) mine_->peer.reset();
            const std::lock_guard guard{owner_->mutex_};
            mine_->busy = false;
            mine_->idle.notify_one();
            if (owner_->cancelled_) owner_->ended_.notify_all();
        }

    private:
        connection_pool* owner_ = nullptr;
        origin_slot* mine_ = nullptr;
        int exceptions_ = std::uncaught_exceptions();
    };

    /// The answer has come: its body, which nobody has to have, gets little time. The watchdog sees that when it looks
    /// again. False where there is none.
    bool limit_body(origin_slot& mine) noexcept {
        constexpr std::chrono::milliseconds body_time{500};
        {
            const std::lock_guard guard{mutex_};
            mine.deadline = std::min(mine.deadline, std::chrono::steady_clock::now() + body_time);
        }
        return watch_deadlines();
    }

    http_response connect_and_send(connection& peer, const outgoing& out, steady_time deadline) {
        const auto name = resolve(peer, deadline);
        if (!name) {
            if (peer.handle.reason() == stop_reason::cancelled)
                return peer.failure(transport_error::cancelled, "cancelled");
            return peer.failure(transport_error::timeout, peer.next_hop() + " was not resolved in time");
        }
        if (name->addresses.empty())
            return peer.failure(transport_error::unreachable, peer.next_hop() + " does not resolve: " + name->error);

        attempt last;
        auto left = static_cast<int>(name->addresses.size());
        for (const auto& address : name->addresses) {
            const auto share =
                std::chrono::floor<std::chrono::milliseconds>((deadline - std::chrono::steady_clock::now()) / left--);
            if (share.count() <= 0) return peer.failure(transport_error::timeout, "no connection in time");
            peer.aim(address);
            last = peer.exchange(out, share);
            if (last.reached || last.response.error == transport_error::cancelled) break;
        }
        return last.response;
    }

    /// The addresses of the next hop; nothing where the deadline passed or the exchange was stopped.
    std::optional<resolved_name> resolve(connection& peer, steady_time deadline) {
        if (is_address(peer.next_hop())) return resolved_name{.addresses = {peer.next_hop()}};
        // A question that was given up on is taken up again, so that a resolver that hangs holds one thread a server,
        // not one a request. If it has been answered meanwhile, the answer is old.
        if (!peer.question || peer.question->is_answered()) peer.question = lookup::start(resolve_, peer.next_hop());
        peer.handle.watch(peer.question);
        auto name = peer.question->wait_until(deadline);
        peer.handle.watch(nullptr);
        if (name) peer.question.reset();
        return name;
    }

    /// The slot of a URL's scheme, host and port; null where they cannot be read.
    origin_slot* find(std::string_view origin) {
        const std::lock_guard guard{mutex_};
        if (const auto found = slots_.find(origin); found != slots_.end()) return found->second.get();
        auto server = parse_url(origin);
        if (!server) return nullptr;
        auto route = proxies_.route_to(*server);
        auto made = std::make_unique<origin_slot>(std::move(*server), std::move(route));
        return slots_.emplace(origin, std::move(made)).first->second.get();
    }

    /// Starts the watchdog where there is none. Most exchanges of a short program do without, and a thread takes as
    /// long as they do. False where no thread can be had.
    bool watch_deadlines() noexcept {
        const std::lock_guard guard{mutex_};
        try {
            if (!watchdog_.joinable()) watchdog_ = start_worker_thread("candor-deadline", [this] { keep_deadlines(); });
            return true;
        } catch (...) {
            return false;
        }
    }

    /// The watchdog: ends what is past its deadline, again and again until it has ended. While there are
    /// requests it looks now and then whether there still are, since to tell it of the end of each would cost them
    /// more; then it sleeps until it is told of another one.
    void keep_deadlines() {
        constexpr std::chrono::milliseconds again{5};
        constexpr std::chrono::milliseconds longest_look{500};
        std::unique_lock lock{mutex_};
        while (!closing_) {
            const auto now = std::chrono::steady_clock::now();
            wakes_at_ = steady_time::max();
            for (auto& [origin, slot] : slots_) {
                if (!slot->busy) continue;
                const bool is_over = now >= slot->deadline;
                if (is_over) slot->peer.handle.stop(stop_reason::deadline);
                wakes_at_ = std::min({wakes_at_, slot->deadline, now + longest_look});
                if (is_over) wakes_at_ = now + again;
            }
            if (wakes_at_ == steady_time::max()) {
                changed_.wait(lock);
            } else {
                changed_.wait_until(lock, wakes_at_);
            }
        }
    }

    const Resolver& resolve_;
    const proxy_settings& proxies_;

    std::mutex mutex_;
    std::condition_variable changed_;  ///< wakes the watchdog
    std::condition_variable ended_;    ///< a cancelled `send`
    steady_time wakes_at_ = steady_time::max();
    std::map<std::string, std::unique_ptr<origin_slot>, std::less<>> slots_;
    worker_thread watchdog_;
    bool cancelled_ = false;
    bool closing_ = false;
};

}  // namespace detail

/// HTTP and HTTPS over cpp-httplib, 0.11.4 or later: the transport that programs use.
///
/// One connection a server is kept alive; threads that send to the same server take turns. Construction reads the
/// proxy variables and does nothing else. The first `send` that does not keep its deadline by itself, over https, of a
/// large body or where an answer comes in pieces, starts one thread, which the destructor joins; a host name is
/// resolved on a thread of its own, which is abandoned where the system's resolver does not answer in time. Where a
/// server has several addresses, they are tried in turn, each for its share of the connect timeout. Bodies are
/// compressed where CPPHTTPLIB_ZLIB_SUPPORT is defined and the request allows it.
///
/// https needs CPPHTTPLIB_OPENSSL_SUPPORT. The server's certificate and host name are always verified, against the
/// system's trust store or what SSL_CERT_FILE and SSL_CERT_DIR say. Proxies are those of the environment, as curl reads
/// it: see `detail::proxy_settings`.
///
/// All members may be called from any thread at once; no `send` may be under way when it is destroyed. A child made by
/// `fork()` has connections and threads of its own, also where the parent had cancelled.
template <resolver Resolver = system_resolver>
class basic_httplib_transport {
public:
    basic_httplib_transport() : basic_httplib_transport{Resolver{}} {}

    /// For tests and for programs with a resolver or an environment of their own. Both are copied or read now.
    template <environment Environment = process_environment>
    explicit basic_httplib_transport(Resolver resolve, const Environment& environment = {})
        : resolve_{std::move(resolve)}, proxies_{environment} {}

    basic_httplib_transport(const basic_httplib_transport&) = delete;
    basic_httplib_transport& operator=(const basic_httplib_transport&) = delete;

    /// Sends one request and waits for the answer, as the `transport` concept says. Throws only `std::bad_alloc`.
    [[nodiscard]] http_response send(const http_request& request) {
        const detail::errno_guard guard;
        const auto quiet = detail::signal_guard::broken_pipe();  // neither httplib nor OpenSSL asks for that
        detail::occupy_standard_streams();                       // and both open what they open anywhere
        auto* const pool = connections_.get();
        if (pool == nullptr) throw std::bad_alloc{};
        try {
            return pool->send(request);
        } catch (const std::bad_alloc&) {
            throw;
        } catch (const std::system_error& e) {  // no thread, so nothing was sent
            return pool->failure(transport_error::unreachable, e.what());
        } catch (const std::exception& e) {
            return pool->failure(transport_error::broken, e.what());
        } catch (...) {
            return pool->failure(transport_error::broken, "the HTTP library failed");
        }
    }

    /// Ends every `send` under way, and every later one at once. Final. Returns when they have ended, after 50 ms at
    /// the latest.
    void cancel() noexcept {
        auto* const pool = detail::at_exit::is_quick() ? connections_.find() : connections_.get();
        if (pool != nullptr) pool->cancel();
    }

    /// Throws `configuration_error` for an https URL where TLS is not compiled in.
    void check(const url& to) const {
        if (to.scheme == "https" && !detail::has_tls) throw configuration_error{"url", to.origin(), detail::tls_advice};
    }

private:
    const Resolver resolve_;
    const detail::proxy_settings proxies_;
    detail::per_process<detail::connection_pool<Resolver>> connections_{
        [this] { return std::make_unique<detail::connection_pool<Resolver>>(resolve_, proxies_); }};
};

/// The transport of the everyday names: `candor::telemetry`, `candor::rudderstack::client`.
using httplib_transport = basic_httplib_transport<>;

}  // namespace candor

#endif
