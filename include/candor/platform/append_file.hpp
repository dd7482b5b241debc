#ifndef CANDOR_PLATFORM_APPEND_FILE_HPP
#define CANDOR_PLATFORM_APPEND_FILE_HPP

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#ifdef _WIN32
#include <stdio.h>

#include <system_error>
#else
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#endif

#include <candor/platform/descriptor.hpp>
#include <candor/platform/replace_file.hpp>
#include <candor/platform/signals.hpp>
#include <candor/platform/standard_streams.hpp>

namespace candor::detail {

#ifndef _WIN32

/// Renames an open file, where no other process does it at this moment or has just done it.
[[nodiscard]] inline bool set_aside(int descriptor, const struct stat& facts, const std::filesystem::path& file,
                                    const std::filesystem::path& aside) noexcept {
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) return false;
    struct stat named {};
    if (::lstat(file.c_str(), &named) != 0 || named.st_ino != facts.st_ino || named.st_dev != facts.st_dev) return true;
    return ::rename(file.c_str(), aside.c_str()) == 0;
}

#endif

/// Appends a text in one piece to a file that only its owner can read; made where it is not there. Before it grows
/// beyond `most` bytes it is renamed to `aside`, in the place of what has that name. Several processes may append to
/// one file. Returns what went wrong, for a person and to be read after the path ("is not a regular file"), or an empty
/// string. Throws only `std::bad_alloc`. Thread-safe.
[[nodiscard]] inline std::string append_to_file(const std::filesystem::path& file, const std::filesystem::path& aside,
                                                std::string_view text, std::size_t most) {
#ifdef _WIN32
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (!error && size + text.size() > most) std::filesystem::rename(file, aside, error);
    FILE* out = nullptr;
    if (const auto failed = ::_wfopen_s(&out, file.c_str(), L"ab"); failed != 0) return cannot_be_written(failed);
    const bool is_whole = ::fwrite(text.data(), 1, text.size(), out) == text.size();
    return ::fclose(out) == 0 && is_whole ? std::string{} : cannot_be_written(errno);
#else
    occupy_standard_streams();
    for (int attempt = 0;; ++attempt) {
        // Not one that waits for a reader, and not where a link leads that somebody else may have put there.
        const descriptor out{
            ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600)};
        struct stat found {};
        if (!out || ::fstat(out.get(), &found) != 0) return cannot_be_written(errno);
        if (!S_ISREG(found.st_mode)) return "is not a regular file";
        if (found.st_uid != ::geteuid()) return "does not belong to this user";
        if ((found.st_mode & 077) != 0 && ::fchmod(out.get(), 0600) != 0) return cannot_be_written(errno);
        const bool is_full = static_cast<std::uint64_t>(found.st_size) + text.size() > most;
        if (is_full && found.st_size > 0 && attempt == 0 && set_aside(out.get(), found, file, aside)) continue;
        const auto guard = signal_guard::file_size();
        // In one piece, so that two processes do not write into each other's lines.
        const auto done = ::write(out.get(), text.data(), text.size());
        if (done < 0) return cannot_be_written(errno);
        return static_cast<std::size_t>(done) == text.size() ? std::string{} : cannot_be_written(ENOSPC);
    }
#endif
}

}  // namespace candor::detail

#endif
