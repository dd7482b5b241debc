#ifndef CANDOR_CONSENT_CI_HPP
#define CANDOR_CONSENT_CI_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <candor/policy/environment.hpp>

namespace candor {

namespace detail {

/// A continuous integration (CI) system, and the variable by which it is known.
struct known_ci_system {
    std::string_view name;
    const char* variable;
    std::string_view value{};  ///< what it is set to; empty: anything that does not say no
};

/// The name of one that only says that it is one.
inline constexpr std::string_view unknown_ci_system = "unknown";

/// A system that also sets the variable of another one, to run what was written for that, stands above it.
inline constexpr std::array known_ci_systems{
    known_ci_system{"Forgejo Actions", "FORGEJO_ACTIONS"},  // as GitHub Actions
    known_ci_system{"Gitea Actions", "GITEA_ACTIONS"},      // as GitHub Actions
    known_ci_system{"GitHub Actions", "GITHUB_ACTIONS"},
    known_ci_system{"GitLab CI", "GITLAB_CI"},
    known_ci_system{"CircleCI", "CIRCLECI"},
    known_ci_system{"Travis CI", "TRAVIS"},
    known_ci_system{"Jenkins", "JENKINS_URL"},
    known_ci_system{"Azure Pipelines", "TF_BUILD"},
    known_ci_system{"Buildkite", "BUILDKITE"},
    known_ci_system{"TeamCity", "TEAMCITY_VERSION"},
    known_ci_system{"AppVeyor", "APPVEYOR"},
    known_ci_system{"Bitbucket Pipelines", "BITBUCKET_BUILD_NUMBER"},
    known_ci_system{"Harness CI", "HARNESS_BUILD_ID"},  // as Drone
    known_ci_system{"Woodpecker CI", "CI", "woodpecker"},
    known_ci_system{"Drone", "DRONE"},
    known_ci_system{"AWS CodeBuild", "CODEBUILD_BUILD_ID"},
    known_ci_system{"Google Cloud Build", "BUILDER_OUTPUT"},
    known_ci_system{"Netlify", "NETLIFY"},
    known_ci_system{"Vercel", "VERCEL"},  // in what was deployed, too: no person runs that either
    known_ci_system{"Cirrus CI", "CIRRUS_CI"},
    known_ci_system{"Semaphore", "SEMAPHORE"},
    known_ci_system{"sourcehut", "CI_NAME", "sourcehut"},
    known_ci_system{"Bamboo", "bamboo_planKey"},
    known_ci_system{"Codefresh", "CF_BUILD_ID"},
    known_ci_system{"Bitrise", "BITRISE_IO"},
    known_ci_system{"GoCD", "GO_PIPELINE_LABEL"},
    known_ci_system{"Heroku CI", "HEROKU_TEST_RUN_ID"},
    known_ci_system{unknown_ci_system, "CI"},
};

/// The most bytes that a name has.
inline constexpr std::size_t longest_ci_name = [] {
    std::size_t longest = 0;
    for (const auto& known : known_ci_systems) longest = std::max(longest, known.name.size());
    return longest;
}();

/// A CI system that was found, and by what.
struct found_ci_system {
    std::string_view name;
    std::string_view variable;
    std::string value;
};

template <environment Environment>
std::optional<found_ci_system> find_ci_system(const Environment& variables) {
    for (const auto& known : known_ci_systems) {
        auto value = non_empty(variables, known.variable);
        if (!value) continue;
        const bool is_it = known.value.empty() ? *value != "false" && *value != "0" : *value == known.value;
        if (is_it) return found_ci_system{known.name, known.variable, *std::move(value)};
    }
    return std::nullopt;
}

}  // namespace detail

/// The continuous integration system that runs this program, such as `GitHub Actions`, by the variables that these
/// systems set; `unknown` where nothing but the usual `CI` says that there is one; nothing outside of one. A variable
/// that is empty, `false` or `0` says nothing. The names are literals. Throws only `std::bad_alloc`.
template <environment Environment>
[[nodiscard]] std::optional<std::string_view> ci_system(const Environment& variables) {
    const auto found = detail::find_ci_system(variables);
    return found ? std::optional{found->name} : std::nullopt;
}

}  // namespace candor

#endif
