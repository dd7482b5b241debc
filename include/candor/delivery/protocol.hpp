#ifndef CANDOR_DELIVERY_PROTOCOL_HPP
#define CANDOR_DELIVERY_PROTOCOL_HPP

#include <chrono>
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
    std::uint32_t index = 0;      ///< which record of its batch, or line of its file, it is
    std::uint32_t file = 0;       ///< which of the files in hand it is from, where it was stored
    bool is_draft = false;        ///< of a stored one: the identity is missing, `protocol::settle` adds it
};

/// So many messages, and what they counted as in the queue.
struct message_count {
    std::uint64_t messages = 0;
    std::size_t bytes = 0;
};

/// Some messages of a batch, one behind the other.
struct message_range {
    std::string_view bytes;
    std::span<const message> messages;

    [[nodiscard]] std::string_view text(const message& m) const noexcept { return bytes.substr(m.offset, m.size); }

    [[nodiscard]] message_count count() const noexcept {
        message_count out{messages.size(), 0};
        for (const auto& m : messages) out.bytes += m.record_size;
        return out;
    }
};

/// What making a record into a message came to: where the time of sending belongs in it, or why there is no message.
struct preparation {
    std::size_t sent_at = 0;
    std::optional<drop_reason> dropped{};
    bool is_draft = false;  ///< of what `draft` made: it has no identity yet
};

/// What an answer means for the messages of a request.
struct response_action {
    enum class kind {
        deliver,  ///< the server has the messages
        retry,    ///< the same messages again, later
        split,    ///< one of them is at fault: each half by itself; a single one is dropped for `reason`
        drop,     ///< they are given up for `reason`
    };
    kind what = kind::retry;
    drop_reason reason = drop_reason::rejected;
    std::optional<std::chrono::milliseconds> wait{};  ///< before the next request; where empty, as the backoff says
    std::string diagnostic{};                         ///< for a person, said once for each status or kind of failure
};

/// One moment on both clocks.
struct moment {
    steady_time steady{};
    wall_time wall{};
};

/// A back end on the pipeline: how records become a request, and what an answer means. Its members are called by the
/// pipeline's worker alone, which owns it and may outlive the pipeline: so it owns all that it uses. What they throw
/// costs the batch at hand (`drop_reason::failed`), nothing else.
class protocol {
public:
    protocol() = default;
    protocol(const protocol&) = delete;
    protocol& operator=(const protocol&) = delete;
    virtual ~protocol() = default;

    /// From now on no callback of the program is called: a record that needs one becomes no message.
    void end_callbacks() noexcept { may_call_back_ = false; }

    /// What debuggers call the thread that delivers: at most 15 characters.
    [[nodiscard]] virtual const char* thread_name() const noexcept { return "candor-worker"; }

    /// Appends the message that a record becomes. May call the program's callbacks; what follows may not.
    virtual preparation prepare(std::string_view record, moment now, std::string& out) = 0;

    /// Appends what is stored of a record while it is not delivered yet: the message, or a draft of it, without its
    /// identity, which `settle` makes into a message, in this run or another. Has passed the redactor; no line breaks.
    /// Nothing where a callback of the program's has to see the record first. Called on a thread of its own, beside all
    /// other members; calls no callback.
    [[nodiscard]] virtual std::optional<preparation> draft(std::string_view record, std::string& out) = 0;

    /// Appends the message that a draft becomes. `named` is the hash of the user that the draft's own run had named, or
    /// 0. May call the program's callbacks.
    virtual preparation settle(std::string_view draft, std::uint64_t named, std::string& out) = 0;

    /// The hash of the user in whose name this run sends now; 0 where there is none yet. Any thread.
    [[nodiscard]] virtual std::uint64_t named_user() const noexcept { return 0; }

    /// All of a request but its body.
    [[nodiscard]] virtual http_request request() const = 0;

    /// Where a message goes, as a number: a request holds messages that go to one place.
    [[nodiscard]] virtual std::uint32_t group_of(std::string_view) const noexcept { return 0; }

    /// Says in a request where these messages go.
    virtual void complete_request(const message_range&, http_request&) const {}

    /// Appends the body of a request with these messages.
    virtual void write_body(const message_range& messages, wall_time sent_at, std::string& out) = 0;

    /// What `write_body` adds to a batch at most, and to each of its messages.
    [[nodiscard]] virtual std::size_t envelope_size() const noexcept = 0;
    [[nodiscard]] virtual std::size_t message_overhead() const noexcept = 0;

    /// Says what an answer means.
    [[nodiscard]] virtual response_action classify(const http_response& response, moment now) = 0;

    /// What has to be asked before more is sent, or null.
    [[nodiscard]] virtual const http_request* inquiry() const noexcept { return nullptr; }

    /// Says what the answer to that means: `deliver` where there is nothing more to be asked; else it is asked again
    /// later. Messages may go elsewhere from now on.
    [[nodiscard]] virtual response_action answered(const http_response&, moment) { return {}; }

    /// Whether what is stored has to wait, because the server takes nothing for now.
    [[nodiscard]] virtual bool holds_back(steady_time) const noexcept { return false; }

protected:
    [[nodiscard]] bool may_call_back() const noexcept { return may_call_back_; }

private:
    bool may_call_back_ = true;
};

}  // namespace candor::detail

#endif
