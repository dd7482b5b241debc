#include <candor/event/catalog.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <candor/event/init.hpp>
#include <candor/event/login.hpp>
#include <candor/event/sync.hpp>

#include <doctest/doctest.h>

namespace catalog_test {

namespace {

struct everything {
    static constexpr std::string_view event_name = "everything";
    static constexpr auto identity = candor::identity_fields::invocation_uuid | candor::identity_fields::team;

    std::string name{};
    std::vector<std::string> names{};
    std::optional<std::vector<std::int64_t>> counts{};
    double ratio = 0;
    bool is_there = false;
    std::chrono::milliseconds took{};
    std::chrono::system_clock::time_point at{};
    candor::uuid id{};
    [[nodiscard]] std::optional<std::string> worked_out() const { return name; }

    static constexpr auto fields() {
        return std::tuple{
            candor::field("name", &everything::name, "A name | of two"),
            candor::free_text("names", &everything::names, "What was said"),
            candor::field("counts", &everything::counts, "How many"),
            candor::field("ratio", &everything::ratio, "Of what"),
            candor::field("is_there", &everything::is_there, "Whether"),
            candor::field("took", &everything::took, "How long"),
            candor::field("at", &everything::at, "When"),
            candor::field("id", &everything::id, "Which"),
            candor::field("worked_out", &everything::worked_out, "From the name"),
            candor::invocation_id("run", "The run again"),
            candor::ci("ci", "Who runs it"),
        };
    }
};

}  // namespace

TEST_CASE("each kind of field stands in the catalog with its type, its class and its description") {
    const auto catalog = candor::make_catalog(candor::event_list<everything>{});
    REQUIRE(catalog.size() == 1);
    CHECK(catalog[0].name == "everything");
    CHECK_FALSE(catalog[0].requires_account);
    std::string told;
    for (const auto& field : catalog[0].fields)
        told += std::string{field.name} + (field.optional ? "?" : "") + ": " + field.type + ", " +
                std::string{field.classification} + "\n";
    CHECK(told ==
          "name: string, plain\n"
          "names: list of string, free_text\n"
          "counts?: list of integer, plain\n"
          "ratio: number, plain\n"
          "is_there: boolean, plain\n"
          "took: integer (nanoseconds), plain\n"
          "at: string (time), plain\n"
          "id: string (UUID), plain\n"
          "worked_out?: string, plain\n"
          "run: string (UUID), invocation_id\n"
          "ci?: string, ci\n"
          "invocation_uuid: string (UUID), identity\n"
          "team?: string, identity\n"
          "$groups?: object, identity\n");
}

TEST_CASE("the catalog as JSON has every event with every field") {
    using candor::init_completed, candor::init_started, candor::login_succeeded, candor::sync_completed,
        candor::sync_started;
    const auto json =
        to_json(candor::make_catalog<login_succeeded, sync_started, sync_completed, init_started, init_completed>());
    CHECK(json.at("events").size() == 5);
    CHECK(json.at("events")[1].at("name") == "sync_run_started");
    CHECK(json.at("events")[1].at("requires_account") == true);
    const auto& field = json.at("events")[2].at("fields")[6];
    CHECK(field.at("name") == "duration");
    CHECK(field.at("type") == "integer (nanoseconds)");
    CHECK(field.at("optional") == false);
    CHECK(field.at("class") == "plain");
    CHECK(field.at("description") == "Wall time, in nanoseconds");
    for (const auto& event : json.at("events")) {
        for (const auto& each : event.at("fields")) {
            CHECK_FALSE(each.at("description").get<std::string>().empty());
            CHECK_FALSE(each.at("type").get<std::string>().empty());
        }
    }
}

TEST_CASE("the catalog as Markdown has a table an event, and nothing ends a cell early") {
    const auto text = to_markdown(candor::make_catalog<everything, candor::sync_started>());
    CHECK(text.find("## `everything`\n\n| field | type | class | description |\n|---|---|---|---|\n"
                    "| `name` | string | `plain` | A name \\| of two |\n") != std::string::npos);
    CHECK(text.find("| `counts` * | list of integer | `plain` | How many |\n") != std::string::npos);
    CHECK(text.find("## `sync_run_started`\n\nSent only where somebody is logged in.\n\n| field") != std::string::npos);
    CHECK(text.find("| `ci` * | string | `ci` | Who runs it |\n") != std::string::npos);
    CHECK(text.back() == '\n');
    CHECK(text.find("\n\n\n") == std::string::npos);
}

TEST_CASE("a list knows what it contains, and no list contains all") {
    using list = candor::event_list<candor::init_started>;
    CHECK(list::contains<candor::init_started>);
    CHECK_FALSE(list::contains<candor::init_completed>);
    CHECK_FALSE(candor::event_list<>::contains<candor::init_started>);
    CHECK(candor::any_event::contains<candor::init_completed>);
}

TEST_CASE("the document of a program has its name and its catalog") {
    using list = candor::event_list<candor::init_started>;
    CHECK(candor::telemetry_document("acme", list{}) ==
          "# What acme can send\n\n" + candor::to_markdown(candor::make_catalog(list{})));
}

}  // namespace catalog_test
