#ifndef CANDOR_CONSENT_RESOLVER_HPP
#define CANDOR_CONSENT_RESOLVER_HPP

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/consent/choice.hpp>
#include <candor/consent/ci.hpp>
#include <candor/consent/level.hpp>
#include <candor/platform/errno_guard.hpp>
#include <candor/policy/config_file.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/product.hpp>

namespace candor {

/// Where a level can come from; the first one that says anything decides.
enum class level_source {
    flag,             ///< `--telemetry-level`
    variable,         ///< `<PREFIX>_TELEMETRY_LEVEL`
    legacy_variable,  ///< `<PREFIX>_NO_TELEMETRY`
    do_not_track,     ///< `DO_NOT_TRACK`
    saved_choice,     ///< `telemetry.json`
    ci,               ///< the product's `in_ci`, where a CI system runs it
    default_value,    ///< nobody said anything
};

/// The source's name, in words.
[[nodiscard]] constexpr std::string_view to_string(level_source source) noexcept {
    switch (source) {
        case level_source::flag:
            return "flag";
        case level_source::variable:
            return "variable";
        case level_source::legacy_variable:
            return "legacy variable";
        case level_source::do_not_track:
            return "DO_NOT_TRACK";
        case level_source::saved_choice:
            return "saved choice";
        case level_source::ci:
            return "CI";
        case level_source::default_value:
            break;
    }
    return "default";
}

/// What may be sent, and why.
struct resolution {
    candor::level level = candor::level::all;
    level_source source = level_source::default_value;
    /// One line for the user, such as `ACME_TELEMETRY_LEVEL=stats`.
    std::string reason{};
    /// For the user, each one line: a deprecated variable, a saved choice that cannot be used.
    std::vector<std::string> warnings{};
    /// Set where a flag or variable has an unknown value, which it names together with what is allowed. The level is
    /// `none` then; a program does best to print this and stop.
    std::optional<std::string> error{};
    /// Nobody released this build, so it sends nothing by itself. `level` stays what was asked for.
    bool development = false;
};

namespace detail {

inline constexpr std::string_view level_flag = "--telemetry-level";

/// What argv says of the level.
struct flag_value {
    std::optional<std::string_view> value{};  ///< the last one given, or the first unknown one
    bool incomplete = false;                  ///< the flag is the last argument: its value is missing
};

/// Finds `--telemetry-level L` and `--telemetry-level=L` before an argument `--`. Takes what main was given: argc may
/// be 0 and argv may end early.
inline flag_value find_level_flag(int argc, const char* const* argv) {
    flag_value found;
    for (int i = 1; i < argc && argv != nullptr && argv[i] != nullptr; ++i) {
        std::string_view argument = argv[i];
        if (argument == "--") break;
        if (!argument.starts_with(level_flag)) continue;
        argument.remove_prefix(level_flag.size());
        if (argument.starts_with('=')) {
            found.value = argument.substr(1);
        } else if (argument.empty()) {
            ++i;
            if (i >= argc || argv[i] == nullptr) return {std::nullopt, true};
            found.value = argv[i];
        } else {
            continue;  // another flag whose name only starts like this one
        }
        if (!parse_level(*found.value)) break;  // a later, valid one does not excuse it
    }
    return found;
}

/// A level that stands in a flag or variable, or the error that it does not.
inline resolution level_from(level_source source, const std::string& name, std::string_view value) {
    resolution out{.level = level::none, .source = source};
    if (const auto known = parse_level(value)) {
        out.level = *known;
        out.reason = name + "=" + std::string{value};
    } else {
        out.reason = name + " has an unknown value";
        out.error = name + " is \"" + printable(value) + "\"; allowed: " + std::string{allowed_levels};
    }
    return out;
}

/// All sources, in the order of precedence.
inline constexpr std::array level_sources{
    level_source::flag,         level_source::variable, level_source::legacy_variable, level_source::do_not_track,
    level_source::saved_choice, level_source::ci,       level_source::default_value};

/// What one source says; nothing where it says nothing. The default always says something.
template <environment Environment>
std::optional<resolution> ask_level_source(level_source source, const product& program, const flag_value& flag,
                                           const Environment& environment) {
    const bool has_prefix = !program.env_prefix.empty();
    switch (source) {
        case level_source::flag: {
            const std::string name{level_flag};
            if (flag.incomplete)
                return resolution{.level = level::none,
                                  .source = source,
                                  .reason = name + " has no value",
                                  .error = name + " has no value; allowed: " + std::string{allowed_levels}};
            if (flag.value) return level_from(source, name, *flag.value);
            break;
        }
        case level_source::variable: {
            if (!has_prefix) break;
            const auto name = program.variable("TELEMETRY_LEVEL");
            if (const auto value = non_empty(environment, name)) return level_from(source, name, *value);
            break;
        }
        case level_source::legacy_variable: {
            if (!has_prefix) break;
            const auto name = program.variable("NO_TELEMETRY");
            if (const auto value = non_empty(environment, name))
                return resolution{.level = level::none,
                                  .source = source,
                                  .reason = name + "=" + printable(*value),
                                  .warnings = {name + " is deprecated; use " +
                                               program.variable("TELEMETRY_LEVEL=none") + " instead"}};
            break;
        }
        case level_source::do_not_track:
            if (const auto value = non_empty(environment, "DO_NOT_TRACK"); value && *value != "0")
                return resolution{
                    .level = level::none, .source = source, .reason = "DO_NOT_TRACK=" + printable(*value)};
            break;
        case level_source::saved_choice:
            if (auto saved = read_choice(environment, program.name)) {
                resolution out{.level = saved->level,
                               .source = source,
                               .reason = "the choice saved in " + printable_path(saved->file)};
                if (saved->warning) out.warnings.push_back(std::move(*saved->warning));
                return out;
            }
            break;
        case level_source::ci:
            if (!program.in_ci) break;
            if (const auto found = find_ci_system(environment)) {
                const bool is_known = found->name != unknown_ci_system;
                return resolution{.level = *program.in_ci,
                                  .source = source,
                                  .reason = std::string{is_known ? found->name : "an unknown CI system"} + " (" +
                                            std::string{found->variable} + "=" + printable(found->value) + ")"};
            }
            break;
        case level_source::default_value:
            return resolution{.level = level::all, .source = source, .reason = "the default, no choice was made"};
    }
    return std::nullopt;
}

template <environment Environment>
resolution resolve_level(const product& program, const flag_value& flag, const Environment& environment) {
    const errno_guard guard;
    resolution out;
    for (const auto source : level_sources) {
        if (auto said = ask_level_source(source, program, flag, environment)) {
            out = *std::move(said);
            break;
        }
    }
    if (program.is_development()) {
        out.development = true;
        out.reason += "; this is a development build, which sends nothing by itself";
    }
    return out;
}

}  // namespace detail

/// Finds out what the user lets the program send. The first of these that is given decides alone, and nothing below
/// it is looked at:
///
/// 1. `--telemetry-level L` or `--telemetry-level=L` in argv, before any `--`; the last one where there are several
/// 2. `<PREFIX>_TELEMETRY_LEVEL`
/// 3. `<PREFIX>_NO_TELEMETRY`, any value: `none`. Deprecated
/// 4. `DO_NOT_TRACK`, any value but `0`: `none`
/// 5. the choice saved in the configuration directory
/// 6. the product's `in_ci`, where it has one and a continuous integration system runs the program
/// 7. `all`
///
/// An empty variable counts as unset; without a prefix 2 and 3 are left out. An unknown value in 1 or 2, in any of
/// several flags, is an error and means `none`. `argv` is what main was given. Throws only `std::bad_alloc`; opens no
/// file but the saved choice, and that one only where 1 to 4 say nothing. Not in a signal handler.
template <environment Environment>
[[nodiscard]] resolution resolve_level(const product& program, int argc, const char* const* argv,
                                       const Environment& environment) {
    return detail::resolve_level(program, detail::find_level_flag(argc, argv), environment);
}

/// The same, with the variables of this process. Not in a signal handler.
[[nodiscard]] inline resolution resolve_level(const product& program, int argc, const char* const* argv) {
    return resolve_level(program, argc, argv, process_environment{});
}

/// The same, for a program whose own parser reads the flag: its value, or nothing where it was not given. An empty
/// value was given, and is unknown. Not in a signal handler.
template <environment Environment>
[[nodiscard]] resolution resolve_level(const product& program, std::optional<std::string_view> flag,
                                       const Environment& environment) {
    return detail::resolve_level(program, detail::flag_value{.value = flag}, environment);
}

/// The same, with the variables of this process. Not in a signal handler.
[[nodiscard]] inline resolution resolve_level(const product& program, std::optional<std::string_view> flag) {
    return resolve_level(program, flag, process_environment{});
}

/// What one source says of the level, for a person who wants to know.
struct level_answer {
    level_source source = level_source::default_value;
    /// What is said and where, and what is wrong with it; nothing where the source says nothing.
    std::optional<resolution> said{};
    bool decides = false;  ///< the first one that says anything
};

/// Every source of `resolve_level` in the order of precedence, those below the one that decides too.
template <environment Environment>
[[nodiscard]] std::vector<level_answer> ask_all_level_sources(const product& program, int argc, const char* const* argv,
                                                              const Environment& environment) {
    const auto flag = detail::find_level_flag(argc, argv);
    std::vector<level_answer> out;
    bool is_decided = false;
    for (const auto source : detail::level_sources) {
        level_answer answer{.source = source, .said = detail::ask_level_source(source, program, flag, environment)};
        answer.decides = answer.said && !is_decided;
        is_decided = is_decided || answer.said;
        out.push_back(std::move(answer));
    }
    return out;
}

}  // namespace candor

#endif
