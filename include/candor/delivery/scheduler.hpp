#ifndef CANDOR_DELIVERY_SCHEDULER_HPP
#define CANDOR_DELIVERY_SCHEDULER_HPP

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

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
        store,   ///< the same, but to disk
        replay,  ///< take up what was stored
        stop,    ///< the end: store all that is left
    };

    /// Why the worker waits.
    enum class reason {
        idle,         ///< there is nothing to do
        interval,     ///< for more records, to send them together
        backoff,      ///< the last attempt failed
        retry_after,  ///< the server said so
        breaker,      ///< the runs before this one could not reach the server
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

    scheduler(const limits& of, bool has_spool, std::uint32_t seed)
        : limits_{of}, has_spool_{has_spool}, can_store_{has_spool}, backoff_{seed} {}

    /// What to do now. `wait` always ends later than `now`.
    [[nodiscard]] decision next(steady_time now, const backlog& of) const noexcept {
        if (is_aborted_ || (is_closing_ && now >= send_until_)) return {action::stop, now};
        const bool has_work = of.has_batch_in_hand || of.waiting > 0;
        const auto due = due_at(of);
        if (has_work && now >= due) return now >= hold_until_ ? decision{action::send, now} : held_back(now, of);
        if (replays_ && now >= hold_until_) return {action::replay, now};
        if (is_closing_) return {action::stop, now};
        if (has_work) return {action::wait, due, reason::interval};
        // After a batch the worker wakes once more by itself, so that the next record need not wake it: that would cost
        // its caller more than all the rest.
        return {action::wait, now < linger_until_ ? linger_until_ : steady_time::max(), reason::idle};
    }

    /// Until when what is due is not sent. Nothing where it is sent at once.
    [[nodiscard]] std::optional<steady_time> held_until(steady_time now, const backlog& of) const noexcept {
        const auto what = next(now, of);
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

    /// The runs before this one could not reach the server: it is left alone until then.
    void hold_for_breaker(steady_time until) noexcept { hold(until, reason::breaker); }

    /// A request is about to be sent.
    void attempt() noexcept {
        hold_until_ = steady_time::min();
        is_hurried_ = false;
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
        can_store_ = has_spool_;
        if (is_fresh) replays_ = has_spool_ && now >= look_again_;
    }

    /// The server took something for good and did not want it, or takes nothing now: what is stored has to wait until
    /// something fresh was delivered.
    void stop_replaying() noexcept { replays_ = false; }

    /// The server does not take our key.
    void refuse(steady_time now) noexcept { hold(after(now, pause), reason::paused); }

    /// No batch is in hand any more.
    void batch_done(steady_time now) noexcept { linger_until_ = latest_send(now); }

    /// A batch was stored, or could not be.
    void stored(bool is_stored) noexcept {
        can_store_ = is_stored;
        if (is_stored) look_again_ = steady_time::min();
    }

    /// There is nothing stored that could be taken up.
    void found_nothing_stored(steady_time now) noexcept {
        replays_ = false;
        look_again_ = latest_send(now);  // for what others leave
    }

private:
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
    bool replays_ = false;  ///< the server is there, and the spool may hold something
    bool is_hurried_ = false;
    bool is_closing_ = false;
    bool has_failed_closing_ = false;  ///< the last attempt failed when we were closing already
    bool is_aborted_ = false;
};

}  // namespace candor::detail

#endif
