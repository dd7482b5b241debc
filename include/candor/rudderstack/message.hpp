#ifndef CANDOR_RUDDERSTACK_MESSAGE_HPP
#define CANDOR_RUDDERSTACK_MESSAGE_HPP

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include <nlohmann/json.hpp>

#include <candor/delivery/statistics.hpp>
#include <candor/event/json_writer.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/utf8.hpp>
#include <candor/version.hpp>

/// The six message types of RudderStack's HTTP API (rudderlabs/rudder-server, gateway). `identify` and `alias` require
/// `user_id` or `anonymous_id`; in the others, where both are empty, the client's own random `anonymousId` stands for
/// them, one for its lifetime. `context` and `integrations` are objects or null; an empty `message_id` gets a random
/// one, an absent `timestamp` means now; what is empty is left out. An id that consists of blanks, control and
/// invisible characters alone is refused as `admission::invalid`: the gateway would refuse the whole request for it. It
/// keeps numbers as `double`: integers above 2^53 in `properties`, `traits` and `context` lose digits there.
namespace candor::rudderstack {

/// Somebody did something.
struct track {
    std::string user_id{};
    std::string anonymous_id{};
    std::string event{};  ///< required
    nlohmann::json properties{};
    nlohmann::json context{};
    nlohmann::json integrations{};
    std::optional<wall_time> timestamp{};
    std::string message_id{};
};

/// Who somebody is.
struct identify {
    std::string user_id{};
    std::string anonymous_id{};
    nlohmann::json traits{};
    nlohmann::json context{};
    nlohmann::json integrations{};
    std::optional<wall_time> timestamp{};
    std::string message_id{};
};

/// A page of a site was looked at.
struct page {
    std::string user_id{};
    std::string anonymous_id{};
    std::string name{};
    nlohmann::json properties{};
    nlohmann::json context{};
    nlohmann::json integrations{};
    std::optional<wall_time> timestamp{};
    std::string message_id{};
};

/// A screen of an application was looked at.
struct screen {
    std::string user_id{};
    std::string anonymous_id{};
    std::string name{};
    nlohmann::json properties{};
    nlohmann::json context{};
    nlohmann::json integrations{};
    std::optional<wall_time> timestamp{};
    std::string message_id{};
};

/// Somebody belongs to a group.
struct group {
    std::string user_id{};
    std::string anonymous_id{};
    std::string group_id{};  ///< required
    nlohmann::json traits{};
    nlohmann::json context{};
    nlohmann::json integrations{};
    std::optional<wall_time> timestamp{};
    std::string message_id{};
};

/// Somebody has a new id, `user_id`, which is required, as `previous_id` is.
struct alias {
    std::string user_id{};
    std::string anonymous_id{};
    std::string previous_id{};  ///< required
    nlohmann::json context{};
    nlohmann::json integrations{};
    std::optional<wall_time> timestamp{};
    std::string message_id{};
};

namespace detail {

using candor::detail::json_writer;

constexpr std::string_view type_name(const track&) noexcept { return "track"; }
constexpr std::string_view type_name(const identify&) noexcept { return "identify"; }
constexpr std::string_view type_name(const page&) noexcept { return "page"; }
constexpr std::string_view type_name(const screen&) noexcept { return "screen"; }
constexpr std::string_view type_name(const group&) noexcept { return "group"; }
constexpr std::string_view type_name(const alias&) noexcept { return "alias"; }

/// One of the six types.
template <class M>
concept message = requires(const M& m) {
    type_name(m);
};

/// Whether an id has only characters that the gateway does not see: it removes what is not printed and what is
/// invisible (rudderlabs/rudder-go-kit, sanitize), and then the spaces at both ends.
inline bool is_blank(std::string_view id) noexcept {
    struct range {
        char32_t first, last;
    };
    static constexpr range unseen[] = {
        {0, 0x20},        {0x7f, 0xa0},       {0xad, 0xad},       {0x34f, 0x34f},   {0x61c, 0x61c},   {0x115f, 0x1160},
        {0x1680, 0x1680}, {0x17b4, 0x17b5},   {0x180e, 0x180e},   {0x2000, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x206f},
        {0x2800, 0x2800}, {0x3000, 0x3000},   {0x3164, 0x3164},   {0xe000, 0xf8ff}, {0xfeff, 0xfeff}, {0xffa0, 0xffa0},
        {0xfff0, 0xfffb}, {0xe0000, 0xe007f}, {0xf0000, 0x10ffff}};
    while (!id.empty()) {
        const auto next = candor::detail::first_character(id);
        const bool is_unseen = next.is_well_formed && std::any_of(std::begin(unseen), std::end(unseen), [&](range r) {
                                   return r.first <= next.code && next.code <= r.last;
                               });
        if (!is_unseen) return false;
        id.remove_prefix(next.size);
    }
    return true;
}

inline bool is_object_or_null(const nlohmann::json& json) { return json.is_null() || json.is_object(); }

/// Whether the client's own id stands for one that the caller does not know: `identify` and `alias` are about an id.
template <message M>
inline constexpr bool gets_own_id = !std::is_same_v<M, identify> && !std::is_same_v<M, alias>;

/// Whether the message has what the gateway requires: one that lacks it makes the gateway refuse a whole batch.
template <message M>
bool is_complete(const M& m) {
    for (const std::string* id : {&m.user_id, &m.anonymous_id, &m.message_id})
        if (!id->empty() && is_blank(*id)) return false;
    if (!gets_own_id<M> && m.user_id.empty() && m.anonymous_id.empty()) return false;
    if (!is_object_or_null(m.context) || !is_object_or_null(m.integrations)) return false;
    if constexpr (requires { m.properties; }) {
        if (!is_object_or_null(m.properties)) return false;
    }
    if constexpr (requires { m.traits; }) {
        if (!is_object_or_null(m.traits)) return false;
    }
    if constexpr (requires { m.event; }) return !m.event.empty();
    if constexpr (requires { m.group_id; }) return !m.group_id.empty();
    if constexpr (requires { m.previous_id; }) return !m.previous_id.empty() && !m.user_id.empty();
    return true;
}

/// The library as `context.library` names it.
inline constexpr std::string_view library =
    "\"library\":{\"name\":\"candor\",\"version\":\"" CANDOR_VERSION_STRING "\"}";

/// `{"type":…,"messageId":…`: how every message begins. Throws `std::system_error` where a random id is needed and
/// the system has no randomness.
inline void write_start(json_writer& out, std::string_view type, std::string_view message_id) {
    out.raw("{\"type\":\"");
    out.raw(type);
    out.raw("\",\"messageId\":");
    if (!message_id.empty()) return out.string(message_id);
    char id[uuid::text_size];
    uuid::random().write(id);
    out.string({id, sizeof id});
}

inline void write_text(json_writer& out, std::string_view key, std::string_view text) noexcept {
    if (text.empty()) return;
    out.key(key);
    out.string(text);
}

inline void write_object(json_writer& out, std::string_view key, const nlohmann::json& object) noexcept {
    if (object.is_null() || object.empty()) return;
    out.key(key);
    out.value(object);
}

/// What stands before the times. `own_id` is the client's.
template <message M>
void write_head(json_writer& out, const M& m, std::string_view own_id) {
    write_start(out, type_name(m), m.message_id);
    const bool has_id = !m.user_id.empty() || !m.anonymous_id.empty();
    write_text(out, "anonymousId", has_id ? std::string_view{m.anonymous_id} : own_id);
    write_text(out, "userId", m.user_id);
    if constexpr (requires { m.event; }) write_text(out, "event", m.event);
    if constexpr (requires { m.name; }) write_text(out, "name", m.name);
    if constexpr (requires { m.group_id; }) write_text(out, "groupId", m.group_id);
    if constexpr (requires { m.previous_id; }) write_text(out, "previousId", m.previous_id);
}

/// What stands behind them.
template <message M>
void write_tail(json_writer& out, const M& m) noexcept {
    out.raw(",\"context\":{");
    out.raw(library);
    if (m.context.is_object()) {
        for (auto member = m.context.begin(); member != m.context.end(); ++member) {
            if (member.key() == "library") continue;
            out.separate();
            out.string(member.key());
            out.raw(":");
            out.value(*member, 1);
        }
    }
    out.raw("}");
    if constexpr (requires { m.properties; }) write_object(out, "properties", m.properties);
    if constexpr (requires { m.traits; }) write_object(out, "traits", m.traits);
    write_object(out, "integrations", m.integrations);
    out.raw(",\"channel\":\"server\"}");
}

}  // namespace detail

}  // namespace candor::rudderstack

#endif
