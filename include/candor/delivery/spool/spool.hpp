#ifndef CANDOR_DELIVERY_SPOOL_SPOOL_HPP
#define CANDOR_DELIVERY_SPOOL_SPOOL_HPP

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <candor/delivery/options.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/delivery/spool/directory.hpp>
#include <candor/delivery/spool/file_name.hpp>
#include <candor/delivery/spool/format.hpp>
#include <candor/platform/system_calls.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/config_file.hpp>
#include <candor/policy/hex.hpp>

namespace candor::detail {

/// Whose messages a spool holds.
struct spool_owner {
    std::string protocol{};         ///< lower-case letters
    std::uint64_t destination = 0;  ///< hash of the endpoint
    std::uint64_t writer = 0;       ///< random
};

/// Messages that were given up by a spool to keep to its caps, or because nothing can be done with them.
struct spool_losses {
    std::uint64_t own = 0;     ///< of those that this writer had stored
    std::uint64_t others = 0;  ///< of those that earlier runs left
};

/// A file of a writer's that is open, locked, and so nobody else's: more can be added to it while it is in hand.
struct spool_file {
    spool_directory::file file{};
    std::size_t size = 0;  ///< in bytes
};

/// Messages on disk, for a later run or for one that is killed: a directory of small files that any number of processes
/// share, and of spools in one. A file is the one's that holds its lock, so that those of a dead process are
/// everybody's. Made without a look at the disk. One thread at a time. Throws nothing: what fails is as if there were
/// no spool, and may work the next time.
class spool {
public:
    /// A file that was claimed: its messages, until it is settled.
    struct claim {
        spool_name name{};
        std::string content{};
        std::vector<message> messages{};
        std::size_t settled = 0;  ///< how many lines of the file stand before them, which are settled
        std::uint64_t named = 0;  ///< the hash of the user that the run which wrote the drafts had named, 0 for none
        unsigned attempts = 0;
        bool is_own = false;  ///< stored by this writer
        spool_directory::file file{};
    };

    /// From when `is_revoked` on nothing is stored, not even what is being stored then; it outlives the spool.
    spool(spool_options options, spool_owner owner, const system_calls& calls = system_calls::real(),
          const std::atomic<bool>& is_revoked = spool_directory::never)
        : options_{std::move(options)},
          owner_{std::move(owner)},
          directory_{options_.directory, calls},
          is_revoked_{is_revoked} {}

    /// Makes a file of lines, as `append_spool_line` and `append_spool_draft` make them, and keeps it in hand. `named`
    /// is the hash of the user that this run has named. Nothing where that cannot be: then nothing is left on disk.
    std::optional<spool_file> create(std::string_view lines, std::uint64_t named, wall_time now) noexcept {
        try {
            now_ = now;
            const std::string content = make_spool_file(lines, named);
            if (is_revoked_ || content.size() > options_.max_bytes || !make_room(content.size(), 1))
                return std::nullopt;
            const spool_name name{.protocol = owner_.protocol,
                                  .destination = owner_.destination,
                                  .created = milliseconds_of(now),
                                  .writer = owner_.writer,
                                  .serial = ++serials_,
                                  .messages = static_cast<std::uint64_t>(std::count(lines.begin(), lines.end(), '\n'))};
            spool_file out{directory_.make(name.text(), content, is_revoked_), content.size()};
            if (!out.file.is_open()) return std::nullopt;
            return out;
        } catch (...) {  // no memory
            return std::nullopt;
        }
    }

    /// Adds lines to a file in hand. False where that cannot be: then it is as it was.
    bool append(spool_file& to, std::string_view lines) noexcept {
        try {
            if (is_revoked_ || to.size + lines.size() > options_.max_bytes || !make_room(lines.size(), 0) ||
                !directory_.append(to.file, to.size, lines))
                return false;
            to.size += lines.size();
            return true;
        } catch (...) {  // no memory
            return false;
        }
    }

    /// Notes on disk that so many lines at the beginning of a file in hand are settled, so that nobody sends them
    /// again.
    bool mark_settled(spool_directory::file& of, std::size_t lines) noexcept {
        return overwrite(of, spool_settled_at, lines, 8);
    }

