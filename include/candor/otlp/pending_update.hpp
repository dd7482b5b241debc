#ifndef CANDOR_OTLP_PENDING_UPDATE_HPP
#define CANDOR_OTLP_PENDING_UPDATE_HPP

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <candor/otlp/metrics.hpp>
#include <candor/otlp/name_index.hpp>
#include <candor/otlp/stream_aggregator.hpp>

namespace candor::otlp::detail {

/// The metrics that a table is made of.
enum class table_metric : std::uint8_t { resources, errors, panics, start_time, end_time, duration, none };

inline constexpr std::size_t table_metric_count = 6;

[[nodiscard]] constexpr table_metric to_table_metric(std::string_view name) noexcept {
    constexpr std::string_view prefix = "sync.table.";
    constexpr std::array<std::string_view, table_metric_count> names{"resources",  "errors",   "panics",
                                                                     "start_time", "end_time", "duration"};
    if (!name.starts_with(prefix)) return table_metric::none;
    const auto found = std::find(names.begin(), names.end(), name.substr(prefix.size()));
    return static_cast<table_metric>(found - names.begin());
}

/// What a point's value says of `metric`, durations in nanoseconds. Nothing where it makes no sense: a number with a
/// fraction (of a duration's milliseconds it may have one), a time or a duration below zero, and what does not fit.
[[nodiscard]] inline std::optional<std::int64_t> table_value(table_metric metric, const any_value& value) noexcept {
    constexpr std::int64_t nanoseconds = 1'000'000;  // in a millisecond
    const bool is_duration = metric == table_metric::duration;
    const bool may_be_negative = metric < table_metric::start_time;
    std::int64_t number = 0;
    if (value.kind == value_kind::integer) {
        number = value.integer;
        if (is_duration) {
            if (number < 0 || number > std::numeric_limits<std::int64_t>::max() / nanoseconds) return std::nullopt;
            number *= nanoseconds;
        }
    } else if (value.kind == value_kind::floating) {
        constexpr double beyond = 9223372036854775808.0;
        const double scaled = is_duration ? std::round(value.floating * nanoseconds) : value.floating;
        if (!(scaled >= -beyond && scaled < beyond) || scaled != std::trunc(scaled)) return std::nullopt;
        number = static_cast<std::int64_t>(scaled);
    } else {
        return std::nullopt;
    }
    return number < 0 && !may_be_negative ? std::nullopt : std::optional{number};
}

/// A hash of an attribute. What the decoders pass over, such as the elements of an array, is not in it.
[[nodiscard]] inline std::uint64_t hash_attribute(std::uint64_t seed, const attribute& a) noexcept {
    std::uint64_t hash = mix(hash_text(seed, a.key), static_cast<std::uint64_t>(a.value.kind));
    if (a.value.kind == value_kind::string) return hash_text(hash, a.value.string);
    if (a.value.kind == value_kind::integer) return mix(hash, static_cast<std::uint64_t>(a.value.integer));
    if (a.value.kind == value_kind::floating) return mix(hash, std::bit_cast<std::uint64_t>(a.value.floating));
    return mix(hash, a.value.boolean ? 1 : 0);
}

/// What one request says of a table, until it is known to be well-formed. Names are kept once each, and whoever applies
/// the request notes the row of each: a row is looked for once for each name, not once for each point. Nothing refers
/// to the request.
class pending_update {
public:
    struct name {
        std::uint64_t hash = 0;
        std::size_t begin = 0;  ///< of the table's name in `text_`; the client id follows it
        std::uint32_t table_size = 0;
        std::uint32_t client_size = 0;
        std::uint32_t row = name_index::none;
    };
    struct point {
        stream_aggregator::point what{};
        std::uint32_t name = 0;  ///< its position in `names`
        table_metric metric = table_metric::none;
        bool is_delta = false;
        bool changed = false;  ///< filled in when it is applied
    };

    std::vector<point> points{};

    [[nodiscard]] const std::vector<name>& names() const noexcept { return names_; }
    [[nodiscard]] std::uint32_t row(const point& p) const noexcept { return names_[p.name].row; }
    [[nodiscard]] std::string_view table(const name& n) const noexcept {
        return {text_.data() + n.begin, n.table_size};
    }
    [[nodiscard]] std::string_view client_id(const name& n) const noexcept {
        return {text_.data() + n.begin + n.table_size, n.client_size};
    }

    /// The position of a pair of names, which is added where it is new; `name_index::none` where there are `most`
    /// others.
    std::uint32_t intern(std::uint64_t seed, std::string_view table_name, std::string_view client, std::size_t most) {
        const auto is_it = [&](std::uint32_t i) {
            const name& n = names_[i];
            const char* text = text_.data() + n.begin;
            return n.table_size == table_name.size() && n.client_size == client.size() &&
                   equal_text(table_name, text) && equal_text(client, text + table_name.size());
        };
        // Many senders send the points of every metric in the same order: then there is nothing to search for.
        std::uint32_t at = expected_;
        if (at >= names_.size() || !is_it(at)) {
            // Two hashes side by side take less time than one after the other.
            const std::uint64_t hash = mix(hash_text(seed, table_name), hash_text(~seed, client));
            at = index_.find(hash, is_it);
            if (at == name_index::none) {
                if (names_.size() >= most) return at;
                at = add(hash, table_name, client);
            } else {
                expected_ = name_index::none - 1;  // not this one
                return at;
            }
        }
        expected_ = at + 1;
        return at;
    }

    /// The points of a further metric follow.
    void next_metric() noexcept { expected_ = 0; }

    /// The first name whose row is not known. All before it have one.
    [[nodiscard]] std::size_t first_unknown() const noexcept { return known_; }

    /// Notes the row of a name, for one after the other.
    void set_row(std::size_t at, std::uint32_t row) noexcept {
        names_[at].row = row;
        if (at == known_ && row != name_index::none) ++known_;
    }

    /// Makes it ready for another request of the same table, and says whether it is worth keeping. Its memory stays,
    /// and its names, whose rows are known by now: the next request is likely to have the same.
    bool recycle() noexcept {
        constexpr std::size_t most = 8 * 1024 * 1024;
        if (points.capacity() * sizeof(point) + names_.capacity() * sizeof(name) + text_.capacity() > most)
            return false;
        points.clear();
        expected_ = 0;
        if (known_ == names_.size()) return true;
        names_.clear();  // there are some without a row: of a request that was malformed, or had too many
        index_.clear();
        text_.clear();
        known_ = 0;
        return true;
    }

private:
    std::uint32_t add(std::uint64_t hash, std::string_view table_name, std::string_view client) {
        const auto at = static_cast<std::uint32_t>(names_.size());
        names_.push_back({hash, text_.size(), static_cast<std::uint32_t>(table_name.size()),
                          static_cast<std::uint32_t>(client.size())});
        text_.append(table_name).append(client);
        index_.insert(hash, at);
        return at;
    }

    std::vector<name> names_{};
    name_index index_{};
    std::string text_{};
    std::size_t known_ = 0;
    std::uint32_t expected_ = 0;
};

}  // namespace candor::otlp::detail

#endif
