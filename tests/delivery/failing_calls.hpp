// The file system's calls, of which the Nth fails.
#ifndef CANDOR_TESTS_DELIVERY_FAILING_CALLS_HPP
#define CANDOR_TESTS_DELIVERY_FAILING_CALLS_HPP

#include <cerrno>
#include <cstddef>

#include <candor/policy/system_calls.hpp>

namespace candor::tests {

struct failing_calls : candor::system_calls {
    inline static int left = -1;  ///< how many succeed before the one that fails; negative: all
    inline static int error = 0;
    inline static bool is_short = false;  ///< a write stops half-way first

    static bool fails() noexcept {
        if (left < 0 || left-- > 0) return false;
        left = -1;
        errno = error;
        return true;
    }
    static int open_directory(const char* path) noexcept { return fails() ? -1 : system_calls::open_directory(path); }
    static int mkdir(const char* path, mode_t mode) noexcept { return fails() ? -1 : system_calls::mkdir(path, mode); }
    static int openat(int directory, const char* name, int flags, mode_t mode) noexcept {
        return fails() ? -1 : system_calls::openat(directory, name, flags, mode);
    }
    static int fstat(int file, struct stat* out) noexcept { return fails() ? -1 : system_calls::fstat(file, out); }
    static int fstatat(int directory, const char* name, struct stat* out) noexcept {
        return fails() ? -1 : system_calls::fstatat(directory, name, out);
    }
    static int fchmod(int file, mode_t mode) noexcept { return fails() ? -1 : system_calls::fchmod(file, mode); }
    static int flock(int file, int operation) noexcept { return fails() ? -1 : system_calls::flock(file, operation); }
    static ssize_t pread(int file, void* out, std::size_t size, off_t at) noexcept {
        return fails() ? -1 : system_calls::pread(file, out, size, at);
    }
    static ssize_t pwrite(int file, const void* bytes, std::size_t size, off_t at) noexcept {
        if (!fails()) return system_calls::pwrite(file, bytes, size, at);
        if (is_short && size > 1) {
            left = 0;  // and the next call fails
            return system_calls::pwrite(file, bytes, size / 2, at);
        }
        return -1;
    }
    static int fsync(int file) noexcept { return fails() ? -1 : system_calls::fsync(file); }
    static int renameat(int directory, const char* from, const char* to) noexcept {
        return fails() ? -1 : system_calls::renameat(directory, from, to);
    }
    static int unlinkat(int directory, const char* name) noexcept {
        return fails() ? -1 : system_calls::unlinkat(directory, name);
    }
    static DIR* fdopendir(int directory) noexcept { return fails() ? nullptr : system_calls::fdopendir(directory); }
};

}  // namespace candor::tests

#endif
