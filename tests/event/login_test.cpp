#include <candor/event/login.hpp>

#include <chrono>
#include <optional>
#include <string>

#include <candor/event/fields.hpp>
#include <candor/event/sync.hpp>
#include <candor/telemetry.hpp>
#include <candor/testing.hpp>

#include "event/golden/golden.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace login_test {

namespace {

using namespace std::chrono_literals;
using candor::testing::recorded_telemetry;
using nlohmann::json;

static_assert(candor::event<candor::login_succeeded>);

}  // namespace

TEST_CASE("login_success carries these bytes") { candor::testing::check_golden(candor::login_succeeded{}); }

TEST_CASE("login_success says the invocation, the team and the environment, and nothing of the user") {
    const auto body = json::parse(candor::testing::arrival(candor::login_succeeded{}, {}));
    CHECK(body["batch"][0]["properties"] == json{{"invocation_uuid", "0f8fad5b-d9cb-469f-a165-70867728950e"},
                                                 {"team", "acme"},
                                                 {"$groups", {{"team", "acme"}}},
                                                 {"environment", "cli"}});
}

TEST_CASE("a login is sent on behalf of the account that is there after it, and so is what follows") {
    candor::testing::manual_clock clock;
    candor::testing::recording_transport transport;
    int asked = 0;
    auto options = candor::testing::golden_options({});
    options.account = [&] {
        ++asked;
        if (asked == 1) return std::optional<candor::account>{};
        return std::optional{candor::account{.user_id = "u2", .team_id = "t2"}};
    };
    recorded_telemetry telemetry{options, transport, clock};
    telemetry.track(candor::sync_started{});
    REQUIRE(telemetry.flush(1s));
    CHECK(transport.requests().empty());
    CHECK(asked == 1);

    telemetry.track(candor::login_succeeded{});
    telemetry.track(candor::sync_started{});
    REQUIRE(telemetry.flush(1s));
    CHECK(asked == 2);
    REQUIRE(transport.requests().size() == 1);
    const auto batch = json::parse(transport.requests()[0].body)["batch"];
    REQUIRE(batch.size() == 2);
    CHECK(batch[0]["event"] == "login_success");
    CHECK(batch[0]["userId"] == "u2");
    CHECK(batch[0]["properties"]["team"] == "t2");
    CHECK(batch[1]["event"] == "sync_run_started");
    CHECK(batch[1]["userId"] == "u2");
    CHECK(telemetry.statistics().dropped[candor::drop_reason::no_account] == 1);
}

}  // namespace login_test
