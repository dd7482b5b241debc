#include <candor/httplib/response_header.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <future>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <candor/httplib/transport.hpp>

#include "../support/exchange.hpp"
#include "../support/socket_server.hpp"

#include <doctest/doctest.h>

namespace response_header_test {

using candor::detail::await_response_header;
using candor::detail::parse_response_header;
using candor::detail::response_header_limit;
using candor::testing::post;
using candor::testing::slack;
using candor::testing::socket_server;
using candor::testing::stopwatch;
namespace behaviours = candor::testing::behaviours;
using namespace std::chrono_literals;

namespace {

/// A connection over loopback TCP: the client's socket, and what the server does with the other end.
struct connected {
    explicit connected(socket_server::behaviour behaviour) : server{std::move(behaviour)} {
        const auto address = candor::testing::detail::loopback(server.port());
        REQUIRE(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    }
    std::string read(std::size_t size) const {
        std::string out(size, '\0');
        out.resize(static_cast<std::size_t>(::recv(client.get(), out.data(), size, MSG_WAITALL)));
        return out;
    }
    socket_server server;
    candor::testing::detail::descriptor client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
};

/// How much of the body came with the head. `told` takes the head that was told of.
std::optional<std::size_t> await(const connected& c, std::string* told = nullptr,
                                 std::chrono::milliseconds patience = candor::testing::patience) {
    return await_response_header(candor::detail::socket_handle{c.client.get()},
                                 std::chrono::steady_clock::now() + patience, [&](std::string_view head) {
                                     if (told != nullptr) *told += head;
                                 });
}

socket_server::behaviour say(std::string bytes) {
    return [bytes = std::move(bytes)](socket_server::peer& p) {
        p.write(bytes);
        p.hold();
    };
}

const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";

}  // namespace

TEST_CASE("a head is its status and its fields") {
    const auto found = parse_response_header("HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nX-A:\t%20 b: c \r\nX-B:");
    REQUIRE(found);
    CHECK(found->status == 429);
    REQUIRE(found->headers.size() == 3);
    CHECK(*found->header("retry-after") == "7");
    CHECK(*found->header("X-A") == "%20 b: c");
    CHECK(*found->header("X-B") == "");
    for (const char* start : {"HTTP/1.0 200 OK", "HTTP/1.1 200 ", "HTTP/1.1 200"}) {
        CAPTURE(start);
        REQUIRE(parse_response_header(start));
        CHECK(parse_response_header(start)->status == 200);
    }
}

TEST_CASE("what is no head of HTTP/1 says nothing") {
    for (const char* text :
         {"", "\r\n", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 20", "HTTP/1.1 2x0 OK", "HTTP/1.1 2000", "HTTP/1.1  200 OK",
          "HTTP/2 200", "HTTP/1.2 200 OK", "ICY 200 OK", "HTTP/1.1 200 OK\r\nno colon", "HTTP/1.1 200 OK\r\n: a",
          "HTTP/1.1 200 OK\r\nA: b\r\n folded: c", "HTTP/1.1 200 OK\r\nA : b", "HTTP/1.1 200 OK\r\nA: b\nC: d",
          "HTTP/1.1 200 OK\r\nA: b\rC: d"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_response_header(text));
    }
}

TEST_CASE("a head is left in the socket, whole, whether it comes at once or byte by byte") {
    {
        const connected c{say(head + "OK")};
        std::string told;
        CHECK(await(c, &told) == 2);
        CHECK(told + "\r\n\r\n" == head);
        CHECK(c.read(head.size() + 2) == head + "OK");
    }
    const connected c{[](socket_server::peer& p) {
        for (const char byte : head) {
            if (!p.write({&byte, 1}) || !p.pause(1ms)) return;
        }
        p.hold();
    }};
    CHECK(await(c) == 0);
    CHECK(c.read(head.size()) == head);
}

TEST_CASE("a byte is seen at once after a head that came in pieces") {
    const connected c{[](socket_server::peer& p) {
        if (p.write("HTTP/1.1 200 OK\r\n") && p.pause(20ms)) p.write("A: b\r\n\r\n");
        p.hold();
    }};
    REQUIRE(await(c));
    int low_water = 0;
    socklen_t size = sizeof low_water;
    ::getsockopt(c.client.get(), SOL_SOCKET, SO_RCVLOWAT, &low_water, &size);
    CHECK(low_water == 1);
}

TEST_CASE("interim answers are taken away") {
    const connected c{say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + head)};
    std::string told;
    CHECK(await(c, &told));
    CHECK(told + "\r\n\r\n" == head);
    CHECK(c.read(head.size()) == head);
}

TEST_CASE("a connection that ends within the head is for the reader to see") {
    for (const char* start : {"", "HTTP/1.1 200 OK\r\n", "no HTTP\n\n"}) {
        const connected c{[start](socket_server::peer& p) { p.write(start); }};
        std::string told;
        CHECK(await(c, &told));
        CHECK(told == "");
        CHECK(c.read(1000) == start);
    }
}

TEST_CASE("a head that does not end is too long") {
    const connected c{say("HTTP/1.1 200 " + std::string(response_header_limit, 'x'))};
    CHECK_FALSE(await(c));
}

TEST_CASE("a first line that would take its reader's stack is too long") {
    for (const std::size_t size : {1000U, 1100U, 30'000U}) {
        const connected c{say("HTTP/1.1 200 " + std::string(size, 'x') + "\r\n\r\n")};
        CHECK(await(c).has_value() == (size <= 1000));
    }
}

TEST_CASE("shutting the socket down ends the wait") {
    const connected c{behaviours::never_read()};
    auto waiting = std::async(std::launch::async, [&] { return await(c); });
    REQUIRE(waiting.wait_for(50ms) == std::future_status::timeout);
    ::shutdown(c.client.get(), SHUT_RDWR);
    CHECK(waiting.get() == 0);
}

TEST_CASE("the wait ends at its deadline, whatever comes meanwhile") {
    for (const auto& behaviour : {behaviours::never_answer(), behaviours::drip("HTTP/1.1 200 OK\r\nX-A: ", 'a')}) {
        const connected c{behaviour};
        ::send(c.client.get(), "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
        const stopwatch watch;
        CHECK(await(c, nullptr, 100ms) == 0);
        CHECK(watch.elapsed() >= 95ms);
        CHECK(watch.elapsed() < slack);
    }
}

TEST_CASE("an answer whose head does not end is broken, soon, and does not end the program") {
    std::string fields = "HTTP/1.1 200 OK\r\n";
    while (fields.size() < 1'000'000) fields += "X-" + std::to_string(fields.size()) + ": a\r\n";
    for (const std::string& start :
         {"HTTP/1.1 200 " + std::string(1'000'000, 'x') + "\r\n\r\n", fields + "\r\n",
          "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 " + std::string(1'000'000, 'x') + "\r\n\r\n"}) {
        socket_server server{behaviours::answer(start)};
        candor::httplib_transport transport;
        const stopwatch watch;
        CHECK(transport.send(post(server.url())).error == candor::transport_error::broken);
        CHECK(watch.elapsed() < slack);
        CHECK(server.connections() == 1);
    }
}

TEST_CASE("an answer after interim ones is an answer") {
    socket_server server{
        behaviours::answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + head + "OK")};
    candor::httplib_transport transport;
    for (int i = 0; i < 2; ++i) CHECK(transport.send(post(server.url())).body == "OK");
    CHECK(server.connections() == 1);
}

}  // namespace response_header_test
