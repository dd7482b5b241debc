#include <candor/identity/identity_resolver.hpp>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace identity_resolver_test {

namespace {

using candor::account;
using candor::identity_fields;
using candor::detail::identity_resolver;
using nlohmann::json;

const candor::uuid invocation = *candor::uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e");

identity_resolver of(std::optional<account> who, bool cloud = false) {
    return {invocation, cloud, [who = std::move(who)] { return who; }, {}, {}};
}

std::string properties(const identity_resolver& identity, identity_fields chosen = identity_fields::all,
                       bool first = true) {
    std::string out;
    identity.append_properties(chosen, out, first);
    return out;
}

/// The properties of an account as they stand in an event.
json read(std::optional<account> who, bool cloud = false) {
    auto identity = of(std::move(who), cloud);
    identity.resolve(false);
    return json::parse("{" + properties(identity) + "}");
}

}  // namespace

static_assert(contains(identity_fields::all, identity_fields::invocation_uuid));
static_assert(contains(identity_fields::team | identity_fields::user_id, identity_fields::user_id));
static_assert(!contains(identity_fields::team | identity_fields::user_id, identity_fields::environment));
static_assert(!contains(identity_fields{}, identity_fields::team));
static_assert((identity_fields::invocation_uuid | identity_fields::team | identity_fields::environment |
               identity_fields::user_id) == identity_fields::all);

TEST_CASE("every property that can be added is declared, and no other name is taken") {
    const json with_all = read(account{.user_id = "u1", .team_id = "t1"});
    CHECK(with_all.size() == candor::identity_properties.size());
    for (const auto& property : candor::identity_properties) {
        CHECK(with_all.contains(property.name));
        CHECK_FALSE(property.description.empty());
        CHECK(candor::detail::is_identity_property(property.name));
    }
    CHECK_FALSE(candor::detail::is_identity_property("teams"));
    CHECK_FALSE(candor::detail::is_identity_property("Team"));
    CHECK_FALSE(candor::detail::is_identity_property(""));
}

TEST_CASE("with an account all of its properties are there") {
    auto identity = of(account{.user_id = "u1", .team_id = "t1"});
    identity.resolve(false);
    CHECK(identity.known());
    CHECK_FALSE(identity.internal());
    CHECK(identity.user_id() == R"("u1")");
    CHECK(properties(identity) == R"("invocation_uuid":"0f8fad5b-d9cb-469f-a165-70867728950e","team":"t1",)"
                                  R"("$groups":{"team":"t1"},"environment":"cli","user_id":"u1")");
}

TEST_CASE("without an account only the invocation is named") {
    auto identity = of(std::nullopt);
    identity.resolve(false);
    CHECK_FALSE(identity.known());
    CHECK(properties(identity) == R"("invocation_uuid":"0f8fad5b-d9cb-469f-a165-70867728950e")");
    CHECK(properties(identity, identity_fields::team | identity_fields::user_id | identity_fields::environment) == "");
    CHECK(read(std::nullopt, true) == json{{"invocation_uuid", invocation.to_string()}});
    CHECK(read(account{.user_id = " ", .team_id = "t1"}) == json{{"invocation_uuid", invocation.to_string()}});
}

TEST_CASE("in the cloud the user is the team's service account") {
    const json sent = read(account{.user_id = "u1", .team_id = "t1"}, true);
    CHECK(sent["environment"] == "cloud");
    CHECK(sent["user_id"] == "t1_service_account");
    CHECK(sent["team"] == "t1");
    CHECK(sent["$groups"] == json{{"team", "t1"}});
}

TEST_CASE("in the cloud a team is enough of an account") {
    CHECK(read(account{.team_id = "t1"}, true)["user_id"] == "t1_service_account");
    CHECK_FALSE(read(account{.team_id = "t1"}, false).contains("user_id"));
}

TEST_CASE("without a source there is no account, and nothing to diagnose") {
    for (const bool cloud : {false, true}) {
        int heard = 0;
        identity_resolver identity{invocation, cloud, {}, {}, [&](std::string_view) { ++heard; }};
        identity.resolve(false);
        CHECK_FALSE(identity.known());
        CHECK_FALSE(identity.internal());
        CHECK(heard == 0);
    }
}

TEST_CASE("an account without a team has neither team nor groups") {
    for (const bool cloud : {false, true}) {
        const json sent = read(account{.user_id = "u1"}, cloud);
        CHECK(sent == json{{"invocation_uuid", invocation.to_string()},
                           {"environment", cloud ? "cloud" : "cli"},
                           {"user_id", "u1"}});
    }
}

TEST_CASE("only the chosen properties are added, with commas where they belong") {
    auto identity = of(account{.user_id = "u1", .team_id = "t1"});
    identity.resolve(false);
    const std::vector<std::pair<identity_fields, std::string>> each{
        {identity_fields::invocation_uuid, R"("invocation_uuid":"0f8fad5b-d9cb-469f-a165-70867728950e")"},
        {identity_fields::team, R"("team":"t1","$groups":{"team":"t1"})"},
        {identity_fields::environment, R"("environment":"cli")"},
        {identity_fields::user_id, R"("user_id":"u1")"}};
    for (unsigned chosen = 0; chosen < 16; ++chosen) {
        std::string expected;
        for (const auto& [bit, text] : each)
            if ((chosen & static_cast<unsigned>(bit)) != 0) expected += "," + text;
        const auto set = static_cast<identity_fields>(chosen);
        CHECK(properties(identity, set, false) == expected);
        CHECK(properties(identity, set, true) == (expected.empty() ? "" : expected.substr(1)));
    }
}

