#ifndef CANDOR_CONSENT_CHOICE_HPP
#define CANDOR_CONSENT_CHOICE_HPP

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <candor/consent/level.hpp>
#include <candor/policy/config_file.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/file_system.hpp>

namespace candor {

/// The level that a user saved for all runs to come.
struct choice {
    candor::level level = candor::level::none;
    std::filesystem::path file{};
    /// Why the file counts as `none` although it does not say so; names the file.
    std::optional<std::string> warning{};
};

/// Reads the saved choice, `{"level":"stats"}` in `telemetry.json` of the product's configuration directory. Nothing
/// where there is no such file. A file that is there and does not give a level, for whatever reason, means `none`: it
/// may have been meant to say so. Throws only `std::bad_alloc`.
template <environment Environment>
std::optional<choice> read_choice(const Environment& environment, std::string_view product_name) {
    const auto directory = config_directory(environment, product_name);
    if (!directory) return std::nullopt;
    choice out{.file = *directory / "telemetry.json"};
    const auto saved = detail::read_config_string(out.file, "level");
    if (!saved.file_exists) return std::nullopt;

    std::string problem = saved.problem;
    if (saved.value) {
        if (const auto level = parse_level(*saved.value)) {
            out.level = *level;
            return out;
        }
        problem = detail::printable_path(out.file) + " has the level \"" + detail::printable(*saved.value) +
                  "\"; allowed: " + std::string{detail::allowed_levels};
    } else if (problem.empty()) {
        problem = detail::printable_path(out.file) + " has no \"level\"";
    }
    out.warning = "the saved telemetry choice cannot be used, so nothing is sent: " + problem;
    return out;
}

}  // namespace candor

#endif
