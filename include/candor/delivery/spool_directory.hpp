#ifndef CANDOR_DELIVERY_SPOOL_DIRECTORY_HPP
#define CANDOR_DELIVERY_SPOOL_DIRECTORY_HPP

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <candor/policy/fork.hpp>
#include <candor/policy/signal_guard.hpp>
#include <candor/policy/system_calls.hpp>

namespace candor::detail {

/// A directory (0700) of files (0600) that are this user's alone. A file is written under another name, synced and
/// renamed, so that it is there whole or not at all. Whoever opens one holds its lock, and so knows that it is nobody
/// else's; links, and what is no plain file of this user, are left alone. One thread at a time.
///
/// `Calls` is `system_calls`, or a test's. Not on Windows, where nothing can be stored yet.
template <class Calls>
class spool_directory {
public:
    /// Neither makes nor opens it.
    explicit spool_directory(std::filesystem::path path) : path_{std::move(path)} {}
    spool_directory(const spool_directory&) = delete;
    spool_directory& operator=(const spool_directory&) = delete;

    struct entry {
        std::string name;
        std::uint64_t size = 0;
    };

#ifdef _WIN32

    class file {
    public:
        [[nodiscard]] bool is_open() const noexcept { return false; }
        [[nodiscard]] std::optional<std::string> read(std::size_t) const { return std::nullopt; }
        [[nodiscard]] bool overwrite(std::size_t, std::string_view) const noexcept { return false; }
    };

    bool write(const std::string&, std::string_view) { return false; }
    void write_in_place(const std::string&, std::string_view) {}
    std::vector<entry> list() { return {}; }
    std::optional<std::string> read(const std::string&, std::size_t) { return std::nullopt; }
    file claim(const std::string&) noexcept { return {}; }
    void remove(file&) noexcept {}
    void set_aside(file&) {}
    bool rename(const std::string&, const std::string&) noexcept { return false; }
    void sweep() {}
    void purge(std::string_view) noexcept {}

private:
    std::filesystem::path path_;

#else

    ~spool_directory() { close(); }

    /// A file, open and locked.
    class file {
    public:
        file() = default;
        file(int descriptor, std::string name) noexcept
            : descriptor_{descriptor}, not_in_child_{descriptor}, name_{std::move(name)} {}
        file(file&& other) noexcept { *this = std::move(other); }
        file& operator=(file&& other) noexcept {
            std::swap(descriptor_, other.descriptor_);
            not_in_child_ = std::move(other.not_in_child_);
            name_.swap(other.name_);
            return *this;
        }
        ~file() {
            not_in_child_.end();  // which would hold the lock
            if (descriptor_ >= 0) Calls::close(descriptor_);
        }

        [[nodiscard]] bool is_open() const noexcept { return descriptor_ >= 0; }
        [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
        [[nodiscard]] const std::string& name() const noexcept { return name_; }

        /// Its first `limit` bytes. Nothing where it cannot be read.
        [[nodiscard]] std::optional<std::string> read(std::size_t limit) const {
            struct stat found {};
            if (Calls::fstat(descriptor_, &found) != 0 || found.st_size < 0) return std::nullopt;
            const auto size = std::min(static_cast<std::size_t>(found.st_size), limit);
            std::string out(size, '\0');
            for (std::size_t at = 0; at < size;) {
                const ssize_t got = Calls::pread(descriptor_, out.data() + at, size - at, static_cast<off_t>(at));
                if (got < 0 && errno == EINTR) continue;
                if (got <= 0) return std::nullopt;
                at += static_cast<std::size_t>(got);
            }
            return out;
        }

        /// Writes all of `bytes` at `at`.
        [[nodiscard]] bool overwrite(std::size_t at, std::string_view bytes) const noexcept {
            while (!bytes.empty()) {
                const ssize_t done = Calls::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(at));
                if (done < 0 && errno == EINTR) continue;
                if (done <= 0) return false;
                bytes.remove_prefix(static_cast<std::size_t>(done));
                at += static_cast<std::size_t>(done);
            }
            return true;
        }

