#ifndef CANDOR_DELIVERY_DELIVERY_WORKER_HPP
#define CANDOR_DELIVERY_DELIVERY_WORKER_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <candor/delivery/batch.hpp>
#include <candor/delivery/delivery_state.hpp>
#include <candor/delivery/options.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/delivery/queue.hpp>
#include <candor/delivery/scheduler.hpp>
#include <candor/delivery/sender.hpp>
#include <candor/delivery/spool/run_state.hpp>
#include <candor/delivery/spool/spool.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/delivery/worker_signal.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/platform/inside.hpp>
#include <candor/platform/system_calls.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/fnv1a.hpp>
#include <candor/policy/policies.hpp>

namespace candor::detail {

/// What a pipeline shares with its worker, and all that the worker does. The worker owns a share of it and of nothing
/// else, so that it can be left behind in a call that does not return: a callback, an account source, a disk. Each of
/// these is made without the mutex, and marked by `is_away`; whoever leaves the worker behind then sets `lease`, which
/// it looks at before it touches anything that is not its own. The transport and the clock are lent: they are used
/// while nobody can leave, or not at all.
class delivery_worker : public delivery_state {
public:
    /// However little time there was for the server, the disk gets so much.
    static constexpr std::chrono::milliseconds least_store_time{200};

    delivery_worker(std::string name, delivery_options chosen, diagnostic_sink diagnostics, std::uint32_t seed,
                    std::unique_ptr<protocol> back_end, transport_interface& transport, clock_interface& lent_clock,
                    const system_calls& calls)
        : delivery_state{std::move(chosen), seed, lent_clock},
          sender_{std::move(name), options, std::move(diagnostics), std::move(back_end), transport} {
        if (!has_spool(options)) return;
        const auto destination = fnv1a(sender_.name() + ' ' + sender_.url());
        spool_.emplace(options.spool, spool_owner{sender_.name(), destination, fnv1a(uuid::random().to_string())},
                       calls, is_revoked);
        runs_.emplace(options.spool.directory, sender_.name(), destination, seed, calls);
    }
    delivery_worker(const delivery_worker&) = delete;
    delivery_worker& operator=(const delivery_worker&) = delete;

    /// Takes all memory that the account of messages needs. With the mutex held, before `run`.
    void prepare() {
        queue.keep_spares(spare_blocks_);
        batch_.reserve(options.batch_messages);
    }

    /// The worker thread.
    void run() noexcept {
        const inside library;
        std::unique_lock lock{mutex};
        thread = std::this_thread::get_id();
        for (;;) {
            const auto next = schedule.next(now(), work());
            switch (next.what) {
                case scheduler::action::wait:
                    waits_out_hold = next.why != scheduler::reason::idle && next.why != scheduler::reason::interval;
                    if (waits_out_hold) signal.announce_end();  // who waits may have to know
                    signal.idle(lock, next.until);
                    waits_out_hold = false;
                    break;
                case scheduler::action::send:
                    send(lock);
                    break;
                case scheduler::action::store:
                    if (!batch_.is_settled()) {
                        schedule.stored(store(lock));
                    } else {
                        fill(lock);
                    }
                    break;
                case scheduler::action::replay:
                    replay(lock);
                    break;
                case scheduler::action::stop:
                    return finish(lock);
            }
        }
    }

    /// Instead of `run`, where the process ends in a callback of the worker's: stores what there is. The worker thread.
    void finish_in_callback(std::unique_lock<std::mutex> lock) noexcept {
        is_ending_in_callback_ = true;
        if (!is_done) finish(lock);
    }

    /// Ends the request under way, and all later ones. Any thread.
    void cancel() noexcept { sender_.cancel(); }
    [[nodiscard]] const char* thread_name() noexcept { return sender_.back_end().thread_name(); }

    /// Whether the process ends in a callback of the worker's: then its thread does not come back. With the mutex held.
    [[nodiscard]] bool is_ending_in_callback() const noexcept { return is_ending_in_callback_; }

    /// With the mutex held.
    [[nodiscard]] backlog work() const noexcept {
        return {counters.waiting(),       counters.waiting_bytes(), counters.pending(),
                counters.pending_bytes(), counters.settled(),       !batch_.is_settled()};
    }

private:
    static constexpr std::size_t spare_blocks_ = 16;
    /// A file that so many answers of a server did not take is given up.
    static constexpr unsigned most_attempts_ = 5;
    /// A request that the end of the run cut short had time enough if it had this long.
    static constexpr std::chrono::milliseconds long_wait_{200};

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

