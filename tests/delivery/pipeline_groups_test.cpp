#include <candor/delivery/pipeline.hpp>

#include <array>
#include <chrono>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/testing.hpp>

#include <support/becomes_true.hpp>
#include <support/temporary_directory.hpp>

#include "lent.hpp"

#include <doctest/doctest.h>

// A server of several places, each of which takes only its own messages. `line_protocol` says which.
namespace pipeline_groups_test {

namespace {

using namespace std::chrono_literals;
using candor::testing::manual_clock;
using candor::testing::recording_transport;
using candor::tests::line_protocol;

struct run {
    explicit run(candor::delivery_options options = {})
        : delivery{"lines",
                   std::move(options),
                   [this](std::string_view text) { diagnostics.emplace_back(text); },
                   1,
                   std::make_unique<line_protocol>(),
                   transport,
                   clock} {}

    void enqueue(std::initializer_list<std::string_view> texts) {
        for (const auto text : texts) CHECK(delivery.enqueue(std::array{text}) == candor::admission::accepted);
    }

    /// What was sent: to which place, and what, without line ends; `?` where the places were asked for.
    [[nodiscard]] std::vector<std::string> sent() const {
        std::vector<std::string> out;
        for (const auto& request : transport.requests()) {
            const auto* const place = candor::detail::find_header(request.headers, "place");
            out.push_back(place == nullptr ? "?" : *place + ":");
            for (const char c : request.body)
                if (c != '\n') out.back() += c;
        }
        return out;
    }

    [[nodiscard]] candor::statistics statistics() const {
        const auto s = delivery.statistics();
        CHECK(s.accepted == s.delivered + s.pending + s.spooled + s.dropped.total());
        return s;
    }

    /// Time passes, from one thing that the worker waits for to the next, until that is so.
    template <class Condition>
    [[nodiscard]] bool passes_until(const Condition& is_so) {
        return becomes_true([&] {
            const auto next = clock.next_wake();
            if (is_so()) return true;
            if (next < candor::steady_time::max()) clock.advance(next - clock.now());
            return false;
        });
    }

    /// The next request comes, and it has taken until then at least.
    void expect_request_at(candor::steady_time when) {
        const auto before = transport.requests().size();
        REQUIRE(passes_until([&] { return transport.requests().size() > before; }));
        CHECK(clock.now() >= when);
    }

