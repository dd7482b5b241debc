#ifndef CANDOR_OTLP_TABLE_HPP
#define CANDOR_OTLP_TABLE_HPP

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/delivery/statistics.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/otlp/metrics.hpp>
#include <candor/otlp/name_index.hpp>
#include <candor/otlp/pending_update.hpp>
#include <candor/otlp/stream_aggregator.hpp>
#include <candor/policy/clock.hpp>

namespace candor::otlp {

/// How the sync of one table goes, as its workers report it.
struct row {
    std::string table{};
    std::string client_id{};  ///< empty where the worker names none
    std::int64_t resources = 0;
    std::int64_t errors = 0;
    std::int64_t panics = 0;
    std::optional<wall_time> start_time{};               ///< the earliest, where several workers share the row
    std::optional<wall_time> end_time{};                 ///< the latest
    std::optional<std::chrono::nanoseconds> duration{};  ///< the longest

    /// Whether the sync is under way: no end is known, nor, where nobody tells times, a duration.
    [[nodiscard]] bool running() const noexcept { return !end_time && (start_time || !duration); }
};

/// A duration that a worker has reported. The views are valid during the callback.
struct duration_seen {
    std::string_view table{};
    std::string_view client_id{};
    std::chrono::nanoseconds duration{};
};

/// How a table is kept.
struct table_options {
    /// How many rows, that is pairs of a table and a client id, there may be, 1 to 10,000,000. Points of further ones
    /// are rejected.
    std::size_t max_rows = 10'000;
    /// How many bytes a table's name may have, and a client id, 1 to 64 KiB. Points with a longer one are rejected.
    std::size_t max_name_bytes = 256;
    /// Called for each duration that arrives, unless it repeats what its sender said before: on the thread that took
    /// the request in, perhaps on several at once, under no lock, so it may ask the table. What it throws is swallowed.
    std::function<void(const duration_seen&)> on_duration{};
};

/// Why a data point does not count.
enum class rejection { no_table_name, name_too_long, no_temporality, bad_value, too_many_rows, too_many_senders };

inline constexpr std::size_t rejection_count = 6;

/// The reason in words for the sender, with the option that sets a limit.
[[nodiscard]] constexpr std::string_view to_string(rejection r) noexcept {
    constexpr std::array<std::string_view, rejection_count> texts{
        "a data point has no sync.table.name, or one that is not a text",
        "a sync.table.name or sync.client.id is longer than the receiver's max_name_bytes",
        "a sum is neither delta nor cumulative",
        "a value is not a whole number in the range of its metric",
        "the receiver has its max_rows rows already",
        "too many senders report the same metric of the same table at once",
    };
    return texts[static_cast<std::size_t>(r)];
}

/// A number of points for each reason.
using rejections = counts_by<rejection, rejection_count>;

/// The totals of all rows. The sums stop at the limits of 64 bits.
struct table_totals {
    std::size_t rows = 0;
    std::size_t running = 0;
    std::int64_t resources = 0;
    std::int64_t errors = 0;
    std::int64_t panics = 0;
};

/// What workers report through OTLP of the tables that they sync. Thread-safe.
///
/// It reads the sums `sync.table.resources`, `.errors`, `.panics`, `.duration` (milliseconds), `.start_time` and
/// `.end_time` (nanoseconds since 1970; 0 says nothing), with the attributes `sync.table.name` and `sync.client.id` (or
/// `sync.table.client_id`), and passes over all other metrics. A cumulative point replaces what its stream said before,
/// unless it is older; a stream is known by its resource, scope, metric, attributes and start time, so that a worker
/// that starts again adds to what it had done. A delta point adds up. `detail::stream_aggregator` says how the streams
/// of one row are combined. Memory is bounded by `max_rows`, however many points come.
class table {
public:
    class update;

    explicit table(table_options options = {}) : options_{std::move(options)}, seed_{random_seed()} {}
    table(const table&) = delete;
    table& operator=(const table&) = delete;

    /// Every row at one moment, in the order in which they first came.
    [[nodiscard]] std::vector<row> rows() const {
        const std::lock_guard lock{mutex_};
        std::vector<row> out;
        out.reserve(entries_.size());
        for (std::size_t i = 0; i < entries_.size(); ++i)
            out.push_back(with_numbers({.table = entries_[i].table, .client_id = entries_[i].client_id}, i));
        return out;
    }

    /// The sums over all rows at one moment.
    [[nodiscard]] table_totals totals() const {
        const std::lock_guard lock{mutex_};
        table_totals out{.rows = entries_.size()};
        for (std::size_t i = 0; i < entries_.size(); ++i) {
            const row r = with_numbers({}, i);
            if (r.running()) ++out.running;
            out.resources = detail::saturating_add(out.resources, r.resources);
            out.errors = detail::saturating_add(out.errors, r.errors);
            out.panics = detail::saturating_add(out.panics, r.panics);
        }
        return out;
    }

