#ifndef CANDOR_RUDDERSTACK_PROTOCOL_HPP
#define CANDOR_RUDDERSTACK_PROTOCOL_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <candor/delivery/protocol.hpp>
#include <candor/delivery/retry_after.hpp>
#include <candor/event/properties.hpp>
#include <candor/event/record_reader.hpp>
#include <candor/event/rfc3339.hpp>
#include <candor/event/serialized_event.hpp>
#include <candor/identity/identity_resolver.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/url.hpp>
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

    [[nodiscard]] std::string_view bytes() const noexcept {
        return {reinterpret_cast<const char*>(this), sizeof *this};
    }
};
static_assert(std::is_trivially_copyable_v<record_header>);

/// What is needed to make messages of events.
struct event_context {
    common::identity_resolver identity;  ///< the worker's; the rest does not change
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

/// Standard base64 (RFC 4648, 4), for Basic authentication.
inline std::string base64(std::string_view text) {
    static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t i = 0; i < text.size(); i += 3) {
        const auto at = [&](std::size_t j) {
            return j < text.size() ? static_cast<unsigned>(static_cast<unsigned char>(text[j])) : 0U;
        };
        const unsigned bits = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
        out += digits[bits >> 18];
        out += digits[bits >> 12 & 63];
        out += i + 1 < text.size() ? digits[bits >> 6 & 63] : '=';
        out += i + 2 < text.size() ? digits[bits & 63] : '=';
    }
    return out;
}

/// Throws `configuration_error` unless `text` is a URL to which `/v1/batch` can be added.
inline url checked_data_plane_url(std::string_view text) {
    constexpr auto allowed = "an http or https URL with a host, without user, query and fragment";
    auto parsed = common::parse_url(text);
    if (!parsed) throw configuration_error{"data_plane_url", common::without_userinfo(text), allowed};
    if (!parsed->userinfo.empty()) throw configuration_error{"data_plane_url", parsed->origin(), allowed};
    return *std::move(parsed);
}

/// Throws `configuration_error`, which does not repeat the key, unless `key` can stand in a header.
inline void check_write_key(std::string_view key) {
    bool good = !key.empty();
    for (const char c : key) good = good && c > 0x20 && c < 0x7f && c != ':';
    if (!good)
        throw configuration_error{"write_key", key.empty() ? "" : "***",
                                  "printable ASCII without spaces and colons, not empty"};
}

/// RudderStack's `POST /v1/batch` on the pipeline (rudderlabs/rudder-server, gateway).
class protocol final : public common::protocol {
public:
    /// `events` may be null where no record is an event.
    protocol(const url& data_plane, std::string_view write_key, std::shared_ptr<event_context> events)
        : url_{data_plane.origin() + data_plane.path + "/v1/batch"},
          authorization_{"Basic " + base64(std::string{write_key} + ":")},
          events_{std::move(events)} {}

    [[nodiscard]] std::size_t envelope_size() const noexcept override { return sizeof("{\"batch\":[]}") - 1; }

    [[nodiscard]] std::size_t message_overhead() const noexcept override { return size_of_sent_at; }

    [[nodiscard]] const char* thread_name() const noexcept override { return "candor-events"; }

    common::preparation prepare(std::string_view record, common::moment, std::string& out) override {
        common::record_reader reader{record};
        const auto header = reader.take<record_header>();
        record = reader.rest();
        if (header.event != nullptr) return prepare_event(header, record, out);
        const std::size_t start = out.size();
        out += record.substr(0, header.head_size);
        append_time(out, ",\"originalTimestamp\":\"", header.original_timestamp);
        const std::size_t sent_at = out.size() - start;
        out += record.substr(header.head_size);
        return {sent_at, std::nullopt};
    }

    std::optional<common::preparation> draft(std::string_view, std::string&) override { return std::nullopt; }
    common::preparation settle(std::string_view, std::uint64_t, std::string&) override {
        return {.dropped = drop_reason::failed};
    }

    /// The Go client's headers, with the node fields of a server that has one node.
    [[nodiscard]] http_request request() const override {
        return {.method = "POST",
                .url = url_,
                .headers = {{"Authorization", authorization_},
                            {"Content-Type", "application/json"},
                            {"RS-userAgent", "serverSDK"},
                            {"RS-nodeCount", "1"},
                            {"RS-targetNode", "0"}}};
    }

