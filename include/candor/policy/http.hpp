#ifndef CANDOR_POLICY_HTTP_HPP
#define CANDOR_POLICY_HTTP_HPP

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <candor/policy/ascii.hpp>

namespace candor {

/// One header field of a request or an answer.
struct http_header {
    std::string name{};
    std::string value{};
};

namespace detail {

/// The value of the first header of that name, or null.
inline const std::string* find_header(const std::vector<http_header>& headers, std::string_view name) noexcept {
    for (const auto& h : headers)
        if (equal_ignoring_case(h.name, name)) return &h.value;
    return nullptr;
}

}  // namespace detail

struct http_response;

/// A request as a protocol makes it. A transport only moves it.
struct http_request {
    std::string method = "POST";
    std::string url{};                   ///< absolute, checked when the client was made
    std::vector<http_header> headers{};  ///< without Host, Content-Length and Content-Encoding
    std::string body{};                  ///< plain, never compressed
    bool compress = false;               ///< the server takes `Content-Encoding: gzip`; a transport may use it
    std::chrono::milliseconds connect_timeout{3000};  ///< for the name and the connection together
    std::chrono::milliseconds timeout{10000};         ///< for the whole exchange

    /// A transport may call it, on the thread that called `send`, as soon as the head of the final answer (no 1xx) has
    /// come, before it does anything else. The status and the headers are set. It throws nothing, and what it says to
    /// be delivered may be forgotten: `send` then returns that answer, whatever becomes of its body.
    std::function<void(const http_response& head)> on_head{};
};

/// Why there is no answer.
enum class transport_error {
    none,         ///< there is one: `status` is set
    unreachable,  ///< the name does not resolve or nothing listens there: no byte left this machine
    tls,          ///< no trustworthy encrypted connection; never retried in the clear
    timeout,      ///< a deadline of the request passed
    broken,       ///< the connection ended before the whole head of an answer came
    cancelled,    ///< `cancel()` was called
};

/// An answer, or the reason why there is none.
struct http_response {
    int status = 0;
    std::vector<http_header> headers{};
    std::string body{};  ///< at most 64 KiB, the rest is not read; less where it did not come whole
    transport_error error = transport_error::none;
    std::string message{};        ///< for a person, where `error` is set
    bool was_compressed = false;  ///< the request went out with `Content-Encoding: gzip`

    /// The value of the first header of that name (letters of either case), or null.
    [[nodiscard]] const std::string* header(std::string_view name) const noexcept {
        return detail::find_header(headers, name);
    }
};

}  // namespace candor

#endif
