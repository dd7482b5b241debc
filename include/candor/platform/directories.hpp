#ifndef CANDOR_PLATFORM_DIRECTORIES_HPP
#define CANDOR_PLATFORM_DIRECTORIES_HPP

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace candor {

namespace detail {

/// `Environment` is here what the concept `environment` in policy/ describes, which this room cannot include.
///
/// The path in a variable. Nothing where it is unset, empty or relative (the XDG Base Directory Specification calls a
/// relative one invalid; it would also make the working directory decide which file is read).
template <class Environment>
std::optional<std::filesystem::path> absolute_path(const Environment& environment, const char* name) {
    const std::optional<std::string> value = environment.get(name);
    if (!value || value->empty() || value->find('\0') != std::string::npos) return std::nullopt;
    try {
        std::filesystem::path path{*value};
        if (path.is_absolute()) return path;
    } catch (const std::system_error&) {  // Windows: not text in the encoding of this process
    }
    return std::nullopt;
}

/// Whether `name` is one component of a path, and so cannot lead out of its directory, of at most 200 bytes, which
/// every file system takes.
inline bool is_file_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= 200 && name != "." && name != ".." &&
           name.find_first_of(std::string_view{"/\\:\0", 4}) == std::string_view::npos;
}

}  // namespace detail

/// The user's home directory: `HOME`, on Windows `USERPROFILE`. Nothing where it is not set to an absolute path.
template <class Environment>
std::optional<std::filesystem::path> home_directory(const Environment& environment) {
#ifdef _WIN32
    return detail::absolute_path(environment, "USERPROFILE");
#else
    return detail::absolute_path(environment, "HOME");
#endif
}

namespace detail {

/// A directory of the product: under the one that the variable `xdg` names, else under that path in the home directory,
/// on Windows under the one that `windows` names.
template <class Environment>
std::optional<std::filesystem::path> product_directory(const Environment& environment, std::string_view product_name,
                                                       const char* xdg, [[maybe_unused]] const char* in_home,
                                                       [[maybe_unused]] const char* windows) {
    if (!is_file_name(product_name)) return std::nullopt;
    auto base = absolute_path(environment, xdg);
    if (!base) {
#ifdef _WIN32
        base = absolute_path(environment, windows);
#else
        base = home_directory(environment);
        if (base) *base /= in_home;
#endif
    }
    if (base) *base /= product_name;
    return base;
}

}  // namespace detail

/// The product's configuration directory: `$XDG_CONFIG_HOME/<name>`; without that variable `~/.config/<name>`, on
/// Windows `%APPDATA%\<name>`. Nothing where no variable leads there, or the name is no plain file name. Neither
/// creates the directory nor looks whether it exists.
template <class Environment>
std::optional<std::filesystem::path> config_directory(const Environment& environment, std::string_view product_name) {
    return detail::product_directory(environment, product_name, "XDG_CONFIG_HOME", ".config", "APPDATA");
}

/// Where the product keeps what it needs from one run to the next: `$XDG_STATE_HOME/<name>`; without that variable
/// `~/.local/state/<name>`, on Windows `%LOCALAPPDATA%\<name>`. On the same terms.
template <class Environment>
std::optional<std::filesystem::path> state_directory(const Environment& environment, std::string_view product_name) {
    return detail::product_directory(environment, product_name, "XDG_STATE_HOME", ".local/state", "LOCALAPPDATA");
}

namespace detail {

/// The same, where the program may make it: a home directory that is not there is not made, since a system's users have
/// none.
template <class Environment>
std::optional<std::filesystem::path> makeable_state_directory(const Environment& environment,
                                                              std::string_view product_name) {
    auto state = state_directory(environment, product_name);
    const auto home = home_directory(environment);
    std::error_code ignored;
    const bool is_homeless =
        state && home && state->native().starts_with(home->native()) && !std::filesystem::is_directory(*home, ignored);
    if (is_homeless) state.reset();
    return state;
}

}  // namespace detail

}  // namespace candor

#endif
