#include <candor/otlp/service.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "../support/otlp_writer.hpp"

#include <support/sanitizer.hpp>

#include <doctest/doctest.h>

namespace {

/// While it lives, this thread's allocation of that number fails, counted from 1.
struct failing_allocation {
    explicit failing_allocation(int number) noexcept {
        left = number;
        has_happened = false;
    }
    failing_allocation(const failing_allocation&) = delete;
    failing_allocation& operator=(const failing_allocation&) = delete;
    ~failing_allocation() { left = 0; }

    static inline thread_local int left = 0;
    static inline thread_local bool has_happened = false;
};

}  // namespace

// ThreadSanitizer has operators of its own, and they stay: no allocation fails there. Not inlined, or GCC takes each
// `free` here for a mistake.
#ifndef CANDOR_TESTS_THREAD_SANITIZER
[[gnu::noinline]] void* operator new(std::size_t size) {
    if (failing_allocation::left > 0 && --failing_allocation::left == 0) {
        failing_allocation::has_happened = true;
        throw std::bad_alloc{};
    }
    if (void* out = std::malloc(size == 0 ? 1 : size)) return out;
    throw std::bad_alloc{};
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace service_test {

using candor::body_error;
using candor::http_request_head;
using candor::http_response;
using candor::otlp::service;
using candor::otlp::table;
namespace otlp = candor::otlp;
using nlohmann::json;

namespace {

const std::string protobuf = "application/x-protobuf";
const std::string plain_json = "application/json";

http_request_head post(const std::string& type, std::string target = "/v1/metrics") {
    return {.method = "POST",
            .target = std::move(target),
            .headers = {{"Host", "127.0.0.1:43121"}, {"Content-Type", type}}};
}

/// `count` rows of table `name`; the points without a name besides are rejected.
otlp_writer::request report(const std::string& name, std::int64_t count, int without_name = 0) {
    otlp_writer::metric resources{.name = "sync.table.resources"};
    resources.points.push_back({.attributes = {{"sync.table.name", name}}, .start = 1, .time = 2, .value = count});
    for (int i = 0; i < without_name; ++i) resources.points.push_back({.start = 1, .time = 2, .value = 1});
    return {.resources = {{.scopes = {{.name = "scope", .metrics = {resources}}}}}};
}

struct receiving {
    otlp::table rows{};
    service answers{rows, "127.0.0.1"};

    /// As a server does it.
    http_response operator()(const http_request_head& head, std::string_view body = {}) {
        if (auto early = answers.begin(head)) return *early;
        return answers.complete(head, body);
    }
};

std::string header(const http_response& answer, std::string_view name) {
    const auto* value = answer.header(name);
    return value == nullptr ? "(none)" : *value;
}

/// The status of an error, from either encoding; the code is -1 where the body is none.
std::pair<int, std::string> status_of(const http_response& answer) {
    if (header(answer, "Content-Type") == plain_json) {
        const auto body = json::parse(answer.body, nullptr, false);
        if (!body.is_object() || body.size() != 2) return {-1, ""};
        return {body.value("code", -1), body.value("message", "")};
    }
    int code = -1;
    std::string message;
    otlp::wire_reader in{answer.body};
    while (in.next()) {
        if (in.field() == 1) {
            code = static_cast<int>(in.varint());
        } else if (in.field() == 2) {
            message = in.bytes();
        } else {
            in.skip();
        }
    }
    return in.problem() == nullptr ? std::pair{code, message} : std::pair{-1, std::string{}};
}

}  // namespace

TEST_CASE("metrics in either encoding come into the table, and the answer is empty in the same encoding") {
    receiving now;
    const auto first = now(post(protobuf), otlp_writer::to_protobuf(report("a", 1)));
    CHECK(first.status == 200);
    CHECK(first.body.empty());
    CHECK(header(first, "Content-Type") == protobuf);
    const auto second = now(post(plain_json), otlp_writer::to_json(report("b", 9007199254740993)));
    CHECK(second.status == 200);
    CHECK(second.body == "{}");
    CHECK(header(second, "Content-Type") == plain_json);
    const auto rows = now.rows.rows();
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].table == "a");
    CHECK(rows[0].resources == 1);
    CHECK(rows[1].table == "b");
    CHECK(rows[1].resources == 9007199254740993);
    CHECK(now.answers.statistics().accepted == 2);
    CHECK(now.answers.statistics().refused == 0);
}

