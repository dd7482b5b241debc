#ifndef CANDOR_HTTPLIB_ANSWER_HEAD_HPP
#define CANDOR_HTTPLIB_ANSWER_HEAD_HPP

#include <httplib.h>

#include <cerrno>
#include <cstddef>
#include <string_view>

#ifndef _WIN32
#include <poll.h>
#include <sys/socket.h>
#endif

namespace candor::detail {

/// The longest head of an answer, its first line and its header fields, that is read.
inline constexpr std::size_t answer_head_limit = 32 * 1024;

/// Waits until the whole head of an answer has come and leaves it in the socket, for httplib to read. Interim answers
/// (1xx) are taken away. False: the head is too long. True as well where the connection ended before; that is for
/// httplib to see. It waits for as long as the connection lasts: somebody else must shut that down at the deadline.
///
/// httplib before 0.22 reads a first line of any length and then matches it with std::regex, which in libstdc++ takes
/// stack for every character: a line of 100 KB from whoever answers in the server's place would end the program. It
/// also keeps any number of fields. Over TLS, where the server is known, this is not called.
inline bool await_answer_head([[maybe_unused]] socket_t socket) noexcept {
#ifndef _WIN32
    char bytes[answer_head_limit];
    const auto wake_after = [socket](std::size_t size) {
        const int low_water = static_cast<int>(size);
        ::setsockopt(socket, SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof low_water);
    };
    std::size_t seen = 0;
    bool is_short = true;
    for (;;) {
        pollfd wait{socket, POLLIN, 0};
        if (::poll(&wait, 1, -1) < 0 && errno != EINTR) break;
        const auto size = ::recv(socket, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (size <= 0 || static_cast<std::size_t>(size) == seen) break;  // the end: no more will come
        seen = static_cast<std::size_t>(size);
        const std::string_view head{bytes, seen};
        if (const auto end = head.find("\r\n\r\n"); end != head.npos) {
            if (!head.starts_with("HTTP/1.1 1")) break;
            ::recv(socket, bytes, end + 4, MSG_DONTWAIT);
            seen = 0;
            wake_after(1);
            continue;
        }
        if (seen == sizeof bytes) {
            is_short = false;
            break;
        }
        wake_after(seen + 1);
    }
    wake_after(1);
    return is_short;
#else
    return true;
#endif
}

}  // namespace candor::detail

#endif
