#include <candor/httplib/answer_head.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <string>
#include <string_view>

#include <candor/httplib/transport.hpp>

#include "../support/exchange.hpp"
#include "../support/socket_server.hpp"

#include <doctest/doctest.h>

namespace answer_head_test {

using candor::detail::answer_head_limit;
using candor::detail::await_answer_head;
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

socket_server::behaviour say(std::string bytes) {
    return [bytes = std::move(bytes)](socket_server::peer& p) {
        p.write(bytes);
        p.hold();
    };
}

const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";

}  // namespace

TEST_CASE("a head is left in the socket, whole, whether it comes at once or byte by byte") {
    {
        const connected c{say(head + "OK")};
        CHECK(await_answer_head(c.client.get()));
        CHECK(c.read(head.size() + 2) == head + "OK");
    }
    const connected c{[](socket_server::peer& p) {
        for (const char byte : head) {
            if (!p.write({&byte, 1}) || !p.pause(1ms)) return;
        }
        p.hold();
    }};
    CHECK(await_answer_head(c.client.get()));
    CHECK(c.read(head.size()) == head);
}

TEST_CASE("a byte is seen at once after a head that came in pieces") {
    const connected c{[](socket_server::peer& p) {
        if (p.write("HTTP/1.1 200 OK\r\n") && p.pause(20ms)) p.write("A: b\r\n\r\n");
        p.hold();
    }};
    REQUIRE(await_answer_head(c.client.get()));
    int low_water = 0;
    socklen_t size = sizeof low_water;
    ::getsockopt(c.client.get(), SOL_SOCKET, SO_RCVLOWAT, &low_water, &size);
    CHECK(low_water == 1);
}

TEST_CASE("interim answers are taken away") {
    const connected c{say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + head)};
    CHECK(await_answer_head(c.client.get()));
    CHECK(c.read(head.size()) == head);
}

TEST_CASE("a connection that ends within the head is for the reader to see") {
    for (const char* start : {"", "HTTP/1.1 200 OK\r\n", "no HTTP\n\n"}) {
        const connected c{[start](socket_server::peer& p) { p.write(start); }};
        CHECK(await_answer_head(c.client.get()));
        CHECK(c.read(1000) == start);
    }
}

TEST_CASE("a head that does not end is too long") {
    const connected c{say("HTTP/1.1 200 " + std::string(answer_head_limit, 'x'))};
    CHECK_FALSE(await_answer_head(c.client.get()));
}

TEST_CASE("shutting the socket down ends the wait") {
    const connected c{behaviours::never_read()};
    auto waiting = std::async(std::launch::async, [&] { return await_answer_head(c.client.get()); });
    REQUIRE(waiting.wait_for(50ms) == std::future_status::timeout);
    ::shutdown(c.client.get(), SHUT_RDWR);
    CHECK(waiting.get());
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

}  // namespace answer_head_test