TEST_CASE("an empty body of protobuf is a request without metrics, one of JSON is malformed") {
    receiving now;
    CHECK(now(post(protobuf)).status == 200);
    CHECK(now(post(plain_json), "{}").status == 200);
    CHECK(now(post(plain_json)).status == 400);
}

TEST_CASE("a Content-Type is read as MIME") {
    receiving now;
    for (const char* type :
         {"application/x-protobuf", "Application/X-Protobuf", "application/x-protobuf; charset=utf-8",
          "application/x-protobuf;a=b;c", " application/x-protobuf\t;", "APPLICATION/JSON;charset=UTF-8"}) {
        CAPTURE(std::string{type});
        CHECK_FALSE(now.answers.begin(post(type)));
    }
    for (const char* type :
         {"", "text/plain", "application/protobuf", "application/jsonl", "application", "application/json x",
          "application/x-www-form-urlencoded", ";application/json", "application/grpc"}) {
        CAPTURE(std::string{type});
        const auto answer = now(post(type));
        CHECK(answer.status == 415);
        CHECK(header(answer, "Content-Type") == plain_json);
        CHECK(status_of(answer).first == 3);
    }
    CHECK(now({.method = "POST", .target = "/v1/metrics"}).status == 415);
}

TEST_CASE("points that are rejected are told of in the answer, the others count") {
    receiving now;
    const auto first = now(post(protobuf), otlp_writer::to_protobuf(report("a", 5, 300)));
    CHECK(first.status == 200);
    // ExportMetricsServiceResponse{partial_success = 1: {rejected_data_points = 1, error_message = 2}}
    const std::string reason{to_string(otlp::rejection::no_table_name)};
    CHECK(first.body ==
          otlp_writer::message{}.bytes(1, otlp_writer::message{}.varint(1, 300).text(2, reason).str()).str());
    const auto second = now(post(plain_json), otlp_writer::to_json(report("b", 5, 2)));
    CHECK(second.status == 200);
    CHECK(json::parse(second.body) ==
          json{{"partialSuccess", {{"rejectedDataPoints", "2"}, {"errorMessage", reason}}}});
    CHECK(now.rows.rows().size() == 2);
    CHECK(now.rows.rejected().total() == 302);
    CHECK(now.answers.statistics().accepted == 2);
}

TEST_CASE("traces and logs are accepted and dropped, whatever they are") {
    receiving now;
    for (const char* path : {"/v1/traces", "/v1/logs", "/v1/logs?a=b"}) {
        const auto answer = now(post(protobuf, path), "\xff\xff garbage");
        CHECK(answer.status == 200);
        CHECK(answer.body.empty());
        CHECK(now(post(plain_json, path), "garbage").body == "{}");
        CHECK(now(post("text/plain", path), "garbage").status == 415);
    }
    CHECK(now.rows.rows().empty());
    CHECK(now.answers.statistics().dropped == 6);
    CHECK(now.answers.statistics().accepted == 0);
}

TEST_CASE("a query says nothing, nor do slashes around a path, and any other path is 404") {
    receiving now;
    CHECK_FALSE(now.answers.begin(post(protobuf, "/v1/metrics?token=1")));
    CHECK_FALSE(now.answers.begin(post(protobuf, "/v1/metrics?")));
    for (const char* path : {"//v1/metrics", "///v1/metrics", "/v1/metrics/", "//v1/metrics/?a=b"})
        CHECK_FALSE(now.answers.begin(post(protobuf, path)));
    for (const char* path : {"", "/", "//", "/v1//metrics", "/v1/metric", "/v1/metricss", "/V1/metrics", "v1/metrics",
                             "/v1/%6detrics", "/v1/profiles", "*", "/?/v1/metrics"}) {
        CAPTURE(std::string{path});
        const auto answer = now(post(protobuf, path));
        CHECK(answer.status == 404);
        CHECK(header(answer, "Content-Type") == protobuf);
        CHECK(status_of(answer).first == 5);
    }
}

