// Any bytes as a request to the OTLP service: it answers with one of its statuses, in an encoding that can be read, and
// what it does not answer with 200 leaves no trace in the table.
//
// An input is a line with the method, a space and the target; a line with the Content-Type; a line with the Host; a
// line with the Content-Encoding; and the body. A line that is missing is empty.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <candor/httplib/request_exchange.hpp>
#include <candor/otlp/service.hpp>
#include <candor/otlp/text_table.hpp>
#include <candor/otlp/wire.hpp>

#include "require.hpp"

namespace {

namespace otlp = candor::otlp;

constexpr std::size_t body_limit = 1 << 20;

std::string take_line(std::string_view& from) {
    const auto end = std::min(from.find('\n'), from.size());
    std::string out{from.substr(0, end)};
    from.remove_prefix(std::min(end + 1, from.size()));
    return out;
}

/// What a server does with a request.
candor::http_response answer(otlp::service& service, const candor::http_request_head& head, std::string_view body) {
    candor::detail::request_exchange::environment around{service, body_limit};
    candor::detail::request_exchange exchange{around, head};
    if (auto early = exchange.begin(body.size())) return *early;
    for (; !body.empty(); body.remove_prefix(std::min<std::size_t>(body.size(), 1000))) {
        if (auto early = exchange.take(body.substr(0, 1000))) return *early;
    }
    return exchange.end();
}

/// Whether a body is a google.rpc.Status, or an ExportMetricsServiceResponse, with nothing else in it.
bool is_status(std::string_view type, std::string_view body) {
    if (type == "application/json") {
        const auto json = nlohmann::json::parse(body, nullptr, false);
        return json.is_object() && json.size() == 2 && json.value("code", 0) > 0 && json.value("message", "") != "";
    }
    otlp::wire_reader in{body};
    std::uint64_t code = 0;
    std::string_view message;
    while (in.next()) {
        if (in.field() == 1) {
            code = in.varint();
        } else if (in.field() == 2) {
            message = in.bytes();
        } else {
            return false;
        }
    }
    return in.problem() == nullptr && code > 0 && !message.empty();
}

bool is_success(std::string_view type, std::string_view body) {
    if (type == "application/json") {
        const auto json = nlohmann::json::parse(body, nullptr, false);
        return json == nlohmann::json::object() ||
               (json.is_object() && json.size() == 1 && json.contains("partialSuccess") &&
                json["partialSuccess"].value("rejectedDataPoints", "0") != "0" &&
                json["partialSuccess"].value("errorMessage", "") != "");
    }
    otlp::wire_reader in{body};
    if (!in.next()) return in.problem() == nullptr;
    if (in.field() != 1) return false;
    otlp::wire_reader partial{in.bytes(), 2};
    std::uint64_t rejected = 0;
    if (partial.next() && partial.field() == 1) rejected = partial.varint();
    return rejected > 0 && partial.next() && partial.field() == 2 && !partial.bytes().empty() && !partial.next() &&
           !in.next();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view left{reinterpret_cast<const char*>(data), size};
    const auto first = take_line(left);
    const auto space = std::min(first.find(' '), first.size());
    candor::http_request_head head{.method = first.substr(0, space),
                                   .target = first.substr(std::min(space + 1, first.size()))};
    for (const char* name : {"Content-Type", "Host", "Content-Encoding"})
        head.headers.push_back({name, take_line(left)});

    otlp::table table{{.max_rows = 16}};
    otlp::service service{table, "127.0.0.1"};
    const auto response = answer(service, head, left);

    const auto* type = response.header("Content-Type");
    require(type != nullptr && (*type == "application/json" || *type == "application/x-protobuf"),
            "an answer has one of two types");
    require(response.body.size() < 1000, "an answer is short");
    const auto counts = service.statistics();
    const auto rows = table.rows();
    if (response.status == 200) {
        require(is_success(*type, response.body), "a success reads as one");
        require(counts.accepted + counts.dropped == 1 && counts.refused == 0, "it is counted");
        require(counts.dropped == 0 || rows.empty(), "what is dropped does not count");
    } else {
        constexpr int statuses[] = {400, 403, 404, 405, 413, 415, 503};
        require(std::find(std::begin(statuses), std::end(statuses), response.status) != std::end(statuses),
                "an error is one of a few");
        require(is_status(*type, response.body), "an error reads as one");
        require(counts.refused == 1 && counts.accepted + counts.dropped == 0, "it is counted");
        require(rows.empty() && table.rejected().total() == 0, "a refused request leaves no trace");
    }
    require(rows.size() <= 16, "rows are bounded");
    const auto text = otlp::text_table(rows);
    require(std::count(text.begin(), text.end(), '\n') == std::ptrdiff_t(rows.size()) + 1, "a row is a line");
    for (const char c : text)
        require(c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f), "a terminal is not disturbed");
    return 0;
}
