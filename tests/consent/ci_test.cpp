#include <candor/consent/ci.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/event/fields.hpp>
#include <candor/testing.hpp>

#include <doctest/doctest.h>

namespace ci_test {

namespace {

using candor::ci_system;
using candor::testing::fixed_environment;
using variables = std::map<std::string, std::string>;

std::optional<std::string_view> in(variables set) { return ci_system(fixed_environment{std::move(set)}); }

/// What a build of each system finds in its environment, and its name.
struct build {
    std::string_view name;
    variables set;
};

const std::vector<build> builds{
    {"GitHub Actions", {{"CI", "true"}, {"GITHUB_ACTIONS", "true"}}},
    {"GitLab CI", {{"CI", "true"}, {"GITLAB_CI", "true"}}},
    {"CircleCI", {{"CI", "true"}, {"CIRCLECI", "true"}}},
    {"Travis CI", {{"CI", "true"}, {"TRAVIS", "true"}}},
    {"Jenkins", {{"JENKINS_URL", "https://ci.example/"}, {"BUILD_ID", "7"}}},
    {"Azure Pipelines", {{"TF_BUILD", "True"}}},
    {"Buildkite", {{"CI", "true"}, {"BUILDKITE", "true"}}},
    {"TeamCity", {{"TEAMCITY_VERSION", "2025.03 (build 186049)"}}},
    {"AppVeyor", {{"CI", "True"}, {"APPVEYOR", "True"}}},
    {"Bitbucket Pipelines", {{"CI", "true"}, {"BITBUCKET_BUILD_NUMBER", "12"}}},
    {"Drone", {{"CI", "true"}, {"DRONE", "true"}}},
    {"Harness CI", {{"CI", "true"}, {"DRONE", "true"}, {"HARNESS_BUILD_ID", "3"}}},
    {"Woodpecker CI", {{"CI", "woodpecker"}, {"CI_SYSTEM_NAME", "woodpecker"}}},
    {"AWS CodeBuild", {{"CODEBUILD_BUILD_ID", "demo:b1e6661e"}}},
    {"Google Cloud Build", {{"BUILDER_OUTPUT", "/builder/outputs"}}},
    {"Netlify", {{"CI", "true"}, {"NETLIFY", "true"}}},
    {"Vercel", {{"CI", "1"}, {"VERCEL", "1"}}},
    {"Cirrus CI", {{"CI", "true"}, {"CIRRUS_CI", "true"}}},
    {"Semaphore", {{"CI", "true"}, {"SEMAPHORE", "true"}}},
    {"sourcehut", {{"CI_NAME", "sourcehut"}}},
    {"Bamboo", {{"bamboo_planKey", "BAM-MAIN"}}},
    {"Codefresh", {{"CI", "true"}, {"CF_BUILD_ID", "5f1"}}},
    {"Bitrise", {{"CI", "true"}, {"BITRISE_IO", "true"}}},
    {"GoCD", {{"GO_PIPELINE_LABEL", "1.0.7"}}},
    {"Heroku CI", {{"CI", "true"}, {"HEROKU_TEST_RUN_ID", "9a"}}},
    {"Gitea Actions", {{"CI", "true"}, {"GITHUB_ACTIONS", "true"}, {"GITEA_ACTIONS", "true"}}},
    {"Forgejo Actions",
     {{"CI", "true"}, {"GITHUB_ACTIONS", "true"}, {"GITEA_ACTIONS", "true"}, {"FORGEJO_ACTIONS", "true"}}},
    {"unknown", {{"CI", "true"}}},
};

}  // namespace

TEST_CASE("each system is known by what it sets, and there is none without") {
    for (const auto& each : builds) {
        CAPTURE(each.name);
        CHECK(in(each.set) == each.name);
    }
    CHECK(in({}) == std::nullopt);
    CHECK(in({{"HOME", "/home/ann"}, {"CI_NAME", "something"}, {"BUILD_ID", "7"}}) == std::nullopt);
}

TEST_CASE("every system that is known has an example here, and none is listed twice") {
    std::set<std::string_view> shown, listed;
    for (const auto& each : builds) shown.insert(each.name);
    for (const auto& each : candor::detail::known_ci_systems) CHECK(listed.insert(each.name).second);
    CHECK(shown == listed);
}

TEST_CASE("a variable that is empty, false or 0 says nothing") {
    for (const char* no : {"", "false", "0"}) {
        CAPTURE(no);
        for (const auto& known : candor::detail::known_ci_systems) CHECK(in({{known.variable, no}}) == std::nullopt);
        CHECK(in({{"GITHUB_ACTIONS", no}, {"BUILDKITE", "true"}}) == "Buildkite");
    }
    CHECK(in({{"CI", "yes"}}) == "unknown");
    CHECK(in({{"CI", "1"}}) == "unknown");
    // A system is believed more than the usual variable.
    CHECK(in({{"CI", "false"}, {"GITLAB_CI", "true"}}) == "GitLab CI");
}

TEST_CASE("what was found says by which variable, with its value") {
    const auto found = candor::detail::find_ci_system(fixed_environment{variables{{"TEAMCITY_VERSION", "2025.03"}}});
    REQUIRE(found);
    CHECK(found->name == "TeamCity");
    CHECK(found->variable == "TEAMCITY_VERSION");
    CHECK(found->value == "2025.03");
}

TEST_CASE("a name stands in JSON and in a catalog as it is") {
    std::size_t longest = 0;
    for (const auto& known : candor::detail::known_ci_systems) {
        for (const char c : known.name) CHECK((candor::detail::is_plain_name({&c, 1}) || c == ' '));
        longest = std::max(longest, known.name.size());
    }
    CHECK(candor::detail::longest_ci_name == longest);
}

}  // namespace ci_test
