#ifndef CANDOR_CONSENT_CHOICE_HPP
#define CANDOR_CONSENT_CHOICE_HPP

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include <candor/consent/level.hpp>
#include <candor/platform/directories.hpp>
#include <candor/platform/errno_guard.hpp>
#include <candor/platform/read_file.hpp>
#include <candor/platform/replace_file.hpp>
#include <candor/policy/config_file.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/error.hpp>

namespace candor {

/// The level that a user saved for all runs to come.
struct choice {
    candor::level level = candor::level::none;
    std::filesystem::path file{};
    /// Why the file counts as `none` although it does not say so; names the file.
    std::optional<std::string> warning{};
};

namespace detail {

/// The number of the format in which a choice is saved. A file that says none is of 0.1, or the user's own hand.
inline constexpr std::uint64_t choice_format = 1;

/// Why the choice in `object` is not for this release to read, as it follows the file's name; empty where it is.
inline std::string choice_format_problem(const nlohmann::json& object) {
    const auto format = object.find("format");
    if (format == object.end()) return {};
    if (!format->is_number_unsigned()) return "has a \"format\" that is not a number";
    if (format->get<std::uint64_t>() <= choice_format) return {};
    return "was saved by a newer release, in format " + format->dump();
}

}  // namespace detail

/// Reads the saved choice, `{"level":"stats","format":1}` in `telemetry.json` of the product's configuration directory.
/// Nothing where there is no such file. A file that is there and does not give a level, for whatever reason, means
/// `none`: it may have been meant to say so. So does one that a newer release saved, until `save_choice` replaces it.
/// Throws only `std::bad_alloc`.
template <environment Environment>
std::optional<choice> read_choice(const Environment& environment, std::string_view product_name) {
    const auto directory = config_directory(environment, product_name);
    if (!directory) return std::nullopt;
    choice out{.file = *directory / "telemetry.json"};
    auto content = detail::read_config_object(out.file);
    if (!content.file_exists) return std::nullopt;

    const auto unusable = [&out](const std::string& problem) {
        out.warning = "the saved telemetry choice cannot be used, so nothing is sent: " + problem;
        return out;
    };
    const auto name = detail::printable_path(out.file);
    const auto newer = content.object ? detail::choice_format_problem(*content.object) : std::string{};
    if (!newer.empty()) return unusable(name + " " + newer);
    const auto saved = detail::string_member(std::move(content), out.file, "level");
    if (!saved.value) return unusable(saved.problem.empty() ? name + " has no \"level\"" : saved.problem);
    const auto level = parse_level(*saved.value);
    if (!level)
        return unusable(name + " has the level \"" + detail::printable(*saved.value) +
                        "\"; allowed: " + std::string{detail::allowed_levels});
    out.level = *level;
    return out;
}

/// What came of saving a choice.
struct saved_choice {
    std::filesystem::path file{};
    /// Why nothing was saved, and what was saved before still holds; one line that names the file.
    std::optional<std::string> problem{};
};

/// Saves the user's choice for all runs to come, at once and whole, in the file that `read_choice` reads: a program
/// that reads it meanwhile finds the old choice or the new. The directory is made where there is none, for its owner
/// alone. What else a JSON object in the file says, of another program or a later version, stays as it is; a file that
/// is no JSON object is kept beside the new one under the name `telemetry.json.damaged`. Throws only `std::bad_alloc`.
/// Thread-safe; of two that save at the same time, one prevails. Not in a signal handler.
template <environment Environment>
[[nodiscard]] saved_choice save_choice(const Environment& environment, std::string_view product_name, level chosen) {
    const detail::errno_guard guard;
    const auto directory = config_directory(environment, product_name);
    if (!directory) return {.problem = "there is no configuration directory to save the telemetry choice in"};
    saved_choice out{.file = *directory / "telemetry.json"};
    const auto failed = [&](const std::filesystem::path& file, const std::string& why) {
        out.problem = "the telemetry choice was not saved: " + detail::printable_path(file) + " " + why;
        return out;
    };
    // Where the file is a link, such as to a collection of configurations, it stays one.
    std::error_code none;
    const auto target = std::filesystem::canonical(out.file, none);
    const auto& file = none ? out.file : target;
    const auto old = detail::read_file(file, detail::config_file_limit);
    if (old.status != detail::file_status::read && old.status != detail::file_status::absent)
        return failed(file, old.problem);
    auto json = nlohmann::ordered_json::parse(old.content, nullptr, false);
    if (!json.is_object()) {
        json = nlohmann::ordered_json::object();
        auto damaged = file;
        damaged += ".damaged";
        const auto problem = old.content.empty() ? std::string{} : detail::replace_file(damaged, old.content);
        if (!problem.empty()) return failed(damaged, problem);
    }
    json["level"] = to_string(chosen);
    json["format"] = detail::choice_format;
    std::error_code error;
    if (std::filesystem::create_directories(*directory, error))
        std::filesystem::permissions(*directory, std::filesystem::perms::owner_all, error);
    if (error) return failed(*directory, "cannot be created: " + error.message());
    const auto text = json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    if (const auto problem = detail::replace_file(file, text); !problem.empty()) return failed(file, problem);
    return out;
}

}  // namespace candor

#endif
