#ifndef CANDOR_RUDDERSTACK_PROTOCOL_HPP
#define CANDOR_RUDDERSTACK_PROTOCOL_HPP

#include <chrono>
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
#include <candor/policy/http.hpp>
#include <candor/policy/url.hpp>
#include <candor/rudderstack/event_message.hpp>
#include <candor/rudderstack/nodes.hpp>

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
          inquiry_{.method = "GET",
                   .url = data_plane.origin() + data_plane.path + "/cluster-info",
                   .headers = {{"Authorization", authorization_}}},
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

    /// The Go client's headers, as for a data plane of one node.
    [[nodiscard]] http_request request() const override {
        return {.method = "POST",
                .url = url_,
                .headers = {{"Authorization", authorization_},
                            {"Content-Type", "application/json"},
                            {"RS-userAgent", "serverSDK"},
                            {node_count_, "1"},
                            {target_node_, "0"}}};
    }

    [[nodiscard]] std::uint32_t group_of(std::string_view text) const noexcept override {
        try {
            return node_of(text, nodes_);
        } catch (...) {  // no memory
            return 0;
        }
    }

    void complete_request(const common::message_range& range, http_request& request) const override {
        for (auto& [name, value] : request.headers) {
            if (name == node_count_) value = std::to_string(nodes_);
            if (name == target_node_) value = std::to_string(group_of(range.text(range.messages.front())));
        }
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
        if (response.error != transport_error::none) return unreachable(response);
        const int status = response.status;
        if (status >= 200 && status < 300) return {.what = action::deliver};
        const std::string says = "the data plane answers " + std::to_string(status);
        if (status == 400) return {.what = action::split, .reason = drop_reason::rejected, .diagnostic = says};
        if (status == 413) return {.what = action::split, .reason = drop_reason::too_large, .diagnostic = says};
        if (status == 401 || status == 403 || status == 404) {
            const std::string why = status == 404 ? meaning_of_404(response.body) : "it does not know the write key";
            return {.what = action::drop, .reason = drop_reason::unauthorized, .diagnostic = says + ": " + why};
        }
        if (status == 451) {
            has_to_ask_ = true;
            return {.what = action::retry, .wait = time_to_settle_, .diagnostic = says + ": its nodes have changed"};
        }
        // A redirect is not followed: it would take the key to another server. Most are a network's login page.
        const bool may_pass = status < 400 || status == 408 || status == 425 || status == 429 || status >= 500;
        if (!may_pass) return {.what = action::drop, .reason = drop_reason::rejected, .diagnostic = says};
        return {.what = action::retry, .wait = told_wait(response, now), .diagnostic = says};
    }

    /// How many nodes the data plane has, where a 451 has said that they are others than before.
    [[nodiscard]] const http_request* inquiry() const noexcept override { return has_to_ask_ ? &inquiry_ : nullptr; }

    [[nodiscard]] common::response_action answered(const http_response& response, common::moment now) override {
        if (response.error != transport_error::none) return unreachable(response);
        const bool is_answer = response.status >= 200 && response.status < 300;
        if (const auto count = is_answer ? node_count(response.body) : std::nullopt) {
            nodes_ = *count;
            has_to_ask_ = false;
            return {.what = common::response_action::kind::deliver};
        }
        return {.wait = told_wait(response, now),
                .diagnostic = "the data plane does not say how many nodes it has, but answers " +
                              std::to_string(response.status)};
    }

private:
    static constexpr const char* node_count_ = "RS-nodeCount";
    static constexpr const char* target_node_ = "RS-targetNode";
    /// What the data plane's proxy takes to know of its nodes, as the Go client has it.
    static constexpr std::chrono::seconds time_to_settle_{5};

    static common::response_action unreachable(const http_response& response) {
        return {.diagnostic = "the data plane cannot be reached: " + response.message};
    }

    static std::optional<std::chrono::milliseconds> told_wait(const http_response& response, common::moment now) {
        const std::string* const told = response.header("Retry-After");
        if (told == nullptr || response.status < 400) return std::nullopt;
        return common::parse_retry_after(*told, now.wall);
    }

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
    const http_request inquiry_;
    std::uint32_t nodes_ = 1;
    bool has_to_ask_ = false;
    std::shared_ptr<event_context> events_;
    std::string prepared_;  ///< the worker's
    std::string drafted_;   ///< of the thread that stores
};

}  // namespace candor::rudderstack::detail

#endif
