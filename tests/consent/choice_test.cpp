#include <candor/consent/choice.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include <candor/testing.hpp>

#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

namespace choice_test {

namespace {

using candor::level;

/// A user's configuration, with a saved choice where a test writes one.
struct user {
    temporary_directory dir{};
    std::filesystem::path file = dir.path() / "acme/telemetry.json";

    void save(std::string_view content) const { dir.write("acme/telemetry.json", content); }

    [[nodiscard]] std::optional<candor::choice> choice() const {
        return candor::read_choice(candor::testing::fixed_environment{{{"XDG_CONFIG_HOME", dir.string()}}}, "acme");
    }
};

}  // namespace

TEST_CASE("no saved choice is no choice") {
    const user someone;
    CHECK_FALSE(someone.choice());
    std::filesystem::create_directory(someone.dir.path() / "acme");
    CHECK_FALSE(someone.choice());
    CHECK_FALSE(candor::read_choice(candor::testing::fixed_environment{}, "acme"));
}

TEST_CASE("each saved level is read") {
    const user someone;
    for (const auto l : {level::none, level::errors, level::stats, level::all}) {
        someone.save("{\"level\":\"" + std::string{candor::to_string(l)} + "\", \"since\": 2026}\n");
        const auto choice = someone.choice();
        REQUIRE(choice);
        CHECK(choice->level == l);
        CHECK(choice->file == someone.file);
        CHECK_FALSE(choice->warning);
    }
}

TEST_CASE("the choice is below ~/.config where XDG_CONFIG_HOME is not set") {
    const temporary_directory home;
    home.write(".config/acme/telemetry.json", R"({"level":"errors"})");
    const auto choice = candor::read_choice(candor::testing::fixed_environment{{{"HOME", home.string()}}}, "acme");
    REQUIRE(choice);
    CHECK(choice->level == level::errors);
}

TEST_CASE("a saved choice that cannot be used means none, with a warning that names the file and the reason") {
    const user someone;
    const std::string begin = "the saved telemetry choice cannot be used, so nothing is sent: " + someone.file.string();
    const auto warning_for = [&](std::string_view content) {
        someone.save(content);
        const auto choice = someone.choice();
        REQUIRE(choice);
        CHECK(choice->level == level::none);
        return choice->warning.value_or("");
    };
    CHECK(warning_for("") == begin + " is not a JSON object");
    CHECK(warning_for("all") == begin + " is not a JSON object");
    CHECK(warning_for("{}") == begin + " has no \"level\"");
    CHECK(warning_for(R"({"level":3})") == begin + " has a \"level\" that is not a string");
    CHECK(warning_for(R"({"level":"al\u001bl"})") ==
          begin + " has the level \"al\\x1bl\"; allowed: none, errors, stats, all");
    CHECK(warning_for(R"({"level":"All"})") == begin + " has the level \"All\"; allowed: none, errors, stats, all");
    CHECK(warning_for(R"({"level":"all"})" + std::string(65536, ' ')) == begin + " is larger than 65536 bytes");
}

TEST_CASE("something that is no regular file in place of the saved choice means none") {
    const user someone;
    std::filesystem::create_directories(someone.file);
    REQUIRE(someone.choice());
    CHECK(someone.choice()->level == level::none);
    CHECK(someone.choice()->warning);

    std::filesystem::remove(someone.file);
    REQUIRE(::mkfifo(someone.file.c_str(), 0600) == 0);
    REQUIRE(someone.choice());
    CHECK(someone.choice()->level == level::none);
    CHECK(someone.choice()->warning);
}

}  // namespace choice_test
