#ifndef CANDOR_IDENTITY_INTERNAL_TEAM_HPP
#define CANDOR_IDENTITY_INTERNAL_TEAM_HPP

#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include <candor/identity/account.hpp>
#include <candor/platform/directories.hpp>
#include <candor/policy/config_file.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/environment.hpp>

namespace candor {

/// Whether the program is run by the people who make it, whose events are dropped before they reach the wire.
///
/// Called on candor's worker after each answer of the account source, and may read files. It owns what it captures.
/// What it throws counts as not internal, with a diagnostic.
using internal_team_filter = std::function<bool(const std::optional<account>&)>;

/// The default filter: internal where `config.json` in the product's configuration directory has the string `"true"`
/// under `team_internal`. The path is fixed now; the file is read at each call of the filter, so that a login may
/// change it. A missing file or member is normal; a file that cannot be used means not internal, with a diagnostic.
template <environment Environment>
[[nodiscard]] internal_team_filter internal_team_from_config(const Environment& environment,
                                                             std::string_view product_name,
                                                             diagnostic_sink diagnostic = {}) {
    const auto directory = config_directory(environment, product_name);
    if (!directory) return [](const std::optional<account>&) { return false; };
    return [file = *directory / "config.json", diagnostic = std::move(diagnostic)](const std::optional<account>&) {
        const auto flag = detail::read_config_string(file, "team_internal");
        if (!flag.problem.empty()) detail::report(diagnostic, flag.problem + "; the team counts as not internal");
        return flag.value == "true";
    };
}

}  // namespace candor

#endif
