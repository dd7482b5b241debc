#ifndef CANDOR_DELIVERY_PROTOCOL_HPP
#define CANDOR_DELIVERY_PROTOCOL_HPP

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <candor/delivery/statistics.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/http.hpp>

namespace candor::detail {

/// Where a ready message lies in its batch.
struct message {
    std::size_t offset = 0;
    std::size_t size = 0;
    std::size_t sent_at = 0;      ///< where in the message the time of sending belongs; it is never stored
    std::size_t record_size = 0;  ///< what it counted as in the queue
};

/// Some messages of a batch, one behind the other.
struct message_range {
    std::string_view bytes;
    std::span<const message> messages;

    [[nodiscard]] std::string_view text(const message& m) const noexcept { return bytes.substr(m.offset, m.size); }

    /// What they counted as in the queue.
    [[nodiscard]] std::size_t record_size() const noexcept {
        std::size_t out = 0;
        for (const auto& m : messages) out += m.record_size;
        return out;
    }
};

/// What making a record into a message came to: where the time of sending belongs in it, or why there is no message.
struct preparation {
    std::size_t sent_at = 0;
    std::optional<drop_reason> dropped{};
};

/// What an answer means.
struct verdict {
    enum class action {
        deliver,  ///< the server has the messages
        retry,    ///< the same messages again, later
        split,    ///< one of them is at fault: each half by itself; a single one is dropped for `reason`
        drop,     ///< they are given up for `reason`
    };
    action what = action::retry;
    drop_reason reason = drop_reason::rejected;
    std::optional<std::chrono::milliseconds> wait{};  ///< before the next request; where empty, as the backoff says
    std::string diagnostic{};                         ///< for a person, said once for each status or kind of failure
};

/// A back end on the pipeline: how records become a request, and what an answer means. Its members are called by the
/// pipeline's worker alone. What they throw costs the batch at hand (`drop_reason::failed`), nothing else.
///
/// 1. `prepare(record, out)` appends the message that a record becomes.
/// 2. `request()` gives all of a request but its body.
/// 3. `write_body(messages, sent_at, out)` appends the body of a request with these messages.
/// 4. `envelope_size` bounds what `write_body` adds to a batch, `message_overhead` what it adds to each message.
/// 5. `judge(response, now)` says what an answer means.
/// 6. `holds_back()`, where there is one, says whether what is stored has to wait.
template <class P>
concept protocol = requires(P& p, std::string_view record, std::string& out, const message_range& messages,
                            wall_time now, const http_response& response) {
    { p.prepare(record, out) } -> std::same_as<preparation>;
    { p.request() } -> std::same_as<http_request>;
    p.write_body(messages, now, out);
    { P::envelope_size } -> std::convertible_to<std::size_t>;
    { P::message_overhead } -> std::convertible_to<std::size_t>;
    { p.judge(response, now) } -> std::same_as<verdict>;
};

}  // namespace candor::detail

#endif
