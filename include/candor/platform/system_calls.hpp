#ifndef CANDOR_PLATFORM_SYSTEM_CALLS_HPP
#define CANDOR_PLATFORM_SYSTEM_CALLS_HPP

#include <cerrno>
#include <cstddef>
#include <cstdint>

#ifndef _WIN32
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#else
#include <io.h>
#endif

#include <candor/platform/standard_streams.hpp>

namespace candor::detail {

/// What a file of a directory is opened for. None is opened through a symbolic link, waits for anybody, or is inherited
/// by programs that the host starts.
enum class file_access {
    read,
    update,      ///< reading and writing
    create,      ///< the same; made, for this user alone, where it is not there
    create_new,  ///< the same; EEXIST where it is there
};

enum class file_type : std::uint8_t { other, regular, directory, link, socket };

/// Which file it is, for as long as somebody has it open.
struct file_id {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    file_type type = file_type::other;

    [[nodiscard]] bool is_same_file(const file_id& other) const noexcept {
        return device == other.device && inode == other.inode && type == other.type;
    }
};

struct file_facts : file_id {
    std::uint64_t links = 0;
    std::uint64_t size = 0;
    unsigned permissions = 0;  ///< the lowest nine bits of its mode
    bool is_own = false;       ///< this user's
};

/// The calls of the system that files are kept with, under the names that POSIX has for them: -1 or null where they
/// fail, which `errno` tells. A test copies `real()` and puts others in their places. On Windows, where nothing is
/// stored yet, all but `close` fail with ENOSYS. Thread-safe.
struct system_calls {
    int (*open_directory)(const char* path) noexcept;  ///< for the calls that take a `directory`
    int (*mkdir)(const char* path) noexcept;           ///< for this user alone
    void* (*opendir)(int directory) noexcept;          ///< a second look, closed by `closedir`
    const char* (*readdir)(void* entries) noexcept;    ///< the next name, null after the last one
    void (*closedir)(void* entries) noexcept;
    int (*openat)(int directory, const char* name, file_access access) noexcept;
    int (*duplicate)(int file) noexcept;  ///< another number for it, above 2
    int (*close)(int file) noexcept;
    int (*fstat)(int file, file_facts* out) noexcept;
    int (*fstatat)(int directory, const char* name, file_facts* out) noexcept;  ///< of a link itself
    int (*fchmod)(int file, unsigned permissions) noexcept;
    int (*flock)(int file) noexcept;  ///< alone and at once: EWOULDBLOCK
    std::ptrdiff_t (*pread)(int file, void* out, std::size_t size, std::uint64_t at) noexcept;
    std::ptrdiff_t (*pwrite)(int file, const void* bytes, std::size_t size, std::uint64_t at) noexcept;
    int (*ftruncate)(int file, std::uint64_t size) noexcept;
    int (*fsync)(int file) noexcept;
    int (*renameat)(int directory, const char* from, const char* to) noexcept;
    int (*unlinkat)(int directory, const char* name) noexcept;