    /// The points that did not count since the beginning.
    [[nodiscard]] rejections rejected() const {
        const std::lock_guard lock{mutex_};
        return rejected_;
    }

private:
    using column = detail::table_metric;

    struct entry {
        std::string table{};
        std::string client_id{};
        std::uint64_t hash = 0;
    };

    /// One metric of all rows. A request says all of one metric, then all of the next: what it changes lies side by
    /// side here.
    struct metric_of_rows {
        detail::combination how;
        std::vector<detail::stream_aggregator> rows{};
    };

    /// `r` with the numbers of the row at `i`.
    [[nodiscard]] row with_numbers(row r, std::size_t i) const noexcept {
        const auto value = [&](column m) { return metrics_[static_cast<std::size_t>(m)].rows[i].value(); };
        r.resources = value(column::resources).value_or(0);
        r.errors = value(column::errors).value_or(0);
        r.panics = value(column::panics).value_or(0);
        if (const auto t = value(column::start_time)) r.start_time = wall_time{std::chrono::nanoseconds{*t}};
        if (const auto t = value(column::end_time)) r.end_time = wall_time{std::chrono::nanoseconds{*t}};
        if (const auto d = value(column::duration)) r.duration = std::chrono::nanoseconds{*d};
        return r;
    }

    static std::uint64_t random_seed() noexcept {
        std::uint64_t seed = 0;
        try {
            const auto bytes = candor::detail::random_pool::of_this_thread().take();
            std::memcpy(&seed, bytes.data(), sizeof seed);
        } catch (const std::exception&) {  // no randomness from the system, and a table works without
        }
        return seed;
    }

    /// Notes the row of each name, for which new ones are made while there may be more. Changes nothing where it
    /// throws. The lock is held.
    void find_rows(detail::pending_update& staged) {
        const std::size_t begin = staged.first_unknown(), end = staged.names().size();
        std::vector<std::uint32_t> found(end - begin);
        std::vector<entry> added;
        for (std::size_t i = begin; i < end; ++i) {
            const auto& n = staged.names()[i];
            const auto table_name = staged.table(n), client_id = staged.client_id(n);
            auto& at = found[i - begin];
            at = index_.find(n.hash, [&](std::uint32_t row) {
                return entries_[row].table == table_name && entries_[row].client_id == client_id;
            });
            if (at != detail::name_index::none || entries_.size() + added.size() >= options_.max_rows) continue;
            at = static_cast<std::uint32_t>(entries_.size() + added.size());
            added.push_back({std::string{table_name}, std::string{client_id}, n.hash});
        }
        const std::size_t count = entries_.size() + added.size();
        const auto make_room = [count](auto& list) {
            if (count > list.capacity()) list.reserve(std::max(count, list.capacity() * 2));
        };
        make_room(entries_);
        for (auto& m : metrics_) make_room(m.rows);
        index_.reserve(count);
        // Nothing throws from here on.
        for (auto& e : added) {
            index_.insert(e.hash, static_cast<std::uint32_t>(entries_.size()));
            entries_.push_back(std::move(e));
            for (auto& m : metrics_) m.rows.emplace_back(m.how);
        }
        for (std::size_t i = begin; i < end; ++i) staged.set_row(i, found[i - begin]);
    }

    mutable std::mutex mutex_;
    const table_options options_;
    const std::uint64_t seed_;  ///< of the hashes: senders cannot choose names that collide
    std::vector<entry> entries_{};
    /// Of the rows in `entries_`, in the order of `column`.
    std::array<metric_of_rows, detail::table_metric_count> metrics_{{
        {detail::combination::sum},
        {detail::combination::sum},
        {detail::combination::sum},
        {detail::combination::earliest},
        {detail::combination::latest},
        {detail::combination::longest},
    }};
    detail::name_index index_{};  ///< of `entries_`
    rejections rejected_{};
    detail::pending_update spare_{};  ///< of the last update, for the next one
};

/// Takes one request in: the visitor to hand to a decoder. What it is told counts when `finish` is called, all at once;
/// without that nothing of it counts. One object a request and one thread at a time; the table outlives it. Members
/// throw only `std::bad_alloc`, and the table is then as it was before.
class table::update {
public:
    explicit update(table& owner) : owner_{owner}, seed_{owner.seed_} {
        const std::lock_guard lock{owner_.mutex_};
        std::swap(staged_, owner_.spare_);
    }
    update(const update&) = delete;
    update& operator=(const update&) = delete;

    ~update() {
        if (!staged_.recycle()) return;
        const std::lock_guard lock{owner_.mutex_};
        std::swap(staged_, owner_.spare_);
    }

    void resource(std::span<const attribute> attributes) noexcept { resource_ = detail::mix(seed_, sum(attributes)); }

    void scope(std::string_view name, std::string_view version) noexcept {
        scope_ = detail::hash_text(detail::hash_text(resource_, name), version);
    }

    void metric(const metric_descriptor& m) noexcept {
        metric_ = m.kind == metric_kind::sum ? detail::to_table_metric(m.name) : detail::table_metric::none;
        temporality_ = m.temporality;
        stream_ = detail::hash_text(scope_, m.unit);
        staged_.next_metric();
    }

