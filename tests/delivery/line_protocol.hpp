// A protocol for tests of the pipeline: a record is a message, a body is its messages line by line, statuses mean what
// they mean to RudderStack. A record that begins with `internal`, `throw` or `grow` does that. A message is for the
// place that its last digit says, of so many as a server that answered 451 says then, as a digit.
#ifndef CANDOR_TESTS_DELIVERY_LINE_PROTOCOL_HPP
#define CANDOR_TESTS_DELIVERY_LINE_PROTOCOL_HPP

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <candor/delivery/protocol.hpp>

namespace candor::tests {

class line_protocol final : public detail::protocol {
public:
    line_protocol() = default;
    explicit line_protocol(std::string url) : url_{std::move(url)} {}

    [[nodiscard]] std::size_t envelope_size() const noexcept override { return 0; }
    [[nodiscard]] std::size_t message_overhead() const noexcept override { return 1; }

    detail::preparation prepare(std::string_view record, detail::moment, std::string& out) override {
        if (record.starts_with("internal")) return {0, drop_reason::internal};
        out += record;
        if (record.starts_with("throw")) throw std::runtime_error{"prepare"};
        if (record.starts_with("grow")) out.append(1000, '+');
        return {record.size(), std::nullopt};
    }

    std::optional<detail::preparation> draft(std::string_view record, std::string& out) override {
        out += record;
        return detail::preparation{.sent_at = record.size()};
    }

    detail::preparation settle(std::string_view draft, std::uint64_t, std::string& out) override {
        out += draft;
        return {.sent_at = draft.size()};
    }

    void set_places(std::uint32_t places) noexcept { places_ = places; }

    [[nodiscard]] http_request request() const override { return {.url = url_}; }

    [[nodiscard]] std::uint32_t group_of(std::string_view text) const noexcept override {
        return static_cast<std::uint32_t>(text.back() - '0') % places_;
    }

    void complete_request(const detail::message_range& range, http_request& request) const override {
        request.headers = {{"place", std::to_string(group_of(range.text(range.messages.front())))}};
    }

    [[nodiscard]] const http_request* inquiry() const noexcept override { return has_to_ask_ ? &inquiry_ : nullptr; }

    [[nodiscard]] detail::response_action answered(const http_response& response, detail::moment) override {
        if (response.status != 200) return {.diagnostic = "no answer"};
        places_ = static_cast<std::uint32_t>(response.body.at(0) - '0');
        has_to_ask_ = false;
        return {.what = detail::response_action::kind::deliver};
    }

    void write_body(const detail::message_range& range, wall_time, std::string& out) override {
        for (const auto& m : range.messages) {
            if (range.text(m) == "poison") throw std::runtime_error{"write_body"};
            out.append(range.text(m)).append("\n");
        }
    }

    [[nodiscard]] detail::response_action classify(const http_response& response, detail::moment) override {
        using action = detail::response_action::kind;
        if (response.error != transport_error::none) return {.what = action::retry, .diagnostic = "unreachable"};
        if (response.status == 200) return {.what = action::deliver};
        if (response.status == 400) return {.what = action::split, .reason = drop_reason::rejected};
        if (response.status == 401)
            return {.what = action::drop, .reason = drop_reason::unauthorized, .diagnostic = "401"};
        if (response.status == 429) return {.what = action::retry, .wait = std::chrono::seconds{20}};
        if (response.status == 451) {
            has_to_ask_ = true;
            return {.what = action::retry, .wait = std::chrono::seconds{5}};
        }
        return {.what = action::retry, .diagnostic = std::to_string(response.status)};
    }

private:
    std::string url_ = "http://plane";
    const http_request inquiry_{.method = "GET", .url = "http://plane/places"};
    std::uint32_t places_ = 1;
    bool has_to_ask_ = false;
};

}  // namespace candor::tests

#endif
