#ifndef CANDOR_DELIVERY_COURIER_HPP
#define CANDOR_DELIVERY_COURIER_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <candor/delivery/backoff.hpp>
#include <candor/delivery/batch.hpp>
#include <candor/delivery/breaker.hpp>
#include <candor/delivery/pipeline_state.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/delivery/queue.hpp>
#include <candor/delivery/sender.hpp>
#include <candor/delivery/spool_file.hpp>
#include <candor/delivery/spooler.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/transport.hpp>

namespace candor::detail {

/// What the worker of a pipeline does: makes batches of the records that wait, delivers them as the protocol judges
/// each answer, stores what cannot be delivered, and takes it up again. `run` is the worker thread's; `prepare` comes
/// before.
template <protocol Protocol, transport Transport, clock Clock, class Calls>
class courier {
public:
    courier(std::string name, pipeline_state<Clock>& state, diagnostic_sink diagnostics, std::uint32_t seed,
            Protocol protocol, Transport& transport, Clock& clock)
        : state_{state},
          sender_{std::move(name), state.options, std::move(diagnostics), std::move(protocol), transport},
          clock_{clock},
          backoff_{seed},
          spooler_{state, sender_.name(), destination(), clock} {
        if (spooler_.is_on()) breaker_.emplace(state.options.spool.directory, sender_.name(), destination(), seed);
    }

    /// All that it takes to account for every message, so that it never fails to for want of memory. With the state's
    /// mutex held.
    void prepare() {
        state_.queue.reserve_spares(spare_blocks_);
        batch_.reserve(state_.options.batch_messages);
        state_.can_spill = spooler_.is_on();
    }

    void run() noexcept {
        for (auto next = wait_for_work(); next != work::none; next = wait_for_work()) {
            if (next == work::batch) {
                fill();
                deliver_contained();
            } else {
                replay();
            }
        }
        abandon();
        if (breaker_ && spooler_.may_store()) breaker_->end(clock_.wall_now());
        spooler_.end();
        const std::lock_guard guard{state_.meeting.mutex};
        state_.done = true;
        state_.meeting.announce();
    }

    /// Ends the request under way, and all later ones. Any thread.
    void cancel() noexcept { sender_.cancel(); }

private:
    /// A destination that does not take our key is left alone for this long.
    static constexpr std::chrono::minutes pause_{5};
    static constexpr std::size_t spare_blocks_ = 16;
    /// A file that so many answers of a server did not take is given up.
    static constexpr unsigned most_attempts_ = 5;
    /// A request that the end of the run cut short had time enough if it had this long.
    static constexpr std::chrono::milliseconds long_wait_{200};

    [[nodiscard]] std::uint64_t destination() const { return fnv1a(sender_.name() + ' ' + sender_.url()); }

    enum class work { batch, replay, none };

    /// `work::none` when the worker is to end.
    work wait_for_work() noexcept {
        std::unique_lock lock{state_.meeting.mutex};
        // After a batch the worker wakes once more by itself, so that the next record need not wake it: that would cost
        // its caller more than all the rest.
        bool lingers = true;
        for (;;) {
            if (state_.aborting) return work::none;
            const bool waiting = state_.ledger.waiting() > 0;
            const bool is_paused = clock_.now() < state_.paused_until;
            auto until = steady_time::max();
            if (waiting && !is_paused) {
                until = after(state_.oldest_at, state_.options.flush_interval);
                if (state_.closing || state_.flush_target > state_.ledger.settled() || state_.batch_is_ready() ||
                    clock_.now() >= until)
                    return work::batch;
            }
            if (state_.replays && !is_paused) return work::replay;
            if (state_.closing) return work::none;
            if (waiting && is_paused) {
                wait_told(lock, state_.paused_until);
                continue;
            }
            if (!waiting && std::exchange(lingers, false)) until = after(clock_.now(), state_.options.flush_interval);
            state_.meeting.idle(lock, until);
        }
    }

    /// Makes a batch of the records that wait now; what comes meanwhile waits its own time. Each one is accounted for,
    /// whatever is thrown.
    void fill() noexcept {
        batch_.clear();
        std::uint64_t taken = 0;
        std::size_t taken_bytes = 0;
        for (auto left = waiting(); left > 0 && batch_.size() < state_.options.batch_messages; --left) {
            if (block_.empty() && !next_block()) break;
            const std::string_view record = block_.front();
            const auto [has_room, dropped, text] = batch_.add(sender_.protocol(), record, state_.options);
            if (!has_room) break;
            if (dropped) drop_one(text, record.size(), *dropped);
            block_.pop();
            ++taken;
            taken_bytes += record.size();
        }
        batch_.send_whole();
        const std::lock_guard guard{state_.meeting.mutex};
        state_.ledger.take(taken, taken_bytes);
        if (state_.ledger.waiting() > 0) state_.oldest_at = clock_.now();
    }

