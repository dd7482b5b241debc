#include <candor/event/sync.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <candor/event/fields.hpp>
#include <candor/version.hpp>

#include "event/golden/golden.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace sync_test {

namespace {

using namespace std::chrono_literals;
using candor::testing::arrival;
using nlohmann::json;

static_assert(candor::event<candor::sync_started> && candor::event<candor::sync_completed>);

const candor::sync_started started{.sync_name = "aws-prod",
                                   .source_path = "cloudquery/aws",
                                   .destination_paths = {"cloudquery/postgresql", "cloudquery/s3"}};

const candor::sync_completed completed{.sync_name = "aws-prod",
                                       .source_path = "cloudquery/aws",
                                       .destination_paths = {"cloudquery/postgresql", "cloudquery/s3"},
                                       .duration = 12'345'678'901ns,
                                       .total_rows = 123'456,
                                       .warnings = 7};

/// What the Go original (its client is analytics-go 4.2.3) sent of the same sync, without the user's e-mail address.
json sent_by_go(const char* event) {
    return {{"type", "track"},
            {"messageId", "<id>"},
            {"anonymousId", "11111111-1111-4111-8000-000000000004"},
            {"userId", "7c9e6679-7425-40de-944b-e07fc1f90ae7"},
            {"event", event},
            {"originalTimestamp", "2026-01-02T03:04:05.678901234Z"},
            {"sentAt", "2026-01-02T03:04:10.5Z"},
            {"context", {{"library", {{"name", "analytics-go"}, {"version", "4.2.3"}}}}},
            {"properties",
             {{"$groups", {{"team", "acme"}}},
              {"destination_paths", {"cloudquery/postgresql", "cloudquery/s3"}},
              {"environment", "cli"},
              {"invocation_uuid", "0f8fad5b-d9cb-469f-a165-70867728950e"},
              {"source_path", "cloudquery/aws"},
              {"sync_name", "aws-prod"},
              {"sync_run_id", "0f8fad5b-d9cb-469f-a165-70867728950e"},
              {"team", "acme"},
              {"user_id", "7c9e6679-7425-40de-944b-e07fc1f90ae7"}}},
            {"channel", "server"}};
}

/// Puts in what candor does otherwise on purpose: its own name, and the invocation for a fresh id a message.
json as_candor(json message) {
    message["context"]["library"] = {{"name", "candor"}, {"version", CANDOR_VERSION_STRING}};
    message["anonymousId"] = "0f8fad5b-d9cb-469f-a165-70867728950e";
    return {{"batch", {std::move(message)}}};
}

template <class Event>
json shard_of(std::int64_t number, std::int64_t total) {
    Event event;
    event.shard_num = number;
    event.shard_total = total;
    const auto properties = json::parse(arrival(event, {}))["batch"][0]["properties"];
    json out = json::object();
    for (const char* name : {"shard_num", "shard_total"})
        if (properties.contains(name)) out[name] = properties[name];
    return out;
}

std::set<std::string> names_of(const json& object) {
    std::set<std::string> out;
    for (const auto& [name, value] : object.items()) out.insert(name);
    return out;
}

}  // namespace

TEST_CASE("sync_run_started carries these bytes") { candor::testing::check_golden(started); }

TEST_CASE("sync_run_completed carries these bytes") { candor::testing::check_golden(completed); }

TEST_CASE("sync_run_started says what the Go original says") {
    CHECK(json::parse(arrival(started, {})) == as_candor(sent_by_go("sync_run_started")));
}

TEST_CASE("sync_run_completed says what the Go original says, but for a false in place of a null") {
    json message = sent_by_go("sync_run_completed");
    message["properties"].update({{"aborted_due_to_error", false},  // null there: a nil error, and {} for any other
                                  {"duration", 12'345'678'901},
                                  {"errors", 0},
                                  {"status", "success"},
                                  {"total_rows", 123'456},
                                  {"warnings", 7}});
    CHECK(json::parse(arrival(completed, {})) == as_candor(message));
}

TEST_CASE("an event of which nothing is known has all its properties but those of a shard") {
    const std::set<std::string> always{"invocation_uuid", "sync_run_id", "team",    "$groups",          "environment",
                                       "sync_name",       "source_path", "user_id", "destination_paths"};
    const auto first = json::parse(arrival(candor::sync_started{}, {}))["batch"][0]["properties"];
    CHECK(names_of(first) == always);
    CHECK(first["destination_paths"] == json::array());

    std::set<std::string> of_the_end = always;
    of_the_end.insert({"duration", "status", "total_rows", "errors", "warnings", "aborted_due_to_error"});
    CHECK(names_of(json::parse(arrival(candor::sync_completed{}, {}))["batch"][0]["properties"]) == of_the_end);
}

TEST_CASE_TEMPLATE("a shard is named where its number and their total are both above zero", Event, candor::sync_started,
                   candor::sync_completed) {
    using limits = std::numeric_limits<std::int64_t>;
    CHECK(shard_of<Event>(1, 1) == json{{"shard_num", 1}, {"shard_total", 1}});
    CHECK(shard_of<Event>(2, 4) == json{{"shard_num", 2}, {"shard_total", 4}});
    CHECK(shard_of<Event>(limits::max(), limits::max()) ==
          json{{"shard_num", limits::max()}, {"shard_total", limits::max()}});
    CHECK(shard_of<Event>(0, 0) == json::object());
    CHECK(shard_of<Event>(0, 4) == json::object());
    CHECK(shard_of<Event>(2, 0) == json::object());
    CHECK(shard_of<Event>(-1, 4) == json::object());
    CHECK(shard_of<Event>(2, -4) == json::object());
    CHECK(shard_of<Event>(limits::min(), limits::min()) == json::object());
}

}  // namespace sync_test
