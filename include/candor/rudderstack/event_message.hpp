#ifndef CANDOR_RUDDERSTACK_EVENT_MESSAGE_HPP
#define CANDOR_RUDDERSTACK_EVENT_MESSAGE_HPP

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

#include <candor/delivery/statistics.hpp>
#include <candor/event/json_writer.hpp>
#include <candor/event/properties.hpp>
#include <candor/event/rfc3339.hpp>
#include <candor/event/serialized_event.hpp>
#include <candor/identity/identity_resolver.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/policy/clock.hpp>
#include <candor/privacy/redactor.hpp>
#include <candor/rudderstack/message.hpp>

namespace candor::rudderstack::detail {

namespace common = candor::detail;

/// What a record begins with. A message that the program built follows as text, without its times, which stand between
/// head and tail. For an event, its serialized values follow instead: only the worker knows the account that the
/// message needs.
struct record_header {
    std::int64_t original_timestamp = 0;        ///< nanoseconds since 1970
    const common::event_type* event = nullptr;  ///< null where a text follows
    uuid message_id{};                          ///< of an event
    std::uint32_t head_size = 0;                ///< of a text
    std::uint32_t refreshes = 0;                ///< of an event: those of the account up to it, its own included

    [[nodiscard]] std::string_view bytes() const noexcept {
        return {reinterpret_cast<const char*>(this), sizeof *this};
    }
};
static_assert(std::is_trivially_copyable_v<record_header>);

/// What is needed to make messages of events.
struct event_context {
    common::identity_resolver identity;  ///< the rest does not change
    common::run_facts run;
    redactor secrets;
    std::size_t message_bytes;
};

/// The longest `sentAt`, with a comma between two messages, and the longest times of a message.
inline constexpr std::size_t size_of_sent_at = sizeof(",\"sentAt\":\"\",") - 1 + common::rfc3339_size;
inline constexpr std::size_t size_of_times =
    size_of_sent_at + sizeof(",\"originalTimestamp\":\"\"") - 1 + common::rfc3339_size;

/// The bytes of an event's message besides its properties, whoever the user is.
constexpr std::size_t event_head_size(std::string_view name) noexcept {
    return sizeof(R"({"type":"track","messageId":"","anonymousId":"","event":""{)") - 1 + 2 * uuid::text_size +
           name.size() + size_of_times;
}

inline void append_time(std::string& out, std::string_view key, wall_time time) {
    char text[common::rfc3339_size];
    const char* end = common::write_rfc3339(time, text);
    out.append(key).append(text, static_cast<std::size_t>(end - text)).append("\"");
}

inline void append_time(std::string& out, std::string_view key, std::int64_t nanoseconds) {
    append_time(out, key, wall_time{std::chrono::nanoseconds{nanoseconds}});
}

inline void append_id(std::string& out, std::string_view key, const uuid& id) {
    char text[uuid::text_size];
    id.write(text);
    out.append(key).append(text, sizeof text);
}

/// What there is to know of an event's message that still lacks all that needs an account.
struct event_draft {
    std::size_t user_id = 0;     ///< where in it the user's id belongs
    std::size_t sent_at = 0;     ///< and the time of sending
    std::size_t properties = 0;  ///< and the properties that say on whose behalf it is sent
    bool requires_account = false;
    bool refreshes_account = false;
    bool in_cloud = false;
    identity_fields identity{};
};

/// Why an event of this identity is not sent, if so.
inline std::optional<drop_reason> why_unsent(bool requires_account, const common::resolved_identity& who) noexcept {
    if (who.is_internal) return drop_reason::internal;
    if (requires_account && !who.is_known) return drop_reason::no_account;
    return std::nullopt;
}

/// Writes an event's message without what needs an account to `out`, which is empty. Nothing where its values cannot be
/// written. Any thread.
inline std::optional<event_draft> write_event(const record_header& header, std::string_view values,
                                              const event_context& context, std::string& out) {
    const common::event_type& event = *header.event;
    event_draft draft{.requires_account = event.requires_account,
                      .refreshes_account = event.refreshes_account,
                      .in_cloud = context.identity.in_cloud(),
                      .identity = event.identity};
    append_id(out, "{\"type\":\"track\",\"messageId\":\"", header.message_id);
    append_id(out, "\",\"anonymousId\":\"", context.run.invocation);
    out += '"';
    draft.user_id = out.size();
    out.append(",\"event\":\"").append(event.name).append("\"");
    append_time(out, ",\"originalTimestamp\":\"", header.original_timestamp);
    draft.sent_at = out.size();
    out.append(",\"context\":{").append(library).append("},\"properties\":{");
    json_writer properties{context.message_bytes};
    event.write_properties(properties, values, context.run, context.secrets);
    if (properties.state() != json_writer::condition::good) return std::nullopt;
    out += properties.text();
    if (contains(event.identity, identity_fields::invocation_uuid)) {
        append_id(out, properties.size() == 0 ? "\"invocation_uuid\":\"" : ",\"invocation_uuid\":\"",
                  context.run.invocation);
        out += '"';
    }
    draft.properties = out.size();
    out += "},\"channel\":\"server\"}";
    return draft;
}

/// Appends the whole message that `json`, which lacks what needs an account, becomes. Returns where in it the time of
/// sending belongs.
inline std::size_t complete(const event_draft& draft, std::string_view json, const common::resolved_identity& who,
                            std::string& out) {
    const std::size_t start = out.size();
    out += json.substr(0, draft.user_id);
    if (!who.user_id.empty()) out.append(",\"userId\":").append(who.user_id);
    const std::size_t sent_at = out.size() - start + (draft.sent_at - draft.user_id);
    out += json.substr(draft.user_id, draft.properties - draft.user_id);
    who.append_properties(draft.identity, draft.in_cloud, out, out.back() == '{');
    out += json.substr(draft.properties);
    return sent_at;
}

/// Appends a draft as it is stored: its three places, what it needs as one number, and the message without that.
inline void append_draft(const event_draft& draft, std::string_view json, std::string& out) {
    const auto needs = static_cast<unsigned>(draft.identity) | unsigned{draft.requires_account} << 4 |
                       unsigned{draft.refreshes_account} << 5 | unsigned{draft.in_cloud} << 6;
    for (const std::size_t number : {draft.user_id, draft.sent_at, draft.properties, std::size_t{needs}})
        out.append(std::to_string(number)).append(" ");
    out += json;
}

/// Reads what `append_draft` wrote; then `text` is the message without what needs an account. Nothing where it is not
/// of that form.
inline std::optional<event_draft> take_draft(std::string_view& text) noexcept {
    std::size_t numbers[4]{};
    for (auto& number : numbers) {
        const char* const end = text.data() + text.size();
        const auto [behind, error] = std::from_chars(text.data(), end, number);
        if (error != std::errc{} || behind == end || *behind != ' ') return std::nullopt;
        text.remove_prefix(static_cast<std::size_t>(behind + 1 - text.data()));
    }
    const auto [user_id, sent_at, properties, needs] = numbers;
    const auto stands = [&](std::size_t at, char c) { return at < text.size() && text[at] == c; };
    if (user_id == 0 || user_id > sent_at || sent_at > properties || needs >= 1U << 7) return std::nullopt;
    if (!stands(0, '{') || !stands(user_id, ',') || !stands(sent_at, ',') || !stands(properties, '}'))
        return std::nullopt;
    return event_draft{.user_id = user_id,
                       .sent_at = sent_at,
                       .properties = properties,
                       .requires_account = (needs >> 4 & 1) != 0,
                       .refreshes_account = (needs >> 5 & 1) != 0,
                       .in_cloud = (needs >> 6 & 1) != 0,
                       .identity = static_cast<identity_fields>(needs & 15)};
}

}  // namespace candor::rudderstack::detail

#endif
