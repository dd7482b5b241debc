#include <candor/httplib/resolver.hpp>

#include <algorithm>
#include <stdexcept>
#include <thread>

#include "../support/exchange.hpp"

#include <doctest/doctest.h>

namespace resolver_test {

using candor::detail::lookup;
using namespace std::chrono_literals;

namespace {

auto in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

struct throwing_resolver {
    candor::resolved_name operator()(const std::string&) const { throw std::runtime_error{"no idea"}; }
};

struct answers_with_a_string {
    std::string operator()(const std::string&) const { return {}; }
};

}  // namespace

static_assert(candor::resolver<candor::system_resolver>);
static_assert(candor::resolver<candor::testing::hanging_resolver>);
static_assert(!candor::resolver<answers_with_a_string>);

TEST_CASE("the system's resolver knows localhost and addresses") {
    const auto localhost = candor::system_resolver{}("localhost");
    REQUIRE_FALSE(localhost.addresses.empty());
    for (const auto& address : localhost.addresses) CHECK(candor::detail::is_address(address));
    CHECK(candor::system_resolver{}("127.0.0.1").addresses == std::vector<std::string>{"127.0.0.1"});
}

TEST_CASE("the system's resolver says why a name has no address") {
    const auto nothing = candor::system_resolver{}("no.such.name.invalid");
    CHECK(nothing.addresses.empty());
    CHECK_FALSE(nothing.error.empty());
}

TEST_CASE("addresses are told from names") {
    for (const char* address : {"127.0.0.1", "::1", "fe80::1", "2001:db8::ff00:42:8329"}) {
        CAPTURE(address);
        CHECK(candor::detail::is_address(address));
    }
    for (const char* name : {"", "localhost", "127.0.0", "127.0.0.1.example", "1.2.3.4.5", ":::"}) {
        CAPTURE(name);
        CHECK_FALSE(candor::detail::is_address(name));
    }
}

TEST_CASE("a lookup brings the resolver's answer") {
    const candor::testing::fixed_resolver names{{{"a.example", {"192.0.2.1", "::1"}}}};
    const auto answer = lookup::start(names, "a.example")->wait_until(in(10s));
    REQUIRE(answer);
    CHECK(answer->addresses == std::vector<std::string>{"192.0.2.1", "::1"});
}

TEST_CASE("what a resolver throws is its answer") {
    const auto answer = lookup::start(throwing_resolver{}, "a.example")->wait_until(in(10s));
    REQUIRE(answer);
    CHECK(answer->addresses.empty());
    CHECK(answer->error == "no idea");
}

TEST_CASE("a lookup that is not answered ends at the deadline, and can be taken up again") {
    const candor::testing::hanging_resolver names;
    const auto question = lookup::start(names, "a.example");
    const candor::testing::stopwatch watch;
    CHECK_FALSE(question->wait_until(in(50ms)));
    CHECK(watch.elapsed() >= 50ms);
    CHECK_FALSE(question->is_answered());
    names.release();
    CHECK(question->wait_until(in(10s)));
    CHECK(question->is_answered());
}

TEST_CASE("a lookup is interrupted from another thread, or before it is waited for") {
    const candor::testing::hanging_resolver names;
    const auto question = lookup::start(names, "a.example");
    question->interrupt();
    CHECK_FALSE(question->wait_until(in(10s)));
    const candor::testing::stopwatch watch;
    std::thread other{[&] { question->interrupt(); }};
    CHECK_FALSE(question->wait_until(in(10s)));
    CHECK(watch.elapsed() < candor::testing::slack);
    other.join();
    names.release();
}

TEST_CASE("a lookup outlives whoever asked") {
    const candor::testing::hanging_resolver names;
    lookup::start(names, "a.example").reset();
    CHECK(names.wait_for_calls(1));
    names.release();
}

}  // namespace resolver_test