    [[nodiscard]] bool may_store() const noexcept { return spool_ && !is_revoked && lease_ != lease::given_up; }
    [[nodiscard]] bool may_call_back() const noexcept { return lease_ == lease::held && !is_ending_in_callback_; }

    /// Tells a callback of the program's what became of these.
    template <class Callback, class... Fate>
    void call_back(std::unique_lock<std::mutex>& lock, const Callback& to, const message_range& of,
                   Fate... fate) noexcept {
        if (!to || !may_call_back()) return;
        away(lock, [&] {
            for (const auto& m : of.messages)
                if (may_call_back()) contain([&] { to(of.text(m), fate...); });
        });
    }

    /// One step towards the next answer: asks the runs before, makes a batch, or sends one.
    void send(std::unique_lock<std::mutex>& lock) noexcept {
        if (runs_ && !std::exchange(has_asked_runs_, true)) return ask_runs(lock);
        if (batch_.is_settled()) return fill(lock);
        schedule.attempt();
        const message_range range = batch_.next();
        const auto started = at();
        std::optional<http_response> answer;
        lock.unlock();
        try {
            answer = sender_.send(range, started.wall);
        } catch (...) {
        }
        lock.lock();
        if (!answer) return drop_batch(lock, drop_reason::failed);
        const bool is_cancelled = answer->error == transport_error::cancelled;
        response_action found;
        try {
            if (!is_cancelled) found = sender_.back_end().classify(*answer, at());
        } catch (...) {
            return drop_batch(lock, drop_reason::failed);
        }
        if (runs_ && (!is_cancelled || now() - started.steady >= long_wait_)) {
            const bool is_reached = found.what != response_action::kind::retry;
            if (runs_->note(is_reached)) away(lock, [&] { runs_->forget_failures(); });
        }
        settle(lock, range, *answer, found, is_cancelled);
    }

    /// What an answer means for the messages of a request.
    void settle(std::unique_lock<std::mutex>& lock, const message_range& range, const http_response& answer,
                const response_action& found, bool is_cancelled) noexcept {
        using kind = response_action::kind;
        const bool is_split = found.what == kind::split && range.messages.size() > 1;
        const bool is_final = !is_split && found.what != kind::retry;
        if (is_split) batch_.split();
        if (is_final) conclude(lock, range, found.what == kind::deliver ? std::nullopt : std::optional{found.reason});
        if (!is_cancelled && may_call_back()) away(lock, [&] { sender_.tell(answer, found.diagnostic); });
        if (lease_ == lease::given_up) return;
        if (is_cancelled) return schedule.abort();
        if (is_split) return;
        if (!is_final) return retry(lock, answer, found);
        if (found.what == kind::deliver) {
            has_delivered_ = true;
            schedule.delivered(now(), !counters.expected().is_recovered);
        } else {
            schedule.stop_replaying();
            if (found.reason == drop_reason::unauthorized) schedule.refuse(now());
        }
        tell_concluded(lock, range);
    }

    /// It is certain what becomes of the next range: delivered, or dropped. A file of which nothing is left goes at
    /// once: whatever happens from now on, nobody sends it again.
    void conclude(std::unique_lock<std::mutex>& lock, const message_range& range,
                  std::optional<drop_reason> dropped) noexcept {
        batch_.pop();
        counters.expect({range.messages.size(), range.record_size(), claim_.has_value(), dropped});
        if (batch_.is_settled()) remove_claimed(lock);
    }

    void remove_claimed(std::unique_lock<std::mutex>& lock) noexcept {
        if (!claim_) return;
        away(lock, [&] { spool_->remove(*claim_); });
        claim_.reset();
    }

    /// Callbacks come before the counts: when `flush` returns, they have run.
    void tell_concluded(std::unique_lock<std::mutex>& lock, const message_range& range) noexcept {
        const auto dropped = counters.expected().dropped;
        dropped ? call_back(lock, options.on_dropped, range, *dropped) : call_back(lock, options.on_delivered, range);
        if (lease_ == lease::given_up) return;
        counters.settle_expected();
        signal.announce();
        if (batch_.is_settled()) schedule.batch_done(now());
    }

