#include <candor/delivery/sender.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/testing.hpp>

#include "line_protocol.hpp"

#include <doctest/doctest.h>

namespace sender_test {

namespace {

using candor::transport_error;
using candor::testing::manual_clock;
using candor::testing::recording_transport;
using candor::tests::line_protocol;
using action = candor::detail::verdict::action;

struct throwing_transport : recording_transport {
    candor::http_response send(const candor::http_request&) { throw std::runtime_error{"no"}; }
};

const std::vector<candor::detail::message> one{{.offset = 0, .size = 1}};

}  // namespace

TEST_CASE("each kind of failure is said once, and every answer is judged") {
    recording_transport transport;
    std::vector<std::string> said;
    candor::detail::sender<line_protocol, recording_transport> sender{
        "lines", {}, [&](std::string_view text) { said.emplace_back(text); }, {}, transport};
    const manual_clock clock;
    for (const int status : {500, 500, 502}) transport.respond(status);
    transport.fail(transport_error::timeout);
    for (int i = 0; i < 4; ++i) CHECK(sender.send({"a", one}, clock).found.what == action::retry);
    CHECK(sender.send({"a", one}, clock).found.what == action::deliver);
    CHECK(said == std::vector<std::string>{"lines: 500", "lines: 502", "lines: unreachable"});
    CHECK(transport.requests().back().body == "a\n");
    sender.say("text");
    CHECK(said.back() == "lines: text");
    sender.cancel();
    CHECK(sender.send({"a", one}, clock).error == transport_error::cancelled);
}

TEST_CASE("each attempt is seen with its answer, and a dry run is nothing else") {
    recording_transport transport;
    std::vector<std::pair<std::string, int>> seen;
    candor::delivery_options options;
    options.on_attempt = [&](const candor::http_request& request, const candor::http_response& answer) {
        seen.emplace_back(request.body, answer.status);
        throw std::runtime_error{"a callback's failure is its own"};
    };
    const manual_clock clock;
    transport.respond(503);
    candor::detail::sender<line_protocol, recording_transport> sender{"lines", options, {}, {}, transport};
    CHECK(sender.send({"a", one}, clock).found.what == action::retry);
    CHECK(sender.send({"a", one}, clock).found.what == action::deliver);
    CHECK(seen == std::vector<std::pair<std::string, int>>{{"a\n", 503}, {"a\n", 200}});
    CHECK(transport.requests().size() == 2);
    options.dry_run = true;
    candor::detail::sender<line_protocol, recording_transport> dry{"lines", options, {}, {}, transport};
    CHECK(dry.send({"b", one}, clock).found.what == action::deliver);
    CHECK(seen.size() == 3);
    CHECK(seen.back() == std::pair<std::string, int>{"b\n", 200});
    CHECK(transport.requests().size() == 2);
}

TEST_CASE("what a transport throws is a broken connection, what the protocol throws goes on") {
    throwing_transport transport;
    candor::detail::sender<line_protocol, throwing_transport> sender{"lines", {}, {}, {}, transport};
    const manual_clock clock;
    CHECK(sender.send({"a", one}, clock).error == transport_error::broken);
    const std::vector<candor::detail::message> poison{{.offset = 0, .size = 6}};
    CHECK_THROWS_AS(sender.send({"poison", poison}, clock), std::runtime_error);
}

}  // namespace sender_test