TEST_CASE("any method but POST is 405, and says so") {
    receiving now;
    for (const char* method : {"GET", "PUT", "OPTIONS", "HEAD", "post", ""}) {
        CAPTURE(std::string{method});
        auto head = post(plain_json);
        head.method = method;
        const auto answer = now(head);
        CHECK(answer.status == 405);
        CHECK(header(answer, "Allow") == "POST");
        CHECK(status_of(answer).first == 12);
    }
    auto elsewhere = post(plain_json, "/");
    elsewhere.method = "GET";
    CHECK(now(elsewhere).status == 404);
}

TEST_CASE("row 34: a malformed request changes nothing, and the answer quotes none of it") {
    receiving now;
    const std::string secret = "s3cret-name";
    auto broken = otlp_writer::to_protobuf(report(secret, 1));
    broken.pop_back();
    auto cut = otlp_writer::to_json(report(secret, 1));
    cut.pop_back();
    const std::pair<std::string, std::string> requests[] = {
        {protobuf, broken},
        {protobuf, otlp_writer::to_protobuf(report(secret, 1)) + '\x07'},
        {protobuf, std::string(64, '\x0b')},
        {plain_json, cut},
        {plain_json, otlp_writer::to_json(report(secret, 1)) + "x"},
        {plain_json, "{\"resourceMetrics\":\"" + secret + "\"}"},
        {plain_json, std::string(100'000, '[')},
        {plain_json, "\xff" + secret},
    };
    for (const auto& [type, body] : requests) {
        const auto answer = now(post(type), body);
        CHECK(answer.status == 400);
        CHECK(header(answer, "Content-Type") == type);
        CHECK(answer.body.find(secret) == answer.body.npos);
        const auto [code, message] = status_of(answer);
        CHECK(code == 3);
        CHECK_FALSE(message.empty());
    }
    CHECK(now.rows.rows().empty());
    CHECK(now.answers.statistics().refused == std::size(requests));
}

TEST_CASE("what a server has no body for is refused in the request's encoding") {
    receiving now;
    const struct {
        body_error why;
        int status;
        int code;
    } cases[] = {{body_error::too_large, 413, 3},
                 {body_error::undecodable, 400, 3},
                 {body_error::encoding, 415, 3},
                 {body_error::overloaded, 503, 14}};
    for (const auto& c : cases) {
        for (const auto& type : {protobuf, plain_json}) {
            const auto answer = now.answers.refuse(post(type), c.why);
            CHECK(answer.status == c.status);
            CHECK(header(answer, "Content-Type") == type);
            CHECK(status_of(answer).first == c.code);
            CHECK((header(answer, "Retry-After") == "1") == (c.status == 503));
        }
        // Of a head that could not be read there may be nothing.
        CHECK(status_of(now.answers.refuse({}, c.why)).first == c.code);
    }
    CHECK(now.answers.statistics().refused == 12);
}

TEST_CASE("row 38: only a Host that is this machine's own is answered") {
    receiving now;
    const auto answers = [&](const std::string& host) {
        auto head = post(protobuf);
        head.headers[0].value = host;
        return !now.answers.begin(head);
    };
    for (const char* host : {"127.0.0.1", "127.0.0.1:43121", "127.0.0.1:1", "localhost", "LocalHost:43121", "[::1]",
                             "[::1]:80", "localhost:"}) {
        CAPTURE(std::string{host});
        CHECK(answers(host));
    }
    for (const char* host : {"",
                             ":80",
                             "evil.example",
                             "evil.example:43121",
                             "localhost.evil.example",
                             "127.0.0.1.evil.example",
                             "evil.example@127.0.0.1",
                             "127.0.0.1:80@evil.example",
                             "127.0.0.1:80:80",
                             "127.0.0.1 ",
                             "::1",
                             "[::1",
                             "[",
                             "[]",
                             "[::1]x",
                             "[::1]:x",
                             "[127.0.0.1]x",
                             "localhost:x",
                             "127.0.0.2",
                             "192.168.0.7",
                             "2130706433",
                             "localhost,evil.example"}) {
        CAPTURE(std::string{host});
        CHECK_FALSE(answers(host));
        auto head = post(protobuf);
        head.headers[0].value = host;
        const auto answer = now(head);
        CHECK(answer.status == 403);
        CHECK(status_of(answer).first == 7);
    }
    auto old = post(protobuf);  // a server refuses HTTP/1.1 without it
    old.headers.erase(old.headers.begin());
    CHECK_FALSE(now.answers.begin(old));
}

TEST_CASE("a server of another address is that address as well, one of all addresses is any address but no name") {
    using otlp::detail::is_own_host;
    CHECK(is_own_host("192.168.0.7:80", "192.168.0.7"));
    CHECK_FALSE(is_own_host("192.168.0.8:80", "192.168.0.7"));
    CHECK(is_own_host("[fe80::1]:80", "FE80::1"));
    CHECK_FALSE(is_own_host("[fe80::2]:80", "fe80::1"));
    CHECK_FALSE(is_own_host("fe80::1", "fe80::1"));
    for (const char* all : {"0.0.0.0", "::"}) {
        CHECK(is_own_host("192.168.0.8:80", all));
        CHECK(is_own_host("[fe80::2]:80", all));
        CHECK(is_own_host("localhost", all));
        CHECK_FALSE(is_own_host("evil.example", all));
        CHECK_FALSE(is_own_host("1.evil", all));
        CHECK_FALSE(is_own_host("", all));
    }
}

TEST_CASE("row 38: a page in a browser gets nothing in, and no answer names an origin") {
    receiving now;
    for (const char* origin : {"http://evil.example", "null", "http://127.0.0.1:43121"}) {
        auto head = post(plain_json);
        head.headers.push_back({"Origin", origin});
        const auto answer = now(head, otlp_writer::to_json(report("a", 1)));
        CHECK(answer.status == 403);
        CHECK(header(answer, "Access-Control-Allow-Origin") == "(none)");
        head.method = "OPTIONS";
        head.headers.push_back({"Access-Control-Request-Method", "POST"});
        const auto preflight = now(head);
        CHECK(preflight.status == 405);
        for (const auto& [name, value] : preflight.headers) CHECK_FALSE(name.starts_with("Access-Control"));
    }
    CHECK(now.rows.rows().empty());
}

TEST_CASE("row 31: a request for which memory runs out is answered 503 and does not count, wherever it runs out") {
    for (const auto& type : {protobuf, plain_json}) {
        const auto head = post(type);
        const auto request = report("a table with a name that is too long to be stored without memory", 1, 1);
        const auto body = type == protobuf ? otlp_writer::to_protobuf(request) : otlp_writer::to_json(request);
        http_response answer;
        int fails_at = 0;
        do {
            receiving now;
            REQUIRE(++fails_at < 10'000);
            {
                const failing_allocation failing{fails_at};
                answer = now(head, body);
            }
            const bool counts = now.rows.rows().size() == 1;
            REQUIRE(counts == (answer.status == 200));
            REQUIRE((answer.status == 200 || answer.status == 503));
        } while (failing_allocation::has_happened);
#ifndef CANDOR_TESTS_THREAD_SANITIZER
        CHECK(fails_at > 5);
#endif
        CHECK(answer.status == 200);
        CHECK_FALSE(answer.body.empty());
    }
}

TEST_CASE("refusing needs no memory either") {
    receiving now;
    const auto head = post(protobuf, "/");
    for (int fails_at = 1; fails_at < 10; ++fails_at) {
        std::optional<http_response> early;
        http_response refused;
        {
            const failing_allocation failing{fails_at};
            early = now.answers.begin(head);
        }
        CHECK((early->status == 404 || early->status == 503));
        {
            const failing_allocation failing{fails_at};
            refused = now.answers.refuse(head, body_error::too_large);
        }
        CHECK((refused.status == 413 || refused.status == 503));
    }
}

}  // namespace service_test
