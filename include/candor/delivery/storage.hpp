#ifndef CANDOR_DELIVERY_STORAGE_HPP
#define CANDOR_DELIVERY_STORAGE_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/delivery/delivery_state.hpp>
#include <candor/delivery/journal.hpp>
#include <candor/delivery/options.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/delivery/sender.hpp>
#include <candor/delivery/spool/files_in_hand.hpp>
#include <candor/delivery/spool/spool.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/platform/inside.hpp>
#include <candor/platform/system_calls.hpp>
#include <candor/platform/thread.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/fnv1a.hpp>
#include <candor/policy/policies.hpp>

namespace candor::detail {

/// What a worker has on disk: copies of what is pending, and the files of earlier runs that it has taken up. All but
/// the constructor is called with the mutex held, or with the lock that holds it.
class delivery_storage : public delivery_state, public std::enable_shared_from_this<delivery_storage> {
public:
    /// However little time there was for the server, the disk gets so much.
    static constexpr std::chrono::milliseconds least_store_time{200};

    delivery_storage(std::string name, delivery_options chosen, diagnostic_sink diagnostics, std::uint32_t seed,
                     std::unique_ptr<protocol> back_end, transport_interface& transport, clock_interface& lent_clock,
                     const system_calls& calls)
        : delivery_state{std::move(chosen), seed, lent_clock},
          sender_{std::move(name), options, std::move(diagnostics), std::move(back_end), transport} {
        if (!has_spool(options)) return;
        const spool_owner owner{sender_.name(), destination(), fnv1a(uuid::random().to_string())};
        spool_.emplace(options.spool, owner, calls, is_revoked);
        journal_.emplace(*this, sender_.back_end(), options.spool, owner, calls, is_revoked);
    }

    /// Has all that is pending copied to disk, on the journal's thread, which is started now at the latest. False where
    /// there is none: then somebody has to do it himself.
    bool start_journal() noexcept {
        journal_->ask();
        return run_journal();
    }

    /// The journal keeps an eye on what is pending, while the worker cannot.
    void watch_pending() noexcept {
        if (journal_ && run_journal()) journal_->watch();
    }

    /// Whether the record that came last is the only one that is pending without a copy.
    [[nodiscard]] bool lacks_only_one_copy() const noexcept {
        return journal_ && journal_->first_uncopied() + 1 == counters.accepted();
    }

    /// When what is pending is to be copied by whoever is there, because the worker is busy and the journal does not
    /// run.
    [[nodiscard]] steady_time next_copy() const noexcept {
        const bool is_watched = !journal_ || is_revoked || is_journal_running_ || journal_->has_all();
        return is_watched ? steady_time::max() : schedule.copy_at();
    }

    /// The worker may not return from where it is: whatever is pending is copied without it.
    void copy_without_worker() noexcept {
        if (journal_ && !is_revoked && is_away && !store_until) start_journal();
    }

    /// Consent was revoked: the worker waits for no copy any more.
    void stop_copying() noexcept {
        if (journal_) journal_->interrupt();
    }

    /// After the end of the worker: whether the journal ends too, within `time`.
    [[nodiscard]] bool await_journal(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds time) noexcept {
        return !is_journal_running_ || journal_->await_end_for(lock, time);
    }

    /// The journal's thread, for whoever joins the worker's.
    worker_thread take_journal_thread() noexcept { return std::exchange(journal_thread_, worker_thread{}); }

    /// The worker is left behind, with what it has: that is lost, but for what has a copy.
    void give_up() noexcept {
        std::uint64_t own = 0;
        for (const auto& file : claimed)
            if (file.is_own) own += file.pending;
        leave(lease::given_up);
        counters.abandon(journal_ && !is_revoked ? journal_->copied() : 0, own, reason_at_end());
        if (journal_) journal_->wake();
    }

    /// Whether an earlier run has left something, as far as a short look can tell. Before `run`.
    [[nodiscard]] bool finds_stored() noexcept { return spool_ && spool_->has_any(); }

protected:
    /// A hash of the endpoint.
    [[nodiscard]] std::uint64_t destination() const noexcept { return fnv1a(sender_.name() + ' ' + sender_.url()); }

