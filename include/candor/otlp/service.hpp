#ifndef CANDOR_OTLP_SERVICE_HPP
#define CANDOR_OTLP_SERVICE_HPP

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <candor/event/json_writer.hpp>
#include <candor/otlp/json.hpp>
#include <candor/otlp/metrics.hpp>
#include <candor/otlp/protobuf.hpp>
#include <candor/otlp/protobuf_writer.hpp>
#include <candor/otlp/table.hpp>
#include <candor/policy/ascii.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/server.hpp>

namespace candor::otlp {

namespace detail {

/// How a request is encoded, and its answer too.
enum class encoding : std::uint8_t { protobuf, json };

/// What a Content-Type says, its parameters aside.
inline std::optional<encoding> parse_content_type(std::string_view text) noexcept {
    text = candor::detail::trimmed(text.substr(0, text.find(';')));
    if (candor::detail::equal_ignoring_case(text, "application/x-protobuf")) return encoding::protobuf;
    if (candor::detail::equal_ignoring_case(text, "application/json")) return encoding::json;
    return std::nullopt;
}

/// What a path is for; its query is ignored. An endpoint that ends with a slash gives a path that begins with two, and
/// some exporters put one at its end.
enum class signal : std::uint8_t { metrics, other };

inline std::optional<signal> parse_target(std::string_view target) noexcept {
    target = target.substr(0, target.find('?'));
    while (target.starts_with("//")) target.remove_prefix(1);
    while (target.ends_with('/')) target.remove_suffix(1);
    if (target == "/v1/metrics") return signal::metrics;
    if (target == "/v1/traces" || target == "/v1/logs") return signal::other;
    return std::nullopt;
}

/// Whether a Host header names a server that listens on `address`: by that address or as this machine's own, with any
/// port or none. A web page may make a name of its own lead here (DNS rebinding) and then sends that name, so a name
/// that is not known is refused. No page can do that with an address, and every address is right for a server that
/// listens on all of them.
inline bool is_own_host(std::string_view host, std::string_view address) noexcept {
    const auto name =
        host.substr(0, host.starts_with('[') ? std::min(host.find(']'), host.size() - 1) + 1 : host.find(':'));
    auto port = host.substr(name.size());
    if (!port.empty()) {
        if (port.front() != ':' || port.find_first_not_of("0123456789", 1) != port.npos) return false;
    }
    const bool is_bracketed = name.size() > 2 && name.front() == '[' && name.back() == ']';
    const auto bare = is_bracketed ? name.substr(1, name.size() - 2) : name;
    if (address == "0.0.0.0" || address == "::") {
        if (is_bracketed || (!bare.empty() && bare.find_first_not_of("0123456789.") == bare.npos)) return true;
    }
    if (is_bracketed) return bare == "::1" || candor::detail::equal_ignoring_case(bare, address);
    return bare == "127.0.0.1" || candor::detail::equal_ignoring_case(bare, "localhost") || bare == address;
}

}  // namespace detail

/// How requests were answered.
struct service_statistics {
    std::uint64_t accepted = 0;  ///< metrics, perhaps without some of their points
    std::uint64_t dropped = 0;   ///< traces and logs: answered 200, and that was all
    std::uint64_t refused = 0;   ///< answered with an error
};

/// OTLP/HTTP from a request to its answer, without a socket
/// (open-telemetry/opentelemetry-proto:docs/specification.md, "OTLP/HTTP"). Metrics go into a table, traces and logs
/// are accepted and dropped. A request counts as soon as all of it has been decoded; one that cannot be changes
/// nothing.
///
/// No page in a browser can report anything: one that is not of this machine is refused for its Host or its Origin, and
/// no answer has a CORS header. Answers quote nothing of a request. Thread-safe.
class service final : public http_service {
public:
    /// `address` is that of the server. The table outlives the service. `on_metrics`, if any, is called when a request
    /// with metrics has counted, on the thread that brought it; it must not throw.
    service(table& metrics, std::string address, std::function<void()> on_metrics = {})
        : table_{metrics}, address_{std::move(address)}, on_metrics_{std::move(on_metrics)} {}

    std::optional<http_response> begin(const http_request_head& head) noexcept override {
        return guarded([&]() -> std::optional<http_response> {
            const auto* host = head.header("Host");
            if (host != nullptr && !detail::is_own_host(*host, address_))
                return failure(head, 403, "the Host is not a name of this receiver");
            if (!detail::parse_target(head.target))
                return failure(head, 404, "the paths are /v1/metrics, /v1/traces and /v1/logs");
            if (head.method != "POST") {
                auto out = failure(head, 405, "the method is not POST");
                out.headers.push_back({"Allow", "POST"});
                return out;
            }
            if (head.header("Origin") != nullptr) return failure(head, 403, "web pages may not report");
            if (!encoding_of(head))
                return failure(head, 415, "the Content-Type is neither application/x-protobuf nor application/json");
            return std::nullopt;
        });
    }

