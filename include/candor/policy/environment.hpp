#ifndef CANDOR_POLICY_ENVIRONMENT_HPP
#define CANDOR_POLICY_ENVIRONMENT_HPP

#include <concepts>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include <candor/platform/variables.hpp>

namespace candor {

/// Where variables come from.
///
/// 1. `get(name)` gives the variable's value, or nothing where it is not set. Called during construction and by
///    `resolve_level`, on the caller's thread. It may throw only `std::bad_alloc`.
/// 2. It may have `each(visit)`, which calls `visit(name, value)` for each variable with two `std::string_view`. The
///    values of an environment without it are not known to be secrets.
template <class E>
concept environment = requires(const E& e, const char* name) {
    { e.get(name) } -> std::same_as<std::optional<std::string>>;
};

/// The variables of this process. Stateless. As `std::getenv`, it must not run while another thread changes them.
class process_environment {
public:
    [[nodiscard]] std::optional<std::string> get(const char* name) const {
        const char* value = std::getenv(name);
        if (value == nullptr) return std::nullopt;
        return std::string{value};
    }

    template <class Visit>
    void each(Visit visit) const {
        for (auto next = detail::environment_variables(); next != nullptr && *next != nullptr; ++next) {
            const std::string_view variable{*next};
            const auto sign = variable.find('=', 1);  // on Windows some names begin with one
            if (sign != std::string_view::npos) visit(variable.substr(0, sign), variable.substr(sign + 1));
        }
    }
};

namespace detail {

/// The value of a variable, where an empty one counts as unset.
template <environment Environment>
std::optional<std::string> non_empty(const Environment& environment, const std::string& name) {
    auto value = environment.get(name.c_str());
    if (value && value->empty()) value.reset();
    return value;
}

}  // namespace detail

}  // namespace candor

#endif
