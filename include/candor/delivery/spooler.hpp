#ifndef CANDOR_DELIVERY_SPOOLER_HPP
#define CANDOR_DELIVERY_SPOOLER_HPP

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <candor/delivery/batch.hpp>
#include <candor/delivery/last_delivery.hpp>
#include <candor/delivery/pipeline_state.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/delivery/spool.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/policy/clock.hpp>

namespace candor::detail {

/// The way of a pipeline's batches to its spool and back, with the account of both. The worker's own.
template <clock Clock, class Calls>
class spooler {
public:
    /// `destination` is a hash of the endpoint.
    spooler(pipeline_state<Clock>& state, const std::string& protocol, std::uint64_t destination, Clock& clock)
        : state_{state}, protocol_{protocol}, clock_{clock} {
        const auto& options = state.options.spool;
        if (!options.enabled || options.directory.empty() || state.options.dry_run) return;
        spool_.emplace(options, spool_owner{protocol, destination, fnv1a(uuid::random().to_string())});
    }

    /// Whether there is a spool.
    [[nodiscard]] bool is_on() const noexcept { return spool_.has_value(); }

    /// Whether there is one, and consent to use it.
    [[nodiscard]] bool may_store() const noexcept {
        const std::lock_guard guard{state_.meeting.mutex};
        return spool_ && !state_.revoked;
    }

    /// Whether there may be something to take up.
    [[nodiscard]] bool is_worth_a_look() const noexcept { return spool_ && clock_.now() >= look_again_; }

    /// Whether the batch holds the messages of a file, taken up and not settled.
    [[nodiscard]] bool has_claim() const noexcept { return claimed_.has_value(); }

    /// Stores what is left of a batch. False where something could not be stored, which is left in the batch then.
    bool store(batch& from) noexcept {
        if (!may_store()) return false;
        for (; !from.is_settled(); from.pop()) {
            const message_range range = from.next();
            const auto since = claimed_ ? claimed_->name.created : 0;
            const auto attempts = claimed_ ? claimed_->attempts : 0;
            const bool is_stored = spool_->store(range, clock_.wall_now(), since, attempts);
            count_removed();
            if (!is_stored) return false;
            look_again_ = steady_time::min();
            const std::lock_guard guard{state_.meeting.mutex};
            if (claimed_) {
                state_.ledger.put_back(range.messages.size());
            } else {
                state_.ledger.spool(range.messages.size(), range.record_size());
            }
            state_.meeting.announce();
        }
        return true;
    }

    /// Fills a batch with the messages of the oldest file. False where there is none.
    bool take_up(batch& into) noexcept {
        claimed_ = spool_->claim_next(clock_.wall_now());
        count_removed();
        if (!claimed_) look_again_ = after(clock_.now(), state_.options.flush_interval);
        {
            const std::lock_guard guard{state_.meeting.mutex};
            state_.replays = claimed_.has_value();
            if (!claimed_) return false;
            state_.ledger.recover(claimed_->messages.size(), claimed_->is_own);
        }
        try {
            into.load(std::move(claimed_->content), claimed_->messages);
        } catch (...) {
            put_back(into);
        }
        return claimed_.has_value();
    }

    /// The messages that were taken up, all of them, wait on disk again.
    void put_back(batch& from) noexcept {
        const std::lock_guard guard{state_.meeting.mutex};
        state_.ledger.put_back(claimed_->messages.size());
        from.clear();
        claimed_.reset();
    }

    /// Notes that a server answered and did not take what was taken up. How often it has.
    unsigned count_attempt() noexcept { return spool_->count_attempt(*claimed_); }

    /// Every file may be taken up again.
    void start_over() noexcept { spool_->start_over(); }

    /// Removes the file whose messages are settled, unless they were put back.
    void finish() noexcept {
        if (claimed_) spool_->remove(*claimed_);
        claimed_.reset();
    }

    /// Something was delivered.
    void note_delivery() noexcept { has_delivered_ = true; }

    /// The run ends.
    void end() noexcept {
        if (has_delivered_ && may_store())
            last_delivery::note<Calls>(state_.options.spool.directory, protocol_, clock_.wall_now());
    }

private:
    /// Counts what the spool gave up.
    void count_removed() noexcept {
        const auto count = [this](const spool_losses& losses, drop_reason reason) {
            const std::lock_guard guard{state_.meeting.mutex};
            for (const bool is_own : {true, false}) {
                state_.ledger.recover(is_own ? losses.own : losses.others, is_own);
                state_.ledger.drop_recovered(is_own ? losses.own : losses.others, reason);
            }
        };
        count(spool_->take_evicted(), drop_reason::evicted);
        count(spool_->take_expired(), drop_reason::expired);
    }

    pipeline_state<Clock>& state_;
    const std::string protocol_;
    Clock& clock_;
    std::optional<basic_spool<Calls>> spool_;
    std::optional<typename basic_spool<Calls>::claim> claimed_;
    steady_time look_again_ = steady_time::min();  // for files that others left
    bool has_delivered_ = false;
};

}  // namespace candor::detail

#endif
