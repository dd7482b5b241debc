#ifndef CANDOR_DELIVERY_DELIVERY_COUNTERS_HPP
#define CANDOR_DELIVERY_DELIVERY_COUNTERS_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <candor/delivery/protocol.hpp>
#include <candor/delivery/statistics.hpp>

namespace candor::detail {

/// The account of every message: accepted, then taken into a batch, then settled, that is delivered or dropped. Its
/// sums hold after each call. Not thread-safe: its owner's mutex guards it.
class delivery_counters {
public:
    void accept(std::size_t bytes) noexcept {
        ++accepted_;
        pending_bytes_ += bytes;
        waiting_bytes_ += bytes;
    }

    admission refuse(admission answer) noexcept {
        ++refused_[answer];
        return answer;
    }

    void take(std::uint64_t count, std::size_t bytes) noexcept {
        taken_ += count;
        waiting_bytes_ -= bytes;
    }

    void deliver(std::uint64_t count, std::size_t bytes) noexcept {
        delivered_ += count;
        settled_ += count;
        pending_bytes_ -= bytes;
    }

    void drop(std::uint64_t count, std::size_t bytes, drop_reason reason) noexcept {
        dropped_[reason] += count;
        settled_ += count;
        pending_bytes_ -= bytes;
        const bool on_purpose =
            reason == drop_reason::internal || reason == drop_reason::no_account || reason == drop_reason::vetoed;
        if (!on_purpose) lost_ += count;
    }

    /// On disk, for a later run.
    void spool(const message_count& of) noexcept {
        spooled_ += of.messages;
        settled_ += of.messages;
        lost_ += of.messages;
        pending_bytes_ -= of.bytes;
    }

    /// Taken from the spool, to be delivered: this run's own, or what an earlier one left.
    void recover(std::uint64_t count, bool is_own) noexcept {
        replaying_ += count;
        if (is_own) {
            spooled_ -= count;
        } else {
            recovered_ += count;
        }
    }

    void deliver_recovered(std::uint64_t count) noexcept {
        delivered_ += count;
        replaying_ -= count;
    }

    void drop_recovered(std::uint64_t count, drop_reason reason) noexcept {
        dropped_[reason] += count;
        replaying_ -= count;
    }

    /// The spool gave up what this run had stored, and what others had.
    void drop_stored(std::uint64_t own, std::uint64_t others, drop_reason reason) noexcept {
        spooled_ -= own;
        recovered_ += others;
        dropped_[reason] += own + others;
    }

    /// What this run has stored is removed.
    void drop_spooled(drop_reason reason) noexcept { dropped_[reason] += std::exchange(spooled_, 0); }

    /// Back in the spool: this run's own, or what is another run's again.
    void put_back(std::uint64_t count, bool is_own) noexcept {
        replaying_ -= count;
        if (is_own) {
            spooled_ += count;
        } else {
            recovered_ -= count;
        }
    }

    /// What became of some messages.
    struct outcome {
        std::uint64_t count = 0;
        std::size_t bytes = 0;  ///< what they counted as in the queue
        bool is_recovered = false;
        std::optional<drop_reason> dropped{};  ///< nothing: delivered
    };

    /// This is certain, and counts once the program has been told of it: with `settle_expected`, or `abandon` where the
    /// call that tells it does not return.
    void expect(const outcome& next) noexcept { expected_ = next; }

    /// What `expect` was told last and is not settled yet.
    [[nodiscard]] const outcome& expected() const noexcept { return *expected_; }

    void settle_expected() noexcept {
        if (!expected_) return;
        const auto [count, bytes, is_recovered, dropped] = *std::exchange(expected_, std::nullopt);
        if (is_recovered) {
            dropped ? drop_recovered(count, *dropped) : deliver_recovered(count);
        } else {
            dropped ? drop(count, bytes, *dropped) : deliver(count, bytes);
        }
    }

    /// Nobody will settle any of it: `stored` of what is pending is on disk and the rest is lost; what was taken from
    /// the spool is still there, `own` of it this run's.
    void abandon(std::uint64_t stored, std::uint64_t own, drop_reason reason) noexcept {
        settle_expected();
        spool({std::min(stored, pending()), 0});
        drop(pending(), pending_bytes_, reason);
        own = std::min(own, replaying_);
        put_back(own, true);
        put_back(replaying_, false);
    }

    /// How many of `accepted` were taken into batches: their numbers come before those of what waits.
    [[nodiscard]] std::uint64_t taken() const noexcept { return taken_; }
    [[nodiscard]] std::uint64_t accepted() const noexcept { return accepted_; }
    [[nodiscard]] std::uint64_t settled() const noexcept { return settled_; }
    /// Dropped, and not on purpose, or left for a later run.
    [[nodiscard]] std::uint64_t lost() const noexcept { return lost_; }

    /// Accepted and not settled.
    [[nodiscard]] std::uint64_t pending() const noexcept { return accepted_ - settled_; }
    [[nodiscard]] std::size_t pending_bytes() const noexcept { return pending_bytes_; }

    /// Accepted and in no batch yet.
    [[nodiscard]] std::uint64_t waiting() const noexcept { return accepted_ - taken_; }
    [[nodiscard]] std::size_t waiting_bytes() const noexcept { return waiting_bytes_; }

    [[nodiscard]] candor::statistics statistics() const noexcept {
        candor::statistics out;
        out.accepted = accepted_ + recovered_;
        out.delivered = delivered_;
        out.pending = pending() + replaying_;
        out.spooled = spooled_;
        out.recovered = recovered_;
        out.dropped = dropped_;
        out.refused = refused_;
        return out;
    }

private:
    std::uint64_t accepted_ = 0;
    std::uint64_t taken_ = 0;
    std::uint64_t settled_ = 0;
    std::uint64_t delivered_ = 0;
    std::uint64_t lost_ = 0;
    std::uint64_t spooled_ = 0;
    std::uint64_t recovered_ = 0;
    std::uint64_t replaying_ = 0;
    std::size_t pending_bytes_ = 0;
    std::size_t waiting_bytes_ = 0;
    std::optional<outcome> expected_{};
    counts_by<drop_reason, drop_reason_count> dropped_;
    counts_by<admission, admission_count> refused_;
};

}  // namespace candor::detail

#endif