    void ask_runs(std::unique_lock<std::mutex>& lock) noexcept {
        std::chrono::milliseconds wait{0};
        const auto wall = wall_now();
        away(lock, [&] { wait = runs_->ask(wall); });
        if (wait == wait.zero() || lease_ != lease::held) return;
        schedule.hold_for_breaker(after(now(), wait));
        away(lock, [&] {
            contain([&] {
                sender_.say("not tried for another " +
                            std::to_string(std::chrono::ceil<std::chrono::minutes>(wait).count()) + " min: the last " +
                            std::to_string(runs_->failed_runs()) + " runs could not reach it");
            });
        });
    }

    /// Makes a batch of the records that wait now; what comes meanwhile waits its own time. Each one is accounted for,
    /// whatever is thrown.
    void fill(std::unique_lock<std::mutex>& lock) noexcept {
        batch_.clear();
        const auto when = at();
        bool has_room = true;
        is_filling_ = true;
        for (auto left = counters.waiting(); left > 0 && has_room && batch_.size() < options.batch_messages;) {
            if (block_.empty() && !next_block()) break;
            away(lock, [&] {
                while (left > 0 && !block_.empty() && batch_.size() < options.batch_messages) {
                    const std::string_view record = block_.front();
                    if (!may_call_back()) sender_.back_end().end_callbacks();
                    const auto added = batch_.add(sender_.back_end(), record, when, options);
                    has_room = added.has_room;
                    if (!has_room) break;
                    if (added.dropped) drop_one(added.text, record.size(), *added.dropped);
                    block_.pop();
                    ++taken_;
                    taken_bytes_ += record.size();
                    --left;
                }
            });
            if (lease_ == lease::given_up) return;
        }
        end_fill();
        if (counters.waiting() > 0) schedule.waits_since(now());
        if (batch_.is_settled()) schedule.batch_done(now());
    }

    void end_fill() noexcept {
        is_filling_ = false;
        batch_.send_whole();
        counters.take(std::exchange(taken_, 0), std::exchange(taken_bytes_, 0));
    }

    bool next_block() noexcept {
        queue.recycle(std::exchange(block_, record_block{}));
        if (queue.empty()) return false;
        block_ = queue.take();
        return true;
    }

    void retry(std::unique_lock<std::mutex>& lock, const http_response& answer, const response_action& found) noexcept {
        if (!claim_) {
            schedule.failed(now(), found.wait, answer.error == transport_error::unreachable);
            return signal.announce();
        }
        // What was stored waits for another success, or run; the server's own refusals are counted.
        schedule.stop_replaying();
        spool_->start_over();
        unsigned attempts = 0;
        if (answer.error == transport_error::none) away(lock, [&] { attempts = spool_->count_attempt(*claim_); });
        if (lease_ == lease::given_up) return;
        if (attempts >= most_attempts_) {
            drop_batch(lock, drop_reason::exhausted);
        } else {
            put_back(lock);
        }
    }

    /// One record of the queue became no message. Without the mutex.
    void drop_one(std::string_view text, std::size_t record_size, drop_reason reason) noexcept {
        if (options.on_dropped && may_call_back()) contain([&] { options.on_dropped(text, reason); });
        const std::lock_guard guard{mutex};
        if (lease_ == lease::given_up) return;
        counters.drop(1, record_size, reason);
        signal.announce();
    }

    void drop_batch(std::unique_lock<std::mutex>& lock, drop_reason reason) noexcept {
        while (!batch_.is_settled() && lease_ != lease::given_up) {
            const message_range range = batch_.next();
            conclude(lock, range, reason);
            if (lease_ != lease::given_up) tell_concluded(lock, range);
        }
    }

    /// Stores what is left of the batch. False where something could not be stored, which is left in the batch then.
    bool store(std::unique_lock<std::mutex>& lock) noexcept {
        if (!may_store()) return false;
        while (!batch_.is_settled()) {
            const message_range range = batch_.next();
            const auto wall = wall_now();
            bool is_stored = false;
            away(lock, [&] {
                is_stored =
                    spool_->store(range, wall, claim_ ? claim_->name.created : 0, claim_ ? claim_->attempts : 0);
            });
            if (lease_ == lease::given_up) return true;
            count_removed();
            if (!is_stored) return false;
            batch_.pop();
            if (claim_) {
                counters.put_back(range.messages.size());
            } else {
                counters.spool(range.messages.size(), range.record_size());
            }
            signal.announce();
        }
        schedule.batch_done(now());
        remove_claimed(lock);
        return true;
    }

