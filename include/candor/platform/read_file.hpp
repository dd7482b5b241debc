#ifndef CANDOR_PLATFORM_READ_FILE_HPP
#define CANDOR_PLATFORM_READ_FILE_HPP

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <string>
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

#include <candor/platform/descriptor.hpp>
#include <candor/platform/standard_streams.hpp>

namespace candor::detail {

/// The outcome of reading a file.
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
    struct stat found {};
    occupy_standard_streams();
    // Non-blocking, so that a FIFO without a writer is opened at once and then recognised.
    const descriptor file{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)};
    if (!file) {
        const int error = errno;
        const bool missing = error == ENOTDIR || (error == ENOENT && ::lstat(path.c_str(), &found) != 0);
        return missing ? file_content{} : failed(error);
    }
    if (::fstat(file.get(), &found) != 0) return failed(errno);
    if (!S_ISREG(found.st_mode)) return not_a_file;
    while (content.size() <= limit) {
        const ssize_t got = ::read(file.get(), block, sizeof block);
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

}  // namespace candor::detail

#endif