    template <class Call>
    static void contain(const Call& call) noexcept {
        try {
            call();
        } catch (...) {  // a callback's failure is its own
        }
    }

    /// Makes a call that may not return: without the mutex.
    template <class Call>
    void away(std::unique_lock<std::mutex>& lock, const Call& call) noexcept {
        is_away = true;
        lock.unlock();
        {
            const inside library{false};
            call();
        }
        lock.lock();
        is_away = false;
    }

    [[nodiscard]] bool may_store() const noexcept { return journal_ && !is_revoked && lease_ != lease::given_up; }
    [[nodiscard]] bool may_call_back() const noexcept { return lease_ == lease::held && !is_ending_in_callback_; }

    /// Brings what is on disk to what is settled. A file of which nothing is left goes.
    void write_settled(std::unique_lock<std::mutex>& lock) noexcept {
        if (!journal_) return;
        journal_->write_settled(lock, *spool_, is_away);
        claimed.write_settled(*spool_, [&](const auto& call) { away(lock, call); });
    }

    /// Tells those who keep a record elsewhere that it is safe.
    void tell_safe(std::unique_lock<std::mutex>& lock) noexcept {
        if (receipts.empty()) return;
        if (journal_) return journal_->tell_safe(lock, is_away);
        delivery_state::tell_safe([](std::uint64_t) { return false; }, [&](const auto& call) { away(lock, call); });
    }

    /// Says once what is the matter with the disk.
    void tell_trouble(std::unique_lock<std::mutex>& lock) noexcept {
        const auto trouble = journal_->take_trouble();
        if (!trouble || !may_call_back()) return;
        away(lock, [&] { contain([&] { sender_.say(*trouble); }); });
    }

    void group() noexcept {
        contain([&] { in_hand.group(sender_.back_end()); });
    }

    /// Leaves the oldest copy of what is pending on disk, for later. False where there is none.
    bool store(std::unique_lock<std::mutex>& lock) noexcept {
        if (!may_store()) return false;
        journal_->write_settled(lock, *spool_, is_away);
        copy_all(lock);  // and from here on the journal does nothing
        const auto end = may_store() ? journal_->oldest_end() : std::nullopt;
        if (!end) return false;
        message_count stored;
        if (has_fresh_in_hand) stored = in_hand.drop_before(static_cast<std::uint32_t>(*end - first_in_hand));
        if (*end > counters.taken()) {
            const auto count = *end - counters.taken();
            const auto bytes = queue.take(count);
            counters.take(count, bytes);
            stored.messages += count;
            stored.bytes += bytes;
        }
        counters.spool(stored);
        journal_->let_go_oldest(lock, *spool_, is_away);
        if (in_hand.is_settled()) schedule.batch_done(now());
        signal.announce();
        return true;
    }

    /// Has all that is pending copied to disk, as far as that can be, and waits for it.
    void copy_all(std::unique_lock<std::mutex>& lock) noexcept {
        journal_->ask();
        if (!is_journal_running_) journal_->catch_up(lock, is_away);
        if (!is_journal_running_) return;  // somebody may have started it meanwhile
        is_away = true;
        journal_->await(lock);
        is_away = false;
    }

    /// Takes up the oldest files of the spool, as many as make a request, as the batch in hand. False where there are
    /// none. Throws `std::bad_alloc`.
    bool take_up_files(std::unique_lock<std::mutex>& lock, std::size_t most_messages) {
        const auto wall = wall_now();
        std::vector<spool::claim> found;
        away(lock, [&] {
            std::size_t messages = 0, bytes = 0;
            while (messages < most_messages && bytes < options.batch_bytes) {
                auto next = spool_->claim_next(wall);
                if (!next) break;
                // One that a server did not take goes alone: the others are not to be blamed with it.
                const bool is_suspect = next->attempts > 0;
                if (is_suspect && !found.empty()) {
                    spool_->start_over();
                    break;
                }
                messages += next->messages.size();
                bytes += next->content.size();
                contain([&] { found.push_back(*std::move(next)); });
                if (is_suspect) break;
            }
        });
        count_removed();
        if (lease_ == lease::given_up) return true;
        for (auto& one : found) {
            auto& file = claimed.add();
            file.number = next_file_++;
            file.end = one.messages.back().index + 1;
            file.settled = file.marked = one.settled;
            file.pending = one.messages.size();
            file.attempts = one.attempts;
            file.is_own = one.is_own;
            file.stored.file = std::move(one.file);
            counters.recover(file.pending, file.is_own);
        }
        if (!found.empty()) read_files(lock, found);
        return !found.empty();
    }

