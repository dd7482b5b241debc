#ifndef CANDOR_SENTRY_SEVERITY_HPP
#define CANDOR_SENTRY_SEVERITY_HPP

#include <array>
#include <cstddef>
#include <string_view>

namespace candor::sentry {

/// How bad something is, in Sentry's words.
enum class severity { debug, info, warning, error, fatal };

[[nodiscard]] constexpr std::string_view to_string(severity s) noexcept {
    constexpr std::array<std::string_view, 5> names{"debug", "info", "warning", "error", "fatal"};
    return names[static_cast<std::size_t>(s)];
}

}  // namespace candor::sentry

#endif
