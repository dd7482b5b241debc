#ifndef CANDOR_DELIVERY_SCHEDULER_HPP
#define CANDOR_DELIVERY_SCHEDULER_HPP

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <candor/delivery/backoff.hpp>
#include <candor/policy/clock.hpp>

namespace candor::detail {

/// What there is to deliver at one moment.
struct backlog {
    std::uint64_t waiting = 0;  ///< records that are accepted and in no batch yet
    std::size_t waiting_bytes = 0;
    std::uint64_t pending = 0;  ///< accepted and not settled: these, and those of the batch in hand
    std::size_t pending_bytes = 0;
    std::uint64_t settled = 0;       ///< delivered, dropped or stored, since the beginning
    bool has_batch_in_hand = false;  ///< a batch of which a part is not settled
    bool is_stored = true;           ///< what is pending has a copy on disk, or cannot have one
};

/// Decides what a pipeline does next, and when: every rule about waiting is here. A value that is told what happened
/// and what time it is; it has no thread, no lock and no clock, and does nothing itself.
class scheduler {
public:
    struct limits {
        std::uint64_t batch_messages = 0;  ///< so many make a batch
        std::size_t batch_bytes = 0;
        std::uint64_t spill_messages = 0;  ///< where so many wait for a server that is not there, they are stored
        std::size_t spill_bytes = 0;
        std::chrono::milliseconds flush_interval{};
    };

    enum class action {
        wait,    ///< until `until`, or until something happens
        send,    ///< the batch in hand, or one of what waits
        copy,    ///< what is pending to disk, and go on: it outlives the process now
        store,   ///< the oldest of what is pending is left on disk, and is pending no more
        replay,  ///< take up what was stored
        stop,    ///< the end: store all that is left
    };

    /// Why the worker waits.
    enum class reason {
        idle,         ///< there is nothing to do
        interval,     ///< for more records, to send them together
        backoff,      ///< the last attempt failed
        retry_after,  ///< the server said so
        breaker,      ///< the runs before this one could deliver nothing
        paused,       ///< the server does not take our key
    };

    struct decision {
        action what = action::wait;
        steady_time until = steady_time::max();
        reason why = reason::idle;

        friend bool operator==(const decision&, const decision&) = default;
    };

    /// A destination that does not take our key is left alone for this long.
    static constexpr std::chrono::minutes pause{5};

    /// What has waited for so long is copied to disk: it is to be there after 200 ms, on a busy machine too.
    static constexpr std::chrono::milliseconds copy_delay{100};

    /// A run without a message of its own looks after what earlier ones have stored when it has lasted so long.
    static constexpr std::chrono::seconds settling_in{3};

    /// Between requests with what was stored: a server that was away is not met by all of it at once.
    static constexpr std::chrono::milliseconds replay_gap{100};

    /// What is stored is tried again after so long, where the server was not there for it.
    static constexpr std::chrono::minutes replay_pause{5};

    scheduler(const limits& of, bool has_spool, std::uint32_t seed)
        : limits_{of}, has_spool_{has_spool}, can_store_{has_spool}, backoff_{seed} {}

    /// What to do now. `wait` always ends later than `now`.
    [[nodiscard]] decision next(steady_time now, const backlog& of) const noexcept {
        const auto out = next_delivery(now, of);
        if (out.what != action::wait || of.is_stored || !has_spool_) return out;
        if (now >= copy_at_) return {action::copy, now};
        return {action::wait, std::min(out.until, copy_at_), out.why};
    }

    /// Until when what is due is not sent. Nothing where it is sent at once.
    [[nodiscard]] std::optional<steady_time> held_until(steady_time now, const backlog& of) const noexcept {
        const auto what = next_delivery(now, of);
        const bool is_held = what.what == action::wait && what.why != reason::idle && what.why != reason::interval;
        return is_held ? std::optional{what.until} : std::nullopt;
    }

    /// Whether so much waits that it is better stored, where the server is not there.
    [[nodiscard]] bool is_spilling(const backlog& of) const noexcept {
        return can_store_ && hold_why_ != reason::paused && is_over_spill(of);
    }

    /// Whether what waits fills a batch.
    [[nodiscard]] bool has_full_batch(const backlog& of) const noexcept {
        return of.waiting >= limits_.batch_messages || of.waiting_bytes >= limits_.batch_bytes;
    }

