#ifndef CANDOR_CONSENT_LEVEL_HPP
#define CANDOR_CONSENT_LEVEL_HPP

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace candor {

/// What a user lets the program send.
enum class level {
    none,    ///< nothing
    errors,  ///< crashes and errors
    stats,   ///< analytics events
    all,     ///< both
};

namespace detail {

/// The names of the levels, in the order of the enumeration.
inline constexpr std::array<std::string_view, 4> level_names{"none", "errors", "stats", "all"};

/// The same, as an error message lists them.
inline constexpr std::string_view allowed_levels = "none, errors, stats, all";

}  // namespace detail

/// The level's name.
[[nodiscard]] constexpr std::string_view to_string(level value) noexcept {
    return detail::level_names[static_cast<std::size_t>(value)];
}

/// The level of that name. Exact: other case, surrounding space and the empty text give nothing, so that a mistyped
/// level is noticed and not guessed.
[[nodiscard]] constexpr std::optional<level> parse_level(std::string_view text) noexcept {
    for (std::size_t i = 0; i < detail::level_names.size(); ++i)
        if (text == detail::level_names[i]) return static_cast<level>(i);
    return std::nullopt;
}

/// Whether errors and crashes may be sent.
[[nodiscard]] constexpr bool sends_errors(level value) noexcept {
    return value == level::errors || value == level::all;
}

/// Whether analytics events may be sent.
[[nodiscard]] constexpr bool sends_analytics(level value) noexcept {
    return value == level::stats || value == level::all;
}

}  // namespace candor

#endif
