#include <candor/policy/server.hpp>

#include <optional>

#include <doctest/doctest.h>

namespace server_test {

namespace {

using candor::http_request_head;
using candor::http_response;
using candor::http_service;
using candor::server_options;

struct minimal {
    minimal(const server_options&, http_service&) {}
    [[nodiscard]] std::uint16_t port() const noexcept { return 1; }
    void stop() noexcept {}
};
static_assert(candor::server<minimal>);

struct without_stop {
    without_stop(const server_options&, http_service&) {}
    [[nodiscard]] std::uint16_t port() const noexcept { return 1; }
};
static_assert(!candor::server<without_stop>);

struct stop_throws : minimal {
    using minimal::minimal;
    void stop() {}
};
static_assert(!candor::server<stop_throws>);

struct port_is_an_int : minimal {
    using minimal::minimal;
    [[nodiscard]] int port() const noexcept { return 1; }
};
static_assert(!candor::server<port_is_an_int>);

struct port_changes_the_server : minimal {
    using minimal::minimal;
    std::uint16_t port() noexcept { return 1; }
};
static_assert(!candor::server<port_changes_the_server>);

struct without_options : minimal {
    explicit without_options(http_service& service) : minimal{{}, service} {}
};
static_assert(!candor::server<without_options>);

struct without_service : minimal {
    using minimal::minimal;
    without_service(const server_options&, http_service&) = delete;
};
static_assert(!candor::server<without_service>);

}  // namespace

TEST_CASE("a server is for this machine only, on a free port, unless told otherwise") {
    const server_options options;
    CHECK(options.address == "127.0.0.1");
    CHECK(options.port == 0);
    CHECK(options.body_limit == 64UL << 20);
    CHECK(options.request_timeout < options.idle_timeout);
}

TEST_CASE("a head gives its headers by name, the first of several") {
    const http_request_head head{.method = "POST", .target = "/", .headers = {{"Host", "a"}, {"X", "1"}, {"x", "2"}}};
    REQUIRE(head.header("hOST") != nullptr);
    CHECK(*head.header("hOST") == "a");
    REQUIRE(head.header("X") != nullptr);
    CHECK(*head.header("X") == "1");
    CHECK(head.header("Hos") == nullptr);
}

}  // namespace server_test