    /// When a record that comes now, and is the first, has waited long enough.
    [[nodiscard]] steady_time latest_send(steady_time now) const noexcept { return after(now, limits_.flush_interval); }

    [[nodiscard]] bool is_closing() const noexcept { return is_closing_; }
    [[nodiscard]] bool is_aborted() const noexcept { return is_aborted_; }
    [[nodiscard]] steady_time send_until() const noexcept { return send_until_; }

    /// What waits has waited since `now`: a record came and was the first, or a batch was taken and left some behind.
    void waits_since(steady_time now) noexcept { oldest_at_ = now; }

    /// All that came before is to be sent at once: until so many are settled. Cuts a backoff short, and no other wait.
    void flush(std::uint64_t settled, steady_time now) noexcept {
        flush_target_ = std::max(flush_target_, settled);
        if (now < hold_until_) is_hurried_ = true;
    }

    /// Nothing more comes, and nothing is sent from `until` on.
    void close(steady_time until) noexcept {
        is_closing_ = true;
        send_until_ = until;
    }

    /// The end: nothing is sent any more.
    void abort() noexcept { is_aborted_ = true; }

    /// The runs before this one could deliver nothing: the server is left alone until then.
    void hold_for_breaker(steady_time until) noexcept { hold(until, reason::breaker); }

    /// A request is about to be sent: with fresh messages, or with what was stored.
    void attempt(bool is_fresh) noexcept {
        hold_until_ = steady_time::min();
        is_hurried_ = false;
        is_replays_turn_ = is_fresh;
    }

    /// A request failed, and the same is to be sent again: after `told`, where the server said that.
    void failed(steady_time now, std::optional<std::chrono::milliseconds> told, bool is_unreachable) {
        const auto wait = told ? *told : backoff_.next();
        has_failed_closing_ = is_closing_;
        // Who is not there now is not there a moment later.
        const bool is_hopeless = !told && is_closing_ && is_unreachable;
        hold(is_hopeless ? steady_time::max() : after(now, wait), told ? reason::retry_after : reason::backoff);
    }

    /// Messages were delivered: fresh ones, or those of a stored file.
    void delivered(steady_time now, bool is_fresh) noexcept {
        backoff_.reset();
        if (!is_fresh || !has_spool_ || (!replays_ && now < look_again_)) return;
        replays_ = true;
        replay_at_ = now;
    }

    /// Earlier runs may have stored something: it is looked for at `at` at the latest.
    void look_at(steady_time at) noexcept {
        if (!has_spool_) return;
        replay_at_ = replays_ ? std::min(replay_at_, at) : at;
        replays_ = true;
    }

    /// A request with what was stored has ended.
    void replayed(steady_time now) noexcept { replay_not_before_ = after(now, replay_gap); }

    /// The server is not there for what was stored: that waits until something fresh was delivered, or longer.
    void pause_replays(steady_time now) noexcept { replay_at_ = after(now, replay_pause); }

    /// The server does not take our key.
    void refuse(steady_time now) noexcept { hold(after(now, pause), reason::paused); }

    /// No batch is in hand any more.
    void batch_done(steady_time now) noexcept { linger_until_ = latest_send(now); }

    /// There is nothing stored that could be taken up.
    void found_nothing_stored(steady_time now) noexcept {
        replays_ = false;
        look_again_ = latest_send(now);  // for what others leave
    }

    /// What is pending has been copied to disk up to here, and something came since `now`.
    void uncopied_since(steady_time now) noexcept { copy_at_ = after(now, std::max(copy_delay, copy_wait_)); }

    /// When what is pending is to be copied.
    [[nodiscard]] steady_time copy_at() const noexcept { return copy_at_; }

    /// A copy was made, or could not be: then it is tried again, later each time.
    void copied(steady_time now, bool is_stored) noexcept {
        can_store_ = has_spool_ && is_stored;
        copy_wait_ =
            is_stored ? std::chrono::milliseconds{0}
                      : std::clamp<std::chrono::milliseconds>(2 * copy_wait_, shortest_copy_wait_, longest_copy_wait_);
        uncopied_since(now);
    }