    /// Notes on disk in whose name this run sends, which was not known when the file was made.
    bool mark_named(spool_directory::file& of, std::uint64_t user) noexcept {
        return overwrite(of, spool_named_at, user, 16);
    }

    /// Notes on disk how often a server answered and did not take what is in a file in hand.
    void mark_attempts(spool_directory::file& of, unsigned attempts) noexcept {
        const char digit = static_cast<char>('0' + std::min(attempts, 9U));
        static_cast<void>(of.overwrite(spool_attempts_at, std::string_view{&digit, 1}));
    }

    /// Removes a file in hand.
    void remove(spool_directory::file& of) noexcept {
        directory_.remove(of);
        of = {};
    }

    /// Whether an earlier run has left anything for this destination.
    [[nodiscard]] bool has_any() noexcept {
        try {
            return directory_.has([this](std::string_view text) {
                const auto name = spool_name::parse(text);
                return name && name->protocol == owner_.protocol && name->destination == owner_.destination;
            });
        } catch (...) {  // no memory
            return false;
        }
    }

    /// The oldest file of this destination that is nobody's and was not claimed here before. What cannot be read is set
    /// aside, and what is too old.
    std::optional<claim> claim_next(wall_time now) noexcept {
        try {
            now_ = now;
            for (bool is_fresh = false;; is_fresh = true) {
                while (!waiting_.empty()) {
                    const spool_entry entry = std::move(waiting_.front());
                    waiting_.pop_front();
                    if (auto found = open(entry)) return found;
                }
                if (is_fresh) return std::nullopt;
                for (auto& entry : list())
                    if (is_claimable(entry)) waiting_.push_back(std::move(entry));
            }
        } catch (...) {
            return std::nullopt;
        }
    }

    /// Every file may be claimed again, such as after the network came back.
    void start_over() noexcept {
        seen_.clear();
        waiting_.clear();
    }

    /// What was given up since the last call, to keep to the caps or for its age.
    [[nodiscard]] spool_losses take_evicted() noexcept { return std::exchange(evicted_, {}); }
    [[nodiscard]] spool_losses take_expired() noexcept { return std::exchange(expired_, {}); }

    /// What keeps messages from being stored, for a person, once for each kind of trouble.
    [[nodiscard]] std::optional<std::string> take_trouble() noexcept {
        const int trouble = directory_.take_trouble();
        if (trouble == 0 || trouble == ENOSYS) return std::nullopt;  // on Windows nothing is stored yet
        try {
            if (!told_.insert(trouble).second) return std::nullopt;
            return "cannot store in " + printable_path(options_.directory) + ": " +
                   (trouble == spool_directory::foreign    ? "it belongs to another user"
                    : trouble == spool_directory::lockless ? "this file system has no locks"
                                                           : std::generic_category().message(trouble));
        } catch (...) {  // no memory
            return std::nullopt;
        }
    }

private:
    using state = spool_entry::state;

    /// The share of the caps that is used up before the directory is looked at again, so that what is added to a spool
    /// of many small files does not wait for a look at them all. Each process may exceed the caps by so much.
    static constexpr std::size_t blind_share_ = 16;
    static constexpr std::size_t few_files_ = 1000;  ///< which are looked at in a few milliseconds

    bool overwrite(spool_directory::file& of, std::size_t at, std::uint64_t value, int digits) noexcept {
        try {
            std::string field;
            append_hex(field, value, digits);
            return of.overwrite(at, field);
        } catch (...) {  // no memory
            return false;
        }
    }

    /// All files of the spool, oldest first; of one moment, those that were stored first.
    std::vector<spool_entry> list() {
        const auto found = directory_.list([](std::string_view name) {
            return spool_directory::is_left_over(name) || spool_entry::parse(name).has_value();
        });
        if (!std::exchange(is_swept_, true)) directory_.sweep(found, options_.max_bytes);
        std::vector<spool_entry> out;
        for (const auto& [text, size] : found) {
            auto entry = spool_entry::parse(text);
            if (!entry) continue;
            entry->size = size;
            if (keep(*entry)) out.push_back(*std::move(entry));
        }
        std::sort(out.begin(), out.end(), [](const spool_entry& a, const spool_entry& b) {
            return std::pair{a.name.created, a.name.serial} < std::pair{b.name.created, b.name.serial};
        });
        return out;
    }

