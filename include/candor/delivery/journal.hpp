#ifndef CANDOR_DELIVERY_JOURNAL_HPP
#define CANDOR_DELIVERY_JOURNAL_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <candor/delivery/delivery_state.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/delivery/spool/files_in_hand.hpp>
#include <candor/delivery/spool/spool.hpp>
#include <candor/platform/inside.hpp>
#include <candor/platform/system_calls.hpp>
#include <candor/policy/clock.hpp>

namespace candor::detail {

/// Copies on disk of what is pending, so that it outlives the process, whatever ends that. A thread of its own, which
/// the worker starts when something waits: while the worker is in a request, in a callback or in a call of the account
/// source, nobody else could store what is accepted meanwhile. It calls no callback of the program's. A copy is a file
/// of the spool that this process has in hand; it is removed, or marked, as its messages are settled, and let go at the
/// end, when what is left in it counts as stored.
///
/// Every member but the constructor is called with the mutex of the state held, or with the lock that holds it.
class journal {
public:
    /// Both outlive it.
    journal(delivery_state& state, protocol& maker, const spool_options& options, const spool_owner& owner,
            const system_calls& calls, const std::atomic<bool>& is_revoked)
        : state_{state}, maker_{maker}, disk_{std::in_place, options, owner, calls, is_revoked} {}
    journal(const journal&) = delete;
    journal& operator=(const journal&) = delete;

    /// The thread.
    void run() noexcept {
        const inside library;
        std::unique_lock lock{state_.mutex};
        while (!state_.is_done && !state_.is_given_up()) {
            write_settled(lock, *disk_, is_away_);
            state_.claimed.write_settled(*disk_, [&](const auto& call) { away(lock, is_away_, call); });
            tell_safe(lock, is_away_);
            if (is_behind() && !is_copying_) {
                copy_some(lock, is_away_);
            } else {
                wait(lock);
            }
        }
        end(lock, is_away_);
        has_ended_ = true;
        progress_.notify_all();
    }

    /// Everything that is accepted now is to be copied.
    void ask() noexcept {
        asked_ = state_.counters.accepted();
        asked_at_ = state_.now();
        wake();
    }

    /// The worker begins something that takes its time.
    void watch() noexcept {
        if (is_asleep_) wake();
    }

    /// What it waits for may have come about.
    void wake() noexcept { changed_.notify_one(); }

    /// The number of the first record that is pending and has no copy.
    [[nodiscard]] std::uint64_t first_uncopied() const noexcept { return std::max(copied_, state_.first_unsettled()); }

    /// Whether what is pending has a copy, as far as it can have one.
    [[nodiscard]] bool has_all() const noexcept { return first_uncopied() >= state_.counters.accepted(); }

    /// Copies what was asked for, on this thread, where the journal has none of its own.
    void catch_up(std::unique_lock<std::mutex>& lock, bool& is_away) noexcept {
        while (is_behind() && !is_copying_) copy_some(lock, is_away);
    }

    /// Waits until what was asked for is copied, or cannot be, or nobody waits for it any more.
    void await(std::unique_lock<std::mutex>& lock) noexcept {
        progress_.wait(lock, [&] {
            return has_ended_ || state_.is_given_up() || state_.is_revoked || (!is_behind() && !is_away_);
        });
    }

    /// Nobody waits for a copy any more.
    void interrupt() noexcept {
        progress_.notify_all();
        wake();
    }

    /// Whether its thread ends within that time, after the worker has.
    bool await_end_for(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds time) noexcept {
        return progress_.wait_for(lock, time, [&] { return has_ended_; });
    }

    /// Whether a callback of the program's has to see the next record before it can be stored.
    [[nodiscard]] bool needs_worker() const noexcept { return needs_worker_at_ == first_uncopied(); }

    /// Files are brought to what is settled. `disk` is the caller's own, here and below.
    void write_settled(std::unique_lock<std::mutex>& lock, spool& disk, bool& is_away) noexcept {
        copies_.settle(state_.first_unsettled());
        copies_.write_settled(disk, [&](const auto& call) { away(lock, is_away, call); });
    }

    /// Tells those who keep a record elsewhere that there is a copy of it.
    void tell_safe(std::unique_lock<std::mutex>& lock, bool& is_away) noexcept {
        const auto has_copy = [this](std::uint64_t number) {
            return std::any_of(copies_.begin(), copies_.end(), [&](const file_in_hand& copy) {
                return copy.first <= number && number < copy.end && !copy.is_busy;
            });
        };
        state_.tell_safe(has_copy, [&](const auto& call) { away(lock, is_away, call); });
    }

    /// Until where the oldest copy of what is pending reaches; nothing where there is none.
    [[nodiscard]] std::optional<std::uint64_t> oldest_end() noexcept {
        const auto oldest = find_oldest();
        return oldest == copies_.end() ? std::nullopt : std::optional{oldest->end};
    }

    /// What is left in that waits for a later run.
    void let_go_oldest(std::unique_lock<std::mutex>& lock, spool& disk, bool& is_away) noexcept {
        copies_.let_go(disk, find_oldest(), [&](const auto& call) { away(lock, is_away, call); });
    }

