#ifndef CANDOR_HTTPLIB_RESPONSE_HEADER_HPP
#define CANDOR_HTTPLIB_RESPONSE_HEADER_HPP

#include <httplib.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#ifndef _WIN32
#include <poll.h>
#include <sys/socket.h>
#endif

#include <candor/httplib/socket.hpp>
#include <candor/policy/ascii.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/http.hpp>

namespace candor::detail {

/// The longest head of an answer, its first line and its header fields, that is read.
inline constexpr std::size_t response_header_limit = 32 * 1024;
/// The longest first line.
inline constexpr std::size_t status_line_limit = 1024;

/// Whether `await_response_header` waits.
#ifdef _WIN32
inline constexpr bool awaits_response_header = false;
#else
inline constexpr bool awaits_response_header = true;
#endif

/// What the head of an answer says: its first line and its fields, without the empty line at the end (RFC 9112).
/// Nothing where it is malformed. Throws only `std::bad_alloc`.
inline std::optional<http_response> parse_response_header(std::string_view head) {
    constexpr std::string_view end_of_line = "\r\n", versions[] = {"HTTP/1.1 ", "HTTP/1.0 "};
    constexpr std::size_t status_at = versions[0].size(), status_end = status_at + 3;
    const auto take_line = [&] {
        const auto line = head.substr(0, head.find(end_of_line));
        head.remove_prefix(std::min(head.size(), line.size() + end_of_line.size()));
        return line;
    };
    const auto first = take_line();
    if (!first.starts_with(versions[0]) && !first.starts_with(versions[1])) return std::nullopt;
    if (first.size() < status_end || (first.size() > status_end && first[status_end] != ' ')) return std::nullopt;
    http_response out;
    for (const char digit : first.substr(status_at, 3)) {
        if (!is_digit(digit)) return std::nullopt;
        out.status = out.status * 10 + (digit - '0');
    }
    while (!head.empty()) {
        const auto line = take_line();
        const auto colon = line.find(':');
        const auto name = line.substr(0, colon);
        if (colon == line.npos || name.empty() || name.find_first_of(" \t") != name.npos ||
            line.find_first_of("\r\n") != line.npos)
            return std::nullopt;
        out.headers.push_back({std::string{name}, std::string{trimmed(line.substr(colon + 1))}});
    }
    return out;
}

/// Waits until the whole head of an answer has come and leaves it in the socket, for httplib to read; `on_head` is
/// given it, as `parse_response_header` reads it, before the next system call. Interim answers (1xx) are taken away.
/// Returns how much of the body has come with it; nothing where the head is too long. 0 as well where the connection
/// ended, the deadline passed, or the program closed the descriptor before, which then is not touched any more; that is
/// for the caller to see.
///
/// httplib before 0.22 reads a first line of any length and then matches it with std::regex, which in libstdc++ takes
/// stack for every character: a line of 100 KB from whoever answers in the server's place would end the program. It
/// also keeps any number of fields. Over TLS, where the server is known, this is not called.
template <class OnHead>
std::optional<std::size_t> await_response_header([[maybe_unused]] const socket_handle& own,
                                                 [[maybe_unused]] steady_time deadline,
                                                 [[maybe_unused]] OnHead on_head) {
    std::optional<std::size_t> body = 0;
#ifndef _WIN32
    if (!own.is_ours()) return body;
    const int socket = own.get();
    char bytes[response_header_limit];
    const auto wake_after = [socket](std::size_t size) {
        const int low_water = static_cast<int>(size);
        ::setsockopt(socket, SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof low_water);
    };
    std::size_t seen = 0;
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
        if (left <= 0) break;
        pollfd wait{socket, POLLIN, 0};
        if (::poll(&wait, 1, static_cast<int>(left)) < 0 && errno != EINTR) break;
        if (!own.is_ours()) return body;
        const auto size = ::recv(socket, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (size <= 0 || static_cast<std::size_t>(size) == seen) break;  // the end: no more will come
        seen = static_cast<std::size_t>(size);
        const std::string_view head{bytes, seen};
        const auto end = head.find("\r\n\r\n");
        if (std::min(head.find('\n'), seen) > status_line_limit || (end == head.npos && seen == sizeof bytes)) {
            body.reset();
            break;
        }
        if (end != head.npos && !head.starts_with("HTTP/1.1 1")) {
            on_head(head.substr(0, end));
            body = seen - (end + 4);
            break;
        }
        if (end != head.npos) {
            ::recv(socket, bytes, end + 4, MSG_DONTWAIT);
            seen = 0;
        }
        wake_after(seen + 1);
    }
    wake_after(1);
#endif
    return body;
}

}  // namespace candor::detail

#endif