    bool next_block() noexcept {
        const std::lock_guard guard{state_.meeting.mutex};
        state_.queue.recycle(std::exchange(block_, record_block{}));
        if (state_.queue.empty()) return false;
        block_ = state_.queue.take();
        return true;
    }

    void deliver_contained() noexcept {
        try {
            deliver();
        } catch (...) {
            drop_rest_of_batch(drop_reason::failed);
        }
    }

    /// Sends the batch, whole or in halves, until each of its messages is settled.
    void deliver() {
        heed_breaker();
        while (!batch_.is_settled()) {
            if (!wait_for_turn()) return give_up();
            if (batch_.is_settled()) return;  // it was stored instead
            const message_range range = batch_.next();
            const auto started = clock_.now();
            const auto [error, found] = sender_.send(range, clock_);
            using action = verdict::action;
            const bool is_cancelled = error == transport_error::cancelled;
            if (breaker_ && (!is_cancelled || clock_.now() - started >= long_wait_))
                breaker_->note(found.what != action::retry);
            if (is_cancelled) return give_up();
            if (found.what == action::split && range.messages.size() > 1) {
                batch_.split();
                continue;
            }
            if (found.what == action::retry) {
                if (spooler_.has_claim()) return leave_claimed(error);
                plan_retry(error, found.wait);
                continue;
            }
            batch_.pop();
            if (found.what == action::deliver) {
                backoff_.reset();
                settle_delivered(range);
                continue;
            }
            stop_replaying();
            for (const auto& m : range.messages) drop_one(range.text(m), m.record_size, found.reason);
            if (found.reason == drop_reason::unauthorized && !pause()) return give_up();
        }
    }

    /// An endpoint that the last runs could not reach is left alone for a while: the worker waits as if it had told us.
    void heed_breaker() noexcept {
        if (!breaker_ || std::exchange(is_breaker_asked_, true)) return;
        const auto wait = breaker_->ask(clock_.wall_now());
        if (wait == wait.zero()) return;
        next_try_ = after(clock_.now(), wait);
        is_told_ = is_held_ = true;
        contain([&] {
            sender_.say("not tried for another " +
                        std::to_string(std::chrono::ceil<std::chrono::minutes>(wait).count()) + " min: the last " +
                        std::to_string(breaker_->failed_runs()) + " runs could not reach it");
        });
    }

    void plan_retry(transport_error error, std::optional<std::chrono::milliseconds> told) {
        const auto wait = told ? *told : backoff_.next();
        const std::lock_guard guard{state_.meeting.mutex};
        is_told_ = told.has_value();
        was_closing_ = state_.closing;
        state_.retry_now = false;
        // Who is not there now is not there a moment later.
        const bool is_hopeless = !is_told_ && was_closing_ && error == transport_error::unreachable;
        next_try_ = is_hopeless ? steady_time::max() : after(clock_.now(), wait);
    }

    /// Waits until the server may be asked, after an attempt that failed, or because the runs before have. What waits
    /// meanwhile is stored when it becomes much. False when there is no time left for another attempt.
    bool wait_for_turn() {
        std::unique_lock lock{state_.meeting.mutex};
        while (!state_.aborting && clock_.now() < next_try_) {
            if (state_.closing && !is_held_ && (is_told_ || was_closing_) && next_try_ > state_.closing_deadline)
                return false;
            if (!is_told_ && (state_.retry_now || (state_.closing && !was_closing_))) break;  // one more attempt, now
            if (state_.is_spilling() || (state_.closing && is_held_)) {
                lock.unlock();
                const bool is_stored = spooler_.store(batch_);
                lock.lock();
                state_.can_spill = is_stored;
                if (is_stored) return true;
                if (is_held_) break;  // what no later run would find is tried after all
            }
            wait_in_view(lock, next_try_, is_told_);
        }
        is_held_ = false;
        next_try_ = steady_time::min();
        state_.retry_now = false;
        return !state_.aborting;
    }

    /// After a refusal of the key: false when there is no time for anything else.
    bool pause() {
        std::unique_lock lock{state_.meeting.mutex};
        state_.paused_until = after(clock_.now(), pause_);
        return batch_.is_settled() || wait_told(lock, state_.paused_until);
    }

    /// Waits as the server asked, which neither flush nor shutdown cuts short. False when that ends too late.
    bool wait_told(std::unique_lock<std::mutex>& lock, steady_time until) {
        while (clock_.now() < until) {
            if (state_.aborting || (state_.closing && until > state_.closing_deadline)) return false;
            wait_in_view(lock, until, true);
        }
        return !state_.aborting;
    }

    /// Waits where `flush` can see for how long.
    void wait_in_view(std::unique_lock<std::mutex>& lock, steady_time until, bool is_told) {
        state_.retry_until = until;
        state_.retry_is_told = is_told;
        state_.meeting.announce();
        state_.meeting.idle(lock, until);
        state_.retry_until.reset();
    }