    private:
        int descriptor_ = -1;
        closed_in_child not_in_child_{};
        std::string name_{};
    };

    /// Makes a file, in the place of one of that name, and the directory where there is none. False leaves nothing
    /// behind.
    bool write(const std::string& name, std::string_view content) {
        for (int attempt = 0; attempt < 3; ++attempt) {
            const int error = write_once(name, content);
            if (error == 0) return true;
            // The directory was removed meanwhile, or another process has just swept the file away, between its
            // creation and its lock.
            if (error != ENOENT && error != EWOULDBLOCK) return false;
        }
        return false;
    }

    /// Makes a small file, or writes over the beginning of one, without a sync: it may be torn or lost. One that cannot
    /// be written is removed.
    void write_in_place(const std::string& name, std::string_view content) noexcept {
        if (!open(true)) return;
        const file made{Calls::openat(descriptor_, name.c_str(),
                                      O_RDWR | O_CREAT | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600),
                        name};
        if (made.is_open() && is_own_file(made) && !made.overwrite(0, content))
            Calls::unlinkat(descriptor_, name.c_str());
    }

    /// Names and sizes of at most 10,000 files; those of other things that lie there are among them.
    std::vector<entry> list() {
        std::vector<entry> out;
        if (!open(false)) return out;
        const int again = Calls::openat(descriptor_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
        if (again < 0) return out;
        struct closer {
            void operator()(DIR* open) const noexcept { ::closedir(open); }
        };
        const std::unique_ptr<DIR, closer> entries{Calls::fdopendir(again)};
        if (!entries) {
            Calls::close(again);
            return out;
        }
        constexpr int most = 10'000;
        for (int i = 0; i < most; ++i) {
            const dirent* found = ::readdir(entries.get());
            if (found == nullptr) break;
            struct stat facts {};
            if (Calls::fstatat(descriptor_, found->d_name, &facts) != 0 || !S_ISREG(facts.st_mode)) continue;
            out.push_back({found->d_name, static_cast<std::uint64_t>(facts.st_size)});
        }
        return out;
    }

    /// The first `limit` bytes of a file, whoever has it in hand. Nothing where it cannot be read, or is anything but a
    /// plain file of this user.
    std::optional<std::string> read(const std::string& name, std::size_t limit) {
        if (!open(false)) return std::nullopt;
        const file found{
            Calls::openat(descriptor_, name.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0),
            name};
        if (!found.is_open() || !is_own_file(found)) return std::nullopt;
        return found.read(limit);
    }

    /// A file that is nobody else's; not open where it is, or is anything but a plain file of this user.
    file claim(const std::string& name) noexcept {
        if (!open(false)) return {};
        file out{Calls::openat(descriptor_, name.c_str(), O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0),
                 name};
        struct stat found {};
        // In this order: with the lock, nobody else can remove it any more.
        if (!out.is_open() || Calls::fstat(out.descriptor(), &found) != 0 || !S_ISREG(found.st_mode) ||
            Calls::flock(out.descriptor(), LOCK_EX | LOCK_NB) != 0 || Calls::fstat(out.descriptor(), &found) != 0 ||
            found.st_nlink != 1 || found.st_uid != ::geteuid() || !is_named(out, found)) {
            return {};
        }
        return out;
    }

    /// Removes a claimed file.
    void remove(file& of) noexcept { Calls::unlinkat(descriptor_, of.name().c_str()); }

    /// Keeps a claimed file that cannot be read for whoever wants to look at it, under a name that nobody claims.
    void set_aside(file& of) {
        const std::string aside = of.name() + ".damaged";
        if (Calls::renameat(descriptor_, of.name().c_str(), aside.c_str()) != 0) remove(of);
    }

    bool rename(const std::string& from, const std::string& to) noexcept {
        const auto held = claim(from);
        return held.is_open() && Calls::renameat(descriptor_, from.c_str(), to.c_str()) == 0;
    }

    /// Removes what dead processes left half-written, and all but one of what was set aside.
    void sweep() {
        bool has_aside = false;
        for (const auto& [name, size] : list()) {
            const bool is_aside = name.ends_with(damaged_suffix);
            if (!is_aside && !name.starts_with(temporary_prefix)) continue;
            if (is_aside && !std::exchange(has_aside, true)) continue;
            if (auto held = claim(name); held.is_open()) remove(held);
        }
    }

    /// Removes every file whose name begins with `start`, also those in use and half-written. What cannot be removed
    /// stays.
    void purge(std::string_view start) noexcept {
        try {
            for (const auto& [name, size] : list()) {
                std::string_view own{name};
                if (own.starts_with(temporary_prefix)) own.remove_prefix(temporary_prefix.size());
                if (own.starts_with(start)) Calls::unlinkat(descriptor_, name.c_str());
            }
        } catch (...) {  // no memory: what is left expires
        }
    }

private:
    static constexpr std::string_view temporary_prefix = ".new-";
    static constexpr std::string_view damaged_suffix = ".spool.damaged";

    /// 0, or what went wrong.
    int write_once(const std::string& name, std::string_view content) {
        if (!open(true)) return EACCES;
        const signal_guard guard{SIGXFSZ};  // larger than the process may write: a signal would end it
        const std::string temporary = std::string{temporary_prefix} + name;
        const file made{
            Calls::openat(descriptor_, temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600),
            temporary};
        if (!made.is_open()) {
            const int error = errno;
            if (error == ENOENT) close();
            return error;
        }
        // Locked, so that nobody takes it for one that a dead process left.
        errno = EIO;  // of a write that writes nothing
        if (Calls::flock(made.descriptor(), LOCK_EX | LOCK_NB) == 0 && made.overwrite(0, content) &&
            sync(made.descriptor()) && Calls::renameat(descriptor_, temporary.c_str(), name.c_str()) == 0) {
            static_cast<void>(sync(descriptor_));  // the name lasts too, where that can be had
            return 0;
        }
        const int error = errno;
        Calls::unlinkat(descriptor_, temporary.c_str());
        return error;
    }

    static bool sync(int descriptor) noexcept {
        while (Calls::fsync(descriptor) != 0) {
            if (errno == EINVAL) return true;  // a file system that cannot
            if (errno != EINTR) return false;
        }
        return true;
    }

    /// Whether it is a plain file of this user, under one name at most: under none, it was replaced meanwhile.
    static bool is_own_file(const file& of) noexcept {
        struct stat found {};
        return Calls::fstat(of.descriptor(), &found) == 0 && S_ISREG(found.st_mode) && found.st_nlink <= 1 &&
               found.st_uid == ::geteuid();
    }

    /// Whether the directory's entry still is that file.
    bool is_named(const file& of, const struct stat& facts) const noexcept {
        struct stat found {};
        return Calls::fstatat(descriptor_, of.name().c_str(), &found) == 0 && found.st_dev == facts.st_dev &&
               found.st_ino == facts.st_ino;
    }

    /// Opens the directory unless it is open.
    bool open(bool make) noexcept {
        if (descriptor_ >= 0) return true;
        try {
            descriptor_ = Calls::open_directory(path_.c_str());
            if (descriptor_ < 0 && errno == ENOENT && make) {
                std::error_code ignored;
                std::filesystem::create_directories(path_.parent_path(), ignored);
                Calls::mkdir(path_.c_str(), 0700);
                descriptor_ = Calls::open_directory(path_.c_str());
            }
        } catch (...) {
            return false;
        }
        if (descriptor_ < 0) return false;
        struct stat found {};
        const bool is_ours = Calls::fstat(descriptor_, &found) == 0 && found.st_uid == ::geteuid() &&
                             ((found.st_mode & 077) == 0 || Calls::fchmod(descriptor_, 0700) == 0);
        if (!is_ours) close();
        not_in_child_ = closed_in_child{descriptor_};
        return is_ours;
    }

    void close() noexcept {
        not_in_child_.end();
        if (descriptor_ >= 0) Calls::close(std::exchange(descriptor_, -1));
    }

    std::filesystem::path path_;
    int descriptor_ = -1;
    closed_in_child not_in_child_{};

#endif
};

}  // namespace candor::detail

#endif
