#include <candor/identity/internal_team.hpp>

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <candor/testing.hpp>

#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

namespace internal_team_test {

namespace {

/// A user's configuration and the default filter on it.
struct user {
    temporary_directory dir{};
    std::vector<std::string> heard{};
    candor::internal_team_filter filter =
        candor::internal_team_from_config(candor::testing::fixed_environment{{{"XDG_CONFIG_HOME", dir.string()}}},
                                          "acme", [this](std::string_view text) { heard.emplace_back(text); });

    bool internal() { return filter(candor::account{.user_id = "u1", .team_id = "t1"}); }

    bool internal_with(std::string_view config) {
        dir.write("acme/config.json", config);
        return internal();
    }
};

}  // namespace

TEST_CASE("the team is internal where the configuration has the string true") {
    user someone;
    CHECK(someone.internal_with(R"({"team":"t1","team_internal":"true"})"));
    CHECK(someone.filter(std::nullopt));
    CHECK(someone.heard.empty());
}

TEST_CASE("another string, no member and no file mean not internal and are normal") {
    user someone;
    CHECK_FALSE(someone.internal());
    CHECK_FALSE(someone.internal_with("{}"));
    for (const auto* value : {"false", "", "True", "TRUE", "1", " true", "true "})
        CHECK_FALSE(someone.internal_with("{\"team_internal\":\"" + std::string{value} + "\"}"));
    CHECK(someone.heard.empty());
}

TEST_CASE("a configuration that cannot be used means not internal, with a diagnostic and no exception") {
    user someone;
    const auto file = (someone.dir.path() / "acme/config.json").string();
    CHECK_FALSE(someone.internal_with("{\"team_internal\":\"true\""));
    CHECK_FALSE(someone.internal_with("{\"team_internal\":true}"));
    CHECK_FALSE(someone.internal_with("{\"team_internal\":\"true\"}" + std::string(65536, ' ')));
    std::filesystem::remove(file);
    std::filesystem::create_directory(file);
    CHECK_FALSE(someone.internal());
    const std::string end = "; the team counts as not internal";
    CHECK(someone.heard == std::vector<std::string>{file + " is not a JSON object" + end,
                                                    file + " has a \"team_internal\" that is not a string" + end,
                                                    file + " is larger than 65536 bytes" + end,
                                                    file + " is not a regular file" + end});
}

TEST_CASE("the file is read at each call, so that a login may change the answer") {
    user someone;
    CHECK_FALSE(someone.internal());
    CHECK(someone.internal_with(R"({"team_internal":"true"})"));
    CHECK_FALSE(someone.internal_with(R"({"team_internal":"false"})"));
}

TEST_CASE("without a configuration directory no team is internal") {
    int heard = 0;
    const auto filter = candor::internal_team_from_config(candor::testing::fixed_environment{}, "acme",
                                                          [&](std::string_view) { ++heard; });
    CHECK_FALSE(filter(std::nullopt));
    CHECK(heard == 0);
}

TEST_CASE("a diagnostic sink that throws does not reach the caller of the filter") {
    const temporary_directory dir;
    dir.write("acme/config.json", "{");
    const auto filter =
        candor::internal_team_from_config(candor::testing::fixed_environment{{{"XDG_CONFIG_HOME", dir.string()}}},
                                          "acme", [](std::string_view) { throw std::runtime_error{"sink"}; });
    CHECK_NOTHROW(CHECK_FALSE(filter(std::nullopt)));
}

}  // namespace internal_team_test