    http_response complete(const http_request_head& head, std::string_view body) noexcept override {
        return *guarded([&]() -> std::optional<http_response> {
            const auto encoding = answer_encoding(head);
            if (detail::parse_target(head.target) != detail::signal::metrics) {
                auto out = success(encoding, 0, {});
                count(dropped_);
                return out;
            }
            table::update update{table_};
            const auto result =
                encoding == detail::encoding::json ? decode_json(body, update) : decode_protobuf(body, update);
            if (!result) return failure(head, 400, result.problem);
            count(accepted_);
            if (on_metrics_) on_metrics_();
            try {
                return success(encoding, update.rejected(), update.reason());
            } catch (...) {  // it counts now, and would count twice if the sender came again
                return http_response{.status = 200};
            }
        });
    }

    http_response refuse(const http_request_head& head, body_error why) noexcept override {
        return *guarded([&]() -> std::optional<http_response> {
            switch (why) {
                case body_error::too_large:
                    return failure(head, 413, "the body is larger than the receiver takes");
                case body_error::undecodable:
                    return failure(head, 400, "the request or the compression of its body is malformed");
                case body_error::encoding:
                    return failure(head, 415, "the Content-Encoding is not one that the receiver knows");
                case body_error::overloaded:
                    break;
            }
            return overloaded(answer_encoding(head));
        });
    }

    [[nodiscard]] service_statistics statistics() const noexcept {
        return {.accepted = accepted_.load(std::memory_order_relaxed),
                .dropped = dropped_.load(std::memory_order_relaxed),
                .refused = refused_.load(std::memory_order_relaxed)};
    }

private:
    using counter = std::atomic<std::uint64_t>;

    static constexpr std::size_t most_of_an_answer = 1024;

    static void count(counter& of) noexcept { of.fetch_add(1, std::memory_order_relaxed); }

    static std::optional<detail::encoding> encoding_of(const http_request_head& head) noexcept {
        const auto* type = head.header("Content-Type");
        return type == nullptr ? std::nullopt : detail::parse_content_type(*type);
    }

    /// The encoding of the request, or else the one that a person can read.
    static detail::encoding answer_encoding(const http_request_head& head) noexcept {
        return encoding_of(head).value_or(detail::encoding::json);
    }

    /// Where something throws, most likely for want of memory, the sender is asked to come again.
    template <class Answer>
    std::optional<http_response> guarded(Answer answer) noexcept {
        try {
            return answer();
        } catch (...) {
            try {
                return overloaded(detail::encoding::protobuf);
            } catch (...) {
                return http_response{.status = 503};
            }
        }
    }

    static http_response answer(int status, detail::encoding encoding, std::string body) {
        const bool is_json = encoding == detail::encoding::json;
        return {.status = status,
                .headers = {{"Content-Type", is_json ? "application/json" : "application/x-protobuf"}},
                .body = std::move(body)};
    }

    /// An ExportMetricsServiceResponse. Those for traces and logs look the same when nothing was rejected.
    static http_response success(detail::encoding encoding, std::uint64_t rejected, std::string_view reason) {
        if (encoding == detail::encoding::protobuf) {
            candor::detail::protobuf_writer partial, out;  // what is 0 or empty is left out
            if (rejected > 0) partial.varint(1, rejected);
            if (!reason.empty()) partial.text(2, reason);
            if (partial.size() > 0) out.text(1, partial.bytes());
            return answer(200, encoding, out.bytes());
        }
        candor::detail::json_writer body{most_of_an_answer};
        body.raw("{");
        if (rejected > 0) {
            body.key("partialSuccess");
            body.raw("{");
            body.key("rejectedDataPoints");
            body.string(std::to_string(rejected));  // 64 bits are a string in JSON
            body.key("errorMessage");
            body.string(reason);
            body.raw("}");
        }
        body.raw("}");
        return answer(200, encoding, std::string{body.text()});
    }

    http_response failure(const http_request_head& head, int status, std::string_view message) {
        return failure(answer_encoding(head), status, message);
    }

    /// A google.rpc.Status (googleapis/googleapis:google/rpc/status.proto).
    http_response failure(detail::encoding encoding, int status, std::string_view message) {
        count(refused_);
        if (encoding == detail::encoding::protobuf) {
            candor::detail::protobuf_writer out;
            out.varint(1, rpc_code(status));
            out.text(2, message);
            return answer(status, encoding, out.bytes());
        }
        candor::detail::json_writer body{most_of_an_answer};
        body.raw("{");
        body.key("code");
        body.number(rpc_code(status));
        body.key("message");
        body.string(message);
        body.raw("}");
        return answer(status, encoding, std::string{body.text()});
    }

    http_response overloaded(detail::encoding encoding) {
        auto out = failure(encoding, 503, "the receiver has too much to do");
        out.headers.push_back({"Retry-After", "1"});
        return out;
    }

    /// What google/rpc/code.proto has for it.
    static std::uint64_t rpc_code(int status) noexcept {
        switch (status) {
            case 403:
                return 7;  // PERMISSION_DENIED
            case 404:
                return 5;  // NOT_FOUND
            case 405:
                return 12;  // UNIMPLEMENTED
            case 503:
                return 14;  // UNAVAILABLE
            default:
                return 3;  // INVALID_ARGUMENT
        }
    }

    table& table_;
    const std::string address_;
    const std::function<void()> on_metrics_;
    counter accepted_{0};
    counter dropped_{0};
    counter refused_{0};
};

}  // namespace candor::otlp

#endif
