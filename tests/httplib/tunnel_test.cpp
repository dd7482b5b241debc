#include <candor/httplib/tunnel.hpp>

#include <candor/httplib/transport.hpp>

#include "../support/exchange.hpp"
#include "../support/socket_server.hpp"

#include <doctest/doctest.h>

#ifdef CPPHTTPLIB_OPENSSL_SUPPORT
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>

#include "../support/becomes_true.hpp"
#include "../support/tls_server.hpp"
#endif

namespace tunnel_test {

#ifndef CPPHTTPLIB_OPENSSL_SUPPORT

TEST_CASE("without TLS there is no tunnel") {
    candor::httplib_transport transport;
    CHECK(transport.send(candor::testing::post("https://127.0.0.1:1/")).error == candor::transport_error::tls);
}

#else

using candor::http_response;
using candor::transport_error;
using candor::testing::fixed_environment;
using candor::testing::fixed_resolver;
using candor::testing::post;
using candor::testing::post_within;
using candor::testing::slack;
using candor::testing::socket_server;
using candor::testing::stopwatch;
using candor::testing::tls_server;
using candor::testing::tls_stream;
using candor::testing::trusted_authority;
namespace behaviours = candor::testing::behaviours;
using namespace std::chrono_literals;

namespace {

using table_transport = candor::basic_httplib_transport<fixed_resolver>;

const fixed_resolver names{
    {{"plane.example", {"127.0.0.1"}}, {"other.example", {"127.0.0.1"}}, {"proxy.example", {"127.0.0.1"}}}};

const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";

/// Answers every request that ends with `{}`, and records it with the name that the client asked for.
tls_server::behaviour answer(tls_server** self) {
    return [self](tls_stream& stream, socket_server::peer&) {
        while (const auto request = stream.read_until("{}")) {
            (*self)->connections().record(stream.server_name() + "\n" + *request);
            if (!stream.write(ok)) return;
        }
    };
}

struct answering_server {
    explicit answering_server(const candor::testing::identity& who) : server{who, answer(&self)} {}
    tls_server* self = &server;
    tls_server server;
};

/// Passes bytes between a client and a port, both ways.
void relay(socket_server::peer& client, std::uint16_t port) {
    const candor::testing::detail::descriptor upstream{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const auto address = candor::testing::detail::loopback(port);
    if (::connect(upstream.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return;
    const int ends[2] = {client.socket(), upstream.get()};
    for (;;) {
        pollfd wait[2] = {{ends[0], POLLIN, 0}, {ends[1], POLLIN, 0}};
        if (::poll(wait, 2, -1) < 0) return;
        for (int i = 0; i < 2; ++i) {
            if (wait[i].revents == 0) continue;
            char buffer[16 * 1024];
            const auto size = ::recv(ends[i], buffer, sizeof buffer, 0);
            if (size <= 0 || ::send(ends[1 - i], buffer, static_cast<std::size_t>(size), MSG_NOSIGNAL) != size) return;
        }
    }
}

/// A proxy that lets everything through to `port`.
socket_server::behaviour tunnel_to(std::uint16_t port,
                                   std::string reply = "HTTP/1.1 200 Connection established\r\n\r\n") {
    return [port, reply = std::move(reply)](socket_server::peer& p) {
        if (p.read_request() && p.write(reply)) relay(p, port);
    };
}

fixed_environment through(const socket_server& proxy, const std::string& user = "") {
    return {{{"https_proxy", "http://" + user + "proxy.example:" + std::to_string(proxy.port())}}};
}

}  // namespace

TEST_CASE("https reaches a server that the trust store vouches for, over one connection") {
    const trusted_authority authority;
    answering_server plane{authority.issue("DNS:plane.example")};
    table_transport transport{names};
    for (int i = 0; i < 3; ++i) {
        const auto response = transport.send(post(plane.server.url("plane.example", "/v1/batch")));
        CHECK(response.message == "");
        CHECK(response.status == 200);
        CHECK(response.body == "OK");
    }
    CHECK(plane.server.connections().connections() == 1);
    const auto seen = plane.server.connections().requests().at(0);
    CHECK(seen.find("plane.example\nPOST /v1/batch HTTP/1.1\r\n") ==
          0);  // the name was asked for, though we connect by address
    CHECK(seen.find("\r\nHost: plane.example:" + std::to_string(plane.server.port()) + "\r\n") != seen.npos);
}

TEST_CASE("https to an address works with a certificate for the address") {
    const trusted_authority authority;
    answering_server plane{authority.issue("IP:127.0.0.1")};
    table_transport transport{names};
    CHECK(transport.send(post(plane.server.url("127.0.0.1"))).status == 200);
}

TEST_CASE("row 5: a server that cannot be trusted is a TLS failure, and no byte of the request goes out") {
    const trusted_authority authority;
    struct example {
        const char* name;
        std::function<candor::testing::identity()> who;
    };
    for (const auto& e :
         {example{"wrong host", [&] { return authority.issue("DNS:other.example"); }},
          example{"wrong address", [&] { return authority.issue("IP:127.0.0.2"); }},
          example{"a host below", [&] { return authority.issue("DNS:*.plane.example"); }},
          example{"expired", [&] { return authority.issue("DNS:plane.example", -60); }},
          example{"signed by itself", [&] { return candor::testing::make_identity("DNS:plane.example", nullptr); }},
          example{"of an unknown authority", [&] {
                      const auto unknown = candor::testing::make_identity("", nullptr);
                      return candor::testing::make_identity("DNS:plane.example", &unknown);
                  }}}) {
        CAPTURE(e.name);
        answering_server plane{e.who()};
        table_transport transport{names};
        for (int i = 0; i < 2; ++i) {
            const auto response = transport.send(post(plane.server.url("plane.example")));
            CHECK(response.error == transport_error::tls);
            CHECK(response.status == 0);
            CHECK(response.message.find("https://plane.example:") == 0);
        }
        CHECK(plane.server.connections().requests().empty());
    }
}

TEST_CASE("row 5: a server that speaks no TLS gets no request in the clear") {
    socket_server plain{[](socket_server::peer& p) {
        if (!p.read_some() || !p.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")) return;
        while (p.read_some()) {
        }
        p.record_unread();
    }};
    table_transport transport{names};
    const auto response = transport.send(post("https://plane.example:" + std::to_string(plain.port()) + "/"));
    CHECK(response.error == transport_error::tls);
    CHECK(response.status == 0);
    REQUIRE(plain.wait_for_requests(1));
    const auto seen = plain.requests().at(0);
    CHECK(seen.front() == '\x16');  // a handshake record
    CHECK(seen.find("POST") == seen.npos);
}

TEST_CASE("the deadlines hold for the handshake") {
    const trusted_authority authority;
    socket_server silent{behaviours::never_read()};
    table_transport transport{names};
    const std::string url = "https://plane.example:" + std::to_string(silent.port()) + "/";
    {
        const stopwatch watch;
        CHECK(transport.send(post_within(200ms, url)).error == transport_error::timeout);
        CHECK(watch.elapsed() < slack);
    }
    {
        auto request = post(url);
        request.connect_timeout = 200ms;
        const stopwatch watch;
        CHECK(transport.send(request).error == transport_error::timeout);
        CHECK(watch.elapsed() < slack);
    }
}

TEST_CASE("the deadline of the whole exchange holds over TLS") {
    const trusted_authority authority;
    for (const std::string start : {"", "HTTP/1.1 200 OK\r\nX-A: ", "HTTP/1.1 200 OK\r\n\r\n"}) {
        CAPTURE(start);
        tls_server plane{authority.issue("DNS:plane.example"), [&](tls_stream& stream, socket_server::peer& p) {
                             if (!stream.read_until("{}")) return;
                             if (start.empty()) return p.hold();
                             if (!stream.write(start)) return;
                             while (p.pause(5ms) && stream.write("a")) {
                             }
                         }};
        table_transport transport{names};
        const stopwatch watch;
        const auto response = transport.send(post_within(300ms, plane.url("plane.example")));
        CHECK(response.error == (start.ends_with("\r\n\r\n") ? transport_error::none : transport_error::timeout));
        CHECK(watch.elapsed() < slack);
    }
}

TEST_CASE("a body over TLS is cut after 64 KiB, at once, whether the server goes on or falls silent") {
    const trusted_authority authority;
    for (const int blocks : {5, 1'000'000}) {
        CAPTURE(blocks);
        tls_server plane{authority.issue("DNS:plane.example"), [&](tls_stream& stream, socket_server::peer& p) {
                             if (!stream.read_until("{}") || !stream.write("HTTP/1.1 503 Later\r\n\r\n")) return;
                             for (int i = 0; i < blocks; ++i) {
                                 if (!stream.write(std::string(16 * 1024, 'x'))) return;
                             }
                             p.hold();
                         }};
        table_transport transport{names};
        const stopwatch watch;
        const auto response = transport.send(post(plane.url("plane.example")));
        CHECK(response.status == 503);
        CHECK(response.body.size() == 64 * 1024);
        CHECK(watch.elapsed() < slack);
    }
}

TEST_CASE("a server that closes but does not say goodbye holds up neither the answer nor the destructor") {
    const trusted_authority authority;
    for (const char* header : {"Connection: close\r\n", ""}) {
        CAPTURE(header);
        tls_server plane{authority.issue("DNS:plane.example"), [&](tls_stream& stream, socket_server::peer& p) {
                             if (!stream.read_until("{}")) return;
                             stream.write(std::string{"HTTP/1.1 200 OK\r\n"} + header + "Content-Length: 0\r\n\r\n");
                             p.hold();
                         }};
        const stopwatch watch;
        {
            table_transport transport{names};
            CHECK(transport.send(post(plane.url("plane.example"))).status == 200);
        }
        CHECK(watch.elapsed() < slack);
    }
}

TEST_CASE("cancel() ends a handshake, the sending of a body and a wait for an answer over TLS") {
    const candor::testing::deadly_sigpipe deadly;
    const trusted_authority authority;
    const std::string large(64 * 1024 * 1024, 'x');
    {
        socket_server silent{behaviours::never_read()};
        table_transport transport{names};
        const auto [response, delay] = candor::testing::cancel_when(
            transport, post("https://plane.example:" + std::to_string(silent.port()) + "/"),
            [&] { return silent.wait_for_connections(1); });
        CHECK(response.error == transport_error::cancelled);
        CHECK(delay < 250ms);
    }
    for (const bool is_large : {false, true}) {
        CAPTURE(is_large);
        tls_server* self = nullptr;
        tls_server plane{authority.issue("DNS:plane.example"), [&](tls_stream& stream, socket_server::peer& p) {
                             if (!stream.read_until("\r\n\r\n")) return;
                             self->connections().record("head");
                             p.hold();
                         }};
        self = &plane;
        table_transport transport{names};
        const auto [response, delay] =
            candor::testing::cancel_when(transport, post(plane.url("plane.example"), is_large ? large : "{}"),
                                         [&] { return plane.connections().wait_for_requests(1); });
        CHECK(response.error == transport_error::cancelled);
        CHECK(delay < 250ms);
    }
}

TEST_CASE("a TLS connection that the server closed or reset is opened again, and kills nobody") {
    const candor::testing::deadly_sigpipe deadly;
    const trusted_authority authority;
    tls_server plane{authority.issue("DNS:plane.example"), [](tls_stream& stream, socket_server::peer& p) {
                         if (!stream.read_until("{}") || !stream.write(ok) || p.number() % 2 == 1) return;
                         stream.read_until("\r\n\r\n");
                         p.reset();
                     }};
    table_transport transport{names};
    for (int i = 1; i <= 10; ++i) CHECK(transport.send(post(plane.url("plane.example"))).status == 200);
    CHECK(plane.connections().connections() == 10);
    const std::string large(4 * 1024 * 1024, 'x');  // the server is gone while it is sent
    tls_server rude{authority.issue("DNS:plane.example"), [](tls_stream& stream, socket_server::peer& p) {
                        stream.read_until("\r\n\r\n");
                        p.reset();
                    }};
    for (int i = 0; i < 5; ++i)
        CHECK(transport.send(post(rude.url("plane.example"), large)).error == transport_error::broken);
}

TEST_CASE("https goes through a proxy by CONNECT, verified end to end") {
    const trusted_authority authority;
    answering_server plane{authority.issue("DNS:plane.example")};
    for (const char* reply : {"HTTP/1.1 200 Connection established\r\n\r\n", "HTTP/1.0 200 OK\r\nVia: p\r\n\r\n"}) {
        CAPTURE(reply);
        if (std::is_final_v<httplib::SSLClient> && std::string_view{reply}.find("HTTP/1.0") == 0) continue;
        socket_server proxy{tunnel_to(plane.server.port(), reply)};
        table_transport transport{names, through(proxy, "us%65r:pass@")};
        for (int i = 0; i < 2; ++i) {
            const auto response = transport.send(post(plane.server.url("plane.example", "/v1/batch")));
            CHECK(response.message == "");
            CHECK(response.status == 200);
        }
        CHECK(proxy.connections() == 1);
        const auto asked = proxy.requests().at(0);
        const std::string target = "plane.example:" + std::to_string(plane.server.port());
        CHECK(asked.find("CONNECT " + target + " HTTP/1.1\r\n") == 0);
        CHECK(asked.find("\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n") != asked.npos);
        const auto seen = plane.server.connections().requests().back();
        CHECK(seen.find("plane.example\nPOST /v1/batch HTTP/1.1\r\n") == 0);
        CHECK(seen.find("Proxy-Authorization") == seen.npos);
    }
}

TEST_CASE("the head of an answer over TLS is told before its body has come, also through a proxy, and once") {
    const trusted_authority authority;
    for (const char* more : {"", "Connection: close\r\n"}) {
        CAPTURE(more);
        std::atomic<int> told = 0;
        std::atomic<int> waited = 0;
        tls_server plane{authority.issue("DNS:plane.example"), [&](tls_stream& stream, socket_server::peer&) {
                             for (int i = 0; stream.read_request(); ++i) {
                                 const int before = told;
                                 if (!stream.write(std::string{"HTTP/1.1 202 Accepted\r\nX-A: 1\r\n"} + more +
                                                   "Content-Length: 2\r\n\r\n"))
                                     return;
                                 if (becomes_true([&] { return told == before + 1; })) ++waited;
                                 if (!stream.write("OK")) return;
                             }
                         }};
        socket_server proxy{tunnel_to(plane.port())};
        table_transport direct{names}, tunnelled{names, through(proxy)};
        const std::string large(500'000, 'x');
        for (auto* transport : {&direct, &tunnelled}) {
            for (const auto& body : {std::string{"{}"}, large, std::string{}}) {
                auto request = post(plane.url("plane.example"), body);
                request.on_head = [&](const http_response& head) {
                    CHECK(head.status == 202);
                    CHECK(head.header("X-A") != nullptr);
                    ++told;
                };
                const auto response = transport->send(request);
                CHECK(response.message == "");
                CHECK(response.status == 202);
                CHECK(response.body == "OK");
            }
        }
        CHECK(told == 6);
        CHECK(waited == 6);
    }
}

TEST_CASE("a proxy cannot put another server in the place of the one that was asked for") {
    const trusted_authority authority;
    answering_server other{authority.issue("DNS:other.example,DNS:proxy.example")};
    socket_server proxy{tunnel_to(other.server.port())};
    table_transport transport{names, through(proxy)};
    CHECK(transport.send(post("https://plane.example/")).error == transport_error::tls);
    CHECK(other.server.connections().requests().empty());
}

TEST_CASE("a proxy that refuses the tunnel leaves the server unreachable; its answer is not the server's") {
    const trusted_authority authority;
    for (const char* status : {"403 Forbidden", "407 Proxy Authentication Required", "502 Bad Gateway", "302 Found"}) {
        for (const char* header : {"", "Connection: close\r\n", "Location: http://127.0.0.1:1/\r\n"}) {
            CAPTURE(status);
            CAPTURE(header);
            socket_server proxy{behaviours::answer_and_close(std::string{"HTTP/1.1 "} + status + "\r\n" + header +
                                                             "Content-Length: 0\r\n\r\n")};
            table_transport transport{names, through(proxy)};
            const stopwatch watch;
            auto request = post("https://plane.example/");
            request.on_head = [](const http_response&) { FAIL_CHECK("told"); };
            const auto response = transport.send(request);
            CHECK(response.error == transport_error::unreachable);
            CHECK(response.status == 0);
            CHECK(response.message.find(std::string_view{status}.substr(0, 3)) != std::string::npos);
            CHECK(watch.elapsed() < slack);
        }
    }
}

TEST_CASE("a proxy that hangs up, talks nonsense or never stops talking gives no tunnel") {
    const trusted_authority authority;
    for (const auto& behaviour : {behaviours::answer_and_close(""), behaviours::answer_and_close("SSH-2.0-x\r\n\r\n"),
                                  behaviours::endless("HTTP/1.1 200 ")}) {
        socket_server proxy{behaviour};
        table_transport transport{names, through(proxy)};
        const auto response = transport.send(post_within(2s, "https://plane.example/"));
        CHECK(response.error != transport_error::none);
        CHECK(response.status == 0);
    }
}

TEST_CASE("the deadline and cancel() hold while a proxy keeps silent") {
    const trusted_authority authority;
    socket_server proxy{behaviours::never_answer()};
    table_transport transport{names, through(proxy)};
    const stopwatch watch;
    CHECK(transport.send(post_within(200ms, "https://plane.example/")).error == transport_error::timeout);
    CHECK(watch.elapsed() < slack);
    const auto [response, delay] = candor::testing::cancel_when(transport, post("https://plane.example/"),
                                                                [&] { return proxy.wait_for_requests(2); });
    CHECK(response.error == transport_error::cancelled);
    CHECK(delay < 250ms);
}

#endif

}  // namespace tunnel_test
