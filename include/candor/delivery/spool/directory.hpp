#ifndef CANDOR_DELIVERY_SPOOL_DIRECTORY_HPP
#define CANDOR_DELIVERY_SPOOL_DIRECTORY_HPP

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <candor/platform/descriptor.hpp>
#include <candor/platform/errno_guard.hpp>
#include <candor/platform/signals.hpp>
#include <candor/platform/system_calls.hpp>

namespace candor::detail {

/// A directory (0700) of files (0600) that are this user's alone. A file is written under another name and renamed, so
/// that other processes find it whole or not at all; it is not synced. Whoever opens one holds its lock, and so knows
/// that it is nobody else's; links, and what is no plain file of this user, are left alone. One thread at a time.
///
/// Where there are no such files, on Windows today, nothing can be stored.
class spool_directory {
public:
    /// Why nothing can be kept there, where that is not an `errno`.
    static constexpr int foreign = -1;   ///< the directory is another user's
    static constexpr int lockless = -2;  ///< its file system has no locks

    /// Neither makes nor opens it. The calls outlive it.
    explicit spool_directory(std::filesystem::path path, const system_calls& calls = system_calls::real())
        : path_{std::move(path)}, calls_{calls} {}
    spool_directory(const spool_directory&) = delete;
    spool_directory& operator=(const spool_directory&) = delete;

    static inline const std::atomic<bool> never{false};

    struct entry {
        std::string name;
        std::uint64_t size = 0;
    };

    /// A file, open and locked.
    class file {
    public:
        file() = default;
        file(descriptor open, std::string name, const system_calls& calls) noexcept
            : descriptor_{std::move(open)}, name_{std::move(name)}, calls_{&calls} {}

        [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(descriptor_); }
        [[nodiscard]] int get() const noexcept { return descriptor_.get(); }
        [[nodiscard]] const std::string& name() const noexcept { return name_; }

        /// Its first `limit` bytes. Nothing where it cannot be read.
        [[nodiscard]] std::optional<std::string> read(std::size_t limit) const {
            file_facts found;
            if (calls_->fstat(get(), &found) != 0) return std::nullopt;
            const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(found.size, limit));
            std::string out(size, '\0');
            for (std::size_t at = 0; at < size;) {
                const auto got = calls_->pread(get(), out.data() + at, size - at, at);
                if (got < 0 && errno == EINTR) continue;
                if (got <= 0) return std::nullopt;
                at += static_cast<std::size_t>(got);
            }
            return out;
        }

        /// Whether it still has a name. Nobody else removes a file that is in hand, but a user, or a purge.
        [[nodiscard]] bool is_there() const noexcept {
            file_facts found;
            return descriptor_.is_ours() && calls_->fstat(get(), &found) == 0 && found.links > 0;
        }

        /// Takes off all behind its first `size` bytes.
        void cut(std::size_t size) const noexcept {
            const errno_guard guard;
            if (descriptor_.is_ours()) calls_->ftruncate(get(), size);
        }

        /// Writes all of `bytes` at `at`.
        [[nodiscard]] bool overwrite(std::size_t at, std::string_view bytes) const noexcept {
            const auto guard = signal_guard::file_size();  // a limit to the size of files: a signal would end the host
            if (!descriptor_.is_ours()) return false;      // the program may have closed it meanwhile
            while (!bytes.empty()) {
                const auto done = calls_->pwrite(get(), bytes.data(), bytes.size(), at);
                if (done < 0 && errno == EINTR) continue;
                if (done <= 0) return false;
                bytes.remove_prefix(static_cast<std::size_t>(done));
                at += static_cast<std::size_t>(done);
            }
            return true;
        }

    private:
        friend spool_directory;

        descriptor descriptor_{};
        std::string name_{};
        const system_calls* calls_ = nullptr;
    };

    /// Makes a file, in the place of one of that name, and the directory where there is none. It stays locked until the
    /// result is gone. One that is not open leaves nothing behind. Nor does it stay where `is_unwanted` has become true
    /// meanwhile: nobody else has seen it then.
    file make(const std::string& name, std::string_view content, const std::atomic<bool>& is_unwanted = never) {
        file out;
        int error = ENOENT;
        // The directory may be removed meanwhile, or another process sweep the file away, between its creation and its
        // lock.
        for (int left = 3; left > 0 && (error == ENOENT || error == EWOULDBLOCK); --left)
            error = make_once(name, content, is_unwanted, out);
        if (error != 0 && error != EWOULDBLOCK && error != ECANCELED) trouble_ = error;
        return out;
    }

    /// Makes a file that is everybody's at once.
    bool write(const std::string& name, std::string_view content) { return make(name, content).is_open(); }