    /// Takes up the oldest file of the spool, after a delivery has shown that the server is there.
    void replay(std::unique_lock<std::mutex>& lock) noexcept {
        if (sender_.back_end().holds_back(now())) return schedule.stop_replaying();
        const auto wall = wall_now();
        away(lock, [&] { claim_ = spool_->claim_next(wall); });
        if (lease_ == lease::given_up) return;
        count_removed();
        if (!claim_) return schedule.found_nothing_stored(now());
        counters.recover(claim_->messages.size(), claim_->is_own);
        try {
            batch_.load(std::move(claim_->content), claim_->messages);
        } catch (...) {  // no memory: another time
            schedule.stop_replaying();
            put_back(lock);
        }
    }

    /// What is left of a claimed file waits on disk again.
    void put_back(std::unique_lock<std::mutex>& lock) noexcept {
        if (!may_store() || !batch_.is_whole()) return give_up_batch(lock);
        counters.put_back(claim_->messages.size());
        batch_.clear();
        away(lock, [&] { spool_->let_go(*claim_); });
        claim_.reset();
    }

    /// Counts what the spool gave up.
    void count_removed() noexcept {
        const auto evicted = spool_->take_evicted(), expired = spool_->take_expired();
        counters.drop_stored(evicted.own, evicted.others, drop_reason::evicted);
        counters.drop_stored(expired.own, expired.others, drop_reason::expired);
    }

    void give_up_batch(std::unique_lock<std::mutex>& lock) noexcept {
        if (store(lock)) return;
        drop_batch(lock, reason_at_end());
    }

    /// The end: stores what is left while there is time, and gives up the rest, and the lock. Nothing is accepted.
    void finish(std::unique_lock<std::mutex>& lock) noexcept {
        store_until = std::max(end_by, after(now(), least_store_time));
        signal.announce_end();
        schedule.close(now());
        schedule.abort();
        if (is_filling_) end_fill();  // in a callback about a record, which stays for the next batch
        counters.settle_expected();   // in a callback about that
        if (!batch_.is_settled()) claim_ ? put_back(lock) : give_up_batch(lock);
        while (may_store() && counters.waiting() > 0 && now() < *store_until) {
            fill(lock);
            if (!batch_.is_settled()) give_up_batch(lock);
        }
        const auto left = lease_ == lease::given_up ? 0 : counters.pending();
        const auto reason = reason_at_end();
        if (left > 0 && options.on_dropped && may_call_back()) {
            away(lock, [&] {
                for (auto i = left; i > 0 && may_call_back(); --i) contain([&] { options.on_dropped({}, reason); });
            });
        }
        if (lease_ != lease::given_up) counters.drop(left, counters.pending_bytes(), reason);
        if (may_store() && now() < *store_until) {
            const auto wall = wall_now();
            away(lock, [&] { runs_->end(wall, has_delivered_); });
        }
        away(lock, [&] { claim_.reset(), spool_.reset(), runs_.reset(); });  // whoever frees this closes no file
        is_done = true;
        signal.announce_end();
        const auto emptied = std::exchange(queue, record_queue{});
        lock.unlock();  // and only then frees the memory: an allocator may make it wait
    }

    template <class Call>
    static void contain(const Call& call) noexcept {
        try {
            call();
        } catch (...) {  // a callback's failure is its own
        }
    }

    sender sender_;
    record_block block_;
    batch batch_;
    std::optional<spool> spool_;
    std::optional<spool::claim> claim_;  ///< the file whose messages the batch holds
    std::optional<run_state> runs_;
    bool has_asked_runs_ = false;
    bool has_delivered_ = false;
    bool is_filling_ = false;  ///< the batch is being made
    std::uint64_t taken_ = 0;  ///< the records of the queue that were made into messages of it, or given up
    std::size_t taken_bytes_ = 0;
    std::atomic<bool> is_ending_in_callback_ = false;
};

}  // namespace candor::detail

#endif
