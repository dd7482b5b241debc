#ifndef CANDOR_PLATFORM_REPLACE_FILE_HPP
#define CANDOR_PLATFORM_REPLACE_FILE_HPP

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
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#endif

#include <candor/platform/descriptor.hpp>
#include <candor/platform/signals.hpp>
#include <candor/platform/standard_streams.hpp>
#include <candor/platform/system_calls.hpp>

namespace candor::detail {

/// What the name of a file that is to replace another begins with; six random characters follow.
inline constexpr std::string_view replacement_prefix = ".candor-replacement-";

inline std::string cannot_be_written(int error) {
    return "cannot be written: " + std::generic_category().message(error);
}

/// What the content of a replaced file is safe from once the call has returned.
enum class outlasts {
    power_loss,  ///< it is on the disk
    process,     ///< it is the system's, and no disk was waited for
};

#ifdef _WIN32

inline std::string write_and_rename(const std::filesystem::path& path, std::string_view content, outlasts what) {
    std::filesystem::path temporary = path.parent_path() / replacement_prefix;
    temporary += std::to_string(std::random_device{}());
    std::FILE* file = nullptr;
    if (const auto error = ::_wfopen_s(&file, temporary.c_str(), L"wbx"); error != 0) return cannot_be_written(error);
    int error = 0;
    if (std::fwrite(content.data(), 1, content.size(), file) != content.size() || std::fflush(file) != 0 ||
        (what == outlasts::power_loss && ::_commit(::_fileno(file)) != 0))
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

inline std::filesystem::path directory_of(const std::filesystem::path& path) {
    return path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
}

/// Writes all of `content`. Returns 0 or what went wrong.
inline int write_all(int fd, std::string_view content, outlasts what) noexcept {
    const auto guard = signal_guard::file_size();
    while (!content.empty()) {
        const ssize_t written = ::write(fd, content.data(), content.size());
        if (written > 0) {
            content.remove_prefix(static_cast<std::size_t>(written));
        } else if (written == 0 || errno != EINTR) {
            return written == 0 ? EIO : errno;
        }
    }
    while (what == outlasts::power_loss && ::fsync(fd) != 0) {
        if (errno == EINVAL) return 0;  // a file system that cannot
        if (errno != EINTR) return errno;
    }
    return 0;
}

/// Writes a temporary file beside `path` and gives it that name. Returns 0 or what went wrong, and leaves nothing
/// behind then.
inline int write_and_rename(const std::filesystem::path& path, std::string_view content, outlasts what, mode_t mode) {
    occupy_standard_streams();
    auto name = (directory_of(path) / replacement_prefix).native() + "XXXXXX";
    const descriptor file{::mkostemp(name.data(), O_CLOEXEC)};  // of mode 0600, and never one that is there already
    if (!file) return errno;
    int error = 0;
    // The lock says that somebody is at work here: `sweep_replacements` leaves the file alone.
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) error = EAGAIN;
    if (error == 0 && mode != 0600 && ::fchmod(file.get(), mode) != 0) error = errno;
    if (error == 0) error = write_all(file.get(), content, what);
    if (error == 0 && ::rename(name.c_str(), path.c_str()) != 0) error = errno;
    if (error != 0) ::unlink(name.c_str());
    return error;
}

#endif

/// Makes `content` the whole content of the file at `path`, at once: whoever opens it finds the old content or the new,
/// never a part of either, also where this process stops half-way. Returns what went wrong, for a person
/// and to be read after the path ("cannot be written: No space left on device"), and the old file is then as it was, or
/// an empty string.
///
/// The content is written to a file of its own in the same directory, readable by its owner only, synced (so that power
/// loss leaves the old content or the new, too) unless it is to outlast the process alone, and renamed. A file that was
/// there passes its permissions on. A symbolic link that was there is replaced; where it led is not
/// touched. Anything else than a file or a link is refused. Throws only `std::bad_alloc`. Thread-safe.
[[nodiscard]] inline std::string replace_file(const std::filesystem::path& path, std::string_view content,
                                              outlasts what = outlasts::power_loss) {
#ifdef _WIN32
    std::error_code error;
    const auto type = std::filesystem::symlink_status(path, error).type();
    if (type != std::filesystem::file_type::not_found && type != std::filesystem::file_type::regular &&
        type != std::filesystem::file_type::symlink)
        return "is not a regular file";
    return write_and_rename(path, content, what);
#else
    if (path.native().find('\0') != std::string::npos) return "contains a NUL byte";
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
        error = write_and_rename(path, content, what, mode);
        if (error != EAGAIN && error != ENOENT) break;  // those two: swept away between its creation and its lock
    }
    if (error != 0) return cannot_be_written(error);
    if (what == outlasts::process) return {};
    const descriptor directory{::open(directory_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (directory)
        static_cast<void>(::fsync(directory.get()));  // so that the name lasts, too, where the system can do that
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
    const auto& calls = system_calls::real();
    occupy_standard_streams();
    const descriptor parent{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!parent) return;
    const std::unique_ptr<void, void (*)(void*) noexcept> entries{calls.opendir(parent.get()), calls.closedir};
    for (int i = 0; entries && i < most_entries; ++i) {
        const char* const entry = calls.readdir(entries.get());
        if (entry == nullptr) break;
        const std::string_view name{entry};
        if (!name.starts_with(replacement_prefix) || name.size() != replacement_prefix.size() + 6) continue;
        const descriptor file{calls.openat(parent.get(), entry, file_access::read)};
        file_facts found;
        if (!file || calls.fstat(file.get(), &found) != 0 || found.type != file_type::regular) continue;
        if (!found.is_own || calls.flock(file.get()) != 0) continue;
        calls.unlinkat(parent.get(), entry);
    }
#endif
}

}  // namespace candor::detail

#endif