    std::vector<std::string> diagnostics{};  // the worker's until it has ended
    manual_clock clock;
    recording_transport transport{};
    candor::tests::lent_pipeline<recording_transport, manual_clock> delivery;
};

using list = std::vector<std::string>;

}  // namespace

TEST_CASE("what a 451 refused is sent again when the number of places is known, in one request a place") {
    run r;
    r.transport.respond(451);
    r.transport.respond({.status = 200, .body = "3"});
    r.enqueue({"5", "1", "0", "2", "3", "4"});
    CHECK_FALSE(r.delivery.flush(1s));
    r.expect_request_at(candor::steady_time{5s});
    CHECK(r.delivery.flush(1s));
    CHECK(r.sent() == list{"0:510234", "?", "0:03", "1:14", "2:52"});
    CHECK(r.statistics().delivered == 6);

    r.enqueue({"1", "2", "4"});
    CHECK(r.delivery.flush(1s));
    r.enqueue({"3"});
    CHECK(r.delivery.flush(1s));
    CHECK(r.sent() == list{"0:510234", "?", "0:03", "1:14", "2:52", "1:14", "2:2", "0:3"});
}

TEST_CASE("only what was not delivered is regrouped") {
    run r;
    r.transport.respond(451);
    r.transport.respond({.status = 200, .body = "3"});
    r.transport.respond(200);
    r.transport.respond(451);
    r.transport.respond({.status = 200, .body = "2"});
    r.enqueue({"0", "1", "2", "3", "4", "5"});
    CHECK_FALSE(r.delivery.flush(1s));
    r.expect_request_at(candor::steady_time{5s});
    REQUIRE(r.transport.wait_for_requests(4));
    r.expect_request_at(candor::steady_time{10s});
    CHECK(r.delivery.flush(1s));
    CHECK(r.sent() == list{"0:012345", "?", "0:03", "1:14", "?", "0:24", "1:15"});
    CHECK(r.statistics().delivered == 6);
}

TEST_CASE("a request of one place is halved as any other") {
    run r;
    r.transport.respond(451);
    r.transport.respond({.status = 200, .body = "2"});
    r.transport.respond(400);
    r.transport.respond(200);
    r.transport.respond(400);
    r.enqueue({"0", "1", "2", "3"});
    CHECK_FALSE(r.delivery.flush(1s));
    r.expect_request_at(candor::steady_time{5s});
    static_cast<void>(r.delivery.flush(1s));
    CHECK(r.sent() == list{"0:0123", "?", "0:02", "0:0", "0:2", "1:13"});
    CHECK(r.statistics().delivered == 3);
}

TEST_CASE("until the places are known nothing is sent, and the server is asked again as the backoff says") {
    run r;
    r.transport.respond(451);
    r.transport.respond(404);
    r.transport.fail(candor::transport_error::unreachable);
    r.transport.respond({.status = 200, .body = "2"});
    r.enqueue({"1", "2"});
    CHECK_FALSE(r.delivery.flush(1s));
    r.expect_request_at(candor::steady_time{5s});
    for (int asked = 1; asked < 3; ++asked) {
        REQUIRE(becomes_true([&] { return r.sent().size() == 1U + static_cast<std::size_t>(asked); }));
        REQUIRE(r.clock.wait_for_idle());
        CHECK(r.statistics().pending == 2);
        r.clock.advance(r.clock.next_wake() - r.clock.now());
    }
    CHECK(r.delivery.flush(1s));
    CHECK(r.sent() == list{"0:12", "?", "?", "?", "0:2", "1:1"});
    r.delivery.shutdown(1s);
    CHECK(r.diagnostics == list{"lines: no answer", "lines: no answer"});  // of two kinds
}

TEST_CASE("an end while the places are asked for comes in time, and what waits is stored") {
    const temporary_directory t;
    candor::delivery_options options;
    options.spool.directory = t.path() / "spool";
    run r{options};
    r.transport.respond(451);
    r.transport.hang();
    r.enqueue({"1", "2"});
    CHECK_FALSE(r.delivery.flush(1s));
    r.expect_request_at(candor::steady_time{5s});
    REQUIRE(r.transport.wait_for_requests(2));
    r.delivery.shutdown(0ms);
    CHECK(r.statistics().spooled == 2);

    run next{options};
    next.enqueue({"3"});
    CHECK(next.delivery.flush(1s));
    CHECK(next.passes_until([&] { return next.statistics().delivered == 3; }));
}

TEST_CASE("what was stored is sent to its places too, each message once") {
    const temporary_directory t;
    candor::delivery_options options;
    options.spool.directory = t.path() / "spool";
    {
        run offline{options};
        for (int i = 0; i < 3; ++i) offline.transport.fail(candor::transport_error::unreachable);
        offline.enqueue({"0", "3", "1", "2", "5", "4"});
        CHECK_FALSE(offline.delivery.flush(0ms));
        offline.delivery.shutdown(1s);
        CHECK(offline.statistics().spooled == 6);
    }
    run r{options};
    r.transport.respond(451);
    r.transport.respond({.status = 200, .body = "2"});
    r.enqueue({"7"});
    CHECK_FALSE(r.delivery.flush(1s));
    r.expect_request_at(candor::steady_time{5s});
    CHECK(r.passes_until([&] { return r.statistics().delivered == 7; }));
    std::map<char, int> times;
    for (const auto& request : r.transport.requests()) {
        if (request.method == "GET" || request.body == "7\n") continue;
        const auto place = candor::detail::find_header(request.headers, "place")->at(0);
        for (const char c : request.body) {
            if (c == '\n') continue;
            ++times[c];
            CHECK((c - '0') % 2 == place - '0');
        }
    }
    CHECK(times == std::map<char, int>{{'0', 1}, {'1', 1}, {'2', 1}, {'3', 1}, {'4', 1}, {'5', 1}});
    const auto s = r.statistics();
    CHECK(s.recovered == 6);
    CHECK(s.accepted == 7);
    CHECK(s.spooled == 0);
}

TEST_CASE("a server that does not know its places costs a stored message none of its attempts") {
    const temporary_directory t;
    candor::delivery_options options;
    options.spool.directory = t.path() / "spool";
    {
        run offline{options};
        for (int i = 0; i < 3; ++i) offline.transport.fail(candor::transport_error::unreachable);
        offline.enqueue({"0", "1"});
        CHECK_FALSE(offline.delivery.flush(0ms));
        offline.delivery.shutdown(1s);
        CHECK(offline.statistics().spooled == 2);
    }
    run r{options};
    r.transport.respond(200);  // of the fresh one
    r.transport.respond(451);  // of the stored ones
    for (int i = 0; i < 20; ++i) r.transport.respond(404);
    r.transport.respond({.status = 200, .body = "2"});
    r.enqueue({"8"});
    CHECK(r.delivery.flush(1s));
    CHECK(r.passes_until([&] { return r.statistics().delivered == 3; }));
    CHECK(r.statistics().dropped.total() == 0);
}

}  // namespace pipeline_groups_test