    /// The oldest of what is pending was left on disk, or could not be.
    void stored(bool is_stored) noexcept {
        can_store_ = is_stored;
        if (is_stored) look_again_ = steady_time::min();
    }

private:
    /// What is to be done for delivery.
    [[nodiscard]] decision next_delivery(steady_time now, const backlog& of) const noexcept {
        if (is_aborted_ || (is_closing_ && now >= send_until_)) return {action::stop, now};
        const bool has_work = of.has_batch_in_hand || of.waiting > 0;
        const auto due = due_at(of);
        const bool is_due = has_work && now >= due;
        if (is_due && now < hold_until_) return held_back(now, of);
        // What is stored and what is fresh take turns, where both are due.
        const auto replay = replays_ ? std::max({replay_at_, replay_not_before_, hold_until_}) : steady_time::max();
        if (now >= replay && !of.has_batch_in_hand && (!is_due || is_replays_turn_)) return {action::replay, now};
        if (is_due) return {action::send, now};
        if (is_closing_ && (replay >= send_until_ || now < hold_until_)) return {action::stop, now};
        if (is_closing_) return {action::wait, replay, reason::interval};
        if (has_work) return {action::wait, std::min(due, replay), reason::interval};
        // After a batch the worker wakes once more by itself, so that the next record need not wake it: that would cost
        // its caller more than all the rest.
        return {action::wait, std::min(now < linger_until_ ? linger_until_ : steady_time::max(), replay), reason::idle};
    }

    [[nodiscard]] steady_time due_at(const backlog& of) const noexcept {
        const bool is_due =
            of.has_batch_in_hand || is_closing_ || flush_target_ > of.settled || has_full_batch(of) || is_spilling(of);
        return is_due ? steady_time::min() : after(oldest_at_, limits_.flush_interval);
    }

    /// Something is due and must not be sent yet.
    [[nodiscard]] decision held_back(steady_time now, const backlog& of) const noexcept {
        const decision wait{action::wait, hold_until_, hold_why_};
        const decision send{action::send, now}, store{action::store, now};
        if (hold_why_ == reason::breaker) {
            if (!is_closing_ && !is_over_spill(of)) return wait;
            return can_store_ ? store : send;  // what no later run would find is tried after all
        }
        const bool is_told = hold_why_ != reason::backoff;
        if (is_closing_ && (is_told || has_failed_closing_) && hold_until_ >= send_until_) return {action::stop, now};
        // One more attempt, at once, where a flush or the end interrupts a backoff.
        if (!is_told && (is_hurried_ || (is_closing_ && !has_failed_closing_))) return send;
        return is_spilling(of) ? store : wait;
    }

    [[nodiscard]] bool is_over_spill(const backlog& of) const noexcept {
        return of.pending >= limits_.spill_messages || of.pending_bytes >= limits_.spill_bytes;
    }

    void hold(steady_time until, reason why) noexcept {
        hold_until_ = until;
        hold_why_ = why;
        is_hurried_ = false;
    }

    static constexpr std::chrono::milliseconds shortest_copy_wait_{1000};
    static constexpr std::chrono::milliseconds longest_copy_wait_{30'000};

    limits limits_;
    bool has_spool_;
    bool can_store_;  ///< the spool takes something
    backoff backoff_;

    steady_time oldest_at_{};  ///< of what waits
    steady_time linger_until_ = steady_time::min();
    steady_time hold_until_ = steady_time::min();  ///< nothing is sent before
    steady_time look_again_ = steady_time::min();  ///< at the spool
    steady_time send_until_ = steady_time::max();  ///< nothing is sent afterwards
    std::uint64_t flush_target_ = 0;
    reason hold_why_ = reason::backoff;
    steady_time replay_at_{};                             ///< what is stored is to be sent
    steady_time replay_not_before_ = steady_time::min();  ///< but not earlier
    steady_time copy_at_ = steady_time::max();
    std::chrono::milliseconds copy_wait_{};  ///< grows while nothing can be stored
    bool replays_ = false;                   ///< the spool may hold something
    bool is_replays_turn_ = false;           ///< the last request was one of fresh messages
    bool is_hurried_ = false;
    bool is_closing_ = false;
    bool has_failed_closing_ = false;  ///< the last attempt failed when we were closing already
    bool is_aborted_ = false;
};

}  // namespace candor::detail

#endif
