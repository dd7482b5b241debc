#include <candor/httplib/listener.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "../support/exchange.hpp"
#include "../support/raw_client.hpp"

#include <doctest/doctest.h>

namespace listener_test {

using candor::detail::listener;
using candor::detail::owned_socket;
using candor::detail::socket_address;
using candor::detail::stop_signal;
using candor::testing::raw_client;
using candor::testing::slack;
using candor::testing::stopwatch;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<owned_socket>);
static_assert(std::is_nothrow_move_constructible_v<owned_socket>);

namespace {

candor::steady_time in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) >= 0; }

struct connected_pair {
    connected_pair() {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        here = owned_socket{ends[0]};
        there = owned_socket{ends[1]};
    }
    owned_socket here, there;
};

std::string field_of(const std::string& address, std::uint16_t port) {
    try {
        const listener now{address, port};
    } catch (const candor::configuration_error& e) {
        return e.field();
    }
    return "";
}

}  // namespace

TEST_CASE("a socket is non-blocking, is not inherited, and is closed with its owner") {
    int number = -1;
    {
        owned_socket socket = owned_socket::open(AF_INET, SOCK_STREAM);
        REQUIRE(socket);
        number = socket.get();
        CHECK((::fcntl(number, F_GETFD) & FD_CLOEXEC) != 0);
        CHECK((::fcntl(number, F_GETFL) & O_NONBLOCK) != 0);
        const owned_socket other = std::move(socket);
        CHECK(other.get() == number);
        CHECK(is_open(number));
    }
    CHECK_FALSE(is_open(number));
    CHECK_FALSE(owned_socket{});
}

TEST_CASE("an address is an IP address or localhost") {
    socket_address out;
    CHECK(out.parse("localhost", 80));
    CHECK(out.family() == AF_INET);
    CHECK(out.port() == 80);
    CHECK(out.parse("::1", 65535));
    CHECK(out.family() == AF_INET6);
    CHECK(out.port() == 65535);
    for (const char* text : {"", "localhost.", "example.com", "1.2.3", "1.2.3.4.5", "[::1]", "::1%lo", " 127.0.0.1"})
        CHECK_FALSE(out.parse(text, 80));
}

TEST_CASE("a listener takes connections on a port of its own") {
    const listener now{"127.0.0.1", 0};
    REQUIRE(now.port() != 0);
    CHECK_FALSE(now.accept());
    const raw_client client{now.port()};
    const auto accepted = now.accept();
    REQUIRE(accepted);
    CHECK((::fcntl(accepted.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(accepted.get(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(now.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("IPv6 works where the machine has it, and is no IPv4") {
    std::optional<listener> now;
    try {
        now.emplace("::1", std::uint16_t{0});
    } catch (const candor::configuration_error& e) {
        CHECK(e.field() == "address");
        return;
    }
    CHECK(now->port() != 0);
    CHECK_THROWS(raw_client{now->port()});
}

TEST_CASE("an address that cannot be had is refused with its reason") {
    CHECK(field_of("example.com", 0) == "address");
    CHECK(field_of(std::string{"127.0.0.1\0", 10}, 0) == "address");
    CHECK(field_of("192.0.2.1", 0) == "address");
    const listener taken{"127.0.0.1", 0};
    CHECK(field_of("127.0.0.1", taken.port()) == "port");
    CHECK(field_of("localhost", taken.port()) == "port");
}

TEST_CASE("many listeners have many ports") {
    std::vector<listener> all;
    for (int i = 0; i < 100; ++i) all.emplace_back("127.0.0.1", std::uint16_t{0});
    for (const auto& a : all) {
        for (const auto& b : all) REQUIRE((&a == &b || a.port() != b.port()));
    }
}

TEST_CASE("a wait ends with what it waits for, or with its deadline") {
    const stop_signal stop;
    const connected_pair pair;
    const stopwatch watch;
    CHECK_FALSE(stop.wait(pair.here.get(), POLLIN, in(50ms)));
    CHECK(watch.elapsed() >= 50ms);
    CHECK(stop.wait(pair.here.get(), POLLOUT, in(1h)));
    REQUIRE(::send(pair.there.get(), "x", 1, 0) == 1);
    CHECK(stop.wait(pair.here.get(), POLLIN, candor::steady_time::max()));
    CHECK_FALSE(stop.wait(pair.here.get(), POLLIN, in(-1ms)));  // there, but too late
    CHECK(watch.elapsed() < slack);
}

TEST_CASE("the signal ends every wait, but what is there already is still there for as long as the grace lasts") {
    stop_signal stop;
    const connected_pair silent;
    const connected_pair pair;
    REQUIRE(::send(pair.there.get(), "x", 1, 0) == 1);
    CHECK_FALSE(stop.is_raised());
    std::vector<std::thread> waiting;
    for (int i = 0; i < 4; ++i)
        waiting.emplace_back([&] { CHECK_FALSE(stop.wait(silent.here.get(), POLLIN, candor::steady_time::max())); });
    CHECK(stop.pause(1ms));
    stop.raise(std::chrono::hours{1});
    for (auto& thread : waiting) thread.join();
    CHECK(stop.is_raised());
    CHECK_FALSE(stop.pause(std::chrono::hours{1}));
    CHECK(stop.wait(pair.here.get(), POLLIN, in(1h)));
    CHECK(stop.wait(pair.here.get(), POLLIN, in(1h)));
    stop.raise(0ms);
    CHECK_FALSE(stop.wait(pair.here.get(), POLLIN, in(1h)));
}

}  // namespace listener_test