    /// How far the files in hand are settled.
    void find_settled() noexcept {
        for (auto& file : claimed) {
            if (file.is_let_go) continue;
            file.settled = file.end;
            file.pending = 0;
            in_hand.each_unsettled([&](const message& m) {
                if (m.file != file.number) return;
                ++file.pending;
                file.settled = std::min<std::uint64_t>(file.settled, m.index);
            });
        }
    }

    /// What is left of the files in hand waits on disk again.
    void put_back(std::unique_lock<std::mutex>& lock) noexcept {
        if (!spool_) return;
        in_hand.clear();
        for (auto& file : claimed) counters.put_back(std::exchange(file.pending, 0), file.is_own);
        spool_->start_over();
        claimed.let_go_all(*spool_, [&](const auto& call) { away(lock, call); });
        signal.announce();
    }

    sender sender_;
    std::optional<spool> spool_;
    std::optional<journal> journal_;
    worker_thread journal_thread_;     ///< where nobody has taken it to join it
    bool is_journal_running_ = false;  ///< it was started
    std::atomic<bool> is_ending_in_callback_ = false;

private:
    bool run_journal() noexcept {
        if (is_journal_running_) return true;
        try {
            journal_thread_ =
                start_worker_thread("candor-spool", [self = shared_from_this()] { self->journal_->run(); });
            is_journal_running_ = true;
            return true;
        } catch (...) {
            return false;
        }
    }

    /// Makes a batch of what the files in hand hold.
    void read_files(std::unique_lock<std::mutex>& lock, const std::vector<spool::claim>& found) {
        in_hand.clear();
        has_fresh_in_hand = false;
        bool is_whole = true;
        // Behind those from before, which may be in the journal's hands still.
        auto file = std::prev(claimed.end(), static_cast<std::ptrdiff_t>(found.size()));
        for (const auto& one : found) {
            away(lock, [&] {
                for (auto m : one.messages) {
                    m.file = file->number;
                    if (!may_call_back()) sender_.back_end().end_callbacks();
                    const auto text = std::string_view{one.content}.substr(m.offset, m.size);
                    const auto added = in_hand.add_stored(sender_.back_end(), text, m, one.named, options);
                    is_whole = is_whole && added.dropped != drop_reason::shutdown;
                    if (!is_whole) break;
                    if (added.dropped) drop_stored_one(added.text, *file, *added.dropped);
                }
            });
            if (lease_ == lease::given_up) return;
            ++file;
        }
        if (!is_whole) return put_back(lock);
        in_hand.send_whole();  // in their order: so far as that is settled, the file says so
        find_settled();
        write_settled(lock);
    }

    /// A stored message is given up before it is sent. Without the mutex.
    void drop_stored_one(std::string_view text, file_in_hand& from, drop_reason reason) noexcept {
        if (options.on_dropped && may_call_back()) contain([&] { options.on_dropped(text, reason); });
        const std::lock_guard guard{mutex};
        if (lease_ == lease::given_up) return;
        counters.drop_recovered(1, reason);
        --from.pending;
    }

    /// Counts what the spool gave up.
    void count_removed() noexcept {
        const auto evicted = spool_->take_evicted(), expired = spool_->take_expired();
        counters.drop_stored(evicted.own, evicted.others, drop_reason::evicted);
        counters.drop_stored(expired.own, expired.others, drop_reason::expired);
    }

    std::uint32_t next_file_ = 0;
};

}  // namespace candor::detail

#endif
