#ifndef CANDOR_DELIVERY_STATISTICS_HPP
#define CANDOR_DELIVERY_STATISTICS_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <utility>

namespace candor {

/// What became of a call that hands over a message.
enum class admission {
    accepted,       ///< it will be delivered, or counted in `statistics::dropped`
    disabled,       ///< telemetry is off, or this destination is
    full,           ///< the queue is full; nothing was changed, the call may be repeated
    too_large,      ///< larger than one message may be
    too_deep,       ///< a property nests deeper than 64 levels
    invalid,        ///< lacks what its type needs, such as a user id
    closed,         ///< `shutdown` was called
    out_of_memory,  ///< there was no memory, or no thread could be started
    sampled,        ///< left out by the sample rate, or by `before_send` before it was queued
    duplicate,      ///< the same exception object has been captured already
};

namespace detail {
inline constexpr std::size_t admission_count = 10;
}

[[nodiscard]] constexpr std::string_view to_string(admission a) noexcept {
    constexpr std::array<std::string_view, detail::admission_count> names{
        "accepted", "disabled", "full",          "too_large", "too_deep",
        "invalid",  "closed",   "out_of_memory", "sampled",   "duplicate"};
    return names[static_cast<std::size_t>(a)];
}

/// Why an accepted message was not delivered.
enum class drop_reason {
    internal,      ///< the account belongs to the product's own team
    no_account,    ///< the event requires an account, and nobody is logged in
    too_large,     ///< the server refused it for its size, even alone
    rejected,      ///< the server refused it for good
    unauthorized,  ///< the server refuses this key, or has no such source
    shutdown,      ///< time was up
    failed,        ///< it could not be made into a message: out of memory, or a callback threw
    vetoed,        ///< `before_send` rejected it
    rate_limited,  ///< the server's rate limit forbade it
    expired,       ///< it lay in the spool for too long
    evicted,       ///< the spool was full, and it was the oldest
    exhausted,     ///< it lay in the spool, and the server answered without taking it too often
    revoked,       ///< the user's consent was revoked
};

namespace detail {
inline constexpr std::size_t drop_reason_count = 13;
}

[[nodiscard]] constexpr std::string_view to_string(drop_reason r) noexcept {
    constexpr std::array<std::string_view, detail::drop_reason_count> names{
        "internal", "no_account",   "too_large", "rejected", "unauthorized", "shutdown", "failed",
        "vetoed",   "rate_limited", "expired",   "evicted",  "exhausted",    "revoked"};
    return names[static_cast<std::size_t>(r)];
}

/// A number for every reason. Iterates over pairs of a reason and its number, zeros included.
template <class Reason, std::size_t Count>
class counts_by {
public:
    [[nodiscard]] std::uint64_t& operator[](Reason reason) noexcept { return items_[index(reason)].second; }
    [[nodiscard]] std::uint64_t operator[](Reason reason) const noexcept { return items_[index(reason)].second; }

    /// The sum over all reasons.
    [[nodiscard]] std::uint64_t total() const noexcept {
        return std::accumulate(items_.begin(), items_.end(), std::uint64_t{},
                               [](std::uint64_t sum, const auto& item) { return sum + item.second; });
    }

    [[nodiscard]] auto begin() const noexcept { return items_.begin(); }
    [[nodiscard]] auto end() const noexcept { return items_.end(); }

    counts_by& operator+=(const counts_by& other) noexcept {
        for (const auto& [reason, count] : other) (*this)[reason] += count;
        return *this;
    }

private:
    static constexpr std::size_t index(Reason reason) noexcept { return static_cast<std::size_t>(reason); }

    std::array<std::pair<Reason, std::uint64_t>, Count> items_ = [] {
        std::array<std::pair<Reason, std::uint64_t>, Count> items{};
        for (std::size_t i = 0; i < Count; ++i) items[i].first = static_cast<Reason>(i);
        return items;
    }();
};

/// Where every message is, at one moment: `accepted == delivered + pending + spooled + dropped.total()`.
struct statistics {
    std::uint64_t accepted = 0;   ///< calls answered `accepted`, and messages taken over from an earlier run
    std::uint64_t delivered = 0;  ///< the server has them
    std::uint64_t pending = 0;    ///< waiting or under way; that there is a copy on disk changes nothing
    std::uint64_t spooled = 0;    ///< on disk alone, for a later run
    std::uint64_t recovered = 0;  ///< how many of `accepted` an earlier run left
    counts_by<drop_reason, detail::drop_reason_count> dropped{};
    counts_by<admission, detail::admission_count> refused{};  ///< calls answered otherwise; outside the sum

    statistics& operator+=(const statistics& other) noexcept {
        accepted += other.accepted;
        delivered += other.delivered;
        pending += other.pending;
        spooled += other.spooled;
        recovered += other.recovered;
        dropped += other.dropped;
        refused += other.refused;
        return *this;
    }
};

}  // namespace candor

#endif
