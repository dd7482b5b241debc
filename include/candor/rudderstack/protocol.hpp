#ifndef CANDOR_RUDDERSTACK_PROTOCOL_HPP
#define CANDOR_RUDDERSTACK_PROTOCOL_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <candor/delivery/protocol.hpp>
#include <candor/delivery/retry_after.hpp>
#include <candor/event/record_reader.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/url.hpp>
#include <candor/rudderstack/event_message.hpp>

namespace candor::rudderstack::detail {

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
        const auto header = take_header(record);
        if (header.event == nullptr) return write_text(header, record, out);
        auto& identity = events_->identity;
        if (!may_call_back() && identity.has_to_ask(header.refreshes)) return {.dropped = drop_reason::shutdown};
        const auto& who = identity.resolve(header.refreshes);
        if (const auto refused = why_unsent(header.event->requires_account, who)) return {.dropped = refused};
        prepared_.clear();
        const auto draft = write_event(header, record, *events_, prepared_);
        if (!draft) return {.dropped = drop_reason::failed};
        return {complete(*draft, prepared_, who, out)};
    }

    /// Of an event, what is known of its identity decides: where that was found after the last login before it, it
    /// holds. Reads nothing that the worker changes but that.
    std::optional<common::preparation> draft(std::string_view record, std::string& out) override {
        const auto header = take_header(record);
        if (header.event == nullptr) return write_text(header, record, out);
        const auto who = events_->identity.found();
        const bool is_known = who && who->refreshes >= header.refreshes;
        if (is_known) {
            if (const auto refused = why_unsent(header.event->requires_account, *who))
                return common::preparation{.dropped = refused};
        }
        drafted_.clear();
        const auto draft = write_event(header, record, *events_, drafted_);
        if (!draft) return common::preparation{.dropped = drop_reason::failed};
        if (is_known) return common::preparation{complete(*draft, drafted_, *who, out)};
        append_draft(*draft, drafted_, out);
        return common::preparation{.is_draft = true};
    }

    /// A login in the run that the draft is from is one for this run too. One that has no account source cannot tell on
    /// whose behalf the draft is.
    common::preparation settle(std::string_view text, std::uint64_t named, std::string& out) override {
        const auto draft = take_draft(text);
        if (!draft) return {.dropped = drop_reason::failed};
        if (!events_) return {.dropped = drop_reason::no_account};
        auto& identity = events_->identity;
        if (!may_call_back() && (draft->refreshes_account || identity.has_to_ask(0)))
            return {.dropped = drop_reason::shutdown};
        const auto& who = identity.resolve(draft->refreshes_account ? identity.refresh() : 0);
        if (const auto refused = why_unsent(draft->requires_account, who)) return {.dropped = refused};
        if (named != 0 && who.is_known && who.name() != named) return {.dropped = drop_reason::no_account};
        return {complete(*draft, text, who, out)};
    }

    [[nodiscard]] std::uint64_t named_user() const noexcept override {
        return events_ ? events_->identity.named_user() : 0;
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

    static record_header take_header(std::string_view& record) noexcept {
        common::record_reader reader{record};
        const auto out = reader.take<record_header>();
        record = reader.rest();
        return out;
    }

    static common::preparation write_text(const record_header& header, std::string_view text, std::string& out) {
        const std::size_t start = out.size();
        out += text.substr(0, header.head_size);
        append_time(out, ",\"originalTimestamp\":\"", header.original_timestamp);
        const std::size_t sent_at = out.size() - start;
        out += text.substr(header.head_size);
        return {sent_at};
    }

    std::string url_;
    std::string authorization_;
    std::shared_ptr<event_context> events_;
    std::string prepared_;  ///< the worker's
    std::string drafted_;   ///< of the thread that stores
};

}  // namespace candor::rudderstack::detail

#endif
