#ifndef CANDOR_DELIVERY_OPTIONS_HPP
#define CANDOR_DELIVERY_OPTIONS_HPP

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include <candor/delivery/statistics.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/http.hpp>

namespace candor {

/// Where messages wait for a later run that could not be delivered in this one: when the program ends, or when more
/// than half of the queue waits for a server that cannot be reached. Not on Windows yet.
///
/// The spool also remembers runs that could not reach the server. After five in a row the next ones send nothing for
/// some minutes, and longer with each attempt that fails, up to a day: what they would send waits here for a run after
/// that. What cannot be stored is tried all the same.
struct spool_options {
    bool enabled = true;
    /// Made (0700) when something is to be stored. Empty: `$XDG_STATE_HOME/<name>/telemetry` for `telemetry`, and no
    /// spool for a client by itself.
    std::filesystem::path directory{};
    std::size_t max_bytes = 5 * 1024 * 1024;            ///< of all processes and destinations; the oldest go first
    std::size_t max_files = 256;                        ///< the same in files, of a batch each
    std::chrono::hours max_age{std::chrono::days{30}};  ///< what is older is given up
};

/// How messages wait, travel and are given up. The defaults are those of RudderStack's own SDKs.
///
/// The callbacks run on the worker thread, with no lock held: they may call `track` and `enqueue`. They delay delivery
/// while they run; what they throw is contained.
struct delivery_options {
    std::size_t batch_messages = 250;                ///< a request carries at most so many
    std::size_t batch_bytes = 512'000;               ///< and at most so many bytes, before compression
    std::size_t message_bytes = 32 * 1024;           ///< a larger message is refused
    std::size_t queue_messages = 10'000;             ///< so many may wait or be under way, more are refused
    std::size_t queue_bytes = 8 * 1024 * 1024;       ///< the same in bytes
    std::chrono::milliseconds flush_interval{5000};  ///< a message waits at most so long for others
    std::chrono::milliseconds connect_timeout{3000};
    std::chrono::milliseconds request_timeout{10'000};  ///< for one request and its answer
    bool compress = true;                               ///< gzip, where the transport can
    spool_options spool{};

    /// A message has arrived: its JSON, without `sentAt`.
    std::function<void(std::string_view message)> on_delivered{};
    /// A message was given up. Its JSON is empty where it was given up before it was made.
    std::function<void(std::string_view message, drop_reason)> on_dropped{};
    /// An attempt to send ended: the request with its body before compression, and the answer.
    std::function<void(const http_request& request, const http_response& answer)> on_attempt{};
    /// Sends nothing, and touches no spool: each request goes to `on_attempt` alone and counts as delivered.
    bool dry_run = false;
};

namespace detail {

inline void check_positive(std::string_view field, std::size_t value) {
    if (value == 0) throw configuration_error{field, "0", "a number above 0"};
}

inline void check_positive(std::string_view field, std::chrono::milliseconds value) {
    if (value <= value.zero())
        throw configuration_error{field, std::to_string(value.count()) + " ms", "a time above 0 ms"};
}

inline void check_not_negative(std::string_view field, std::chrono::milliseconds value) {
    if (value < value.zero()) throw configuration_error{field, std::to_string(value.count()) + " ms", "0 ms or more"};
}

/// Throws `configuration_error` for the first option that cannot work.
inline void check(const delivery_options& options) {
    check_positive("delivery.batch_messages", options.batch_messages);
    check_positive("delivery.batch_bytes", options.batch_bytes);
    check_positive("delivery.message_bytes", options.message_bytes);
    check_positive("delivery.queue_messages", options.queue_messages);
    check_positive("delivery.queue_bytes", options.queue_bytes);
    check_positive("delivery.flush_interval", options.flush_interval);
    check_positive("delivery.connect_timeout", options.connect_timeout);
    check_positive("delivery.spool.max_bytes", options.spool.max_bytes);
    check_positive("delivery.spool.max_files", options.spool.max_files);
    constexpr std::chrono::hours a_century{876'000};
    if (const auto age = options.spool.max_age; age <= age.zero() || age > a_century)
        throw configuration_error{"delivery.spool.max_age", std::to_string(age.count()) + " h", "1 h to 876000 h"};
    check_positive("delivery.request_timeout", options.request_timeout);
    constexpr std::size_t largest_message = 1024 * 1024;
    if (options.message_bytes > largest_message)
        throw configuration_error{"delivery.message_bytes", std::to_string(options.message_bytes), "at most 1048576"};
    if (options.message_bytes > options.batch_bytes)
        throw configuration_error{"delivery.batch_bytes", std::to_string(options.batch_bytes),
                                  "at least delivery.message_bytes"};
}

}  // namespace detail

}  // namespace candor

#endif