    void write_body(const common::message_range& range, wall_time sent_at, std::string& out) override {
        std::string stamp;
        append_time(stamp, ",\"sentAt\":\"", sent_at);
        out += "{\"batch\":[";
        bool first = true;
        for (const auto& m : range.messages) {
            if (!std::exchange(first, false)) out += ',';
            const std::string_view text = range.text(m);
            out.append(text.substr(0, m.sent_at)).append(stamp).append(text.substr(m.sent_at));
        }
        out += "]}";
    }

    [[nodiscard]] common::response_action classify(const http_response& response, common::moment now) override {
        using action = common::response_action::kind;
        if (response.error != transport_error::none) {
            return {.what = action::retry, .diagnostic = "the data plane cannot be reached: " + response.message};
        }
        const int status = response.status;
        if (status >= 200 && status < 300) return {.what = action::deliver};
        const std::string says = "the data plane answers " + std::to_string(status);
        if (status == 400) return {.what = action::split, .reason = drop_reason::rejected, .diagnostic = says};
        if (status == 413) return {.what = action::split, .reason = drop_reason::too_large, .diagnostic = says};
        if (status == 401 || status == 403 || status == 404) {
            const std::string why = status == 404 ? meaning_of_404(response.body) : "it does not know the write key";
            return {.what = action::drop, .reason = drop_reason::unauthorized, .diagnostic = says + ": " + why};
        }
        // A redirect is not followed: it would take the key to another server. Most are a network's login page.
        const bool may_pass = status < 400 || status == 408 || status == 425 || status == 429 || status >= 500;
        if (!may_pass) return {.what = action::drop, .reason = drop_reason::rejected, .diagnostic = says};
        common::response_action again{.what = action::retry, .diagnostic = says};
        if (const std::string* told = response.header("Retry-After"); told != nullptr && status >= 400)
            again.wait = common::parse_retry_after(*told, now.wall);
        return again;
    }

private:
    /// The gateway says 404 for two reasons, in these words; anybody else's may be either.
    static std::string meaning_of_404(std::string_view body) {
        if (body.find("source is disabled") != body.npos) return "the source is disabled";
        if (body.find("page not found") != body.npos) return "the data plane is not at this URL";
        return "the source is disabled, or the data plane is not at this URL";
    }

    common::preparation prepare_event(const record_header& header, std::string_view values, std::string& out) {
        const common::event_type& event = *header.event;
        auto& [identity, run, secrets, message_bytes] = *events_;
        if (!may_call_back() && (event.refreshes_account || !identity.is_resolved())) return {0, drop_reason::shutdown};
        identity.resolve(event.refreshes_account);
        if (identity.internal()) return {0, drop_reason::internal};
        if (event.requires_account && !identity.known()) return {0, drop_reason::no_account};

        const std::size_t start = out.size();
        append_id(out, "{\"type\":\"track\",\"messageId\":\"", header.message_id);
        append_id(out, "\",\"anonymousId\":\"", run.invocation);
        out += '"';
        if (identity.known()) out.append(",\"userId\":").append(identity.user_id());
        out.append(",\"event\":\"").append(event.name).append("\"");
        append_time(out, ",\"originalTimestamp\":\"", header.original_timestamp);
        const std::size_t sent_at = out.size() - start;
        out.append(",\"context\":{").append(library).append("},\"properties\":{");
        json_writer properties{message_bytes};
        event.write_properties(properties, values, run, secrets);
        if (properties.state() != json_writer::condition::good) return {0, drop_reason::failed};
        out += properties.text();
        identity.append_properties(event.identity, out, properties.size() == 0);
        out += "},\"channel\":\"server\"}";
        return {sent_at, std::nullopt};
    }

    static void append_id(std::string& out, std::string_view key, const uuid& id) {
        char text[uuid::text_size];
        id.write(text);
        out.append(key).append(text, sizeof text);
    }

    static void append_time(std::string& out, std::string_view key, std::int64_t nanoseconds) {
        append_time(out, key, wall_time{std::chrono::nanoseconds{nanoseconds}});
    }

    static void append_time(std::string& out, std::string_view key, wall_time time) {
        char text[common::rfc3339_size];
        const char* end = common::write_rfc3339(time, text);
        out.append(key).append(text, static_cast<std::size_t>(end - text)).append("\"");
    }

    std::string url_;
    std::string authorization_;
    std::shared_ptr<event_context> events_;
};

}  // namespace candor::rudderstack::detail

#endif
