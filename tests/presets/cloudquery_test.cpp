#include <candor/presets/cloudquery.hpp>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <candor/consent/level.hpp>
#include <candor/consent/resolver.hpp>
#include <candor/event/sync.hpp>
#include <candor/policy/http.hpp>
#include <candor/telemetry.hpp>
#include <candor/testing.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace cloudquery_test {

namespace {

using namespace std::chrono_literals;
using candor::level;
using candor::testing::fixed_environment;
using candor::testing::manual_clock;
using candor::testing::recording_transport;
using nlohmann::json;

using telemetry = candor::basic_telemetry<recording_transport, manual_clock, fixed_environment>;
using variables = std::map<std::string, std::string>;

/// What a sync of this version sends where these variables are set.
std::vector<candor::http_request> requests(const variables& set, const char* version = "6.30.1") {
    manual_clock clock;
    recording_transport transport;
    auto options = candor::presets::cloudquery(version);
    options.account = [] { return std::optional{candor::account{.user_id = "u1", .team_id = "t1"}}; };
    telemetry sends{options, transport, clock, fixed_environment{set}};
    const auto answer = sends.track(candor::sync_started{.sync_name = "aws"});
    CHECK(answer == (sends.sends_events() ? candor::admission::accepted : candor::admission::disabled));
    CHECK(sends.flush(1s));
    return transport.requests();
}

candor::http_request request(const variables& set, const char* version = "6.30.1") {
    const auto all = requests(set, version);
    REQUIRE(all.size() == 1);
    return all[0];
}

std::string header(const candor::http_request& request, const std::string& name) {
    for (const auto& h : request.headers)
        if (h.name == name) return h.value;
    return {};
}

candor::resolution resolve(const variables& set, std::vector<const char*> arguments = {"cloudquery"}) {
    return candor::resolve_level(candor::presets::cloudquery_product("6.30.1"), static_cast<int>(arguments.size()),
                                 arguments.data(), fixed_environment{set});
}

}  // namespace

TEST_CASE("the preset is the CLI's configuration") {
    const auto options = candor::presets::cloudquery("6.30.1");
    CHECK(options.product.name == "cloudquery");
    CHECK(options.product.version == "6.30.1");
    CHECK(options.product.env_prefix == "CQ");
    CHECK(options.write_key == "2h38sP5iH58EYKBTRsGByJDDr6r");
    CHECK(options.data_plane_url == "https://analytics-events.cloudquery.io");
    CHECK(options.product.variable("TELEMETRY_LEVEL") == "CQ_TELEMETRY_LEVEL");
}

TEST_CASE("events go to the CLI's data plane with its key") {
    const auto sent = request({});
    CHECK(sent.method == "POST");
    CHECK(sent.url == "https://analytics-events.cloudquery.io/v1/batch");
    CHECK(header(sent, "Authorization") == "Basic MmgzOHNQNWlINThFWUtCVFJzR0J5SkREcjZyOg==");
    const auto message = json::parse(sent.body)["batch"][0];
    CHECK(message["event"] == "sync_run_started");
    CHECK(message["userId"] == "u1");
    CHECK(message["properties"]["environment"] == "cli");
}

TEST_CASE("CQ_RUDDERSTACK_WRITE_KEY and CQ_RUDDERSTACK_DATA_PLANE_URL override") {
    const auto other_key = request({{"CQ_RUDDERSTACK_WRITE_KEY", "testWriteKey123"}});
    CHECK(header(other_key, "Authorization") == "Basic dGVzdFdyaXRlS2V5MTIzOg==");
    CHECK(other_key.url == "https://analytics-events.cloudquery.io/v1/batch");

    const auto other_plane = request({{"CQ_RUDDERSTACK_DATA_PLANE_URL", "http://127.0.0.1:18601"}});
    CHECK(other_plane.url == "http://127.0.0.1:18601/v1/batch");
    CHECK(header(other_plane, "Authorization") == "Basic MmgzOHNQNWlINThFWUtCVFJzR0J5SkREcjZyOg==");

    const auto empty = request({{"CQ_RUDDERSTACK_WRITE_KEY", ""}, {"CQ_RUDDERSTACK_DATA_PLANE_URL", ""}});
    CHECK(empty.url == "https://analytics-events.cloudquery.io/v1/batch");
    CHECK(header(empty, "Authorization") == "Basic MmgzOHNQNWlINThFWUtCVFJzR0J5SkREcjZyOg==");
}

TEST_CASE("where CQ_CLOUD is set at all, the environment is the cloud, and user_id its service account") {
    for (const char* value : {"1", "", "0"}) {
        const auto message = json::parse(request({{"CQ_CLOUD", value}}).body)["batch"][0];
        CHECK(message["properties"]["environment"] == "cloud");
        CHECK(message["properties"]["user_id"] == "t1_service_account");
        CHECK(message["userId"] == "u1");
    }
}

TEST_CASE("a development build sends only to a data plane that the environment names") {
    for (const char* version : {"development", ""}) {
        CHECK(requests({}, version).empty());
        CHECK(requests({{"CQ_RUDDERSTACK_WRITE_KEY", "k"}}, version).empty());
        const auto sent = request({{"CQ_RUDDERSTACK_DATA_PLANE_URL", "http://127.0.0.1:1"}}, version);
        CHECK(sent.url == "http://127.0.0.1:1/v1/batch");
    }
}

TEST_CASE("in a CI system the CLI says what it says anywhere") {
    const auto anywhere = json::parse(request({}).body)["batch"][0]["properties"];
    auto in_ci = json::parse(request({{"CI", "true"}, {"GITHUB_ACTIONS", "true"}}).body)["batch"][0]["properties"];
    for (const char* random : {"invocation_uuid", "sync_run_id"}) in_ci[random] = anywhere[random];
    CHECK(in_ci == anywhere);
    CHECK(resolve({{"GITHUB_ACTIONS", "true"}}).level == level::all);
}

TEST_CASE("another product's variables change nothing") {
    const auto sent = request({{"RUDDERSTACK_WRITE_KEY", "k"},
                               {"CLOUD", "1"},
                               {"ACME_RUDDERSTACK_DATA_PLANE_URL", "http://127.0.0.1:1"},
                               {"cq_cloud", "1"}});
    CHECK(sent.url == "https://analytics-events.cloudquery.io/v1/batch");
    CHECK(json::parse(sent.body)["batch"][0]["properties"]["environment"] == "cli");
}

TEST_CASE("CQ_TELEMETRY_LEVEL sets the level and CQ_NO_TELEMETRY turns all off, with a warning") {
    CHECK(resolve({}).level == level::all);
    CHECK(resolve({{"CQ_TELEMETRY_LEVEL", "errors"}}).level == level::errors);
    const auto off = resolve({{"CQ_NO_TELEMETRY", "1"}});
    CHECK(off.level == level::none);
    REQUIRE(off.warnings.size() == 1);
    CHECK(off.warnings[0].find("CQ_NO_TELEMETRY") != std::string::npos);
    CHECK(off.warnings[0].find("CQ_TELEMETRY_LEVEL") != std::string::npos);
    CHECK(resolve({{"CQ_TELEMETRY_LEVEL", "stats"}}, {"cloudquery", "--telemetry-level=none"}).level == level::none);
}

}  // namespace cloudquery_test
