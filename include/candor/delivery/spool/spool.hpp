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
#include <iterator>
#include <memory>
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
#include <candor/delivery/spool/format.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/platform/system_calls.hpp>
#include <candor/policy/clock.hpp>

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

/// Ready messages on disk, for a later run: a directory of small files that any number of processes share. A file is
/// the process's that holds its lock, so that those of a dead process are everybody's. Made without a look at the disk.
/// One thread at a time, the pipeline's worker. Throws nothing: what fails is as if there were no spool.
class spool {
public:
    /// A file that this process has claimed: its messages, until it is settled.
    struct claim {
        spool_name name{};
        std::string content{};
        std::vector<message> messages{};
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

    /// Stores messages. False where that cannot be: then nothing is left of them on disk.
    bool store(const message_range& range, wall_time now, std::int64_t created = 0, unsigned attempts = 0) noexcept {
        try {
            const spool_name name{.protocol = owner_.protocol,
                                  .destination = owner_.destination,
                                  .created = created != 0 ? created : milliseconds_of(now),
                                  .writer = owner_.writer,
                                  .serial = ++serial_,
                                  .messages = range.messages.size()};
            const std::string content = make_spool_file(range, attempts);
            if (content.size() > options_.max_bytes) return false;
            make_room(now, content.size());
            return directory_.write(name.text(), content, is_revoked_);
        } catch (...) {
            return false;
        }
    }

    /// The oldest file of this destination that is nobody's and was not claimed here before. What cannot be read is set
    /// aside, what is too old is removed.
    std::optional<claim> claim_next(wall_time now) noexcept {
        try {
            for (bool is_fresh = false;; is_fresh = true) {
                while (!waiting_.empty()) {
                    const listed entry = std::move(waiting_.front());
                    waiting_.pop_front();
                    const auto& name = entry.name;
                    if (name.protocol != owner_.protocol || name.destination != owner_.destination) continue;
                    if (!seen_.insert({name.writer, name.serial}).second) continue;
                    if (auto found = open(entry)) return found;
                }
                if (is_fresh) return std::nullopt;
                auto all = list(now);
                waiting_.assign(std::make_move_iterator(all.begin()), std::make_move_iterator(all.end()));
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

    /// Notes on disk that the server answered and did not take it. How often it has.
    unsigned count_attempt(claim& of) noexcept {
        ++of.attempts;
        const char digit = static_cast<char>('0' + std::min(of.attempts, 9U));
        static_cast<void>(of.file.overwrite(spool_magic.size(), std::string_view{&digit, 1}));
        return of.attempts;
    }

    /// Removes the file of a claim whose messages are settled, one way or the other.
    void remove(claim& of) noexcept {
        directory_.remove(of.file);
        of.file = {};
    }

    /// Leaves a claimed file as it is, for a later claim.
    void let_go(claim& of) noexcept { of.file = {}; }

    /// What was given up since the last call, to keep to the caps or for its age.
    [[nodiscard]] spool_losses take_evicted() noexcept { return std::exchange(evicted_, {}); }
    [[nodiscard]] spool_losses take_expired() noexcept { return std::exchange(expired_, {}); }

private:
    struct listed {
        spool_name name;
        std::string text;
        std::uint64_t size = 0;
    };

    /// All files of the spool, oldest first. Those that are too old are removed, those from the future are dated now.
    std::vector<listed> list(wall_time now) {
        auto found = directory_.list();
        if (!std::exchange(is_swept_, true)) directory_.sweep(found);
        std::vector<listed> out;
        for (auto& [text, size] : found) {
            auto name = spool_name::parse(text);
            if (!name) continue;
            if (size > options_.max_bytes) {  // none of ours: it must not drive out those that are
                if (!is_newer(text)) {
                    if (auto held = directory_.claim(text); held.is_open()) directory_.set_aside(held);
                    continue;
                }
                size = 0;
            }
            if (name->created > milliseconds_of(now) && !is_newer(text)) {
                name->created = milliseconds_of(now);
                std::string dated = name->text();
                if (!directory_.rename(text, dated)) continue;
                text = std::move(dated);
            }
            out.push_back({*std::move(name), std::move(text), size});
        }
        std::sort(out.begin(), out.end(), [](const listed& a, const listed& b) {
            return std::pair{a.name.created, a.name.serial} < std::pair{b.name.created, b.name.serial};
        });
        const auto oldest = milliseconds_of(now - options_.max_age);
        std::erase_if(out,
                      [&](const listed& entry) { return entry.name.created < oldest && give_up(entry, expired_); });
        return out;
    }

    /// Gives up the oldest files until one of `size` bytes more keeps to the caps.
    void make_room(wall_time now, std::size_t size) {
        const auto files = list(now);
        std::uint64_t bytes = size;
        for (const auto& entry : files) bytes += entry.size;
        std::size_t count = files.size() + 1;
        for (const auto& entry : files) {
            if (bytes <= options_.max_bytes && count <= options_.max_files) break;
            if (is_newer(entry.text) || !give_up(entry, evicted_)) continue;
            bytes -= entry.size;
            --count;
        }
    }

    bool give_up(const listed& entry, spool_losses& losses) noexcept {
        auto file = directory_.claim(entry.text);
        if (!file.is_open()) return false;
        directory_.remove(file);
        (entry.name.writer == owner_.writer ? losses.own : losses.others) += entry.name.messages;
        return true;
    }

    /// Whether a newer release wrote it, which this one does not give up before its time.
    bool is_newer(const std::string& file) {
        const auto head = directory_.read(file, spool_head_size);
        return head && format_of(*head, spool_format_name) > spool_format;
    }

    std::optional<claim> open(const listed& entry) {
        auto file = directory_.claim(entry.text);
        if (!file.is_open()) return std::nullopt;
        claim out{.name = entry.name, .is_own = entry.name.writer == owner_.writer};
        auto content = file.read(options_.max_bytes + 1);
        if (!content) return std::nullopt;                                               // it may be read another time
        if (format_of(*content, spool_format_name) > spool_format) return std::nullopt;  // for a newer release
        auto parsed = content->size() <= options_.max_bytes ? parse_spool_file(*content) : std::nullopt;
        if (!parsed || parsed->messages.size() != entry.name.messages) {
            directory_.set_aside(file);
            return std::nullopt;
        }
        out.content = *std::move(content);
        out.messages = std::move(parsed->messages);
        out.attempts = parsed->attempts;
        out.file = std::move(file);
        return out;
    }

    const spool_options options_;
    const spool_owner owner_;
    spool_directory directory_;
    const std::atomic<bool>& is_revoked_;
    std::uint64_t serial_ = 0;
    std::deque<listed> waiting_;  ///< of the last look at the directory, not claimed yet
    std::set<std::pair<std::uint64_t, std::uint64_t>> seen_;
    spool_losses evicted_;
    spool_losses expired_;
    bool is_swept_ = false;
};

/// Removes all that the spool of a directory holds for a protocol, whoever wrote it.
inline void purge_spool(const std::filesystem::path& directory, std::string_view protocol) noexcept {
    try {
        spool_directory{directory}.purge(std::string{protocol} + "-");
    } catch (...) {  // no memory: what is left expires
    }
}

}  // namespace candor::detail

#endif
