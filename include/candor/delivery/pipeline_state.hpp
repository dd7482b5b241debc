#ifndef CANDOR_DELIVERY_PIPELINE_STATE_HPP
#define CANDOR_DELIVERY_PIPELINE_STATE_HPP

#include <cstdint>
#include <optional>
#include <utility>

#include <candor/delivery/ledger.hpp>
#include <candor/delivery/options.hpp>
#include <candor/delivery/queue.hpp>
#include <candor/delivery/rendezvous.hpp>
#include <candor/policy/clock.hpp>

namespace candor::detail {

/// What the program's threads and the worker of a pipeline share. `meeting.mutex` guards all but the options, which do
/// not change; the functions are called with it held.
template <clock Clock>
struct pipeline_state {
    pipeline_state(delivery_options chosen, Clock& clock) : options{std::move(chosen)}, meeting{clock} {}

    const delivery_options options;
    mutable rendezvous<Clock> meeting;
    record_queue queue{};
    candor::detail::ledger ledger{};
    steady_time oldest_at{};
    steady_time paused_until{};
    steady_time closing_deadline{};
    std::optional<steady_time> retry_until{};  ///< the worker waits to send again
    bool retry_is_told = false;                ///< because the server said so
    bool retry_now = false;                    ///< a flush cuts that wait short
    std::uint64_t flush_target = 0;
    bool closing = false;
    bool aborting = false;
    bool revoked = false;
    bool done = false;
    bool can_spill = false;  ///< there is a spool that takes something
    bool replays = false;    ///< the server is there, and the spool may hold something

    [[nodiscard]] bool is_full() const noexcept {
        return ledger.pending() >= options.queue_messages || ledger.pending_bytes() >= options.queue_bytes;
    }

    /// Whether so much waits for a server that cannot be reached that it is better stored.
    [[nodiscard]] bool is_spilling() const noexcept {
        return can_spill &&
               (ledger.pending() >= options.queue_messages / 2 || ledger.pending_bytes() >= options.queue_bytes / 2);
    }

    [[nodiscard]] bool batch_is_ready() const noexcept {
        return ledger.waiting() >= options.batch_messages || ledger.waiting_bytes() >= options.batch_bytes;
    }
};

}  // namespace candor::detail

#endif
