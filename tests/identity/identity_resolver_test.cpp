#include <candor/identity/identity_resolver.hpp>

#include <atomic>
#include <cstdint>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace identity_resolver_test {

namespace {

using candor::account;
using candor::identity_fields;
using candor::detail::identity_resolver;
using candor::detail::resolved_identity;
using nlohmann::json;

resolved_identity identity_of(std::optional<account> who, bool in_cloud = false) {
    return identity_resolver{in_cloud, [&] { return who; }, {}, {}}.resolve(0);
}

std::string properties(const resolved_identity& who, identity_fields chosen = identity_fields::all,
                       bool in_cloud = false, bool first = true) {
    std::string out;
    who.append_properties(chosen, in_cloud, out, first);
    return out;
}

/// The properties of an account as they stand in an event.
json read(std::optional<account> who, bool in_cloud = false) {
    return json::parse("{" + properties(identity_of(std::move(who), in_cloud), identity_fields::all, in_cloud) + "}");
}

}  // namespace

static_assert(contains(identity_fields::all, identity_fields::invocation_uuid));
static_assert(contains(identity_fields::team | identity_fields::user_id, identity_fields::user_id));
static_assert(!contains(identity_fields::team | identity_fields::user_id, identity_fields::environment));
static_assert(!contains(identity_fields{}, identity_fields::team));
static_assert((identity_fields::invocation_uuid | identity_fields::team | identity_fields::environment |
               identity_fields::user_id) == identity_fields::all);

TEST_CASE("every property that can be added is declared, and no other name is taken") {
    json with_all = read(account{.user_id = "u1", .team_id = "t1"});
    with_all["invocation_uuid"] = "of the run, not of the account";
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
    const auto who = identity_of(account{.user_id = "u1", .team_id = "t1"});
    CHECK(who.is_known);
    CHECK_FALSE(who.is_internal);
    CHECK(who.user_id == R"("u1")");
    CHECK(properties(who) == R"("team":"t1","$groups":{"team":"t1"},"environment":"cli","user_id":"u1")");
}

TEST_CASE("without an account there are no properties and no name") {
    for (const auto& who : {std::optional<account>{}, std::optional{account{.user_id = " ", .team_id = "t1"}},
                            std::optional{account{.user_id = "\t\r\n", .team_id = "t1"}}}) {
        const auto nobody = identity_of(who);
        CHECK_FALSE(nobody.is_known);
        CHECK(nobody.name() == 0);
        CHECK(nobody.user_id.empty());
        CHECK(properties(nobody) == "");
    }
    CHECK(read(std::nullopt, true).empty());
    CHECK(identity_of(account{.user_id = " u "}).user_id == R"(" u ")");
}

TEST_CASE("in the cloud the property is the team's service account, and the user stays the account's") {
    const auto who = identity_of(account{.user_id = "u1", .team_id = "t1"}, true);
    CHECK(who.user_id == R"("u1")");
    const json sent = read(account{.user_id = "u1", .team_id = "t1"}, true);
    CHECK(sent["environment"] == "cloud");
    CHECK(sent["user_id"] == "t1_service_account");
    CHECK(sent["team"] == "t1");
    CHECK(sent["$groups"] == json{{"team", "t1"}});
}

TEST_CASE("in the cloud a team is enough of an account") {
    CHECK(read(account{.team_id = "t1"}, true)["user_id"] == "t1_service_account");
    CHECK_FALSE(read(account{.team_id = "t1"}, false).contains("user_id"));
    const auto team = identity_of(account{.team_id = "t1"}, true);
    CHECK(team.is_known);
    CHECK(team.user_id.empty());
    CHECK(team.name() != 0);
    CHECK(team.name() != identity_of(account{.team_id = "t2"}, true).name());
    CHECK_FALSE(identity_of(account{}, true).is_known);
    CHECK_FALSE(json::parse("{" + properties(team) + "}").contains("user_id"));  // of an event from elsewhere
}

