#ifndef CANDOR_POLICY_PRODUCT_HPP
#define CANDOR_POLICY_PRODUCT_HPP

#include <optional>
#include <string>

namespace candor {

enum class level;  // in <candor/consent/level.hpp>

/// The program that uses candor.
struct product {
    /// Short lower-case name; also the name of its configuration and state directories.
    std::string name{};
    /// Version as released. Empty or `development` marks a development build, which sends nothing by itself.
    std::string version{};
    /// Prefix of the environment variables: `ACME` gives `ACME_TELEMETRY_LEVEL`.
    std::string env_prefix{};
    /// What may be sent where a continuous integration system runs the program and its user has said nothing. Empty: as
    /// anywhere else.
    std::optional<level> in_ci{};

    /// Whether this is a build that nobody released.
    [[nodiscard]] bool is_development() const noexcept { return version.empty() || version == "development"; }

    /// The name of one of the product's environment variables: `variable("TELEMETRY_LEVEL")`.
    [[nodiscard]] std::string variable(const char* suffix) const { return env_prefix + "_" + suffix; }
};

}  // namespace candor

#endif
