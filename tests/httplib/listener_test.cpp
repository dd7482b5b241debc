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
using candor::detail::receive_some;
using candor::detail::send_some;
using candor::detail::socket_address;
using candor::detail::wait_for_sockets;
using candor::detail::wake_signal;
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
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
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
        owned_socket socket = candor::detail::open_socket(AF_INET, SOCK_STREAM);
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
    CHECK_FALSE(now.has_waiting());
    const raw_client client{now.port()};
    CHECK(now.has_waiting());
    const auto accepted = now.accept();
    REQUIRE(accepted);
    CHECK((::fcntl(accepted.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(accepted.get(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(now.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a listener that is closed takes no more, and one that the program has closed is still woken") {
    listener now{"127.0.0.1", 0};
    const auto port = now.port();
    const auto twin = candor::detail::descriptor::duplicate(now.get());
    ::close(now.get());
    CHECK_FALSE(now.is_ours());
    CHECK_FALSE(now.has_waiting());
    std::vector<pollfd> wanted{{twin.get(), POLLIN, 0}};
    now.knock();
    CHECK(wait_for_sockets(wanted, candor::steady_time::max()));
    CHECK(wanted[0].revents == POLLIN);

    listener other{"127.0.0.1", 0};
    other.close();
    CHECK_THROWS(raw_client{other.port()});
    CHECK(now.port() == port);
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
    const connected_pair pair;
    const stopwatch watch;
    std::vector<pollfd> wanted{{pair.here.get(), POLLIN, 0}, {INVALID_SOCKET, POLLIN, 0}};
    CHECK(wait_for_sockets(wanted, in(50ms)));
    CHECK(wanted[0].revents == 0);
    CHECK(watch.elapsed() >= 50ms);
    CHECK(wait_for_sockets(wanted, candor::steady_time::min()));
    REQUIRE(send_some(pair.there.get(), "x") == 1);
    CHECK(wait_for_sockets(wanted, candor::steady_time::max()));
    CHECK(wanted[0].revents == POLLIN);
    CHECK(watch.elapsed() < slack);
}

TEST_CASE("bytes go to and fro, and their end is told") {
    const candor::testing::deadly_sigpipe deadly;
    connected_pair pair;
    char room[8];
    CHECK(receive_some(pair.here.get(), room, sizeof room) < 0);
    CHECK(candor::detail::would_block(candor::detail::socket_error()));
    CHECK(send_some(pair.there.get(), "hello") == 5);
    CHECK(receive_some(pair.here.get(), room, 2) == 2);
    CHECK(receive_some(pair.here.get(), room, sizeof room) == 3);
    candor::detail::end_sending(pair.there.get());
    CHECK(receive_some(pair.here.get(), room, sizeof room) == 0);
    CHECK(send_some(pair.here.get(), "x") == 1);
    pair.there.reset();
    CHECK(send_some(pair.here.get(), "x") < 0);
    CHECK_FALSE(candor::detail::would_block(candor::detail::socket_error()));
}

TEST_CASE("a signal wakes who waits for it, once for any number of them") {
    const wake_signal wake;
    std::vector<pollfd> wanted{{wake.get(), POLLIN, 0}};
    CHECK(wait_for_sockets(wanted, candor::steady_time::min()));
    CHECK(wanted[0].revents == 0);
    std::thread other{[&] {
        for (int i = 0; i < 10'000; ++i) wake.raise();
    }};
    CHECK(wait_for_sockets(wanted, candor::steady_time::max()));
    CHECK(wanted[0].revents == POLLIN);
    other.join();
    CHECK(wake.take());
    CHECK(wait_for_sockets(wanted, candor::steady_time::min()));
    CHECK(wanted[0].revents == 0);
    CHECK(wake.take());
    ::close(wake.get());
    CHECK_FALSE(wake.take());
    wake.raise();
}

}  // namespace listener_test
