#include <candor/consent/level.hpp>

#include <string>
#include <string_view>

#include <doctest/doctest.h>

namespace level_test {

using candor::level;

TEST_CASE("each level is read from its name and written as it") {
    for (const auto l : {level::none, level::errors, level::stats, level::all})
        CHECK(candor::parse_level(candor::to_string(l)) == l);
    CHECK(candor::to_string(level::none) == "none");
    CHECK(candor::to_string(level::errors) == "errors");
    CHECK(candor::to_string(level::stats) == "stats");
    CHECK(candor::to_string(level::all) == "all");
    static_assert(candor::parse_level("stats") == level::stats);
}

TEST_CASE("only the exact name is a level") {
    for (const std::string_view text :
         {std::string_view{""}, std::string_view{"None"}, std::string_view{"ALL"}, std::string_view{" all"},
          std::string_view{"all "}, std::string_view{"al"}, std::string_view{"alle"}, std::string_view{"0"},
          std::string_view{"all\n"}, std::string_view{"all\0", 4}, std::string_view{"off"}}) {
        CAPTURE(text);
        CHECK_FALSE(candor::parse_level(text));
    }
}

TEST_CASE("errors go out at errors and all, analytics at stats and all") {
    const auto sends = [](level l) {
        return std::string{candor::sends_errors(l) ? "e" : "-"} + (candor::sends_analytics(l) ? "a" : "-");
    };
    CHECK(sends(level::none) == "--");
    CHECK(sends(level::errors) == "e-");
    CHECK(sends(level::stats) == "-a");
    CHECK(sends(level::all) == "ea");
}

TEST_CASE("the list of allowed levels is the list of names") {
    std::string names;
    for (const auto name : candor::detail::level_names) names += (names.empty() ? "" : ", ") + std::string{name};
    CHECK(candor::detail::allowed_levels == names);
}

}  // namespace level_test
