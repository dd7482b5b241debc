#include <candor/httplib/server_stream.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include <sys/socket.h>

#include "../support/exchange.hpp"

#include <doctest/doctest.h>

namespace server_stream_test {

using candor::detail::owned_socket;
using candor::detail::server_stream;
using candor::detail::stop_signal;
using candor::testing::slack;
using candor::testing::stopwatch;
using namespace std::chrono_literals;

namespace {

candor::steady_time in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

/// A stream, and the client at the other end.
struct connection {
    connection() : connection{ends()} {}

    /// From any thread.
    void send(std::string_view bytes) const {
        pollfd wait{client.get(), POLLOUT, 0};
        while (!bytes.empty() && ::poll(&wait, 1, 5000) == 1) {
            const auto sent = ::send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        CHECK(bytes.empty());
    }
    std::string received() {
        char buffer[4096];
        const auto got = ::recv(client.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        return got > 0 ? std::string{buffer, static_cast<std::size_t>(got)} : std::string{};
    }
    /// A line, read as httplib does it.
    std::string line() {
        std::string out;
        for (char c = 0; c != '\n' && stream.read(&c, 1) == 1;) out += c;
        return out;
    }

    stop_signal stop;
    owned_socket client;
    server_stream stream;

private:
    struct pair {
        owned_socket here, there;
    };
    static pair ends() {
        int both[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, both) == 0);
        return {owned_socket{both[0]}, owned_socket{both[1]}};
    }
    explicit connection(pair both) : client{std::move(both.there)}, stream{std::move(both.here), stop} {}
};

}  // namespace

TEST_CASE("bytes come as they were sent, and the end of them is the end") {
    connection now;
    now.send("POST / HTTP/1.1\r\nbody");
    CHECK(now.stream.await_request(in(1s)));
    now.stream.begin_request(in(1s));
    CHECK(now.line() == "POST / HTTP/1.1\r\n");
    now.stream.end_head();
    char body[10];
    CHECK(now.stream.read(body, 3) == 3);
    CHECK(now.stream.is_readable());
    CHECK(now.stream.read(body + 3, sizeof body - 3) == 1);
    CHECK(std::string_view(body, 4) == "body");
    now.client = owned_socket{};
    CHECK(now.stream.read(body, sizeof body) == 0);
    CHECK_FALSE(now.stream.is_given_up());
    CHECK_FALSE(now.stream.await_request(in(1s)));
}

TEST_CASE("a deadline ends a read, and then nobody waits for an answer") {
    connection now;
    const stopwatch watch;
    now.stream.begin_request(in(50ms));
    char byte = 0;
    CHECK(now.stream.read(&byte, 1) == -1);
    CHECK(watch.elapsed() >= 50ms);
    CHECK(now.stream.is_given_up());
    now.send("x");
    CHECK(now.stream.read(&byte, 1) == -1);
    now.stream.write("answer", 6);
    CHECK_FALSE(now.stream.flush());
    CHECK(now.received().empty());
}

TEST_CASE("the server's stop ends a read, but not one of what has come") {
    connection now;
    now.send("x");
    now.stop.raise(1h);
    CHECK(now.stream.await_request(in(1h)));
    now.stream.begin_request(in(1h));
    char byte = 0;
    CHECK(now.stream.read(&byte, 1) == 1);
    CHECK(now.stream.read(&byte, 1) == -1);
}

TEST_CASE("what is written goes out in one piece, and before a wait for the client") {
    connection now;
    now.stream.begin_request(in(5s));
    now.stream.write("a", 1);
    now.stream.write("b", 1);
    CHECK(now.received().empty());
    CHECK(now.stream.flush());
    CHECK(now.received() == "ab");
    now.stream.write("HTTP/1.1 100 Continue\r\n\r\n", 25);
    std::thread client{[&] {
        pollfd wait{now.client.get(), POLLIN, 0};
        CHECK(::poll(&wait, 1, 5000) == 1);
        CHECK(now.received() == "HTTP/1.1 100 Continue\r\n\r\n");
        now.send("body");
    }};
    char body[10];
    CHECK(now.stream.read(body, sizeof body) == 4);
    client.join();
}

TEST_CASE("an answer that nobody takes is given up at the deadline, and one to nobody raises no signal") {
    const candor::testing::deadly_sigpipe deadly;
    {
        connection now;
        const std::string large(10'000'000, 'a');
        const stopwatch watch;
        now.stream.begin_request(in(50ms));
        now.stream.write(large.data(), large.size());
        CHECK_FALSE(now.stream.flush());
        CHECK(watch.elapsed() >= 50ms);
        CHECK(watch.elapsed() < slack);
    }
    connection now;
    now.client = owned_socket{};
    now.stream.begin_request(in(1s));
    now.stream.write("a", 1);
    CHECK_FALSE(now.stream.flush());
}

TEST_CASE("a head may be of 64 KiB") {
    for (const bool is_too_long : {false, true}) {
        connection now;
        now.stream.begin_request(in(5s));
        const std::string head(64 * 1024 + (is_too_long ? 1 : 0), '\n');
        std::thread client{[&] {
            for (std::size_t at = 0; at < head.size(); at += 1024) now.send(std::string_view{head}.substr(at, 1024));
        }};
        std::size_t read = 0;
        for (char c = 0; read < head.size() && now.stream.read(&c, 1) == 1;) ++read;
        client.join();
        CHECK(read == 64 * 1024);
    }
}

TEST_CASE("between chunks there may be a line, but not lines without an end") {
    connection now;
    now.stream.begin_request(in(5s));
    now.stream.end_head();
    std::thread client{[&] {
        const std::string lines(1024, '\n');
        for (int i = 0; i < 130; ++i) now.send(lines);
    }};
    char block[1024];
    std::size_t read = 0;
    while (read < 60'000 && now.stream.read(block, 1) == 1) ++read;
    CHECK(read == 60'000);
    CHECK(now.stream.read(block, 100) > 1);  // a chunk's bytes: the count starts anew
    read = 0;
    while (now.stream.read(block, 1) == 1) ++read;
    CHECK(read == 64 * 1024);
    client.join();
}

TEST_CASE("a Range header gets another name, and nothing else does") {
    connection now;
    now.stream.begin_request(in(5s));
    for (const std::string line : {"GET /range HTTP/1.1\r\n", "range: bytes=0-1\r\n", "RANGE:x\r\n", "Orange: x\r\n",
                                   "Rang: x\r\n", "X: range\r\n", "Range: x\r\n"}) {
        now.send(line);
        const bool is_range = line == "range: bytes=0-1\r\n" || line == "RANGE:x\r\n" || line == "Range: x\r\n";
        auto expected = line;
        if (is_range) expected[4] = '-';
        CHECK(now.line() == expected);
    }
    now.stream.end_head();
    now.send("range: in a body\r\n");
    CHECK(now.line() == "range: in a body\r\n");
}

TEST_CASE("nothing is read behind a head before httplib has taken it in") {
    connection now;
    for (int i = 0; i < 2; ++i) {
        now.stream.begin_request(in(5s));
        now.send("POST / HTTP/1.1\r\n\r\nb\r\n\r\n");
        CHECK(now.line() == "POST / HTTP/1.1\r\n");
        CHECK(now.line() == "\r\n");
        CHECK(now.line().empty());
        now.stream.end_head();
        CHECK(now.line() == "b\r\n");
        CHECK(now.line() == "\r\n");
    }
}

TEST_CASE("the end of a body in chunks is told") {
    connection now;
    now.stream.begin_request(in(5s));
    now.stream.end_head();
    CHECK_FALSE(now.stream.is_after_empty_line());
    now.send("0\r\n\r\n");
    CHECK(now.line() == "0\r\n");
    CHECK_FALSE(now.stream.is_after_empty_line());
    CHECK(now.line() == "\r\n");
    CHECK(now.stream.is_after_empty_line());
    now.send("x\r\n");
    now.line();
    CHECK_FALSE(now.stream.is_after_empty_line());
    now.send("abc\r\n\r\n");
    char block[7];
    CHECK(now.stream.read(block, 7) == 7);
    CHECK(now.stream.is_after_empty_line());
}

TEST_CASE("a stream that is to read no more does not") {
    connection now;
    now.send("x");
    now.stream.begin_request(in(5s));
    now.stream.end_reading();
    char byte = 0;
    CHECK(now.stream.read(&byte, 1) == -1);
    CHECK_FALSE(now.stream.is_readable());
    now.stream.write("answer", 6);
    CHECK(now.stream.flush());
    CHECK(now.received() == "answer");
}

TEST_CASE("a farewell lasts until the client has ended, or the time is over") {
    connection now;
    std::thread client{[&] {
        for (int i = 0; i < 100; ++i) now.send("more");
        ::shutdown(now.client.get(), SHUT_WR);
    }};
    now.stream.linger(in(1h));
    client.join();
    char byte = 0;
    CHECK(::recv(now.client.get(), &byte, 1, 0) == 0);  // the other direction was ended first
    connection silent;
    const stopwatch watch;
    silent.stream.linger(in(50ms));
    CHECK(watch.elapsed() >= 50ms);
    CHECK(watch.elapsed() < slack);
}

}  // namespace server_stream_test
