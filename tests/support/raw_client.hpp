#ifndef CANDOR_TESTS_SUPPORT_RAW_CLIENT_HPP
#define CANDOR_TESTS_SUPPORT_RAW_CLIENT_HPP

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include <candor/policy/http.hpp>
#include <candor/testing.hpp>

#include "socket_server.hpp"

namespace candor::testing {

/// A connection to a server on 127.0.0.1, byte by byte: for tests of what a client can do to a server. Every wait ends
/// after `patience`.
class raw_client {
public:
    explicit raw_client(std::uint16_t port) : socket_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
        const auto address = detail::loopback(port);
        if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            throw std::runtime_error{"cannot connect"};
        const int on = 1;
        ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }

    /// False: the server takes no more.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            if (!wait_for(POLLOUT)) return false;
            const auto sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }

    /// The same, and waits until the server's machine has all of it, whether the server has read it or not.
    bool deliver(std::string_view bytes) {
        if (!send(bytes)) return false;
        const auto end = std::chrono::steady_clock::now() + patience;
        for (int left = 1; left > 0 && std::chrono::steady_clock::now() < end; std::this_thread::yield()) {
            if (::ioctl(socket_.get(), SIOCOUTQ, &left) != 0) return false;
            if (left == 0) return true;
        }
        return false;
    }

    /// The next answer: its body is as long as its Content-Length says. Status 0: there is none.
    http_response read_answer() {
        std::size_t end = 0;
        while ((end = unread_.find("\r\n\r\n")) == unread_.npos) {
            if (!read_some()) return {};
        }
        http_response out;
        std::string_view head{unread_.data(), end};
        std::from_chars(head.data() + std::min(head.size(), head.find(' ') + 1), head.data() + head.size(), out.status);
        while (head.find("\r\n") != head.npos) {
            head.remove_prefix(head.find("\r\n") + 2);
            const auto line = head.substr(0, head.find("\r\n"));
            const auto colon = line.find(": ");
            if (colon != line.npos)
                out.headers.push_back({std::string{line.substr(0, colon)}, std::string{line.substr(colon + 2)}});
        }
        const auto* length = out.header("Content-Length");
        const std::size_t size = length == nullptr ? 0 : std::stoul(*length);
        while (unread_.size() < end + 4 + size) {
            if (!read_some()) return {};
        }
        out.body = unread_.substr(end + 4, size);
        unread_.erase(0, end + 4 + size);
        return out;
    }

    http_response exchange(std::string_view request) { return send(request) ? read_answer() : http_response{}; }

    /// Waits for the server to end the connection, and says whether it did so without another byte.
    bool is_closed() {
        if (!unread_.empty() || !wait_for(POLLIN)) return false;
        char byte = 0;
        return ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT) <= 0;
    }

    /// Whether the server has closed by now; does not wait.
    bool is_open() {
        pollfd wait{socket_.get(), POLLIN, 0};
        char byte = 0;
        return ::poll(&wait, 1, 0) == 0 || ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0;
    }

    /// Says that nothing more will be sent.
    void finish() { ::shutdown(socket_.get(), SHUT_WR); }

    /// Closes with a reset, as a process that is killed with unread bytes does.
    void reset() {
        const linger at_once{1, 0};
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        socket_ = detail::descriptor{};
    }

    [[nodiscard]] int socket() const { return socket_.get(); }

private:
    bool wait_for(short events) {
        pollfd wait{socket_.get(), events, 0};
        return ::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds{patience}.count())) == 1;
    }

    bool read_some() {
        char buffer[4096];
        if (!wait_for(POLLIN)) return false;
        const auto size = ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (size <= 0) return false;
        unread_.append(buffer, static_cast<std::size_t>(size));
        return true;
    }

    detail::descriptor socket_;
    std::string unread_;
};

/// A POST of `body`, with these lines in its head besides Host and the length.
inline std::string post_request(std::string_view path, std::string_view body, std::string_view lines = "") {
    return "POST " + std::string{path} +
           " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
           std::string{lines} + "\r\n" + std::string{body};
}

}  // namespace candor::testing

#endif
