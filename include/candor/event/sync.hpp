#ifndef CANDOR_EVENT_SYNC_HPP
#define CANDOR_EVENT_SYNC_HPP

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <candor/event/fields.hpp>

namespace candor {

namespace detail {

/// What both sync events say. A shard counts only where number and total are known, that is above zero.
template <class Event>
constexpr auto sync_fields() {
    return std::tuple{
        invocation_id("sync_run_id", "Random UUID of this sync, the same as the invocation's"),
        field("sync_name", &Event::sync_name, "Name of the sync in its specification"),
        field("source_path", &Event::source_path, "Path of the source plugin"),
        field("destination_paths", &Event::destination_paths, "Paths of the destination plugins"),
        field("shard_num", &Event::shard_number_if_sharded, "Number of this shard, from 1"),
        field("shard_total", &Event::shard_total_if_sharded, "Number of shards"),
    };
}

inline std::optional<std::int64_t> if_sharded(std::int64_t value, std::int64_t other) noexcept {
    return value > 0 && other > 0 ? std::optional{value} : std::nullopt;
}

}  // namespace detail

/// A sync begins.
struct sync_started {
    static constexpr std::string_view event_name = "sync_run_started";
    static constexpr bool requires_account = true;

    std::string sync_name{};
    std::string source_path{};
    std::vector<std::string> destination_paths{};
    std::int64_t shard_num = 0;
    std::int64_t shard_total = 0;

    [[nodiscard]] std::optional<std::int64_t> shard_number_if_sharded() const noexcept {
        return detail::if_sharded(shard_num, shard_total);
    }
    [[nodiscard]] std::optional<std::int64_t> shard_total_if_sharded() const noexcept {
        return detail::if_sharded(shard_total, shard_num);
    }

    static constexpr auto fields() { return detail::sync_fields<sync_started>(); }
};

/// A sync has ended.
struct sync_completed {
    static constexpr std::string_view event_name = "sync_run_completed";
    static constexpr bool requires_account = true;

    std::string sync_name{};
    std::string source_path{};
    std::vector<std::string> destination_paths{};
    std::int64_t shard_num = 0;
    std::int64_t shard_total = 0;
    std::chrono::nanoseconds duration{};
    std::string status = "success";  ///< `success` or `error`
    std::int64_t total_rows = 0;
    std::int64_t errors = 0;
    std::int64_t warnings = 0;
    bool aborted_due_to_error = false;

    [[nodiscard]] std::optional<std::int64_t> shard_number_if_sharded() const noexcept {
        return detail::if_sharded(shard_num, shard_total);
    }
    [[nodiscard]] std::optional<std::int64_t> shard_total_if_sharded() const noexcept {
        return detail::if_sharded(shard_total, shard_num);
    }

    static constexpr auto fields() {
        return std::tuple_cat(
            detail::sync_fields<sync_completed>(),
            std::tuple{
                field("duration", &sync_completed::duration, "Wall time, in nanoseconds"),
                field("status", &sync_completed::status, "`success` or `error`"),
                field("total_rows", &sync_completed::total_rows, "Rows synced"),
                field("errors", &sync_completed::errors, "Number of errors"),
                field("warnings", &sync_completed::warnings, "Number of warnings"),
                field("aborted_due_to_error", &sync_completed::aborted_due_to_error, "Whether an error ended the sync"),
            });
    }
};

}  // namespace candor

#endif
