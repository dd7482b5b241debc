#ifndef CANDOR_OTLP_STREAM_AGGREGATOR_HPP
#define CANDOR_OTLP_STREAM_AGGREGATOR_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <optional>
#include <utility>
#include <vector>

namespace candor::otlp::detail {

/// The sum, or the value nearest to it that 64 bits hold.
constexpr std::int64_t saturating_add(std::int64_t a, std::int64_t b) noexcept {
    using limits = std::numeric_limits<std::int64_t>;
    if (b > 0 && a > limits::max() - b) return limits::max();
    if (b < 0 && a < limits::min() - b) return limits::min();
    return a + b;
}

/// How the streams of one metric are combined.
enum class combination : std::uint8_t {
    sum,       ///< of counters
    earliest,  ///< of start times: the least
    latest,    ///< of end times: the greatest
    longest,   ///< of durations: the greatest
};

/// One metric of one row: what any number of senders have said of it, in bounded memory.
///
/// Each sender that OTLP tells apart is a stream (opentelemetry.io/docs/specs/otel/metrics/data-model, "Resets and
/// Gaps" and "Overlap"): the values within a stream replace each other or add up, and the streams are combined. A
/// sender that starts anew is a new stream, so at most `max_streams` are kept: when a further one comes, the one heard
/// from least lately becomes part of a base value. A sum must not take a stream into its base and then hear from it
/// again, so it does that only with one that was last heard from before the new one began; this is the case for a
/// sender that has stopped and started again. Not thread-safe.
class stream_aggregator {
public:
    /// How many senders of one metric of one row are told apart at one time.
    static constexpr std::size_t max_streams = 64;
    /// The same for times, of which hardly one is corrected later.
    static constexpr std::size_t max_streams_of_times = 8;

    enum class outcome : std::uint8_t {
        changed,
        unchanged,  ///< the value was known, or the point is older than what is known
        full,       ///< too many senders at one time, or no memory to tell a further one apart
    };

    /// A point of a stream. Times are nanoseconds since 1970; 0 where the sender does not know.
    struct point {
        std::uint64_t id = 0;  ///< of the stream
        std::uint64_t start_time = 0;
        std::uint64_t time = 0;
        std::int64_t value = 0;
    };

    explicit stream_aggregator(combination how) noexcept : base_{neutral(how)}, how_{how} {}

    /// The whole since the start of the stream.
    outcome replace(const point& p) noexcept {
        stream* known = find(p.id);
        if (known == nullptr) return begin(p);
        if (p.time != 0 && p.time < known->time) return outcome::unchanged;
        known->time = std::max(known->time, p.time);
        return set(*known, p.value);
    }

    /// What has been added since the last point of the stream. A difference between two times is small compared with a
    /// time, so one that is more than half of the known time is taken for a time itself, of a later sync.
    outcome add(const point& p) noexcept {
        if (how_ == combination::sum) {
            const auto before = base_;
            base_ = saturating_add(base_, p.value);
            return base_ == before ? outcome::unchanged : outcome::changed;
        }
        stream* known = find(p.id);
        if (known == nullptr) return begin(p);
        known->time = std::max(known->time, p.time);
        const bool whole = is_time() && p.value > known->value / 2;
        return set(*known, whole ? combine(known->value, p.value) : saturating_add(known->value, p.value));
    }

    /// What is known of all streams; nothing where no stream has a time or duration, and zero for a sum.
    [[nodiscard]] std::optional<std::int64_t> value() const noexcept {
        auto all = combine(base_, first_.id == 0 ? neutral(how_) : first_.value);
        for (const auto& s : more_) all = combine(all, s.value);
        if (how_ != combination::sum && all == neutral(how_)) return std::nullopt;
        return all;
    }

    /// The value of one stream.
    [[nodiscard]] std::optional<std::int64_t> value_of(std::uint64_t id) const noexcept {
        if (first_.id == id) return first_.value;
        for (const auto& s : more_) {
            if (s.id == id) return s.value;
        }
        return std::nullopt;
    }

private:
    struct stream {
        std::uint64_t id = 0;  ///< 0: none
        std::uint64_t time = 0;
        std::int64_t value = 0;
    };

    static constexpr std::int64_t neutral(combination how) noexcept {
        if (how == combination::sum) return 0;
        if (how == combination::earliest) return std::numeric_limits<std::int64_t>::max();
        return std::numeric_limits<std::int64_t>::min();
    }

    [[nodiscard]] bool is_time() const noexcept { return how_ == combination::earliest || how_ == combination::latest; }

    [[nodiscard]] std::int64_t combine(std::int64_t a, std::int64_t b) const noexcept {
        if (how_ == combination::sum) return saturating_add(a, b);
        return how_ == combination::earliest ? std::min(a, b) : std::max(a, b);
    }

    static outcome set(stream& s, std::int64_t value) noexcept {
        if (s.value == value) return outcome::unchanged;
        s.value = value;
        return outcome::changed;
    }

    /// The stream, which is then the first: of several, most are those of a sender's earlier runs.
    [[nodiscard]] stream* find(std::uint64_t id) noexcept {
        if (first_.id == id) return &first_;
        for (auto& s : more_) {
            if (s.id != id) continue;
            std::swap(s, first_);
            return &first_;
        }
        return nullptr;
    }

    outcome begin(const point& p) noexcept {
        const stream added{p.id, p.time, p.value};
        if (first_.id == 0) {
            first_ = added;
        } else if (more_.size() + 1 < (is_time() ? max_streams_of_times : max_streams)) {
            try {
                more_.push_back(first_);
            } catch (const std::bad_alloc&) {
                return outcome::full;
            }
            first_ = added;
        } else {
            auto& oldest = *std::min_element(more_.begin(), more_.end(),
                                             [](const stream& a, const stream& b) { return a.time < b.time; });
            if (first_.time < oldest.time) std::swap(first_, oldest);
            // Where a sender does not know when it began, nobody can tell whether the base holds it already.
            if (how_ == combination::sum && (p.start_time == 0 || p.start_time < std::max(oldest.time, base_until_)))
                return outcome::full;
            base_ = combine(base_, oldest.value);
            base_until_ = std::max(base_until_, oldest.time);
            oldest = std::exchange(first_, added);
        }
        return outcome::changed;
    }

    stream first_{};  ///< the one heard from last; most metrics have one sender, and no allocation for it
    std::vector<stream> more_{};
    std::int64_t base_;
    std::uint64_t base_until_ = 0;  ///< the last time of a stream in the base
    combination how_;
};

}  // namespace candor::otlp::detail

#endif
