#ifndef CANDOR_SENTRY_CLIENT_REPORT_HPP
#define CANDOR_SENTRY_CLIENT_REPORT_HPP

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <candor/event/rfc3339.hpp>
#include <candor/policy/clock.hpp>

namespace candor::sentry::detail {

/// Why an event never reached the server, in the words of Sentry's client reports (getsentry/sentry-docs, SDK
/// telemetry, client reports).
enum class discard_reason {
    queue_overflow,
    ratelimit_backoff,
    sample_rate,
    before_send,
    send_error,
    internal_sdk_error
};

inline constexpr std::size_t discard_reason_count = 6;

[[nodiscard]] constexpr std::string_view to_string(discard_reason r) noexcept {
    constexpr std::array<std::string_view, discard_reason_count> names{
        "queue_overflow", "ratelimit_backoff", "sample_rate", "before_send", "send_error", "internal_sdk_error"};
    return names[static_cast<std::size_t>(r)];
}

/// How many events were discarded and have not been reported yet. Any thread.
class discards {
public:
    using counts = std::array<std::uint64_t, discard_reason_count>;

    void add(discard_reason why, std::uint64_t count = 1) noexcept {
        counts_[static_cast<std::size_t>(why)].fetch_add(count, std::memory_order_relaxed);
    }

    /// What is to be reported now; it is no longer here.
    [[nodiscard]] counts take() noexcept {
        counts out{};
        for (std::size_t i = 0; i < out.size(); ++i) out[i] = counts_[i].exchange(0, std::memory_order_relaxed);
        return out;
    }

    /// The report did not arrive.
    void restore(const counts& taken) noexcept {
        for (std::size_t i = 0; i < taken.size(); ++i) add(static_cast<discard_reason>(i), taken[i]);
    }

private:
    std::array<std::atomic<std::uint64_t>, discard_reason_count> counts_{};
};

/// A `client_report` item's payload; empty where there is nothing to report.
inline std::string client_report(const discards::counts& counts, wall_time now) {
    std::string events;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        if (counts[i] == 0) continue;
        if (!events.empty()) events += ',';
        events.append(R"({"reason":")").append(to_string(static_cast<discard_reason>(i)));
        events.append(R"(","category":"error","quantity":)").append(std::to_string(counts[i])).append("}");
    }
    if (events.empty()) return {};
    return R"({"timestamp":")" + candor::detail::to_rfc3339(now) + R"(","discarded_events":[)" + events + "]}";
}

}  // namespace candor::sentry::detail

#endif