    /// How many of what is pending are in copies.
    [[nodiscard]] std::uint64_t copied() noexcept {
        copies_.settle(state_.first_unsettled());
        std::uint64_t out = 0;
        for (const auto& copy : copies_) out += copy.left();
        return out;
    }

    /// This run has named a user since drafts were stored: whoever delivers them is told.
    void name_user(std::unique_lock<std::mutex>& lock, spool& disk, bool& is_away) noexcept {
        const auto user = maker_.named_user();
        if (user == 0 || user == named_) return;
        named_ = user;
        for (auto& copy : copies_) {
            if (copy.is_busy || !copy.has_drafts || copy.named != 0) continue;
            copy.is_busy = true;
            copy.named = user;
            away(lock, is_away, [&] { static_cast<void>(disk.mark_named(copy.stored.file, user)); });
            copy.is_busy = false;
        }
    }

    /// Nothing is copied any more: what is left stays on disk, unless consent was revoked.
    void end(std::unique_lock<std::mutex>& lock, bool& is_away) noexcept {
        tell_safe(lock, is_away);
        copies_.settle(state_.is_revoked ? std::numeric_limits<std::uint64_t>::max() : state_.first_unsettled());
        copies_.let_go_all(*disk_, [&](const auto& call) { away(lock, is_away, call); });
        away(lock, is_away, [&] { disk_.reset(); });  // whoever frees this closes no file
    }

    /// What is the matter with the disk, for a person.
    std::optional<std::string> take_trouble() noexcept { return std::exchange(trouble_, std::nullopt); }

private:
    /// How often the thread looks whether the worker is busy, while it works.
    static constexpr std::chrono::milliseconds look_interval_{60};

    template <class Call>
    void away(std::unique_lock<std::mutex>& lock, bool& is_away, const Call& call) noexcept {
        is_away = true;
        lock.unlock();
        call();
        lock.lock();
        is_away = false;
    }

    [[nodiscard]] files_in_hand::iterator find_oldest() noexcept {
        return std::find_if(copies_.begin(), copies_.end(),
                            [](const file_in_hand& copy) { return copy.left() > 0 && !copy.is_let_go; });
    }

    [[nodiscard]] bool is_behind() const noexcept { return first_uncopied() < asked_ && may_copy(); }

    [[nodiscard]] bool may_copy() const noexcept {
        return !state_.is_revoked && (!needs_worker() || is_in_hand(first_uncopied()));
    }

    /// Whether a record is a message of the batch in hand by now.
    [[nodiscard]] bool is_in_hand(std::uint64_t number) const noexcept {
        return state_.has_fresh_in_hand && !state_.is_filling && number >= state_.first_in_hand &&
               number < state_.counters.taken();
    }

    /// Copies some of what was asked for: to one file, with one write.
    void copy_some(std::unique_lock<std::mutex>& lock, bool& is_away) noexcept {
        is_copying_ = true;
        copy_next(lock, is_away);
        is_copying_ = false;
        progress_.notify_all();
        wake();
    }

    void copy_next(std::unique_lock<std::mutex>& lock, bool& is_away) noexcept {
        const auto first = copied_ = first_uncopied();
        const auto wall = state_.wall_now();
        bool is_stored = true;
        try {
            lines_.clear();
            std::uint64_t count = 0;
            bool has_drafts = false;
            if (is_in_hand(first)) {
                const auto row = state_.in_hand.row_from(static_cast<std::uint32_t>(first - state_.first_in_hand));
                if (row.messages.empty()) return skip_to_message(first);
                for (const auto& m : row.messages) {
                    if (count == state_.options.batch_messages || lines_.size() > record_queue::block_size) break;
                    append_spool_line(lines_, row.text(m), m.sent_at);
                    ++count;
                }
            } else {
                records_ = run_from(first);
                auto records = std::string_view{records_};
                const auto most = std::min<std::uint64_t>(asked_ - first, state_.options.batch_messages);
                bool needs_worker = false, is_skipped = false;
                away(lock, is_away, [&] {
                    while (count < most && !records.empty() && !needs_worker && !is_skipped) {
                        draft_.clear();
                        const auto made = draft(record_queue::pop_record(records));
                        needs_worker = !made;
                        is_skipped = made && made->dropped;
                        if (needs_worker || is_skipped) break;
                        has_drafts = has_drafts || made->is_draft;
                        made->is_draft ? append_spool_draft(lines_, draft_)
                                       : append_spool_line(lines_, draft_, made->sent_at);
                        ++count;
                    }
                });
                if (needs_worker) needs_worker_at_ = first + count;
                if (is_skipped && count == 0)
                    copied_ = first + 1;  // it will not become a message: the worker counts it
            }
            if (count > 0 && first >= state_.first_unsettled()) {
                is_stored = write(lock, is_away, first, count, has_drafts, wall);
                if (is_stored) copied_ = std::max(copied_, first + count);
            }
        } catch (...) {  // no memory
            is_stored = false;
        }
        if (!is_stored) asked_ = 0;
        // What came since it was asked for waits since then, however long this takes.
        state_.schedule.copied(is_stored ? asked_at_ : state_.now(), is_stored);
    }