    static const system_calls& real() noexcept;
};

#ifndef _WIN32

/// Fills `out` where the call before has succeeded.
inline int to_facts(int result, const struct stat& found, file_facts* out) noexcept {
    if (result != 0) return result;
    out->device = static_cast<std::uint64_t>(found.st_dev);
    out->inode = static_cast<std::uint64_t>(found.st_ino);
    out->links = static_cast<std::uint64_t>(found.st_nlink);
    out->size = found.st_size > 0 ? static_cast<std::uint64_t>(found.st_size) : 0;
    out->permissions = static_cast<unsigned>(found.st_mode & 0777);
    out->type = S_ISREG(found.st_mode)    ? file_type::regular
                : S_ISDIR(found.st_mode)  ? file_type::directory
                : S_ISLNK(found.st_mode)  ? file_type::link
                : S_ISSOCK(found.st_mode) ? file_type::socket
                                          : file_type::other;
    out->is_own = found.st_uid == ::geteuid();
    return 0;
}

inline const system_calls& system_calls::real() noexcept {
    static constexpr system_calls table{
        .open_directory =
            [](const char* path) noexcept {
                occupy_standard_streams();
                return ::open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            },
        .mkdir = [](const char* path) noexcept { return ::mkdir(path, 0700); },
        .opendir = [](int directory) noexcept -> void* {
            occupy_standard_streams();
            const int file = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            DIR* const out = file < 0 ? nullptr : ::fdopendir(file);
            if (file >= 0 && out == nullptr) ::close(file);
            return out;
        },
        .readdir = [](void* entries) noexcept -> const char* {
            const dirent* const found = ::readdir(static_cast<DIR*>(entries));
            return found == nullptr ? nullptr : found->d_name;
        },
        .closedir = [](void* entries) noexcept { ::closedir(static_cast<DIR*>(entries)); },
        .openat =
            [](int directory, const char* name, file_access access) noexcept {
                const int how = access == file_access::read         ? O_RDONLY
                                : access == file_access::create     ? O_RDWR | O_CREAT
                                : access == file_access::create_new ? O_RDWR | O_CREAT | O_EXCL
                                                                    : O_RDWR;
                occupy_standard_streams();
                return ::openat(directory, name, how | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
            },
        .duplicate = [](int file) noexcept { return ::fcntl(file, F_DUPFD_CLOEXEC, STDERR_FILENO + 1); },
        .close = [](int file) noexcept { return ::close(file); },
        .fstat =
            [](int file, file_facts* out) noexcept {
                struct stat found {};
                return to_facts(::fstat(file, &found), found, out);
            },
        .fstatat =
            [](int directory, const char* name, file_facts* out) noexcept {
                struct stat found {};
                return to_facts(::fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW), found, out);
            },
        .fchmod = [](int file,
                     unsigned permissions) noexcept { return ::fchmod(file, static_cast<mode_t>(permissions)); },
        .flock = [](int file) noexcept { return ::flock(file, LOCK_EX | LOCK_NB); },
        .pread = [](int file, void* out, std::size_t size, std::uint64_t at) noexcept -> std::ptrdiff_t {
            return ::pread(file, out, size, static_cast<off_t>(at));
        },
        .pwrite = [](int file, const void* bytes, std::size_t size, std::uint64_t at) noexcept -> std::ptrdiff_t {
            return ::pwrite(file, bytes, size, static_cast<off_t>(at));
        },
        .ftruncate = [](int file, std::uint64_t size) noexcept { return ::ftruncate(file, static_cast<off_t>(size)); },
        .fsync = [](int file) noexcept { return ::fsync(file); },
        .renameat = [](int directory, const char* from,
                       const char* to) noexcept { return ::renameat(directory, from, directory, to); },
        .unlinkat = [](int directory, const char* name) noexcept { return ::unlinkat(directory, name, 0); },
    };
    return table;
}

#else

template <class Result, class... Arguments>
Result refuse_call(Arguments...) noexcept {
    errno = ENOSYS;
    return static_cast<Result>(-1);
}

inline const system_calls& system_calls::real() noexcept {
    static constexpr system_calls table{
        .open_directory = refuse_call,
        .mkdir = refuse_call,
        .opendir = [](int) noexcept -> void* {
            errno = ENOSYS;
            return nullptr;
        },
        .readdir = [](void*) noexcept -> const char* { return nullptr; },
        .closedir = [](void*) noexcept {},
        .openat = refuse_call,
        .duplicate = refuse_call,
        .close = [](int file) noexcept { return ::_close(file); },
        .fstat = refuse_call,
        .fstatat = refuse_call,
        .fchmod = refuse_call,
        .flock = refuse_call,
        .pread = refuse_call,
        .pwrite = refuse_call,
        .ftruncate = refuse_call,
        .fsync = refuse_call,
        .renameat = refuse_call,
        .unlinkat = refuse_call,
    };
    return table;
}

#endif

}  // namespace candor::detail

#endif