    /// Whether a file stays, perhaps under another name.
    ///
    /// What is larger than all may be is none of ours, and is set aside: it must not drive out those that are. What is
    /// from the future is dated now. What is too old is given up; but one run's clock may be far ahead, so that it is
    /// only renamed. A run that finds it not too old takes it back. One that still does, a day or more later, removes
    /// it.
    bool keep(spool_entry& entry) {
        if (entry.size > options_.max_bytes && entry.is == state::usable) {
            if (!is_newer(entry.text)) {
                if (auto held = directory_.claim(entry.text); held.is_open()) directory_.set_aside(held);
                return false;
            }
            entry.size = 0;
        }
        const auto now = milliseconds_of(now_);
        const bool is_old = entry.name.created < milliseconds_of(now_ - options_.max_age);
        const bool is_from_future = entry.name.created > now;
        if (entry.is == state::usable && !is_old && (!is_from_future || is_newer(entry.text))) return true;
        spool_entry next = entry;
        next.name.created = std::min(entry.name.created, now);
        next.expired = std::min(entry.expired, now);
        if (is_old && entry.is == state::usable) {
            next.is = state::expired;
            next.expired = now;
        }
        // Not what this run has counted already.
        if (!is_old && entry.is == state::expired && entry.name.writer != owner_.writer) next.is = state::usable;
        const bool goes =
            is_old && (entry.is == state::damaged ||
                       (entry.is == state::expired && next.expired <= milliseconds_of(now_ - std::chrono::days{1})));
        const auto text = next.file_name();
        if (!goes && text == entry.text) return true;
        auto held = directory_.claim(entry.text);
        if (!held.is_open()) return true;
        if (goes) {
            directory_.remove(held);
            return false;
        }
        if (is_old && entry.is == state::usable) count_lost(entry, held, expired_);
        if (directory_.rename(held, text)) {
            entry = std::move(next);
            entry.text = text;
        }
        return true;
    }

    /// Gives up files until so much more keeps to the caps: first what nobody sends any more, then events, and reports
    /// of errors last, each time the oldest. False where that cannot be, because others have too many bytes in hand.
    bool make_room(std::size_t bytes, std::size_t files) {
        if (bytes <= free_bytes_ && files <= free_files_) {
            free_bytes_ -= bytes;
            free_files_ -= files;
            return true;
        }
        auto found = list();
        std::uint64_t all_bytes = bytes, all_files = found.size() + files;
        for (const auto& entry : found) all_bytes += entry.size;
        const auto is_over = [&](std::uint64_t spare_bytes, std::uint64_t spare_files) {
            return all_bytes + spare_bytes > options_.max_bytes || all_files + spare_files > options_.max_files;
        };
        if (is_over(0, 0)) {
            const auto rank = [](const spool_entry& entry) {
                return entry.is != state::usable ? 0 : entry.name.protocol == "sentry" ? 2 : 1;
            };
            std::stable_sort(found.begin(), found.end(),
                             [&](const spool_entry& a, const spool_entry& b) { return rank(a) < rank(b); });
            // A look at many files takes long: room is made for more, so that the next file needs none.
            const auto spare = [has_many = found.size() > few_files_](std::uint64_t most) {
                return has_many ? most / blind_share_ : 0;
            };
            for (const auto& entry : found) {
                if (!is_over(spare(options_.max_bytes), spare(options_.max_files))) break;
                if (!is_newer(entry.text) && !give_up(entry, evicted_)) continue;
                all_bytes -= entry.size;
                --all_files;
            }
        }
        const auto free = [](std::uint64_t used, std::uint64_t most) {
            return used >= most ? 0 : std::min(most - used, most / blind_share_);
        };
        free_bytes_ = free(all_bytes, options_.max_bytes);
        free_files_ = free(all_files, options_.max_files);
        return all_bytes <= options_.max_bytes;
    }

    /// Removes a file that is nobody's.
    bool give_up(const spool_entry& entry, spool_losses& losses) {
        auto held = directory_.claim(entry.text);
        if (!held.is_open()) return false;
        if (entry.is == state::usable) count_lost(entry, held, losses);
        directory_.remove(held);
        return true;
    }

