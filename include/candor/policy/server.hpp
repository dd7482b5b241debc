#ifndef CANDOR_POLICY_SERVER_HPP
#define CANDOR_POLICY_SERVER_HPP

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <candor/policy/http.hpp>

namespace candor {

/// What stands before the body of a request that came in.
struct http_request_head {
    std::string method{};
    std::string target{};  ///< as sent: path and query
    std::vector<http_header> headers{};

    /// The value of the first header of that name (letters of either case), or null.
    [[nodiscard]] const std::string* header(std::string_view name) const noexcept {
        return detail::find_header(headers, name);
    }
};

/// Why a server has no body for its service.
enum class body_error {
    too_large,    ///< over the limit, as it came or decompressed
    undecodable,  ///< the head, the framing or the compression is broken
    encoding,     ///< a Content-Encoding that this server does not know
    overloaded,   ///< too much is being received already
};

/// What a server asks for its answers. Called on threads of the server, on several at once; these are few, so it does
/// not wait for anything slow. The answer's `status`, `headers` (without Content-Length, Connection and Date) and
/// `body` are sent. It must not stop the server.
class http_service {
public:
    /// A head has come. An answer here ends the exchange: the body is not read.
    virtual std::optional<http_response> begin(const http_request_head& head) noexcept = 0;

    /// The whole body has come, decompressed. It is valid during the call.
    virtual http_response complete(const http_request_head& head, std::string_view body) noexcept = 0;

    /// There is no body to be had. The connection is closed after the answer, unless all of the request was read. Where
    /// the head is what is broken, what there is of it; then the server may put a more exact status than 400.
    virtual http_response refuse(const http_request_head& head, body_error why) noexcept = 0;

protected:
    ~http_service() = default;
};

/// What a server needs to know.
struct server_options {
    std::string address = "127.0.0.1";                  ///< an IP address or `localhost`, which is 127.0.0.1
    std::uint16_t port = 0;                             ///< 0 takes a free one
    std::size_t body_limit = 64 * 1024 * 1024;          ///< bytes of a body, as it comes and decompressed
    std::size_t max_connections = 1'024;                ///< at once
    std::chrono::milliseconds request_timeout{10'000};  ///< from the first byte of a request to the last of its answer
    std::chrono::milliseconds idle_timeout{360'000};    ///< of a connection without a request
    std::chrono::milliseconds stop_timeout{500};        ///< for what has come when the server stops
};

/// A server that gives each request to a service.
///
/// 1. The constructor binds, listens and serves; the port is never given up in between. It throws
///    `configuration_error` for an option that cannot work, and where the address cannot be had. The service outlives
///    the server.
/// 2. `port()` is the port it listens on.
/// 3. `stop()` takes no further request; what has been received whole is still given to the service, and nothing is
///    once it has returned. That takes at most `stop_timeout` and half a second, and the time that the service takes
///    for a request. May be called more than once, but not by the service. The destructor stops as well.
/// 4. Nothing a client does blocks another, makes memory grow without bound or gets out as an exception.
template <class S>
concept server = std::constructible_from<S, const server_options&, http_service&> && requires(S& s, const S& c) {
    { c.port() }
    noexcept->std::same_as<std::uint16_t>;
    { s.stop() }
    noexcept->std::same_as<void>;
};

}  // namespace candor

#endif
