#ifndef CANDOR_SENTRY_CRASH_FILE_HPP
#define CANDOR_SENTRY_CRASH_FILE_HPP

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN  // <winsock2.h> may come after it
#endif
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#endif

#include <candor/identity/uuid.hpp>

namespace candor::sentry::detail {

/// `crash-<event id>`
inline std::string record_name(uuid event_id) { return "crash-" + event_id.to_string(); }

inline bool is_record_name(std::string_view name) noexcept {
    return name.starts_with("crash-") && uuid::parse(name.substr(6)).has_value();
}

#ifdef _WIN32

inline std::error_code last_error() noexcept { return {static_cast<int>(::GetLastError()), std::system_category()}; }

/// A record on disk, open and held: no other process opens it meanwhile.
class record_file {
public:
    record_file() = default;
    record_file(record_file&& other) noexcept : handle_{std::exchange(other.handle_, INVALID_HANDLE_VALUE)} {}
    record_file& operator=(record_file&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~record_file() {
        if (is_open()) ::CloseHandle(handle_);
    }

    /// A new one of `size` bytes that begins with `start`.
    static record_file create(const std::filesystem::path& path, std::string_view start, std::size_t size,
                              std::error_code& error) {
        record_file out;
        std::filesystem::create_directories(path.parent_path(), error);
        if (error) return out;
        out.handle_ = ::CreateFileW(path.c_str(), GENERIC_READ | GENERIC_WRITE | DELETE, 0, nullptr, CREATE_NEW,
                                    FILE_ATTRIBUTE_NORMAL, nullptr);
        std::string content{start};
        content.resize(size, '\0');
        if (!out.is_open() || !out.write(0, content.data(), content.size())) error = last_error();
        if (error && out.is_open()) out.remove();
        return out;
    }

    /// One that an ended process left; closed where it is in use or no plain file.
    static record_file claim(const std::filesystem::path& path) {
        record_file out;
        out.handle_ = ::CreateFileW(path.c_str(), GENERIC_READ | DELETE, 0, nullptr, OPEN_EXISTING,
                                    FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT, nullptr);
        BY_HANDLE_FILE_INFORMATION facts;
        const bool is_plain =
            out.is_open() && ::GetFileInformationByHandle(out.handle_, &facts) &&
            (facts.dwFileAttributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT)) == 0 &&
            facts.nNumberOfLinks == 1;
        return is_plain ? std::move(out) : record_file{};
    }

    [[nodiscard]] bool is_open() const noexcept { return handle_ != INVALID_HANDLE_VALUE; }

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
        ::CloseHandle(std::exchange(handle_, INVALID_HANDLE_VALUE));
    }

private:
    HANDLE handle_ = INVALID_HANDLE_VALUE;
};

#else

/// A record on disk, open and locked: another process that finds it locked knows that its owner lives.
class record_file {
public:
    record_file() = default;
    record_file(record_file&& other) noexcept { swap(other); }
    record_file& operator=(record_file&& other) noexcept {
        swap(other);
        return *this;
    }
    ~record_file() { close(); }

    /// A new one of `size` bytes that begins with `start`. Its space is taken, so that a full disk does not stop a
    /// write there (but on a file system that writes to a new place each time). Makes the directory (0700) where there
    /// is none; one that others may write to is refused. EWOULDBLOCK where another process took it for an old one.
    static record_file create(const std::filesystem::path& path, std::string_view start, std::size_t size,
                              std::error_code& error) {
        record_file out;
        const auto failed = [&](int number) {
            error.assign(number, std::generic_category());
            if (out.is_open()) out.remove();
            return record_file{};
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
        // A file that outgrows the limit brings a signal which ends the program.
        struct rlimit limit {};
        if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < size)
            return failed(EFBIG);

        out.path_ = path.string();
        out.file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (out.file_ >= 0 && out.file_ <= STDERR_FILENO) {  // a program without standard streams still writes to them
            const int low = std::exchange(out.file_, ::fcntl(out.file_, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
            const int problem = errno;
            ::close(low);
            errno = problem;
        }
        if (!out.is_open()) return failed(errno);
        if (::fstat(out.file_, &found) != 0) return failed(errno);
        out.device_ = found.st_dev;
        out.inode_ = found.st_ino;
        if (::flock(out.file_, LOCK_EX | LOCK_NB) != 0 || ::fstat(out.file_, &found) != 0) return failed(errno);
        if (found.st_nlink == 0) return failed(EWOULDBLOCK);  // a process that looks for records was faster, removed it
        // Zeros rather than posix_fallocate: they take the space as well, and a short run's never reach the disk, where
        // to give allocated blocks back takes milliseconds.
        std::string content{start};
        content.resize(size, '\0');
        if (!out.write(0, content.data(), content.size())) return failed(errno);
        return out;
    }

    /// One that an ended process of this user left; closed where it is in use or anything but that.
    static record_file claim(const std::filesystem::path& path) {
        record_file out;
        out.path_ = path.string();
        out.file_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
        struct stat found {};
        if (!out.is_open() || ::fstat(out.file_, &found) != 0) return {};
        out.device_ = found.st_dev;
        out.inode_ = found.st_ino;
        // In this order: the links are counted when nobody else can remove the file any more.
        if (!S_ISREG(found.st_mode) || ::flock(out.file_, LOCK_EX | LOCK_NB) != 0 || ::fstat(out.file_, &found) != 0 ||
            found.st_nlink != 1 || found.st_uid != ::geteuid() || (found.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
            return {};
        }
        return out;
    }

    [[nodiscard]] bool is_open() const noexcept { return file_ >= 0; }

    /// Whether the descriptor still is this file's: a program may close what it does not know, and open another.
    [[nodiscard]] bool is_intact() const noexcept {
        struct stat found {};
        return is_open() && ::fstat(file_, &found) == 0 && found.st_dev == device_ && found.st_ino == inode_;
    }

    /// For signal handlers too.
    bool write(std::size_t at, const char* bytes, std::size_t size) const noexcept {
        while (size > 0) {
            const ssize_t done = ::pwrite(file_, bytes, size, static_cast<off_t>(at));
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
            const ssize_t got = ::pread(file_, out.data() + size, limit - size, static_cast<off_t>(size));
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
        struct stat found {};
        if (is_intact() && ::lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ && found.st_ino == inode_)
            ::unlink(path_.c_str());
        close();
    }

    /// Closes it and leaves it where it is. In a child of fork() too: the parent's lock stays.
    void close() noexcept {
        if (is_intact()) ::close(file_);
        file_ = -1;
    }

private:
    void swap(record_file& other) noexcept {
        std::swap(file_, other.file_);
        std::swap(device_, other.device_);
        std::swap(inode_, other.inode_);
        path_.swap(other.path_);
    }

    int file_ = -1;
    dev_t device_ = 0;
    ino_t inode_ = 0;
    std::string path_;
};

#endif

}  // namespace candor::sentry::detail

#endif