    std::optional<preparation> draft(std::string_view record) noexcept {
        try {
            return maker_.draft(record, draft_);
        } catch (...) {
            return preparation{.dropped = drop_reason::failed};
        }
    }

    /// A record became no message when the batch was made.
    void skip_to_message(std::uint64_t number) noexcept {
        auto& batch = state_.in_hand;
        while (++number < state_.counters.taken() &&
               batch.row_from(static_cast<std::uint32_t>(number - state_.first_in_hand)).messages.empty()) {
        }
        copied_ = number;
    }

    /// The records from a number on that lie together, each behind its length. Throws `std::bad_alloc`.
    std::string run_from(std::uint64_t number) {
        const auto taken = state_.counters.taken();
        if (number <= taken || cursor_at_ < taken || cursor_at_ > number) {  // what is taken may have been freed
            cursor_ = state_.queue.begin();
            cursor_at_ = taken;
        }
        auto run = state_.queue.run_at(cursor_);
        for (; cursor_at_ < number; ++cursor_at_) {
            cursor_.offset += record_queue::stored_size(record_queue::pop_record(run).size());
            if (run.empty()) run = state_.queue.run_at(cursor_);
        }
        return std::string{run};
    }

    /// Appends lines to the newest copy, or makes another one.
    bool write(std::unique_lock<std::mutex>& lock, bool& is_away, std::uint64_t first, std::uint64_t count,
               bool has_drafts, wall_time wall) {
        const auto named = maker_.named_user();
        const auto fits = [&](const file_in_hand& newest) {
            return newest.end == first && !newest.is_busy && !newest.is_let_go && newest.settled < newest.end &&
                   newest.end - newest.first + count <= state_.options.batch_messages &&
                   newest.stored.size + lines_.size() <= state_.options.batch_bytes &&
                   (newest.named == named || !newest.has_drafts || !has_drafts);
        };
        const bool is_new = copies_.empty() || !fits(copies_.back());
        auto& copy = is_new ? copies_.add() : copies_.back();
        if (is_new) {
            copy.first = copy.end = copy.settled = copy.marked = first;
            copy.named = has_drafts ? named : 0;
        }
        copy.is_busy = true;
        bool is_stored = false;
        std::optional<std::string> trouble;
        away(lock, is_away, [&] {
            if (is_new) {
                auto made = disk_->create(lines_, copy.named, wall);
                is_stored = made.has_value();
                if (made) copy.stored = *std::move(made);
            } else {
                is_stored = disk_->append(copy.stored, lines_);
            }
            trouble = disk_->take_trouble();
        });
        copy.is_busy = false;
        const auto evicted = disk_->take_evicted(), expired = disk_->take_expired();
        state_.counters.drop_stored(evicted.own, evicted.others, drop_reason::evicted);
        state_.counters.drop_stored(expired.own, expired.others, drop_reason::expired);
        if (trouble) {
            trouble_ = std::move(trouble);
            state_.signal.wake();  // who tells it
        }
        copy.has_drafts = copy.has_drafts || (is_stored && has_drafts);
        if (is_stored) copy.end = first + count;
        if (is_new && !is_stored) copies_.remove_last();
        return is_stored;
    }

    /// Waits for something to do.
    void wait(std::unique_lock<std::mutex>& lock) noexcept {
        progress_.notify_all();
        if (state_.signal.is_idle()) {
            is_asleep_ = true;
            changed_.wait(lock);
            is_asleep_ = false;
            return;
        }
        // Only a worker that idles sees to it that its clock is kept.
        auto time = look_interval_;
        if (!has_all() && may_copy() && !is_copying_) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(state_.schedule.copy_at() - state_.now());
            if (left <= left.zero()) return ask();
            time = std::min(time, left);
        }
        changed_.wait_for(lock, time);
    }

    delivery_state& state_;
    protocol& maker_;
    std::optional<spool> disk_;
    files_in_hand copies_;
    std::condition_variable changed_;   ///< there may be something to do
    std::condition_variable progress_;  ///< something was done
    std::string records_;
    std::string draft_;
    std::string lines_;
    record_queue::cursor cursor_;  ///< of the record with that number
    std::uint64_t cursor_at_ = 0;
    std::uint64_t copied_ = 0;  ///< before this number all are copied, settled, or will not become messages
    std::uint64_t asked_ = 0;   ///< and before this they are to be copied
    steady_time asked_at_{};    ///< which was said then
    std::optional<std::uint64_t> needs_worker_at_{};
    std::uint64_t named_ = 0;
    std::optional<std::string> trouble_{};
    bool is_copying_ = false;  ///< the thread does, or the worker before there was one
    bool is_away_ = false;
    bool is_asleep_ = false;
    bool has_ended_ = false;
};

}  // namespace candor::detail

#endif
