#ifndef CANDOR_POLICY_SYSTEM_CALLS_HPP
#define CANDOR_POLICY_SYSTEM_CALLS_HPP

#ifndef _WIN32

#include <cstddef>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

namespace candor {

/// The file system as the spool uses it: the calls of POSIX under their own names, errors in `errno`. A test puts one
/// in its place that fails. Thread-safe.
struct system_calls {
    static int open_directory(const char* path) noexcept {
        return ::open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    static int mkdir(const char* path, mode_t mode) noexcept { return ::mkdir(path, mode); }
    static int openat(int directory, const char* name, int flags, mode_t mode) noexcept {
        return ::openat(directory, name, flags, mode);
    }
    static int close(int file) noexcept { return ::close(file); }
    static int fstat(int file, struct stat* out) noexcept { return ::fstat(file, out); }
    static int fstatat(int directory, const char* name, struct stat* out) noexcept {
        return ::fstatat(directory, name, out, AT_SYMLINK_NOFOLLOW);
    }
    static int fchmod(int file, mode_t mode) noexcept { return ::fchmod(file, mode); }
    static int flock(int file, int operation) noexcept { return ::flock(file, operation); }
    static ssize_t pread(int file, void* out, std::size_t size, off_t at) noexcept {
        return ::pread(file, out, size, at);
    }
    static ssize_t pwrite(int file, const void* bytes, std::size_t size, off_t at) noexcept {
        return ::pwrite(file, bytes, size, at);
    }
    static int fsync(int file) noexcept { return ::fsync(file); }
    static int renameat(int directory, const char* from, const char* to) noexcept {
        return ::renameat(directory, from, directory, to);
    }
    static int unlinkat(int directory, const char* name) noexcept { return ::unlinkat(directory, name, 0); }
    static DIR* fdopendir(int directory) noexcept { return ::fdopendir(directory); }
};

}  // namespace candor

#else

namespace candor {

/// Nothing is stored on Windows yet.
struct system_calls {};

}  // namespace candor

#endif

#endif
