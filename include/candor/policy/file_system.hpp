#ifndef CANDOR_POLICY_FILE_SYSTEM_HPP
#define CANDOR_POLICY_FILE_SYSTEM_HPP

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#ifdef _WIN32
#include <fstream>
#else
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#endif

#include <candor/policy/environment.hpp>

namespace candor {

namespace detail {

/// The path in a variable. Nothing where it is unset, empty or relative (the XDG Base Directory Specification calls a
/// relative one invalid; it would also make the working directory decide which file is read).
template <environment Environment>
std::optional<std::filesystem::path> absolute_path(const Environment& environment, const char* name) {
    const auto value = non_empty(environment, name);
    if (!value || value->find('\0') != std::string::npos) return std::nullopt;
    try {
        std::filesystem::path path{*value};
        if (path.is_absolute()) return path;
    } catch (const std::system_error&) {  // Windows: not text in the encoding of this process
    }
    return std::nullopt;
}

/// Whether `name` is one component of a path, and so cannot lead out of its directory.
inline bool is_file_name(std::string_view name) noexcept {
    return !name.empty() && name != "." && name != ".." &&
           name.find_first_of(std::string_view{"/\\:\0", 4}) == std::string_view::npos;
}

}  // namespace detail

/// The user's home directory: `HOME`, on Windows `USERPROFILE`. Nothing where it is not set to an absolute path.
template <environment Environment>
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
template <environment Environment>
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
template <environment Environment>
std::optional<std::filesystem::path> config_directory(const Environment& environment, std::string_view product_name) {
    return detail::product_directory(environment, product_name, "XDG_CONFIG_HOME", ".config", "APPDATA");
}

/// Where the product keeps what it needs from one run to the next: `$XDG_STATE_HOME/<name>`; without that variable
/// `~/.local/state/<name>`, on Windows `%LOCALAPPDATA%\<name>`. On the same terms.
template <environment Environment>
std::optional<std::filesystem::path> state_directory(const Environment& environment, std::string_view product_name) {
    return detail::product_directory(environment, product_name, "XDG_STATE_HOME", ".local/state", "LOCALAPPDATA");
}

namespace detail {

/// The same, where the program may make it: a home directory that is not there is not made, since a system's users have
/// none.
template <environment Environment>
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

/// What came of reading a file.
enum class file_status {
    read,        ///< `content` is the whole file
    absent,      ///< there is none of that name
    unreadable,  ///< there is something, but it is no regular file or cannot be read
    too_large,   ///< longer than the limit
};

/// A file's content, or why there is none.
struct file_content {
    file_status status = file_status::absent;
    std::string content{};
    std::string problem{};  ///< for a person, where the status is `unreadable` or `too_large`: "is not a regular file"
};

/// Reads a whole file of at most `limit` bytes. Symbolic links are followed; one that leads nowhere is `unreadable`.
/// Never waits for another process, whatever stands at `path`: a FIFO or a device is not read. Throws only
/// `std::bad_alloc`. Thread-safe.
inline file_content read_file(const std::filesystem::path& path, std::size_t limit) {
    const auto failed = [](int error) {
        return file_content{file_status::unreadable, {}, "cannot be read: " + std::generic_category().message(error)};
    };
    const file_content not_a_file{file_status::unreadable, {}, "is not a regular file"};
    std::string content;
    char block[4096];
#ifdef _WIN32
    std::error_code error;
    const auto found = std::filesystem::status(path, error);
    if (found.type() == std::filesystem::file_type::not_found) return {};
    if (error) return {file_status::unreadable, {}, "cannot be read: " + error.message()};
    if (found.type() != std::filesystem::file_type::regular) return not_a_file;
    std::ifstream file{path, std::ios::binary};
    if (!file) return failed(EACCES);
    while (content.size() <= limit && (file.read(block, sizeof block), file.gcount() > 0))
        content.append(block, static_cast<std::size_t>(file.gcount()));
    if (file.bad()) return failed(EIO);
#else
    struct descriptor {
        int value;
        ~descriptor() {
            if (value >= 0) ::close(value);
        }
    };
    struct stat found {};
    // Non-blocking, so that a FIFO without a writer is opened at once and then recognised.
    const descriptor file{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)};
    if (file.value < 0) {
        const int error = errno;
        const bool missing = error == ENOTDIR || (error == ENOENT && ::lstat(path.c_str(), &found) != 0);
        return missing ? file_content{} : failed(error);
    }
    if (::fstat(file.value, &found) != 0) return failed(errno);
    if (!S_ISREG(found.st_mode)) return not_a_file;
    while (content.size() <= limit) {
        const ssize_t got = ::read(file.value, block, sizeof block);
        if (got == 0) break;
        if (got > 0) {
            content.append(block, static_cast<std::size_t>(got));
        } else if (errno != EINTR) {
            return failed(errno);
        }
    }
#endif
    if (content.size() > limit)
        return {file_status::too_large, {}, "is larger than " + std::to_string(limit) + " bytes"};
    return {file_status::read, std::move(content), {}};
}

}  // namespace candor

#endif