    void point(const number_point& p) {
        if (metric_ == detail::table_metric::none || p.no_value) return;
        std::string_view table_name, client_id, other_client_id;
        std::uint64_t others = 0;
        for (const auto& a : p.attributes) {
            if (std::string_view* known = known_attribute(a, table_name, client_id, other_client_id)) {
                *known = a.value.string;
            } else {
                others += detail::hash_attribute(seed_, a);
            }
        }
        if (client_id.empty()) {
            client_id = other_client_id;
        } else if (!other_client_id.empty()) {
            others += detail::hash_text(seed_, other_client_id);
        }
        if (table_name.empty()) return reject(rejection::no_table_name);
        if (std::max(table_name.size(), client_id.size()) > owner_.options_.max_name_bytes)
            return reject(rejection::name_too_long);
        if (temporality_ == aggregation_temporality::unspecified) return reject(rejection::no_temporality);
        const auto value = detail::table_value(metric_, p.value);
        if (!value) return reject(rejection::bad_value);
        const bool is_time = metric_ == column::start_time || metric_ == column::end_time;
        if (is_time && *value == 0) return;

        const auto name = staged_.intern(seed_, table_name, client_id, owner_.options_.max_rows);
        if (name == detail::name_index::none) return reject(rejection::too_many_rows);
        const bool is_delta = temporality_ == aggregation_temporality::delta;
        // Each delta point has a start time of its own, the end of the one before it.
        const std::uint64_t id = detail::mix(detail::mix(stream_, others), is_delta ? ~std::uint64_t{} : p.start_time);
        staged_.points.push_back({{id | 1, p.start_time, p.time, *value}, name, metric_, is_delta});
    }

    void finish() {
        {
            const std::lock_guard lock{owner_.mutex_};
            owner_.find_rows(staged_);
            for (auto& p : staged_.points) apply(p, staged_.row(p));
            owner_.rejected_ += rejected_;
        }
        if (owner_.options_.on_duration) tell_durations();
    }

    /// How many points do not count, for OTLP's partial_success. Complete after `finish`.
    [[nodiscard]] std::uint64_t rejected() const noexcept { return rejected_.total(); }

    /// Why they do not: a literal that says the most frequent reason. Empty where all count.
    [[nodiscard]] std::string_view reason() const noexcept {
        const auto most = std::max_element(rejected_.begin(), rejected_.end(),
                                           [](const auto& a, const auto& b) { return a.second < b.second; });
        return most->second == 0 ? std::string_view{} : to_string(most->first);
    }

private:
    /// A hash of attributes in any order.
    [[nodiscard]] std::uint64_t sum(std::span<const attribute> attributes) const noexcept {
        std::uint64_t out = 0;
        for (const auto& a : attributes) out += detail::hash_attribute(seed_, a);
        return out;
    }

    static std::string_view* known_attribute(const attribute& a, std::string_view& table_name,
                                             std::string_view& client_id, std::string_view& other_client_id) noexcept {
        if (a.value.kind != value_kind::string) return nullptr;
        if (a.key == "sync.table.name") return &table_name;
        if (a.key == "sync.client.id") return &client_id;
        if (a.key == "sync.table.client_id") return &other_client_id;
        return nullptr;
    }

    void reject(rejection why) noexcept { ++rejected_[why]; }

    /// The lock is held.
    void apply(detail::pending_update::point& p, std::uint32_t row) noexcept {
        if (row == detail::name_index::none) return reject(rejection::too_many_rows);
        detail::stream_aggregator& s = owner_.metrics_[static_cast<std::size_t>(p.metric)].rows[row];
        const auto outcome = p.is_delta ? s.add(p.what) : s.replace(p.what);
        if (outcome == detail::stream_aggregator::outcome::full) return reject(rejection::too_many_senders);
        p.changed = outcome == detail::stream_aggregator::outcome::changed;
        if (p.changed && p.metric == column::duration) p.what.value = s.value_of(p.what.id).value_or(p.what.value);
    }

    void tell_durations() const noexcept {
        for (const auto& p : staged_.points) {
            if (!p.changed || p.metric != column::duration) continue;
            const auto& name = staged_.names()[p.name];
            try {
                owner_.options_.on_duration(
                    {staged_.table(name), staged_.client_id(name), std::chrono::nanoseconds{p.what.value}});
            } catch (...) {  // the program's callback: what it throws must not stop the receiver
            }
        }
    }

    table& owner_;
    const std::uint64_t seed_;
    std::uint64_t resource_ = 0;  ///< hashes, each of what it names and all above it
    std::uint64_t scope_ = 0;
    std::uint64_t stream_ = 0;
    detail::table_metric metric_ = detail::table_metric::none;
    aggregation_temporality temporality_ = aggregation_temporality::unspecified;
    detail::pending_update staged_{};
    rejections rejected_{};
};

static_assert(visitor<table::update>);

}  // namespace candor::otlp

#endif
