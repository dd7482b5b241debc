#ifndef CANDOR_POLICY_REPLACE_FILE_HPP
#define CANDOR_POLICY_REPLACE_FILE_HPP

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#ifdef _WIN32
#include <io.h>

#include <random>
#else
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#endif

#include <candor/policy/signal_guard.hpp>

namespace candor {

namespace detail {

/// What the name of a file that is to replace another begins with; six random characters follow.
inline constexpr std::string_view replacement_prefix = ".candor-replacement-";

inline std::string cannot_be_written(int error) {
    return "cannot be written: " + std::generic_category().message(error);
}

#ifdef _WIN32

inline std::string write_and_rename(const std::filesystem::path& path, std::string_view content) {
    std::filesystem::path temporary = path.parent_path() / replacement_prefix;
    temporary += std::to_string(std::random_device{}());
    std::FILE* file = nullptr;
    if (const auto error = ::_wfopen_s(&file, temporary.c_str(), L"wbx"); error != 0) return cannot_be_written(error);
    int error = 0;
    if (std::fwrite(content.data(), 1, content.size(), file) != content.size() || std::fflush(file) != 0 ||
        ::_commit(::_fileno(file)) != 0)
        error = errno;
    if (std::fclose(file) != 0 && error == 0) error = errno;
    std::error_code failed{error, std::generic_category()};
    if (!failed) std::filesystem::rename(temporary, path, failed);
    if (!failed) return {};
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    return "cannot be written: " + failed.message();
}

#else

/// A descriptor, closed at the end.
struct owned_descriptor {
    explicit owned_descriptor(int fd) noexcept : value{fd} {}
    owned_descriptor(const owned_descriptor&) = delete;
    owned_descriptor& operator=(const owned_descriptor&) = delete;
    ~owned_descriptor() {
        if (value >= 0) ::close(value);
    }
    int value;
};

inline std::filesystem::path directory_of(const std::filesystem::path& path) {
    return path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
}

/// Writes all of `content` and waits until it is on the disk. Returns 0 or what went wrong.
inline int write_and_sync(int fd, std::string_view content) noexcept {
    const signal_guard guard{SIGXFSZ};
    while (!content.empty()) {
        const ssize_t written = ::write(fd, content.data(), content.size());
        if (written > 0) {
            content.remove_prefix(static_cast<std::size_t>(written));
        } else if (written == 0 || errno != EINTR) {
            return written == 0 ? EIO : errno;
        }
    }
    while (::fsync(fd) != 0) {
        if (errno == EINVAL) return 0;  // a file system that cannot
        if (errno != EINTR) return errno;
    }
    return 0;
}

/// Writes a temporary file beside `path` and gives it that name. Returns 0 or what went wrong, and leaves nothing
/// behind then.
inline int write_and_rename(const std::filesystem::path& path, std::string_view content, mode_t mode) {
    auto name = (directory_of(path) / replacement_prefix).native() + "XXXXXX";
    const owned_descriptor file{
        ::mkostemp(name.data(), O_CLOEXEC)};  // of mode 0600, and never one that is there already
    if (file.value < 0) return errno;
    int error = 0;
    // The lock says that somebody is at work here: `sweep_replacements` leaves the file alone.
    if (::flock(file.value, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) error = EAGAIN;
    if (error == 0 && mode != 0600 && ::fchmod(file.value, mode) != 0) error = errno;
    if (error == 0) error = write_and_sync(file.value, content);
    if (error == 0 && ::rename(name.c_str(), path.c_str()) != 0) error = errno;
    if (error != 0) ::unlink(name.c_str());
    return error;
}

#endif

}  // namespace detail

/// Makes `content` the whole content of the file at `path`, at once: whoever opens it finds the old content or the new,
/// never a part of either, also where this process or the machine stops half-way. Returns what went wrong, for a person
/// and to be read after the path ("cannot be written: No space left on device"), and the old file is then as it was, or
/// an empty string.
///
/// The content is written to a file of its own in the same directory, readable by its owner only, synced and renamed. A
/// file that was there passes its permissions on. A symbolic link that was there is replaced; where it led is not
/// touched. Anything else than a file or a link is refused. Throws only `std::bad_alloc`. Thread-safe.
[[nodiscard]] inline std::string replace_file(const std::filesystem::path& path, std::string_view content) {
#ifdef _WIN32
    std::error_code error;
    const auto type = std::filesystem::symlink_status(path, error).type();
    if (type != std::filesystem::file_type::not_found && type != std::filesystem::file_type::regular &&
        type != std::filesystem::file_type::symlink)
        return "is not a regular file";
    return detail::write_and_rename(path, content);
#else
    if (path.native().find('\0') != std::string::npos) return "has a NUL in it";
    mode_t mode = 0600;
    struct stat found {};
    if (::lstat(path.c_str(), &found) == 0) {
        if (S_ISREG(found.st_mode)) {
            mode = found.st_mode & 0777;
        } else if (!S_ISLNK(found.st_mode)) {
            return S_ISDIR(found.st_mode) ? "is a directory" : "is not a regular file";
        }
    }
    int error = 0;
    for (int attempt = 0; attempt < 3; ++attempt) {
        error = detail::write_and_rename(path, content, mode);
        if (error != EAGAIN && error != ENOENT) break;  // those two: swept away between its creation and its lock
    }
    if (error != 0) return detail::cannot_be_written(error);
    const detail::owned_descriptor directory{
        ::open(detail::directory_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (directory.value >= 0)
        static_cast<void>(::fsync(directory.value));  // the name lasts, too, where that can be had
    return {};
#endif
}

/// Removes what `replace_file` has left in a directory where the process was killed in the middle of it. Leaves alone
/// what another process is writing just now. Looks at a bounded number of entries. What fails is ignored: the next run
/// may succeed. Throws only `std::bad_alloc`.
inline void sweep_replacements(const std::filesystem::path& directory) {
#ifdef _WIN32
    static_cast<void>(directory);  // nothing tells whether a process is at work there
#else
    constexpr int most_entries = 10'000;
    struct closer {
        void operator()(DIR* open) const noexcept { ::closedir(open); }
    };
    const std::unique_ptr<DIR, closer> entries{::opendir(directory.c_str())};
    for (int i = 0; entries && i < most_entries; ++i) {
        const dirent* entry = ::readdir(entries.get());
        if (entry == nullptr) break;
        const std::string_view name{entry->d_name};
        if (!name.starts_with(detail::replacement_prefix) || name.size() != detail::replacement_prefix.size() + 6)
            continue;
        const int parent = ::dirfd(entries.get());
        const detail::owned_descriptor file{
            ::openat(parent, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)};
        struct stat found {};
        if (file.value < 0 || ::fstat(file.value, &found) != 0 || !S_ISREG(found.st_mode)) continue;
        if (found.st_uid != ::geteuid() || ::flock(file.value, LOCK_EX | LOCK_NB) != 0) continue;
        ::unlinkat(parent, entry->d_name, 0);
    }
#endif
}

}  // namespace candor

#endif