    /// Callbacks come first: when `flush` returns, they have run.
    void settle_delivered(const message_range& range) noexcept {
        if (state_.options.on_delivered) {
            for (const auto& m : range.messages) contain([&] { state_.options.on_delivered(range.text(m)); });
        }
        spooler_.note_delivery();
        const std::lock_guard guard{state_.meeting.mutex};
        state_.can_spill = spooler_.is_on();
        if (spooler_.has_claim()) {
            state_.ledger.deliver_recovered(range.messages.size());
        } else {
            state_.ledger.deliver(range.messages.size(), range.record_size());
            state_.replays = spooler_.is_worth_a_look();
        }
        state_.meeting.announce();
    }

    void drop_one(std::string_view text, std::size_t record_size, drop_reason reason) noexcept {
        if (state_.options.on_dropped) contain([&] { state_.options.on_dropped(text, reason); });
        const std::lock_guard guard{state_.meeting.mutex};
        if (spooler_.has_claim()) {
            state_.ledger.drop_recovered(1, reason);
        } else {
            state_.ledger.drop(1, record_size, reason);
        }
        state_.meeting.announce();
    }

    /// Takes up the oldest file of the spool, after a delivery has shown that the server is there.
    void replay() noexcept {
        if constexpr (requires(Protocol & p) { p.holds_back(); }) {
            if (sender_.protocol().holds_back()) return stop_replaying();
        }
        if (!spooler_.take_up(batch_)) return;
        deliver_contained();
        spooler_.finish();
    }

    /// The server does not take what was stored now. It waits for another success, or run; the server's own refusals
    /// are counted.
    void leave_claimed(transport_error error) noexcept {
        stop_replaying();
        spooler_.start_over();
        if (error == transport_error::none && spooler_.count_attempt() >= most_attempts_)
            return drop_rest_of_batch(drop_reason::exhausted);
        put_back();
    }

    /// Until the next fresh message is delivered.
    void stop_replaying() noexcept {
        const std::lock_guard guard{state_.meeting.mutex};
        state_.replays = false;
    }

    /// What is left of a claimed file waits on disk again.
    void put_back() noexcept {
        if (!spooler_.may_store() || !batch_.is_whole()) return give_up_batch();
        spooler_.put_back(batch_);
    }

    /// Time is up, or certain to be: what is left of the batch goes the way of all that waits behind it.
    void give_up() noexcept {
        {
            const std::lock_guard guard{state_.meeting.mutex};
            state_.aborting = true;
        }
        if (spooler_.has_claim()) return put_back();
        give_up_batch();
    }

    void give_up_batch() noexcept {
        if (spooler_.store(batch_)) return;
        const auto reason = [this] {
            const std::lock_guard guard{state_.meeting.mutex};
            return reason_at_end();
        }();
        drop_rest_of_batch(reason);
    }

    [[nodiscard]] drop_reason reason_at_end() const noexcept {
        return state_.revoked ? drop_reason::revoked : drop_reason::shutdown;
    }

    void drop_rest_of_batch(drop_reason reason) noexcept {
        for (; !batch_.is_settled(); batch_.pop()) {
            const message_range range = batch_.next();
            for (const auto& m : range.messages) drop_one(range.text(m), m.record_size, reason);
        }
    }

    /// Stores what still waits, and gives up what cannot be. Nothing is accepted any more.
    void abandon() noexcept {
        while (spooler_.may_store() && waiting() > 0) {
            fill();
            give_up_batch();
        }
        const auto [left, bytes, reason] = [this] {
            const std::lock_guard guard{state_.meeting.mutex};
            return std::tuple{state_.ledger.pending(), state_.ledger.pending_bytes(), reason_at_end()};
        }();
        for (auto i = left; i > 0 && state_.options.on_dropped; --i)
            contain([&, why = reason] { state_.options.on_dropped({}, why); });
        const std::lock_guard guard{state_.meeting.mutex};
        state_.ledger.drop(left, bytes, reason);
        state_.queue = {};
    }

    template <class Call>
    static void contain(const Call& call) noexcept {
        try {
            call();
        } catch (...) {  // a callback's failure is its own
        }
    }

    [[nodiscard]] std::uint64_t waiting() const noexcept {
        const std::lock_guard guard{state_.meeting.mutex};
        return state_.ledger.waiting();
    }

    pipeline_state<Clock>& state_;
    sender<Protocol, Transport> sender_;
    Clock& clock_;
    backoff backoff_;
    record_block block_;
    batch batch_;
    spooler<Clock, Calls> spooler_;
    std::optional<basic_breaker<Calls>> breaker_;
    steady_time next_try_ = steady_time::min();
    bool is_breaker_asked_ = false;
    bool is_held_ = false;      // by the breaker
    bool is_told_ = false;      // by the server, to wait so long, or by the breaker
    bool was_closing_ = false;  // at the last attempt
};

}  // namespace candor::detail

#endif
