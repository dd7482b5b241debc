#include <candor/httplib/socket.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include <doctest/doctest.h>

namespace socket_test {

namespace {

struct socket_pair {
    socket_pair() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0); }
    ~socket_pair() {
        ::close(ends[0]);
        ::close(ends[1]);
    }
    int ends[2] = {-1, -1};
};

}  // namespace

TEST_CASE("a handle shuts the socket down for the descriptor that it was made from") {
    socket_pair pair;
    const candor::detail::socket_handle handle{pair.ends[0]};
    handle.shut_down();
    char byte = 0;
    CHECK(::recv(pair.ends[0], &byte, 1, 0) == 0);
    CHECK(::send(pair.ends[0], &byte, 1, MSG_NOSIGNAL) == -1);
    CHECK(errno == EPIPE);
}

TEST_CASE("a handle forgets what has come already") {
    for (const bool discard : {false, true}) {
        socket_pair pair;
        const candor::detail::socket_handle handle{pair.ends[0]};
        REQUIRE(::send(pair.ends[1], "abc", 3, MSG_NOSIGNAL) == 3);
        discard ? handle.discard() : handle.shut_down();
        char bytes[8];
        CHECK(::recv(pair.ends[0], bytes, sizeof bytes, 0) == (discard ? 0 : 3));
    }
}

TEST_CASE("a handle that stops reading leaves writing alone") {
    socket_pair pair;
    const candor::detail::socket_handle handle{pair.ends[0]};
    handle.stop_reading();
    char byte = 'a';
    CHECK(::recv(pair.ends[0], &byte, 1, 0) == 0);
    CHECK(::send(pair.ends[0], &byte, 1, MSG_NOSIGNAL) == 1);
}

TEST_CASE("a handle does not touch a descriptor that has taken the number of the original") {
    socket_pair pair;
    const int number = ::dup(pair.ends[0]);
    const candor::detail::socket_handle handle{number};
    socket_pair unrelated;
    REQUIRE(::dup2(unrelated.ends[0], number) == number);
    handle.shut_down();
    char byte = 'a';
    CHECK(::send(number, &byte, 1, MSG_NOSIGNAL) == 1);
    CHECK(::recv(pair.ends[0], &byte, 1, 0) == 0);
    ::close(number);
}

TEST_CASE("a handle closes its own descriptor when it is destroyed, replaced or moved from") {
    socket_pair pair;
    {
        candor::detail::socket_handle handle{pair.ends[0]};
        candor::detail::socket_handle other{std::move(handle)};
        other = candor::detail::socket_handle{};
        other.shut_down();  // nothing to shut down any more
    }
    char byte = 'a';
    REQUIRE(::send(pair.ends[0], &byte, 1, MSG_NOSIGNAL) == 1);
    ::close(pair.ends[0]);
    CHECK(::recv(pair.ends[1], &byte, 1, 0) == 1);
    CHECK(::recv(pair.ends[1], &byte, 1, 0) == 0);  // nobody else holds the other end
    pair.ends[0] = -1;
}

TEST_CASE("a handle of no socket does nothing") {
    const candor::detail::socket_handle handle;
    handle.shut_down();
    handle.stop_reading();
    const candor::detail::socket_handle of_nothing{-1};
    of_nothing.shut_down();
    of_nothing.discard();
}

}  // namespace socket_test
