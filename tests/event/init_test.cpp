#include <candor/event/init.hpp>

#include <set>
#include <string>
#include <utility>

#include <candor/event/fields.hpp>
#include <candor/version.hpp>

#include "event/golden/golden.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace init_test {

namespace {

using candor::testing::arrival;
using nlohmann::json;

static_assert(candor::event<candor::init_started> && candor::event<candor::init_completed>);

const candor::init_started started{
    .source = "aws", .destination = "postgresql", .accept_defaults = true, .spec_path = "aws_to_postgresql.yaml"};

const candor::init_completed completed{.source = "aws",
                                       .destination = "postgresql",
                                       .spec_path = "/home/ann/aws_to_postgresql.yaml",
                                       .error = "cannot write /home/ann/x: hunter2 is no password",
                                       .status = "error"};

template <class Event>
json properties(const Event& event, bool has_account) {
    return json::parse(arrival(event, {.has_account = has_account}))["batch"][0]["properties"];
}

std::set<std::string> names_of(const json& object) {
    std::set<std::string> out;
    for (const auto& [name, value] : object.items()) out.insert(name);
    return out;
}

}  // namespace

TEST_CASE("init_started carries these bytes") { candor::testing::check_golden(started); }

TEST_CASE("init_completed carries these bytes") { candor::testing::check_golden(completed); }

TEST_CASE("init_started without an account says what the Go original says") {
    const json message{
        {"type", "track"},
        {"messageId", "<id>"},
        {"anonymousId", "0f8fad5b-d9cb-469f-a165-70867728950e"},
        {"event", "init_started"},
        {"originalTimestamp", "2026-01-02T03:04:05.678901234Z"},
        {"sentAt", "2026-01-02T03:04:10.5Z"},
        {"context", {{"library", {{"name", "candor"}, {"version", CANDOR_VERSION_STRING}}}}},  // analytics-go there
        {"properties",
         {{"accept_defaults", true},
          {"destination", "postgresql"},
          {"invocation_uuid", "0f8fad5b-d9cb-469f-a165-70867728950e"},
          {"source", "aws"},
          {"spec_path", "aws_to_postgresql.yaml"}}},
        {"channel", "server"}};
    CHECK(json::parse(arrival(started, {.has_account = false})) == json{{"batch", {message}}});
}

TEST_CASE_TEMPLATE("the account adds the team, the environment and the user", Event, candor::init_started,
                   candor::init_completed) {
    std::set<std::string> names{"invocation_uuid", "source", "destination", "accept_defaults", "spec_path", "error"};
    if constexpr (requires(Event e) { e.status; }) names.insert("status");
    const Event event{.source = "s", .destination = "d", .spec_path = "p", .error = "e"};
    CHECK(names_of(properties(event, false)) == names);
    names.insert({"team", "$groups", "environment", "user_id"});
    CHECK(names_of(properties(event, true)) == names);
}

TEST_CASE_TEMPLATE("what is not known is left out", Event, candor::init_started, candor::init_completed) {
    json least{{"invocation_uuid", "0f8fad5b-d9cb-469f-a165-70867728950e"}, {"accept_defaults", false}};
    if constexpr (requires(Event e) { e.status; }) least["status"] = "success";
    CHECK(properties(Event{}, false) == least);
}

TEST_CASE("the path and the error pass the redactor") {
    const auto sent = properties(completed, false);
    CHECK(sent["spec_path"] == "~/aws_to_postgresql.yaml");
    CHECK(sent["error"] == "cannot write ~/x: [redacted] is no password");
}

}  // namespace init_test
