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

/// Where messages are on disk that are not delivered yet. What has been accepted 200 ms ago is there, unless the disk
/// takes nothing, so that it survives the program, whatever ends that: a later run delivers it. It is written beside
/// delivery, on a thread of its own, and makes no file where a message is delivered within that time. Where more than
/// half of the queue waits for a server that cannot be reached, what is on disk is given up in memory. A run that has
/// anything to deliver, or lasts longer than 3 s, tries what others have left: in turns with its own, as many files as
/// fit in one request, and no more than ten of these a second. Nothing is synced: a loss of power is not meant. Not on
/// Windows yet.
///
/// The spool also remembers runs that could deliver nothing: a circuit breaker. After five in a row the next runs
/// send nothing for some minutes, and longer with each further failure, up to a day: what they have waits here. What
/// cannot be stored is sent all the same.
struct spool_options {
    bool enabled = true;
    /// Made (0700) when something is to be stored. Empty: `$XDG_STATE_HOME/<name>/telemetry` for `telemetry`, and no
    /// spool for a client by itself.
    std::filesystem::path directory{};
    std::size_t max_bytes = 5 * 1024 * 1024;  ///< of all processes and destinations, 1 to 1 GiB
    /// The same in files, 1 to 1,000,000: a safety net for a disk on which small files cost much. The other caps are
    /// meant to hold before.
    std::size_t max_files = 16'384;
    std::chrono::hours max_age{std::chrono::days{30}};  ///< what is older is given up, 1 h to a century
};

/// How messages wait, travel and are given up. The defaults are those of RudderStack's own SDKs. A value out of its
/// range is refused when the client is made; a time of any length is taken, and the longest means "for ever".
///
/// The callbacks run on the worker thread, with no lock held: they may call `track` and `enqueue`. They delay delivery
/// while they run; what they throw is contained. One that does not return is left behind at the end.
struct delivery_options {
    std::size_t batch_messages = 250;                   ///< a request carries at most so many, 1 to 100,000
    std::size_t batch_bytes = 512'000;                  ///< and at most so many bytes before compression, up to 16 MiB
    std::size_t message_bytes = 32 * 1024;              ///< a larger message is refused, 1 to 1 MiB
    std::size_t queue_messages = 10'000;                ///< so many may wait or be under way, 1 to 10,000,000
    std::size_t queue_bytes = 8 * 1024 * 1024;          ///< the same in bytes, 1 to 1 TiB
    std::chrono::milliseconds flush_interval{5000};     ///< a message waits at most so long for others, from 1 ms
    std::chrono::milliseconds connect_timeout{3000};    ///< from 1 ms
    std::chrono::milliseconds request_timeout{10'000};  ///< for one request and its answer, from 1 ms
    bool compress = true;                               ///< gzip, where the transport can
    spool_options spool{};

    /// A message has arrived: its JSON, without `sentAt`.
    std::function<void(std::string_view message)> on_delivered{};
    /// A message was given up. Its JSON is empty if that happened before it was made.
    std::function<void(std::string_view message, drop_reason)> on_dropped{};
    /// An attempt to send ended: the request with its body before compression, and the answer.
    std::function<void(const http_request& request, const http_response& answer)> on_attempt{};
    /// Sends nothing, and touches no spool: each request goes to `on_attempt` alone and counts as delivered.
    bool dry_run = false;
};

namespace detail {

/// Throws `configuration_error` unless `value` is in a range.
inline void check_range(std::string_view field, std::size_t value, std::size_t least, std::size_t most) {
    if (value < least || value > most)
        throw configuration_error{field, std::to_string(value), std::to_string(least) + " to " + std::to_string(most)};
}

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

inline void check(const spool_options& options) {
    check_range("delivery.spool.max_bytes", options.max_bytes, 1, std::size_t{1} << 30);
    check_range("delivery.spool.max_files", options.max_files, 1, 1'000'000);
    constexpr std::chrono::hours a_century{876'000};
    if (const auto age = options.max_age; age <= age.zero() || age > a_century)
        throw configuration_error{"delivery.spool.max_age", std::to_string(age.count()) + " h", "1 h to 876000 h"};
}

/// Throws `configuration_error` for the first option that cannot work.
inline void check(const delivery_options& options) {
    check_range("delivery.batch_messages", options.batch_messages, 1, 100'000);
    check_range("delivery.batch_bytes", options.batch_bytes, 1, std::size_t{16} << 20);
    check_range("delivery.message_bytes", options.message_bytes, 1, std::size_t{1} << 20);
    check_range("delivery.queue_messages", options.queue_messages, 1, 10'000'000);
    check_range("delivery.queue_bytes", options.queue_bytes, 1, std::size_t{1} << 40);
    check_positive("delivery.flush_interval", options.flush_interval);
    check_positive("delivery.connect_timeout", options.connect_timeout);
    check_positive("delivery.request_timeout", options.request_timeout);
    check(options.spool);
    if (options.message_bytes > options.batch_bytes)
        throw configuration_error{"delivery.batch_bytes", std::to_string(options.batch_bytes),
                                  "at least delivery.message_bytes"};
}

}  // namespace detail

}  // namespace candor

#endif
