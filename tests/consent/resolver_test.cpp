#include <candor/consent/resolver.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <candor/testing.hpp>

#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

namespace resolver_test {

namespace {

using candor::level;
using candor::level_source;
using candor::testing::fixed_environment;

const candor::product acme{.name = "acme", .version = "1.4.0", .env_prefix = "ACME"};

/// Resolves the level for a command line, the program's name left out.
template <class Environment = fixed_environment>
candor::resolution resolve(std::vector<const char*> arguments, const Environment& environment = {},
                           const candor::product& product = acme) {
    arguments.insert(arguments.begin(), "acme");
    arguments.push_back(nullptr);
    return candor::resolve_level(product, static_cast<int>(arguments.size()) - 1, arguments.data(), environment);
}

/// Remembers what it was asked for.
struct curious_environment {
    fixed_environment variables{};
    mutable std::vector<std::string> asked{};

    [[nodiscard]] std::optional<std::string> get(const char* name) const {
        asked.emplace_back(name);
        return variables.get(name);
    }
};

struct saved {
    const char* name;
    std::optional<std::string> content;  ///< nothing: there is no file
};

/// What the order of sources says, written down as a list of rules: the first whose condition holds gives the answer.
struct verdict {
    bool holds;
    level_source source;
    std::optional<level> answer;  ///< nothing: an error
};

std::optional<level> named(const std::string& text) {
    static const std::map<std::string, level> names{
        {"none", level::none}, {"errors", level::errors}, {"stats", level::stats}, {"all", level::all}};
    const auto found = names.find(text);
    return found == names.end() ? std::nullopt : std::optional{found->second};
}

}  // namespace

TEST_CASE("the level follows from the sources in their order, for every combination of their values") {
    using value = std::optional<std::string>;
    const std::vector<value> flags{std::nullopt, "none", "errors", "stats", "all", "bogus", ""};
    const std::vector<value> variables{std::nullopt, "", "none", "errors", "stats", "all", "bogus"};
    const std::vector<value> legacies{std::nullopt, "", "1", "0"};
    const std::vector<value> tracks{std::nullopt, "", "0", "1", "false"};
    const std::vector<saved> choices{
        {"absent", std::nullopt},          {"none", R"({"level":"none"})"}, {"errors", R"({"level":"errors"})"},
        {"stats", R"({"level":"stats"})"}, {"all", R"({"level":"all"})"},   {"malformed", "{\"level\":"},
        {"unreadable", std::nullopt}};
    const std::vector<value> systems{std::nullopt, "true"};
    const candor::product quiet_in_ci{.name = "acme", .version = "1.4.0", .env_prefix = "ACME", .in_ci = level::errors};
    const temporary_directory config;
    for (const auto& choice : choices)
        if (choice.content) config.write(std::string{choice.name} + "/acme/telemetry.json", *choice.content);
    std::filesystem::create_directories(config.path() / "unreadable/acme/telemetry.json");

    int combinations = 0;
    for (const auto& flag : flags) {
        for (const auto& variable : variables) {
            for (const auto& legacy : legacies) {
                for (const auto& track : tracks) {
                    for (std::size_t last = 0; last < choices.size() * systems.size(); ++last) {
                        const auto& choice = choices[last / systems.size()];
                        const auto& system = systems[last % systems.size()];
                        const std::string chosen = choice.name;
                        const bool chosen_badly = chosen == "malformed" || chosen == "unreadable";
                        const std::vector<verdict> rules{
                            {flag.has_value(), level_source::flag, named(flag.value_or(""))},
                            {variable.value_or("") != "", level_source::variable, named(variable.value_or(""))},
                            {legacy.value_or("") != "", level_source::legacy_variable, level::none},
                            {track == "1" || track == "false", level_source::do_not_track, level::none},
                            {chosen_badly, level_source::saved_choice, level::none},
                            {chosen != "absent", level_source::saved_choice, named(chosen)},
                            {system.has_value(), level_source::ci, level::errors},
                            {true, level_source::default_value, level::all}};
                        std::size_t first = 0;
                        while (!rules[first].holds) ++first;
                        const auto& expected = rules[first];

                        std::map<std::string, std::string> set{{"XDG_CONFIG_HOME", config.string() + "/" + chosen}};
                        if (variable) set["ACME_TELEMETRY_LEVEL"] = *variable;
                        if (legacy) set["ACME_NO_TELEMETRY"] = *legacy;
                        if (track) set["DO_NOT_TRACK"] = *track;
                        if (system) set["GITHUB_ACTIONS"] = *system;
                        const fixed_environment environment{set};

                        const std::string joined = "--telemetry-level=" + flag.value_or("");
                        std::vector<candor::resolution> answers{candor::resolve_level(
                            quiet_in_ci, flag ? std::optional<std::string_view>{*flag} : std::nullopt, environment)};
                        if (flag) {
                            answers.push_back(resolve({joined.c_str()}, environment, quiet_in_ci));
                            answers.push_back(resolve({"--telemetry-level", flag->c_str()}, environment, quiet_in_ci));
                        } else {
                            answers.push_back(resolve({}, environment, quiet_in_ci));
                        }
                        for (const auto& got : answers) {
                            CAPTURE(flag.value_or("(absent)"));
                            CAPTURE(variable.value_or("(unset)"));
                            CAPTURE(legacy.value_or("(unset)"));
                            CAPTURE(track.value_or("(unset)"));
                            CAPTURE(chosen);
                            CAPTURE(system.value_or("(unset)"));
                            CAPTURE(got.reason);
                            ++combinations;
                            REQUIRE(got.source == expected.source);
                            REQUIRE(got.level == expected.answer.value_or(level::none));
                            REQUIRE(got.error.has_value() == !expected.answer.has_value());
                            const bool warns = expected.source == level_source::legacy_variable ||
                                               (expected.source == level_source::saved_choice && chosen_badly);
                            REQUIRE(got.warnings.size() == (warns ? 1 : 0));
                            REQUIRE_FALSE(got.reason.empty());
                            REQUIRE_FALSE(got.development);
                        }
                    }
                }
            }
        }
    }
    CHECK(combinations == (6 * 3 + 2) * 7 * 4 * 5 * 7 * 2);
}

TEST_CASE("the reason says in one line what decided") {
    const temporary_directory config;
    config.write("acme/telemetry.json", R"({"level":"stats"})");
    const auto reason = [](const candor::resolution& r) { return r.reason; };
    using variables = std::map<std::string, std::string>;
    CHECK(reason(resolve({"--telemetry-level", "errors"})) == "--telemetry-level=errors");
    CHECK(reason(resolve({"--telemetry-level=x"})) == "--telemetry-level has an unknown value");
    CHECK(reason(resolve({"--telemetry-level"})) == "--telemetry-level has no value");
    CHECK(reason(resolve({}, fixed_environment{variables{{"ACME_TELEMETRY_LEVEL", "stats"}}})) ==
          "ACME_TELEMETRY_LEVEL=stats");
    CHECK(reason(resolve({}, fixed_environment{variables{{"ACME_TELEMETRY_LEVEL", "x"}}})) ==
          "ACME_TELEMETRY_LEVEL has an unknown value");
    CHECK(reason(resolve({}, fixed_environment{variables{{"ACME_NO_TELEMETRY", "a\nb"}}})) ==
          "ACME_NO_TELEMETRY=a\\x0ab");
    CHECK(reason(resolve({}, fixed_environment{variables{{"DO_NOT_TRACK", "1"}}})) == "DO_NOT_TRACK=1");
    CHECK(reason(resolve({}, fixed_environment{variables{{"XDG_CONFIG_HOME", config.string()}}})) ==
          "the choice saved in " + config.string() + "/acme/telemetry.json");
    CHECK(reason(resolve({})) == "the default, no choice was made");
}

TEST_CASE("in a CI system the product's choice is what was not said otherwise, and without one it is as anywhere") {
    const candor::product silent{.name = "acme", .version = "1.4.0", .env_prefix = "ACME", .in_ci = level::none};
    using variables = std::map<std::string, std::string>;
    const fixed_environment github{variables{{"CI", "true"}, {"GITHUB_ACTIONS", "true"}}};
    const auto got = resolve({}, github, silent);
    CHECK(got.level == level::none);
    CHECK(got.source == level_source::ci);
    CHECK(got.reason == "GitHub Actions (GITHUB_ACTIONS=true)");
    CHECK(resolve({}, fixed_environment{variables{{"CI", "a\nb"}}}, silent).reason ==
          "an unknown CI system (CI=a\\x0ab)");
    CHECK(resolve({}, fixed_environment{}, silent).source == level_source::default_value);
    CHECK(resolve({"--telemetry-level=stats"}, github, silent).level == level::stats);
    CHECK(resolve({}, github).source == level_source::default_value);
    CHECK(resolve({}, github).level == level::all);
}

TEST_CASE("an error names the source, the value and what is allowed") {
    CHECK(resolve({"--telemetry-level=some"}).error ==
          "--telemetry-level is \"some\"; allowed: none, errors, stats, all");
    CHECK(resolve({"--telemetry-level="}).error == "--telemetry-level is \"\"; allowed: none, errors, stats, all");
    CHECK(resolve({"--telemetry-level"}).error == "--telemetry-level has no value; allowed: none, errors, stats, all");
    for (const auto& [value, shown] : std::map<std::string, std::string>{{"All", "All"},
                                                                         {"all ", "all "},
                                                                         {"all\r\n", "all\\x0d\\x0a"},
                                                                         {std::string{"all\0", 4}, "all\\x00"},
                                                                         {"\x1b[31m", "\\x1b[31m"}}) {
        const auto got = resolve({}, fixed_environment{{{"ACME_TELEMETRY_LEVEL", value}}});
        CHECK(got.level == level::none);
        CHECK(got.error == "ACME_TELEMETRY_LEVEL is \"" + shown + "\"; allowed: none, errors, stats, all");
    }
    CHECK(candor::resolve_level(acme, "bogus", fixed_environment{}).error ==
          "--telemetry-level is \"bogus\"; allowed: none, errors, stats, all");
}

TEST_CASE("the deprecated variable warns and names its successor") {
    const auto got = resolve({}, fixed_environment{{{"ACME_NO_TELEMETRY", "0"}}});
    CHECK(got.level == level::none);
    REQUIRE(got.warnings.size() == 1);
    CHECK(got.warnings[0] == "ACME_NO_TELEMETRY is deprecated; use ACME_TELEMETRY_LEVEL=none instead");
}

TEST_CASE("the flag is found among other arguments, in both spellings, and the last one wins") {
    CHECK(resolve({"sync", "--telemetry-level", "stats", "dir"}).level == level::stats);
    CHECK(resolve({"sync", "dir", "--telemetry-level=errors"}).level == level::errors);
    CHECK(resolve({"--telemetry-level=errors", "--telemetry-level", "stats"}).level == level::stats);
    CHECK(resolve({"--telemetry-level=stats", "--telemetry-level=none"}).level == level::none);
}

TEST_CASE("an unknown value in any of several flags is an error") {
    for (const auto& arguments :
         std::vector<std::vector<const char*>>{{"--telemetry-level=bogus", "--telemetry-level=all"},
                                               {"--telemetry-level=all", "--telemetry-level=bogus"},
                                               {"--telemetry-level", "bogus", "--telemetry-level=all"}}) {
        const auto got = resolve(arguments);
        CHECK(got.level == level::none);
        CHECK(got.error == "--telemetry-level is \"bogus\"; allowed: none, errors, stats, all");
    }
    CHECK(resolve({"--telemetry-level=all", "--telemetry-level"}).error ==
          "--telemetry-level has no value; allowed: none, errors, stats, all");
}

TEST_CASE("what follows the flag is its value, even where it looks like a flag") {
    CHECK(resolve({"--telemetry-level", "--verbose"}).error ==
          "--telemetry-level is \"--verbose\"; allowed: none, errors, stats, all");
    CHECK(resolve({"--telemetry-level", "--", "all"}).error ==
          "--telemetry-level is \"--\"; allowed: none, errors, stats, all");
}

TEST_CASE("nothing after -- and no flag that only starts alike is taken for the flag") {
    for (const auto& arguments : std::vector<std::vector<const char*>>{{"--", "--telemetry-level=none"},
                                                                       {"--", "--telemetry-level"},
                                                                       {"--telemetry-levels=none"},
                                                                       {"--telemetry-level-file", "none"},
                                                                       {"-telemetry-level=none"},
                                                                       {"telemetry-level=none"},
                                                                       {"--telemetry=none"},
                                                                       {""}}) {
        const auto got = resolve(arguments);
        CHECK(got.source == level_source::default_value);
        CHECK_FALSE(got.error);
    }
}

TEST_CASE("an argv that is empty, null or ends early is read as far as it goes") {
    const fixed_environment none;
    CHECK(candor::resolve_level(acme, 0, nullptr, none).source == level_source::default_value);
    CHECK(candor::resolve_level(acme, 3, nullptr, none).source == level_source::default_value);
    CHECK(candor::resolve_level(acme, -1, nullptr, none).source == level_source::default_value);
    const std::array<const char*, 3> early{"acme", nullptr, "--telemetry-level=none"};
    CHECK(candor::resolve_level(acme, 3, early.data(), none).source == level_source::default_value);
    const std::array<const char*, 3> no_value{"acme", "--telemetry-level", nullptr};
    CHECK(candor::resolve_level(acme, 3, no_value.data(), none).error);
    const std::array<const char*, 3> shorter{"acme", "--telemetry-level", "all"};
    CHECK(candor::resolve_level(acme, 2, shorter.data(), none).error);
    const std::array<const char*, 1> program{"--telemetry-level=none"};  // argv[0] is the program's name
    CHECK(candor::resolve_level(acme, 1, program.data(), none).source == level_source::default_value);
}

TEST_CASE("nothing below the source that decided is looked at") {
    const auto asked = [](std::vector<const char*> arguments, std::map<std::string, std::string> set) {
        const curious_environment environment{fixed_environment{std::move(set)}};
        static_cast<void>(resolve(std::move(arguments), environment));
        return environment.asked;
    };
    using names = std::vector<std::string>;
    CHECK(asked({"--telemetry-level=none"}, {}).empty());
    CHECK(asked({"--telemetry-level=bogus"}, {}).empty());
    CHECK(asked({"--telemetry-level"}, {}).empty());
    CHECK(asked({}, {{"ACME_TELEMETRY_LEVEL", "bogus"}}) == names{"ACME_TELEMETRY_LEVEL"});
    CHECK(asked({}, {{"ACME_NO_TELEMETRY", "1"}}) == names{"ACME_TELEMETRY_LEVEL", "ACME_NO_TELEMETRY"});
    CHECK(asked({}, {{"DO_NOT_TRACK", "1"}}) == names{"ACME_TELEMETRY_LEVEL", "ACME_NO_TELEMETRY", "DO_NOT_TRACK"});
    // A product that has nothing to say of CI systems looks for none.
    const auto all = asked({}, {});
    CHECK(std::find(all.begin(), all.end(), "CI") == all.end());
}

TEST_CASE("without a prefix only DO_NOT_TRACK is looked at") {
    const candor::product bare{.name = "acme", .version = "1"};
    const fixed_environment set{{{"_TELEMETRY_LEVEL", "bogus"}, {"_NO_TELEMETRY", "1"}}};
    CHECK(resolve({}, set, bare).source == level_source::default_value);
    CHECK(resolve({}, fixed_environment{{{"DO_NOT_TRACK", "1"}}}, bare).level == level::none);
}

TEST_CASE("a development build keeps its level and says what it is") {
    for (const auto* version : {"", "development"}) {
        const auto got =
            resolve({"--telemetry-level=stats"}, fixed_environment{}, {.name = "acme", .version = version});
        CHECK(got.development);
        CHECK(got.level == level::stats);
        CHECK(got.reason == "--telemetry-level=stats; this is a development build, which sends nothing by itself");
    }
}

TEST_CASE("main's own arguments and the process's variables work without a cast") {
    ::setenv("CANDOR_TEST_TELEMETRY_LEVEL", "errors", 1);
    const candor::product product{.name = "acme", .version = "1", .env_prefix = "CANDOR_TEST"};
    std::string name = "acme";
    std::string flag = "--telemetry-level=stats";
    std::array<char*, 3> arguments{name.data(), flag.data(), nullptr};
    char** argv = arguments.data();
    CHECK(candor::resolve_level(product, 2, argv).level == level::stats);
    CHECK(candor::resolve_level(product, 1, argv).level == level::errors);
    CHECK(candor::resolve_level(product, std::nullopt).level == level::errors);
    CHECK(candor::resolve_level(product, "none").level == level::none);
    CHECK(candor::resolve_level(product, std::string{"all"}).level == level::all);
    ::unsetenv("CANDOR_TEST_TELEMETRY_LEVEL");
}

TEST_CASE("each source has a name") {
    using candor::to_string;
    CHECK(to_string(level_source::flag) == "flag");
    CHECK(to_string(level_source::variable) == "variable");
    CHECK(to_string(level_source::legacy_variable) == "legacy variable");
    CHECK(to_string(level_source::do_not_track) == "DO_NOT_TRACK");
    CHECK(to_string(level_source::saved_choice) == "saved choice");
    CHECK(to_string(level_source::ci) == "CI");
    CHECK(to_string(level_source::default_value) == "default");
}

TEST_CASE("asked for all sources, each says what it says, in the order of precedence, and the first one decides") {
    const temporary_directory dir;
    dir.write("acme/telemetry.json", R"({"level":"errors"})");
    const candor::testing::fixed_environment environment{{{"XDG_CONFIG_HOME", dir.string()},
                                                          {"ACME_TELEMETRY_LEVEL", "stats"},
                                                          {"ACME_NO_TELEMETRY", "1"},
                                                          {"DO_NOT_TRACK", "0"},
                                                          {"BUILDKITE", "true"}}};
    const candor::product quiet{.name = "acme", .version = "1.0.0", .env_prefix = "ACME", .in_ci = level::none};
    const char* argv[] = {"acme"};
    const auto answers = candor::ask_all_level_sources(quiet, 1, argv, environment);
    std::string told;
    for (const auto& answer : answers) {
        told += std::string{to_string(answer.source)} + (answer.decides ? "!" : "") + ": ";
        told += answer.said ? std::string{to_string(answer.said->level)} + ", " + answer.said->reason : "-";
        told += "\n";
    }
    CHECK(told ==
          "flag: -\n"
          "variable!: stats, ACME_TELEMETRY_LEVEL=stats\n"
          "legacy variable: none, ACME_NO_TELEMETRY=1\n"
          "DO_NOT_TRACK: -\n"
          "saved choice: errors, the choice saved in " +
              (dir.path() / "acme/telemetry.json").string() +
              "\nCI: none, Buildkite (BUILDKITE=true)\ndefault: all, the default, no choice was made\n");
    const char* with_flag[] = {"acme", "--telemetry-level=loud"};
    const auto wrong = candor::ask_all_level_sources(quiet, 2, with_flag, environment);
    CHECK(wrong[0].decides);
    CHECK_FALSE(wrong[1].decides);
    CHECK(wrong[0].said->error);
}

}  // namespace resolver_test