    void count_lost(const spool_entry& entry, const spool_directory::file& held, spool_losses& losses) {
        if (const auto content = held.read(options_.max_bytes))
            (entry.name.writer == owner_.writer ? losses.own : losses.others) += count_waiting(entry.name, *content);
    }

    /// Whether a newer release wrote it, which this one does not give up before its time.
    bool is_newer(const std::string& file) {
        const auto head = directory_.read(file, spool_head.size());
        return head && format_of(*head, spool_format_name) > spool_format;
    }

    [[nodiscard]] bool is_claimable(const spool_entry& of) const {
        return of.is == state::usable && of.name.protocol == owner_.protocol &&
               of.name.destination == owner_.destination && !seen_.contains({of.name.writer, of.name.serial});
    }

    /// Claims a file. One that somebody else has in hand may be claimed when that lets it go.
    std::optional<claim> open(const spool_entry& entry) {
        claim out{.name = entry.name, .is_own = entry.name.writer == owner_.writer};
        out.file = directory_.claim(entry.text);
        if (!out.file.is_open()) return std::nullopt;
        seen_.insert({entry.name.writer, entry.name.serial});
        auto content = out.file.read(options_.max_bytes + 1);
        if (!content) return std::nullopt;                                               // it may be read another time
        if (format_of(*content, spool_format_name) > spool_format) return std::nullopt;  // for a newer release
        auto parsed = content->size() <= options_.max_bytes ? parse_spool_file(*content) : std::nullopt;
        if (parsed && parsed->format < spool_format) {
            parsed = renew(out, *content, *parsed);
            if (!out.file.is_open()) return std::nullopt;
        }
        if (!parsed) {
            directory_.set_aside(out.file);
            return std::nullopt;
        }
        if (parsed->messages.empty()) {  // its writer died before it could remove it
            directory_.remove(out.file);
            return std::nullopt;
        }
        out.content = *std::move(content);
        out.messages = std::move(parsed->messages);
        out.settled = parsed->settled;
        out.named = parsed->named;
        out.attempts = parsed->attempts;
        return out;
    }

    /// Replaces a claimed file of an older format, which has no place for what is settled, by one of today's. Where
    /// that cannot be it waits as it is.
    std::optional<spool_content> renew(claim& of, std::string& content, const spool_content& parsed) {
        if (parsed.messages.size() != of.name.messages) return std::nullopt;
        std::string lines;
        const message_range range{content, parsed.messages};
        for (const auto& m : range.messages) append_spool_line(lines, range.text(m), m.sent_at);
        content = make_spool_file(lines, 0, parsed.attempts);
        of.file = directory_.make(of.name.text(), content, is_revoked_);
        return parse_spool_file(content);
    }

    /// Of all writers of the process, so that no two files have one name.
    static inline std::atomic<std::uint64_t> serials_{0};

    const spool_options options_;
    const spool_owner owner_;
    spool_directory directory_;
    const std::atomic<bool>& is_revoked_;
    wall_time now_{};
    std::uint64_t free_bytes_ = 0;  ///< may be added before the next look at the directory
    std::uint64_t free_files_ = 0;
    std::deque<spool_entry> waiting_;  ///< of the last look at the directory, not claimed yet
    std::set<std::pair<std::uint64_t, std::uint64_t>> seen_;
    std::set<int> told_;
    spool_losses evicted_;
    spool_losses expired_;
    bool is_swept_ = false;
};

/// Whether the spool of a directory holds a message of a protocol with that text in it, whoever has it in hand. Reads
/// all of it. Throws `std::bad_alloc`.
inline bool has_spooled(const spool_options& of, std::string_view protocol, std::string_view text) {
    if (!of.enabled || of.directory.empty()) return false;
    spool_directory directory{of.directory};
    const auto files = directory.list([&](std::string_view name) { return name.starts_with(protocol); });
    return std::any_of(files.begin(), files.end(), [&](const spool_directory::entry& file) {
        const auto content = directory.read(file.name, of.max_bytes);
        return content && content->find(text) != content->npos;
    });
}

/// Removes all that the spool of a directory holds for a protocol, whoever wrote it.
inline void purge_spool(const std::filesystem::path& directory, std::string_view protocol) noexcept {
    try {
        spool_directory{directory}.purge(std::string{protocol} + "-");
    } catch (...) {  // no memory: what is left expires
    }
}

}  // namespace candor::detail

#endif