    /// Writes more at the end of a file in hand, which has `size` bytes. False leaves it as it was.
    bool append(const file& to, std::size_t size, std::string_view bytes) noexcept {
        if (!to.is_there()) return false;
        errno = EIO;  // of a write that writes nothing
        if (to.overwrite(size, bytes)) return true;
        trouble_ = errno;
        to.cut(size);
        return false;
    }

    /// What kept something from being stored since the last call, an `errno` or one of those above; or 0.
    int take_trouble() noexcept { return std::exchange(trouble_, 0); }

    /// Writes a small file in place: whoever reads it meanwhile may find a part of it. What fails leaves no file, or
    /// the one that was there. `may_replace` is asked of as many bytes of that as `content` has.
    template <class MayReplace>
    void write_in_place(const std::string& name, std::string_view content, const MayReplace& may_replace) {
        if (open(true) != 0) return;
        const file made = open_file(name, file_access::create);
        if (!made.is_open() || !is_own_file(made)) return;
        const auto found = made.read(content.size());
        if (found && !may_replace(*found)) return;
        if (!made.overwrite(0, content)) calls_.unlinkat(get(), name.c_str());
    }

    /// Names and sizes of the files whose names are wanted, of at most a million. Other things may lie there under such
    /// names; what lies there under others costs a glance at its name.
    template <class IsWanted>
    std::vector<entry> list(const IsWanted& is_wanted) {
        std::vector<entry> out;
        constexpr std::size_t most = 1'000'000;
        each_name([&](const char* name) {
            file_facts facts;
            if (is_wanted(std::string_view{name}) && calls_.fstatat(get(), name, &facts) == 0 &&
                facts.type == file_type::regular)
                out.push_back({name, facts.size});
            return out.size() < most;
        });
        return out;
    }

    /// Whether a name is wanted of those in the directory.
    template <class IsWanted>
    bool has(const IsWanted& is_wanted) {
        bool out = false;
        each_name([&](std::string_view name) {
            out = is_wanted(name);
            return !out;
        });
        return out;
    }

    /// The same of all files.
    std::vector<entry> list() {
        return list([](std::string_view) { return true; });
    }

    /// What `sweep` has to be told of, beside others.
    static bool is_left_over(std::string_view name) noexcept {
        return name.starts_with(temporary_prefix_) || name.ends_with(damaged_suffix);
    }

    /// The first `limit` bytes of a file, whoever has it in hand. Nothing where it cannot be read, or is anything but a
    /// plain file of this user.
    std::optional<std::string> read(const std::string& name, std::size_t limit) {
        if (open(false) != 0) return std::nullopt;
        const file found = open_file(name, file_access::read);
        if (!found.is_open() || !is_own_file(found)) return std::nullopt;
        return found.read(limit);
    }

    /// A file that is nobody else's; not open where it is, or is anything but a plain file of this user.
    file claim(const std::string& name) noexcept {
        try {
            if (open(false) != 0) return {};
            file out = open_file(name, file_access::update);
            file_facts found;
            // In this order: with the lock, nobody else can remove it any more.
            if (!out.is_open() || calls_.fstat(out.get(), &found) != 0 || found.type != file_type::regular) return {};
            if (const int error = lock(out); error != 0) {
                if (error == lockless) trouble_ = error;
                return {};
            }
            if (calls_.fstat(out.get(), &found) != 0 || found.links != 1 || !found.is_own || !is_named(out, found))
                return {};
            return out;
        } catch (...) {  // no memory
            return {};
        }
    }

    /// Removes a claimed file.
    void remove(file& of) noexcept {
        if (open(false) == 0) calls_.unlinkat(get(), of.name().c_str());
    }

    /// Keeps a claimed file that cannot be read for whoever wants to look at it, under a name that nobody claims.
    void set_aside(file& of) {
        if (!rename(of, of.name() + std::string{damaged_ending})) remove(of);
    }

    /// Gives a claimed file another name.
    bool rename(file& of, const std::string& to) {
        if (open(false) != 0 || calls_.renameat(get(), of.name().c_str(), to.c_str()) != 0) return false;
        of.name_ = to;
        return true;
    }

    /// Removes, of what `list` has found, what dead processes left half-written, and all but one of what was set aside,
    /// which has at most `largest` bytes.
    void sweep(const std::vector<entry>& found, std::uint64_t largest = std::numeric_limits<std::uint64_t>::max()) {
        bool has_aside = false;
        for (const auto& [name, size] : found) {
            if (!is_left_over(name)) continue;
            if (name.ends_with(damaged_suffix) && size <= largest && !std::exchange(has_aside, true)) continue;
            if (auto held = claim(name); held.is_open()) remove(held);
        }
    }

