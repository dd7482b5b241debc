#ifndef CANDOR_HTTPLIB_SERVER_HPP
#define CANDOR_HTTPLIB_SERVER_HPP

#include <cstdint>
#include <mutex>

#include <candor/delivery/options.hpp>
#include <candor/httplib/service_threads.hpp>
#include <candor/policy/server.hpp>

namespace candor {

/// An HTTP/1 server of candor's own: the one that programs use.
///
/// Four threads serve all connections, and one that is idle costs none of their time; `request_timeout` is for the
/// whole of a request, however it trickles in. With `max_connections` open, a new one takes the place of the one that
/// has been without a request for longest; where all have one under way, it is answered 503. Bodies come with a length
/// or in chunks; all bodies under way together take at most twice `body_limit`, further ones are answered 503.
/// Compressed ones need CPPHTTPLIB_ZLIB_SUPPORT.
///
/// `port` and `stop` may be called from any thread.
class httplib_server {
public:
    httplib_server(const server_options& options, http_service& service) : threads_{service, checked(options)} {}

    httplib_server(const httplib_server&) = delete;
    httplib_server& operator=(const httplib_server&) = delete;
    ~httplib_server() = default;

    [[nodiscard]] std::uint16_t port() const noexcept { return threads_.port(); }

    void stop() noexcept {
        const std::lock_guard one_at_a_time{stopping_};
        threads_.stop();
    }

private:
    static const server_options& checked(const server_options& options) {
        detail::check_positive("body_limit", options.body_limit);
        detail::check_positive("max_connections", options.max_connections);
        detail::check_positive("request_timeout", options.request_timeout);
        detail::check_positive("idle_timeout", options.idle_timeout);
        detail::check_positive("stop_timeout", options.stop_timeout);
        return options;
    }

    std::mutex stopping_;
    detail::service_threads threads_;
};

}  // namespace candor

#endif
