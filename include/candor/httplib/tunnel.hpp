#ifndef CANDOR_HTTPLIB_TUNNEL_HPP
#define CANDOR_HTTPLIB_TUNNEL_HPP

#include <httplib.h>

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <candor/httplib/proxy.hpp>
#include <candor/policy/url.hpp>

#if defined(CPPHTTPLIB_OPENSSL_SUPPORT) || defined(CPPHTTPLIB_SSL_ENABLED)

namespace candor::detail {

/// A TLS client that asks a proxy for a tunnel by itself. cpp-httplib does that from 0.14 on; before that, it waits for
/// a lock that it holds when the proxy's answer says `Connection: close`, and takes a refusal for a tunnel. From 0.16
/// on its class is final, and this one is not used. `Secure` is `httplib::SSLClient`: a parameter, so that nothing is
/// derived from a final class.
template <class Secure>
class tunnelling_client final : public Secure {
public:
    /// `status` outlives the client; it takes the status of the proxy's last answer, 0 where there was none.
    tunnelling_client(const url& server, const proxy_route& via, int& status)
        : Secure{server.host, via.port}, request_{request(server, via)}, status_{status} {}

private:
    using socket_type = typename Secure::Socket;

    bool create_and_connect_socket(socket_type& socket, httplib::Error& error) override {
        if (!this->is_valid() || !httplib::ClientImpl::create_and_connect_socket(socket, error)) return false;
        status_ = ask(socket.sock);
        if (status_ / 100 == 2) return true;
        error = httplib::Error::Read;
        this->shutdown_socket(socket);
        this->close_socket(socket);
        return false;
    }

    static std::string request(const url& server, const proxy_route& via) {
        const bool is_ipv6 = server.host.find(':') != std::string::npos;
        const std::string target =
            (is_ipv6 ? "[" + server.host + "]" : server.host) + ":" + std::to_string(server.port);
        std::string out = "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n";
        if (!via.user.empty()) {
            const auto [name, value] = httplib::make_basic_authentication_header(via.user, via.password, true);
            out += name + ": " + value + "\r\n";
        }
        return out + "\r\n";
    }

    /// Reads byte by byte, so that nothing is taken of what follows the answer. The socket blocks; its timeouts are
    /// those of the client, and the transport shuts it down at the request's deadline.
    [[nodiscard]] int ask(socket_t socket) const {
        for (std::string_view rest = request_; !rest.empty();) {
            const auto sent = ::send(socket, rest.data(), rest.size(), 0);
            if (sent <= 0) return 0;
            rest.remove_prefix(static_cast<std::size_t>(sent));
        }
        constexpr std::size_t longest = 16 * 1024;
        std::string answer;
        while (!answer.ends_with("\r\n\r\n")) {
            char byte = 0;
            if (answer.size() == longest || ::recv(socket, &byte, 1, 0) != 1) return 0;
            answer += byte;
        }
        int status = 0;
        const auto space = answer.find(' ');
        if (!answer.starts_with("HTTP/1.") || space == std::string::npos) return 0;
        std::from_chars(answer.data() + space + 1, answer.data() + answer.size(), status);
        return status;
    }

    const std::string request_;
    int& status_;
};

}  // namespace candor::detail

#endif

#endif
