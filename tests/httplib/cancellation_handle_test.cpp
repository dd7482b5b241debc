#include <candor/httplib/cancellation_handle.hpp>

#include <poll.h>
#include <sys/socket.h>

#include "../support/socket_server.hpp"

#include <doctest/doctest.h>

namespace cancellation_handle_test {

using candor::detail::cancellation_handle;
using candor::detail::stop_reason;
using candor::testing::socket_server;
namespace behaviours = candor::testing::behaviours;

TEST_CASE("a cancellation handle that was cut before there was a socket cuts the socket that comes") {
    socket_server server{behaviours::answer()};
    cancellation_handle handle;
    handle.begin();
    handle.stop(stop_reason::cancelled);
    const candor::testing::detail::descriptor client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const auto address = candor::testing::detail::loopback(server.port());
    REQUIRE(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    handle.watch(client.get());
    char byte = 0;
    CHECK(::recv(client.get(), &byte, 1, 0) == 0);
    handle.stop(stop_reason::deadline);
    CHECK(handle.reason() == stop_reason::cancelled);  // the stronger reason stays
    handle.begin();
    CHECK(handle.reason() == stop_reason::none);
}

TEST_CASE("a connect that begins after a cancellation handle was cut is ended when it is cut again") {
    const candor::testing::full_backlog silent;
    cancellation_handle handle;
    handle.begin();
    handle.stop(stop_reason::cancelled);
    const candor::testing::detail::descriptor client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    handle.watch(client.get());
    const auto address = candor::testing::detail::loopback(silent.port());
    ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    handle.stop(stop_reason::cancelled);
    pollfd wait{client.get(), POLLOUT, 0};
    CHECK(::poll(&wait, 1, 1000) == 1);
}

}  // namespace cancellation_handle_test
