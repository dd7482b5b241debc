#ifndef CANDOR_PLATFORM_HELD_FILE_HPP
#define CANDOR_PLATFORM_HELD_FILE_HPP

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#ifndef _WIN32
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#endif

#include <candor/platform/descriptor.hpp>
#include <candor/platform/standard_streams.hpp>
#include <candor/platform/system_calls.hpp>
#include <candor/platform/windows.hpp>

namespace candor::detail {

#ifdef _WIN32

inline std::error_code windows_error() noexcept { return {static_cast<int>(::GetLastError()), std::system_category()}; }

/// A file that is open and held: no other process opens it meanwhile.
class held_file {
public:
    held_file() = default;
    held_file(held_file&& other) noexcept : handle_{std::exchange(other.handle_, INVALID_HANDLE_VALUE)} {}
    held_file& operator=(held_file&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~held_file() { close(); }

    /// A new one of `size` bytes that begins with `start`.
    static held_file create(const std::filesystem::path& path, std::string_view start, std::size_t size,
                            std::error_code& error) {
        held_file out;
        std::filesystem::create_directories(path.parent_path(), error);
        if (error) return out;
        out.handle_ = ::CreateFileW(path.c_str(), GENERIC_READ | GENERIC_WRITE | DELETE, 0, nullptr, CREATE_NEW,
                                    FILE_ATTRIBUTE_NORMAL, nullptr);
        std::string content{start};
        content.resize(size, '\0');
        if (!out.is_open() || !out.write(0, content.data(), content.size())) error = windows_error();
        if (error && out.is_open()) out.remove();
        return out;
    }

    /// One that an ended process left; closed where it is in use or no plain file.
    static held_file claim(const std::filesystem::path& path) {
        held_file out;
        out.handle_ = ::CreateFileW(path.c_str(), GENERIC_READ | DELETE, 0, nullptr, OPEN_EXISTING,
                                    FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT, nullptr);
        BY_HANDLE_FILE_INFORMATION facts;
        const bool is_plain =
            out.is_open() && ::GetFileInformationByHandle(out.handle_, &facts) &&
            (facts.dwFileAttributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT)) == 0 &&
            facts.nNumberOfLinks == 1;
        return is_plain ? std::move(out) : held_file{};
    }

    [[nodiscard]] bool is_open() const noexcept { return handle_ != INVALID_HANDLE_VALUE; }
    [[nodiscard]] bool is_intact() const noexcept { return is_open(); }

    bool write(std::size_t at, const char* bytes, std::size_t size) const noexcept {
        OVERLAPPED place{};
        place.Offset = static_cast<DWORD>(at);
        DWORD done = 0;
        return ::WriteFile(handle_, bytes, static_cast<DWORD>(size), &done, &place) != 0 && done == size;
    }

    /// What is there, at most `limit` bytes. Nothing where it cannot be read.
    [[nodiscard]] std::optional<std::string> read(std::size_t limit) const {
        std::string out(limit, '\0');
        std::size_t size = 0;
        while (size < limit) {
            DWORD got = 0;
            if (!::ReadFile(handle_, out.data() + size, static_cast<DWORD>(limit - size), &got, nullptr))
                return std::nullopt;
            if (got == 0) break;
            size += got;
        }
        out.resize(size);
        return out;
    }

    /// Removes and closes it.
    void remove() noexcept {
        FILE_DISPOSITION_INFO disposition{TRUE};
        ::SetFileInformationByHandle(handle_, FileDispositionInfo, &disposition, sizeof disposition);
        close();
    }