TEST_CASE("without a source there is no account, and nothing to diagnose") {
    for (const bool cloud : {false, true}) {
        int heard = 0;
        identity_resolver identity{cloud, {}, {}, [&](std::string_view) { ++heard; }};
        const auto& who = identity.resolve(0);
        CHECK_FALSE(who.is_known);
        CHECK_FALSE(who.is_internal);
        CHECK(heard == 0);
    }
}

TEST_CASE("an account without a team has neither team nor groups") {
    for (const bool cloud : {false, true}) {
        const json sent = read(account{.user_id = "u1"}, cloud);
        CHECK(sent == json{{"environment", cloud ? "cloud" : "cli"}, {"user_id", "u1"}});
    }
}

TEST_CASE("only the chosen properties are added, with commas where they belong") {
    const auto who = identity_of(account{.user_id = "u1", .team_id = "t1"});
    const std::vector<std::pair<identity_fields, std::string>> each{
        {identity_fields::team, R"("team":"t1","$groups":{"team":"t1"})"},
        {identity_fields::environment, R"("environment":"cli")"},
        {identity_fields::user_id, R"("user_id":"u1")"}};
    for (unsigned chosen = 0; chosen < 16; ++chosen) {
        std::string expected;
        for (const auto& [bit, text] : each)
            if ((chosen & static_cast<unsigned>(bit)) != 0) expected += "," + text;
        const auto set = static_cast<identity_fields>(chosen);
        CHECK(properties(who, set, false, false) == expected);
        CHECK(properties(who, set, false, true) == (expected.empty() ? "" : expected.substr(1)));
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
    identity_resolver identity{false,
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
    for (int i = 0; i < 3; ++i) {
        CHECK(identity.has_to_ask(0) == (i == 0));
        identity.resolve(0);
    }
    CHECK(asked == 1);
    CHECK(filtered == 1);
    CHECK(identity.found()->user_id == R"("u1")");
    CHECK_FALSE(identity.found()->is_internal);

    CHECK(identity.has_to_ask(1));
    identity.resolve(1);
    CHECK(asked == 2);
    CHECK(filtered == 2);
    CHECK(identity.found()->user_id == R"("u2")");
    CHECK(identity.found()->is_internal);

    for (const std::uint32_t refreshes : {0U, 1U}) identity.resolve(refreshes);  // of threads that were slower
    CHECK(asked == 2);
    CHECK(identity.found()->is_internal);

    identity.resolve(3);  // where the login's own event was not recorded
    CHECK(asked == 3);
    CHECK_FALSE(identity.found()->is_internal);
    CHECK(identity.found()->user_id == R"("u3")");
}

TEST_CASE("a refresh at the start asks once") {
    int asked = 0;
    identity_resolver identity{false,
                               [&]() -> std::optional<account> {
                                   ++asked;
                                   return {};
                               },
                               {},
                               {}};
    identity.resolve(identity.refresh());
    identity.resolve(0);
    CHECK(asked == 1);
}

TEST_CASE("after a logout nothing of the former account is left") {
    int asked = 0;
    identity_resolver identity{
        false,
        [&] { return ++asked == 2 ? std::nullopt : std::optional{account{.user_id = "u1", .team_id = "t1"}}; },
        {},
        {}};
    CHECK(identity.resolve(0).is_known);
    const auto& nobody = identity.resolve(1);
    CHECK_FALSE(nobody.is_known);
    CHECK(nobody.user_id.empty());
    CHECK(properties(nobody) == "");
    CHECK(identity.resolve(2).is_known);
}

TEST_CASE("a change of team leaves no former team behind") {
    int asked = 0;
    identity_resolver identity{false,
                               [&] {
                                   return ++asked == 1 ? std::optional{account{.user_id = "u1", .team_id = "t1"}}
                                                       : std::optional{account{.user_id = "u1"}};
                               },
                               {},
                               {}};
    CHECK(properties(identity.resolve(0), identity_fields::team) == R"("team":"t1","$groups":{"team":"t1"})");
    CHECK(properties(identity.resolve(1), identity_fields::team) == "");
}

TEST_CASE("the filter sees the account as its source gave it, and none as none") {
    std::vector<std::optional<account>> seen;
    const auto filter = [&](const std::optional<account>& who) {
        seen.push_back(who);
        return !who;
    };
    const auto source = [] { return std::optional{account{.user_id = "u1", .team_id = "t1"}}; };
    identity_resolver here{false, source, filter, {}};
    CHECK_FALSE(here.resolve(0).is_internal);
    identity_resolver cloud{true, source, filter, {}};
    cloud.resolve(0);
    identity_resolver nobody{false, [] { return std::optional{account{.team_id = "t1"}}; }, filter, {}};
    CHECK(nobody.resolve(0).is_internal);
    REQUIRE(seen.size() == 3);
    for (const int i : {0, 1}) {
        CHECK(seen[static_cast<std::size_t>(i)]->user_id == "u1");
        CHECK(seen[static_cast<std::size_t>(i)]->team_id == "t1");
    }
    CHECK_FALSE(seen[2]);
}

TEST_CASE("a filter that throws means a team outside, with one diagnostic without the exception's text") {
    std::vector<std::string> heard;
    int filtered = 0;
    identity_resolver identity{false, [] { return std::optional{account{.user_id = "u1"}}; },
                               [&](const std::optional<account>&) -> bool {
                                   if (++filtered == 1) return true;
                                   throw std::runtime_error{"token hunter2"};
                               },
                               [&](std::string_view text) { heard.emplace_back(text); }};
    CHECK(identity.resolve(0).is_internal);
    CHECK_FALSE(identity.resolve(1).is_internal);
    CHECK(identity.resolve(0).is_known);
    CHECK(heard == std::vector<std::string>{"the internal-team filter threw; the team counts as external"});
}

TEST_CASE("a source that throws means no account, with a diagnostic") {
    int heard = 0;
    identity_resolver identity{
        false, []() -> std::optional<account> { throw 7; }, {}, [&](std::string_view) { ++heard; }};
    CHECK_FALSE(identity.resolve(0).is_known);
    CHECK(heard == 1);
}

TEST_CASE("a user has a name from when it is found until a refresh, and then another user's") {
    std::string user = "u1";
    identity_resolver identity{false, [&] { return std::optional{account{.user_id = user}}; }, {}, {}};
    CHECK_FALSE(identity.found());
    CHECK(identity.named_user() == 0);
    identity.resolve(0);
    const auto first = identity.named_user();
    CHECK(first != 0);
    CHECK(identity_of(account{.user_id = "u1", .team_id = "t1"}).name() == first);

    user = "u2";
    CHECK(identity.refresh() == 1);
    CHECK(identity.refreshes() == 1);
    CHECK(identity.named_user() == 0);
    identity.resolve(1);
    CHECK(identity.named_user() != 0);
    CHECK(identity.named_user() != first);
}

TEST_CASE("what was found is read beside the worker, whole") {
    std::uint32_t asked = 0;
    identity_resolver identity{false,
                               [&] {
                                   const auto id = std::to_string(++asked);
                                   return std::optional{account{.user_id = "u" + id, .team_id = "t" + id}};
                               },
                               {},
                               {}};
    std::atomic<bool> is_over = false;
    std::set<std::string> torn;
    std::thread reader{[&] {
        while (!is_over) {
            const auto who = identity.found();
            if (who && who->user_id.substr(2) != who->team.substr(2)) torn.insert(who->user_id + who->team);
            static_cast<void>(identity.named_user());
        }
    }};
    for (std::uint32_t i = 0; i < 20'000; ++i) identity.resolve(i);
    is_over = true;
    reader.join();
    CHECK(asked == 20'000);
    CHECK(torn.empty());
}

}  // namespace identity_resolver_test