    /// Removes every file whose name begins with `start`, also those in use and half-written. What cannot be removed
    /// stays.
    void purge(std::string_view start) noexcept {
        try {
            const auto found = list([&](std::string_view name) {
                if (name.starts_with(temporary_prefix_)) name.remove_prefix(temporary_prefix_.size());
                return name.starts_with(start);
            });
            for (const auto& [name, size] : found) calls_.unlinkat(get(), name.c_str());
        } catch (...) {  // no memory: what is left expires
        }
    }

    /// What `set_aside` adds to a name, and how the name of a spool's file ends then.
    static constexpr std::string_view damaged_ending = ".damaged";
    static constexpr std::string_view damaged_suffix = ".spool.damaged";

private:
    static constexpr std::string_view temporary_prefix_ = ".new-";

    [[nodiscard]] int get() const noexcept { return directory_.get(); }

    /// Calls `visit` with each name until that returns false.
    template <class Visit>
    void each_name(const Visit& visit) {
        if (open(false) != 0) return;
        struct closer {
            const system_calls& calls;
            void operator()(void* open) const noexcept { calls.closedir(open); }
        };
        const std::unique_ptr<void, closer> entries{calls_.opendir(get()), closer{calls_}};
        while (entries) {
            const char* const name = calls_.readdir(entries.get());
            if (name == nullptr || !visit(name)) return;
        }
    }

    file open_file(const std::string& name, file_access access) {
        return {descriptor{calls_.openat(get(), name.c_str(), access)}, name, calls_};
    }

    /// 0, or what went wrong.
    int make_once(const std::string& name, std::string_view content, const std::atomic<bool>& is_unwanted, file& out) {
        if (const int error = open(true); error != 0) return error;
        const std::string temporary = std::string{temporary_prefix_} + name;
        file made = open_file(temporary, file_access::create_new);
        if (!made.is_open()) {
            const int error = errno;
            if (error == ENOENT) directory_ = {};
            return error;
        }
        // Locked, so that nobody takes it for one that a dead process left.
        int error = lock(made);
        errno = EIO;  // of a write that writes nothing
        if (error == 0 && made.overwrite(0, content) && !is_unwanted &&
            calls_.renameat(get(), temporary.c_str(), name.c_str()) == 0) {
            made.name_ = name;
            out = std::move(made);
            // Whoever removed all there was since then may have done it before.
            if (!is_unwanted) return 0;
            calls_.unlinkat(get(), name.c_str());
            out = {};
            return ECANCELED;
        }
        if (error == 0) error = is_unwanted ? ECANCELED : errno;
        calls_.unlinkat(get(), temporary.c_str());
        return error;
    }

    /// 0 where the file is this process's now, EWOULDBLOCK where it is another's.
    int lock(const file& of) const noexcept {
        return calls_.flock(of.get()) == 0 ? 0 : errno == EWOULDBLOCK ? EWOULDBLOCK : lockless;
    }

    /// Whether it is a plain file of this user, under one name at most: under none, it was replaced meanwhile.
    [[nodiscard]] bool is_own_file(const file& of) const noexcept {
        file_facts found;
        return calls_.fstat(of.get(), &found) == 0 && found.type == file_type::regular && found.links <= 1 &&
               found.is_own;
    }

    /// Whether the directory's entry still is that file.
    [[nodiscard]] bool is_named(const file& of, const file_facts& facts) const noexcept {
        file_facts found;
        return calls_.fstatat(get(), of.name().c_str(), &found) == 0 && found.is_same_file(facts);
    }

    /// Opens the directory unless it is open: 0, or why not. A host that closes what it does not know may have closed
    /// it. For writing it is made where there is none, and closed to other users; for looking nothing is changed.
    int open(bool for_writing) noexcept {
        if (!directory_.is_ours()) {
            if (const int error = open_anew(for_writing); error != 0) return error;
        }
        file_facts found;
        int error = 0;
        if (calls_.fstat(get(), &found) != 0) {
            error = errno;
        } else if (!found.is_own) {
            error = foreign;
        } else if (for_writing && (found.permissions & 077) != 0 && calls_.fchmod(get(), 0700) != 0) {
            error = errno;
        }
        if (error != 0) directory_ = {};
        return error;
    }

    int open_anew(bool make) noexcept {
        directory_ = {};
        try {
            const auto path = path_.string();
            directory_ = descriptor{calls_.open_directory(path.c_str())};
            if (directory_) return 0;
            if (errno != ENOENT || !make) return errno;
            std::error_code error;
            std::filesystem::create_directories(path_.parent_path(), error);
            if (calls_.mkdir(path.c_str()) != 0 && errno != EEXIST) return error ? error.value() : errno;
            directory_ = descriptor{calls_.open_directory(path.c_str())};
            return directory_ ? 0 : errno;
        } catch (...) {
            return ENOMEM;
        }
    }

    std::filesystem::path path_;
    const system_calls& calls_;
    descriptor directory_{};
    int trouble_ = 0;
};

}  // namespace candor::detail

#endif
