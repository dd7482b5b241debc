#include <candor/httplib/connection.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <candor/httplib/transport.hpp>

#include "../support/becomes_true.hpp"
#include "../support/exchange.hpp"
#include "../support/socket_server.hpp"

#include <doctest/doctest.h>

#ifdef CPPHTTPLIB_ZLIB_SUPPORT
#include "../support/gunzip.hpp"
#endif

namespace connection_test {

using candor::httplib_transport;
using candor::transport_error;
using candor::testing::post;
using candor::testing::socket_server;
namespace behaviours = candor::testing::behaviours;
using namespace std::chrono_literals;

namespace {

std::string body_of(const std::string& request) { return request.substr(request.find("\r\n\r\n") + 4); }

/// The header lines of a request, in any order.
std::set<std::string> header_lines(const std::string& request) {
    std::set<std::string> out;
    auto at = request.find("\r\n") + 2;
    while (request.compare(at, 2, "\r\n") != 0) {
        const auto end = request.find("\r\n", at);
        out.insert(request.substr(at, end - at));
        at = end + 2;
    }
    return out;
}

std::string first_line(const std::string& request) { return request.substr(0, request.find("\r\n")); }

}  // namespace

TEST_CASE("a request is on the wire as it was made") {
    socket_server server{behaviours::answer()};
    httplib_transport transport;
    auto request = post(server.url("/api/7/envelope/"), R"({"a":1})");
    request.headers.push_back({"Authorization", "Basic a2V5Og=="});
    REQUIRE(transport.send(request).status == 200);
    const auto seen = server.requests().at(0);
    CHECK(first_line(seen) == "POST /api/7/envelope/ HTTP/1.1");
    CHECK(header_lines(seen) == std::set<std::string>{"Host: 127.0.0.1:" + std::to_string(server.port()),
                                                      "User-Agent: candor/" CANDOR_VERSION_STRING, "Accept: */*",
                                                      "Content-Type: application/json",
                                                      "Authorization: Basic a2V5Og==", "Content-Length: 7"});
    CHECK(body_of(seen) == R"({"a":1})");
}

TEST_CASE("the path is not encoded again, and an empty one is /") {
    socket_server server{behaviours::answer()};
    httplib_transport transport;
    CHECK(transport.send(post(server.url("/a%20b,+c//d"))).status == 200);
    CHECK(transport.send(post(server.url(""))).status == 200);
    CHECK(first_line(server.requests().at(0)) == "POST /a%20b,+c//d HTTP/1.1");
    CHECK(first_line(server.requests().at(1)) == "POST / HTTP/1.1");
}

TEST_CASE("other methods work, with and without a body, and so does a User-Agent of the caller") {
    socket_server server{behaviours::answer()};
    httplib_transport transport;
    auto request = post(server.url("/cluster-info"), "");
    request.method = "GET";
    request.headers = {{"User-Agent", "mine/1"}};
    CHECK(transport.send(request).status == 200);
    CHECK(transport.send(post(server.url(), "")).status == 200);
    CHECK(first_line(server.requests().at(0)) == "GET /cluster-info HTTP/1.1");
    CHECK(header_lines(server.requests().at(0)).count("User-Agent: mine/1") == 1);
    CHECK(header_lines(server.requests().at(1)).count("Content-Length: 0") == 1);
}

TEST_CASE("a large body arrives whole, without asking the server's leave first") {
    socket_server server{behaviours::answer()};
    httplib_transport transport;
    std::string body;
    while (body.size() < 3'000'000) body += std::to_string(body.size()) + ",";
    for (int i = 0; i < 3; ++i) REQUIRE(transport.send(post(server.url(), body)).status == 200);
    for (const auto& seen : server.requests()) {
        CHECK(body_of(seen) == body);
        CHECK(seen.find("Expect") == seen.npos);
    }
}

TEST_CASE("an answer has its status, all its headers and its body") {
    socket_server server{
        behaviours::answer("HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nX-A: 1\r\nX-A: 2\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")};
    httplib_transport transport;
    const auto response = transport.send(post(server.url()));
    CHECK(response.error == transport_error::none);
    CHECK(response.message == "");
    CHECK(response.status == 429);
    CHECK(response.body == "abcde");
    REQUIRE(response.header("retry-after") != nullptr);
    CHECK(*response.header("retry-after") == "7");
    CHECK(std::count_if(response.headers.begin(), response.headers.end(),
                        [](const auto& h) { return h.name == "X-A"; }) == 2);
}

TEST_CASE("the head of an answer is told once, as soon as it has come, with its status and its fields") {
    const std::string large(3'000'000, 'x');
    struct example {
        std::string head;
        std::string rest;
        std::string body = "{}";
    };
    const std::string ok = "HTTP/1.1 202 Accepted\r\nX-A: 1\r\nX-A: 2\r\n";
    for (const auto& e :
         {example{ok + "Content-Length: 2\r\n\r\n", "OK"}, example{ok + "\r\n", "until the end"},
          example{ok + "Transfer-Encoding: chunked\r\n\r\n", "2\r\nOK\r\n0\r\n\r\n"},
          example{ok + "Content-Length: 2\r\n\r\n", "OK", large},
          example{ok + "Content-Length: 2\r\n\r\n", "OK", ""},  // a request without a body
          example{ok + "Content-Length: 200000\r\n\r\n", std::string(200'000, 'x')},
          example{ok + "Content-Length: 9\r\n\r\n", "cut"}, example{ok + "Content-Length: none\r\n\r\n", "OK"},
          example{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + ok +
                      "Content-Length: 2\r\n\r\n",
                  "OK"}}) {
        CAPTURE(e.head);
        CAPTURE(e.rest.substr(0, 20));
        std::atomic<int> told = 0;
        std::atomic<bool> has_waited = false;
        socket_server server{[&](socket_server::peer& p) {
            if (!p.read_request() || !p.write(e.head)) return;
            // The body comes when the head has been told.
            has_waited = becomes_true([&] { return told > 0; });
            p.write(e.rest);
        }};
        httplib_transport transport;
        auto request = post(server.url(), e.body);
        const auto thread = std::this_thread::get_id();
        request.on_head = [&](const candor::http_response& head) {
            CHECK(std::this_thread::get_id() == thread);
            CHECK(head.status == 202);
            CHECK(head.error == transport_error::none);
            CHECK(std::count_if(head.headers.begin(), head.headers.end(),
                                [](const auto& h) { return h.name == "X-A"; }) == 2);
            ++told;
        };
        const auto response = transport.send(request);
        CHECK(response.status == 202);
        CHECK(response.header("X-A") != nullptr);
        CHECK(told == 1);
        CHECK(becomes_true([&] { return has_waited.load(); }));
    }
}

TEST_CASE("a head is told whatever the status, and where a kept connection had to be opened again, once") {
    for (const int status : {200, 204, 400, 503}) {
        CAPTURE(status);
        socket_server server{[&](socket_server::peer& p) {
            if (p.number() == 2 || p.number() % 2 == 1) p.read_request();
            p.write("HTTP/1.1 " + std::to_string(status) + " X\r\n" + (status == 204 ? "" : "Content-Length: 0\r\n") +
                    "\r\n");
            if (p.number() == 1) p.read_request();  // the next one, and closes without an answer
        }};
        httplib_transport transport;
        std::vector<int> told;
        auto request = post(server.url());
        request.on_head = [&](const candor::http_response& head) { told.push_back(head.status); };
        for (int i = 0; i < 2; ++i) CHECK(transport.send(request).status == status);
        CHECK(told == std::vector<int>{status, status});
        CHECK(server.connections() == 2);
    }
}

TEST_CASE("where no whole head comes, none is told") {
    for (const char* start : {"", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
                              "HTTP/1.1 103 Early Hints\r\n\r\n", "SSH-2.0-x\r\n\r\n"}) {
        CAPTURE(start);
        socket_server server{behaviours::answer_and_close(start)};
        httplib_transport transport;
        auto request = post(server.url());
        request.on_head = [&](const candor::http_response&) { FAIL_CHECK("told"); };
        CHECK(transport.send(request).error == transport_error::broken);
    }
}

TEST_CASE("every status is an answer") {
    for (const int status : {200, 202, 204, 400, 401, 404, 407, 413, 451, 500, 503, 599}) {
        CAPTURE(status);
        const bool has_body = status != 204;
        socket_server server{behaviours::answer("HTTP/1.1 " + std::to_string(status) + " X\r\n" +
                                                (has_body ? "Content-Length: 1\r\n\r\nx" : "\r\n"))};
        httplib_transport transport;
        const auto response = transport.send(post(server.url()));
        CHECK(response.status == status);
        CHECK(response.error == transport_error::none);
    }
}

TEST_CASE("a body that ends with the connection is a whole answer") {
    socket_server server{behaviours::answer_and_close("HTTP/1.1 200 OK\r\n\r\nall of it")};
    httplib_transport transport;
    CHECK(transport.send(post(server.url())).body == "all of it");
}

TEST_CASE("a compressed answer is left as it is") {
    socket_server server{
        behaviours::answer("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")};
    httplib_transport transport;
    CHECK(transport.send(post(server.url())).body == "abc");
}

TEST_CASE("row 11: no redirect is followed: the key goes nowhere else") {
    socket_server other{behaviours::answer()};
    for (const int status : {301, 302, 303, 307, 308}) {
        socket_server server{behaviours::answer("HTTP/1.1 " + std::to_string(status) + " Moved\r\nLocation: " +
                                                other.url() + "\r\nContent-Length: 0\r\n\r\n")};
        httplib_transport transport;
        const auto response = transport.send(post(server.url()));
        CHECK(response.status == status);
        CHECK(response.error == transport_error::none);
        CHECK(server.requests().size() == 1);
    }
    CHECK(other.connections() == 0);
}

TEST_CASE("row 13: a body is cut after 64 KiB, and the next request goes over a new connection") {
    for (const char* framing :
         {"Content-Length: 1000000000\r\n\r\n", "\r\n", "Transfer-Encoding: chunked\r\n\r\nfffffff\r\n"}) {
        CAPTURE(framing);
        socket_server server{behaviours::endless(std::string{"HTTP/1.1 503 Later\r\nRetry-After: 3\r\n"} + framing)};
        httplib_transport transport;
        for (int i = 1; i <= 2; ++i) {
            const candor::testing::stopwatch watch;
            const auto response = transport.send(post(server.url()));
            CHECK(response.error == transport_error::none);
            CHECK(response.status == 503);
            CHECK(response.header("Retry-After") != nullptr);
            CHECK(response.body.size() == 64 * 1024);
            CHECK(watch.elapsed() < candor::testing::slack);
            CHECK(server.connections() == i);
        }
    }
}

TEST_CASE("a body of exactly 64 KiB is not cut, and the connection is kept") {
    const std::string body(64 * 1024, 'x');
    socket_server server{behaviours::answer("HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + body)};
    httplib_transport transport;
    for (int i = 0; i < 2; ++i) CHECK(transport.send(post(server.url())).body == body);
    CHECK(server.connections() == 1);
}

TEST_CASE("one connection serves one request after another") {
    socket_server server{behaviours::answer()};
    httplib_transport transport;
    for (int i = 0; i < 3; ++i) CHECK(transport.send(post(server.url("/" + std::to_string(i)))).status == 200);
    CHECK(server.connections() == 1);
    CHECK(server.requests().size() == 3);
}

TEST_CASE("the parts of a request do not wait for each other") {
    socket_server server{behaviours::answer()};
    httplib_transport transport;
    const candor::testing::stopwatch watch;
    for (int i = 0; i < 300; ++i) CHECK(transport.send(post(server.url())).status == 200);
    // Without TCP_NODELAY each body waits 40 ms for its head to be acknowledged.
    CHECK(watch.elapsed() < candor::testing::slack);
}

TEST_CASE("a connection that the server closed between requests is opened again") {
    socket_server server{behaviours::answer_and_close("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")};
    httplib_transport transport;
    for (int i = 1; i <= 3; ++i) {
        CHECK(transport.send(post(server.url())).status == 200);
        CHECK(server.connections() == i);
    }
}

TEST_CASE("a kept connection that ends without a byte of an answer is tried again on a new one") {
    for (const bool reset : {false, true}) {
        CAPTURE(reset);
        socket_server server{[reset](socket_server::peer& p) {
            for (int i = 1; p.read_request(); ++i) {
                if (p.number() == 1 && i == 2) {
                    if (reset) p.reset();
                    return;
                }
                if (!p.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) return;
            }
        }};
        httplib_transport transport;
        CHECK(transport.send(post(server.url("/1"))).status == 200);
        CHECK(transport.send(post(server.url("/2"))).status == 200);
        CHECK(transport.send(post(server.url("/3"))).status == 200);
        CHECK(server.connections() == 2);
        std::vector<std::string> lines;
        for (const auto& request : server.requests()) lines.push_back(first_line(request));
        CHECK(lines ==
              std::vector<std::string>{"POST /1 HTTP/1.1", "POST /2 HTTP/1.1", "POST /2 HTTP/1.1", "POST /3 HTTP/1.1"});
    }
}

TEST_CASE("a kept connection that ends within the head of an answer is broken, and not tried again") {
    socket_server server{[](socket_server::peer& p) {
        if (p.read_request()) p.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        if (p.read_request()) p.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n");
    }};
    httplib_transport transport;
    CHECK(transport.send(post(server.url())).status == 200);
    CHECK(transport.send(post(server.url())).error == transport_error::broken);
    CHECK(server.connections() == 1);
}

TEST_CASE("a server that says that it closes is believed") {
    socket_server server{behaviours::answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")};
    httplib_transport transport;
    CHECK(transport.send(post(server.url())).status == 200);
    CHECK(transport.send(post(server.url())).status == 200);
    CHECK(server.connections() == 2);
}

TEST_CASE("a request after one that failed starts afresh") {
    socket_server server{[](socket_server::peer& p) {
        const auto request = p.read_request();
        if (!request) return;
        if (request->starts_with("POST /held ")) return p.hold();
        p.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }};
    httplib_transport transport;
    CHECK(transport.send(candor::testing::post_within(100ms, server.url("/held"))).error == transport_error::timeout);
    CHECK(transport.send(post(server.url())).status == 200);
}

TEST_CASE("an IPv6 literal is put into brackets where HTTP wants them") {
    const auto server = candor::detail::parse_url("http://[::1]:8080");
    REQUIRE(server);
    const candor::detail::connection peer{*server, {}};
    CHECK(peer.next_hop() == "::1");
    CHECK(peer.failure(transport_error::broken, "x").message == "http://[::1]:8080: x");
}

#ifdef CPPHTTPLIB_ZLIB_SUPPORT

TEST_CASE("a body is compressed where the request allows it") {
    socket_server server{behaviours::answer()};
    httplib_transport transport;
    std::string body;
    while (body.size() < 175'000) body += "{\"event\":" + std::to_string(body.size()) + "},";
    auto request = post(server.url(), body);
    for (const bool compress : {true, false, true}) {
        request.compress = compress;
        REQUIRE(transport.send(request).status == 200);
    }
    const auto seen = server.requests();
    for (const std::size_t i : {0U, 2U}) {
        CHECK(header_lines(seen.at(i)).count("Content-Encoding: gzip") == 1);
        CHECK(body_of(seen.at(i)).size() < body.size() / 3);
        CHECK(candor::testing::gunzip(body_of(seen.at(i))) == body);
    }
    CHECK(seen.at(1).find("Content-Encoding") == std::string::npos);
    CHECK(body_of(seen.at(1)) == body);
    CHECK(server.connections() == 1);
}

TEST_CASE("a compressed body that has to be sent again is the same") {
    socket_server server{[](socket_server::peer& p) {
        for (int i = 1; p.read_request(); ++i) {
            if (p.number() == 1 && i == 2) return;
            if (!p.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) return;
        }
    }};
    httplib_transport transport;
    auto request = post(server.url(), std::string(10'000, 'a'));
    request.compress = true;
    for (int i = 0; i < 2; ++i) CHECK(transport.send(request).status == 200);
    for (const auto& seen : server.requests()) CHECK(candor::testing::gunzip(body_of(seen)) == request.body);
    CHECK(server.requests().size() == 3);
}

TEST_CASE("an empty body is not compressed") {
    socket_server server{behaviours::answer()};
    httplib_transport transport;
    auto request = post(server.url(), "");
    request.compress = true;
    CHECK(transport.send(request).status == 200);
    CHECK(server.requests().at(0).find("Content-Encoding") == std::string::npos);
}

#else

TEST_CASE("without zlib bodies are sent plain") {
    socket_server server{behaviours::answer()};
    httplib_transport transport;
    auto request = post(server.url(), std::string(1000, 'a'));
    request.compress = true;
    CHECK(transport.send(request).status == 200);
    CHECK(server.requests().at(0).find("Content-Encoding") == std::string::npos);
    CHECK(body_of(server.requests().at(0)) == request.body);
}

#endif

TEST_CASE("a plain request through a proxy names the whole URL, and the proxy's password") {
    socket_server proxy{behaviours::answer()};
    candor::basic_httplib_transport<> transport{
        candor::system_resolver{}, candor::testing::fixed_environment{
                                       {{"http_proxy", "http://user:pass@127.0.0.1:" + std::to_string(proxy.port())}}}};
    for (int i = 0; i < 2; ++i) REQUIRE(transport.send(post("http://plane.example/v1/batch")).status == 200);
    const auto seen = proxy.requests().at(0);
    CHECK(first_line(seen).find("POST http://plane.example") == 0);
    CHECK(first_line(seen).find("/v1/batch HTTP/1.1") != std::string::npos);
    CHECK(header_lines(seen).count("Host: plane.example") == 1);
    CHECK(header_lines(seen).count("Proxy-Authorization: Basic dXNlcjpwYXNz") == 1);
    CHECK(proxy.connections() == 1);
}

TEST_CASE("a proxy user without a password is sent as well") {
    socket_server proxy{behaviours::answer()};
    candor::basic_httplib_transport<> transport{
        candor::system_resolver{},
        candor::testing::fixed_environment{{{"http_proxy", "user@127.0.0.1:" + std::to_string(proxy.port())}}}};
    REQUIRE(transport.send(post("http://plane.example/")).status == 200);
    CHECK(header_lines(proxy.requests().at(0)).count("Proxy-Authorization: Basic dXNlcjo=") == 1);
}

TEST_CASE("a proxy is resolved by name, and one that is not there is unreachable") {
    socket_server proxy{behaviours::answer()};
    const candor::testing::closed_port nobody;
    const candor::testing::fixed_resolver names{{{"proxy.example", {"127.0.0.1"}}}};
    const auto send_through = [&](std::uint16_t port) {
        candor::basic_httplib_transport<candor::testing::fixed_resolver> transport{
            names,
            candor::testing::fixed_environment{{{"http_proxy", "http://proxy.example:" + std::to_string(port)}}}};
        return transport.send(post("http://plane.example/"));
    };
    CHECK(send_through(proxy.port()).status == 200);
    CHECK(send_through(nobody.port()).error == transport_error::unreachable);
}

TEST_CASE("where nobody can keep the deadline, the head of an answer is the answer") {
    const socket_server server{behaviours::drip("HTTP/1.1 202 Accepted\r\nContent-Length: 60000\r\n\r\n", 'a')};
    candor::detail::connection peer{*candor::detail::parse_url(server.url()), {}};
    peer.handle.begin();
    peer.aim("127.0.0.1");
    const auto request = post(server.url());
    const candor::testing::stopwatch watch;
    const auto tried = peer.exchange({.request = request,
                                      .target = "/",
                                      .payload = request.body,
                                      .compressed = false,
                                      .deadline = std::chrono::steady_clock::now() + 1h,
                                      .await_body = [] { return false; }},
                                     1s);
    CHECK(tried.response.error == transport_error::none);
    CHECK(tried.response.status == 202);
    CHECK(watch.elapsed() < candor::testing::slack);
}

}  // namespace connection_test