TEST_CASE("ids of any bytes stand in JSON") {
    const json sent = read(account{.user_id = "a\"\\\n\x01\xff", .team_id = "t\xc3\xa9\"m"});
    CHECK(sent["user_id"] == "a\"\\\n\x01\xef\xbf\xbd");
    CHECK(sent["team"] == "t\xc3\xa9\"m");
    CHECK(sent["$groups"]["team"] == "t\xc3\xa9\"m");
}

TEST_CASE("the source is asked when first needed and after a refresh, the filter whenever the source is") {
    int asked = 0;
    int filtered = 0;
    identity_resolver identity{invocation,
                               false,
                               [&] {
                                   ++asked;
                                   return std::optional{account{.user_id = "u" + std::to_string(asked)}};
                               },
                               [&](const std::optional<account>& who) {
                                   ++filtered;
                                   return who->user_id == "u2";
                               },
                               {}};
    CHECK(asked == 0);
    for (int i = 0; i < 3; ++i) identity.resolve(false);
    CHECK(asked == 1);
    CHECK(filtered == 1);
    CHECK(identity.user_id() == R"("u1")");
    CHECK_FALSE(identity.internal());

    identity.resolve(true);
    CHECK(asked == 2);
    CHECK(filtered == 2);
    CHECK(identity.user_id() == R"("u2")");
    CHECK(identity.internal());

    identity.resolve(false);
    CHECK(asked == 2);
    CHECK(identity.internal());

    identity.resolve(true);
    CHECK_FALSE(identity.internal());
    CHECK(identity.user_id() == R"("u3")");
}

TEST_CASE("a refresh at the start asks once") {
    int asked = 0;
    identity_resolver identity{invocation,
                               false,
                               [&]() -> std::optional<account> {
                                   ++asked;
                                   return {};
                               },
                               {},
                               {}};
    identity.resolve(true);
    identity.resolve(false);
    CHECK(asked == 1);
}

TEST_CASE("after a logout nothing of the former account is left") {
    int asked = 0;
    identity_resolver identity{
        invocation,
        false,
        [&] { return ++asked == 2 ? std::nullopt : std::optional{account{.user_id = "u1", .team_id = "t1"}}; },
        {},
        {}};
    identity.resolve(false);
    CHECK(identity.known());
    identity.resolve(true);
    CHECK_FALSE(identity.known());
    CHECK(properties(identity) == R"("invocation_uuid":"0f8fad5b-d9cb-469f-a165-70867728950e")");
    identity.resolve(true);
    CHECK(identity.known());
}

TEST_CASE("a change of team leaves no former team behind") {
    int asked = 0;
    identity_resolver identity{invocation,
                               false,
                               [&] {
                                   return ++asked == 1 ? std::optional{account{.user_id = "u1", .team_id = "t1"}}
                                                       : std::optional{account{.user_id = "u1"}};
                               },
                               {},
                               {}};
    identity.resolve(false);
    CHECK(properties(identity, identity_fields::team) == R"("team":"t1","$groups":{"team":"t1"})");
    identity.resolve(true);
    CHECK(properties(identity, identity_fields::team) == "");
}

TEST_CASE("the filter sees the account that the events would name, and none as none") {
    std::vector<std::optional<account>> seen;
    const auto filter = [&](const std::optional<account>& who) {
        seen.push_back(who);
        return !who;
    };
    const auto source = [] { return std::optional{account{.user_id = "u1", .team_id = "t1"}}; };
    identity_resolver here{invocation, false, source, filter, {}};
    here.resolve(false);
    identity_resolver cloud{invocation, true, source, filter, {}};
    cloud.resolve(false);
    identity_resolver nobody{invocation, false, {}, filter, {}};
    nobody.resolve(false);
    CHECK_FALSE(here.internal());
    CHECK(nobody.internal());
    REQUIRE(seen.size() == 3);
    CHECK(seen[0]->user_id == "u1");
    CHECK(seen[0]->team_id == "t1");
    CHECK(seen[1]->user_id == "t1_service_account");
    CHECK_FALSE(seen[2]);
}

TEST_CASE("a filter that throws means a team outside, with one diagnostic without the exception's text") {
    std::vector<std::string> heard;
    int filtered = 0;
    identity_resolver identity{invocation, false, [] { return std::optional{account{.user_id = "u1"}}; },
                               [&](const std::optional<account>&) -> bool {
                                   if (++filtered == 1) return true;
                                   throw std::runtime_error{"token hunter2"};
                               },
                               [&](std::string_view text) { heard.emplace_back(text); }};
    identity.resolve(false);
    CHECK(identity.internal());
    identity.resolve(true);
    CHECK_FALSE(identity.internal());
    CHECK(identity.known());
    identity.resolve(false);
    CHECK(heard == std::vector<std::string>{"the internal-team filter threw; the team counts as external"});
}

TEST_CASE("a source that throws means no account, with a diagnostic") {
    int heard = 0;
    identity_resolver identity{
        invocation, false, []() -> std::optional<account> { throw 7; }, {}, [&](std::string_view) { ++heard; }};
    identity.resolve(false);
    CHECK_FALSE(identity.known());
    CHECK(heard == 1);
}

}  // namespace identity_resolver_test