    /// Closes it and leaves it where it is.
    void close() noexcept {
        if (is_open()) ::CloseHandle(std::exchange(handle_, INVALID_HANDLE_VALUE));
    }

private:
    HANDLE handle_ = INVALID_HANDLE_VALUE;
};

#else

/// A file that is open and locked: another process that finds it locked knows that its owner lives. Children made by
/// `fork()` close it at once, and leave the lock to their parent.
class held_file {
public:
    /// A new one of `size` bytes that begins with `start`. Its space is taken, so that a full disk does not stop a
    /// write there (but on a file system that writes to a new place each time). Makes the directory (0700) where there
    /// is none; one that others may write to is refused. EWOULDBLOCK where another process took it for an old one.
    static held_file create(const std::filesystem::path& path, std::string_view start, std::size_t size,
                            std::error_code& error) {
        held_file out;
        const auto failed = [&](int number) {
            error.assign(number, std::generic_category());
            if (out.is_open()) out.remove();
            return held_file{};
        };
        const auto directory = path.parent_path();
        struct stat found {};
        if (::stat(directory.c_str(), &found) != 0) {
            std::filesystem::create_directories(directory.parent_path(), error);
            if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return failed(errno);
            error.clear();
            if (::stat(directory.c_str(), &found) != 0) return failed(errno);
        }
        if (!S_ISDIR(found.st_mode)) return failed(ENOTDIR);
        if (found.st_uid != ::geteuid() || (found.st_mode & (S_IWGRP | S_IWOTH)) != 0) return failed(EPERM);
        // A write past the limit of a file's size raises a signal that ends the program.
        struct rlimit limit {};
        if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < size)
            return failed(EFBIG);

        out.path_ = path.string();
        occupy_standard_streams();
        out.file_ = descriptor{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
        if (!out.is_open()) return failed(errno);
        file_facts made;
        if (calls().flock(out.file_.get()) != 0 || calls().fstat(out.file_.get(), &made) != 0) return failed(errno);
        if (made.links == 0) return failed(EWOULDBLOCK);  // a process that looks for old ones was faster, removed it
        // Zeros rather than posix_fallocate: they take the space as well, and a short run's never reach the disk, where
        // giving allocated blocks back takes milliseconds.
        std::string content{start};
        content.resize(size, '\0');
        if (!out.write(0, content.data(), content.size())) return failed(errno);
        return out;
    }

    /// One that an ended process of this user left; closed where it is in use or anything but that.
    static held_file claim(const std::filesystem::path& path) {
        held_file out;
        out.path_ = path.string();
        occupy_standard_streams();
        out.file_ = descriptor{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY)};
        file_facts found;
        if (!out.is_open() || calls().fstat(out.file_.get(), &found) != 0 || found.type != file_type::regular)
            return {};
        // In this order: the links are counted when nobody else can remove the file any more.
        if (calls().flock(out.file_.get()) != 0 || calls().fstat(out.file_.get(), &found) != 0) return {};
        const bool may_others_write = (found.permissions & 022) != 0;
        return found.links == 1 && found.is_own && !may_others_write ? std::move(out) : held_file{};
    }

    [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(file_); }

    /// Whether the descriptor still is this file's: a program may close what it does not know, and open another.
    [[nodiscard]] bool is_intact() const noexcept { return file_.is_ours(); }

    /// For signal handlers too.
    bool write(std::size_t at, const char* bytes, std::size_t size) const noexcept {
        while (size > 0) {
            const ssize_t done = ::pwrite(file_.get(), bytes, size, static_cast<off_t>(at));
            if (done < 0 && errno == EINTR) continue;
            if (done <= 0) return false;
            at += static_cast<std::size_t>(done);
            bytes += done;
            size -= static_cast<std::size_t>(done);
        }
        return true;
    }

    /// What is there, at most `limit` bytes. Nothing where it cannot be read.
    [[nodiscard]] std::optional<std::string> read(std::size_t limit) const {
        std::string out(limit, '\0');
        std::size_t size = 0;
        while (size < limit) {
            const ssize_t got = ::pread(file_.get(), out.data() + size, limit - size, static_cast<off_t>(size));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return std::nullopt;
            if (got == 0) break;
            size += static_cast<std::size_t>(got);
        }
        out.resize(size);
        return out;
    }

    /// Removes and closes it.
    void remove() noexcept {
        file_facts held, named;
        if (is_intact() && calls().fstat(file_.get(), &held) == 0 &&
            calls().fstatat(AT_FDCWD, path_.c_str(), &named) == 0 && named.is_same_file(held))
            ::unlink(path_.c_str());
        close();
    }

    /// Closes it and leaves it where it is.
    void close() noexcept { file_.reset(); }

private:
    static const system_calls& calls() noexcept { return system_calls::real(); }

    descriptor file_;
    std::string path_;
};

#endif

}  // namespace candor::detail

#endif
