#ifndef CANDOR_DELIVERY_DELIVERY_STATE_HPP
#define CANDOR_DELIVERY_DELIVERY_STATE_HPP

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <candor/delivery/batch.hpp>
#include <candor/delivery/delivery_counters.hpp>
#include <candor/delivery/options.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/delivery/queue.hpp>
#include <candor/delivery/scheduler.hpp>
#include <candor/delivery/spool/files_in_hand.hpp>
#include <candor/delivery/worker_signal.hpp>
#include <candor/platform/at_exit.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/policies.hpp>

namespace candor::detail {

/// What a pipeline and its worker share.
struct delivery_state {
    /// Whose the worker is.
    enum class lease {
        held,      ///< the pipeline's
        released,  ///< nobody's: it stores what is left and ends
        given_up,  ///< nobody's, and what is left has been counted as lost: it ends
    };

    delivery_state(delivery_options chosen, std::uint32_t seed, clock_interface& clock)
        : options{std::move(chosen)},
          signal{clock},
          schedule{{options.batch_messages, options.batch_bytes, options.queue_messages / 2, options.queue_bytes / 2,
                    options.flush_interval},
                   has_spool(options),
                   seed},
          clock_{clock} {}
    delivery_state(const delivery_state&) = delete;
    delivery_state& operator=(const delivery_state&) = delete;

    static bool has_spool(const delivery_options& of) noexcept {
        return of.spool.enabled && !of.spool.directory.empty() && !of.dry_run;
    }

    // The mutex is held for all that follows.

    /// Nobody waits for the worker any more, or for what it has.
    void leave(lease as) noexcept {
        last_steady_ = clock_.now();
        last_wall_ = clock_.wall_now();
        lease_ = as;
        schedule.abort();
        signal.announce_end();
    }

    /// Of all records that were accepted, in their order, those before this number are settled.
    [[nodiscard]] std::uint64_t first_unsettled() const noexcept {
        if (!has_fresh_in_hand) return counters.taken();
        const auto index = in_hand.first_unsettled();
        return index ? first_in_hand + *index : counters.taken();
    }

    [[nodiscard]] bool is_left() const noexcept { return lease_ != lease::held; }
    [[nodiscard]] bool is_given_up() const noexcept { return lease_ == lease::given_up; }
    [[nodiscard]] bool is_this_thread() const noexcept { return thread == std::this_thread::get_id(); }

    /// With the mutex held, whoever's the worker is.
    [[nodiscard]] steady_time now() const noexcept { return lease_ == lease::held ? clock_.now() : last_steady_; }
    [[nodiscard]] wall_time wall_now() const noexcept { return lease_ == lease::held ? clock_.wall_now() : last_wall_; }
    [[nodiscard]] moment at() const noexcept { return {now(), wall_now()}; }

    [[nodiscard]] drop_reason reason_at_end() const noexcept {
        return is_revoked ? drop_reason::revoked : drop_reason::shutdown;
    }

    const delivery_options options;
    mutable std::mutex mutex;  ///< guards all that follows, and the batch in hand
    worker_signal signal;
    record_queue queue{};  ///< begins with the records that are in no batch
    delivery_counters counters{};
    batch in_hand{};                  ///< what is being delivered; without the mutex while `is_filling`
    std::uint64_t first_in_hand = 0;  ///< the number of its first record, where it was made of the queue
    bool has_fresh_in_hand = false;   ///< it was
    files_in_hand claimed{};          ///< the files that it was made of otherwise
    bool is_filling = false;          ///< it is being made of the queue, where its records are until then
    scheduler schedule;
    std::thread::id thread{};  ///< the worker's
    bool is_done = false;
    std::atomic<bool> is_revoked = false;      ///< set with the mutex held
    bool is_away = false;                      ///< in a call that may not return
    bool waits_out_hold = false;               ///< idles because the server is not to be asked now
    steady_time end_by{};                      ///< when whoever waits for the end wants to go on
    std::optional<steady_time> store_until{};  ///< what is left is being stored, for so long
    std::optional<at_exit> at_end{};           ///< where the worker has no owner any more

protected:
    std::atomic<lease> lease_ = lease::held;  ///< changed with the mutex held

private:
    clock_interface& clock_;
    steady_time last_steady_{};  ///< when the clock was given back
    wall_time last_wall_{};
};

}  // namespace candor::detail

#endif
