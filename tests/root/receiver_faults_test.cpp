#include <candor/candor.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <support/exchange.hpp>
#include <support/otlp_writer.hpp>
#include <support/raw_client.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

// What clients can do to a receiver, over real sockets.
namespace receiver_faults_test {

namespace {

using namespace std::chrono_literals;
using candor::otlp::receiver;
using candor::testing::post_request;
using candor::testing::raw_client;
using nlohmann::json;

const std::string protobuf = "Content-Type: application/x-protobuf\r\n";
const std::string plain_json = "Content-Type: application/json\r\n";

std::uint16_t port_of(const receiver& of) {
    return static_cast<std::uint16_t>(std::stoi(of.endpoint().substr(of.endpoint().find(':') + 1)));
}

/// What a connection of its own is answered.
candor::http_response answer_to(const receiver& with, const std::string& request) {
    return raw_client{port_of(with)}.exchange(request);
}

candor::http_response post(const receiver& to, const std::string& body, const std::string& lines) {
    return answer_to(to, post_request("/v1/metrics", body, lines));
}

otlp_writer::request report(const std::vector<std::string>& tables) {
    otlp_writer::metric resources{.name = "sync.table.resources"};
    for (const auto& table : tables)
        resources.points.push_back(
            {.attributes = {{"sync.table.name", table}}, .start = 1, .time = 2, .value = std::int64_t{3}});
    return {.resources = {{.scopes = {{.metrics = {resources}}}}}};
}

bool works(const receiver& one) {
    const auto before = one.statistics().requests.accepted;
    const auto answer = post(one, otlp_writer::to_protobuf(report({"users"})), protobuf);
    return answer.status == 200 && one.statistics().requests.accepted == before + 1;
}

}  // namespace

TEST_CASE("row 18: OTLP that nests 100,000 deep is answered 400, in either encoding, and the receiver goes on") {
    receiver now{{}};
    const std::string lists = std::string(100'000, '[') + std::string(100'000, ']');
    std::string objects, value, groups(100'000, '\x13');  // of a field that nobody knows
    for (int i = 0; i < 100'000; ++i) objects += R"({"a":)";
    objects += "1" + std::string(100'000, '}');
    groups += std::string(100'000, '\x14');
    for (int i = 0; i < 5'000; ++i)
        value = otlp_writer::message{}.bytes(5, otlp_writer::message{}.bytes(1, value).str()).str();
    for (int i = 0; i < 3; ++i) value = otlp_writer::message{}.bytes(i == 0 ? 2 : 1, value).str();
    const auto nested = otlp_writer::message{}.bytes(1, value).str();  // of a resource's attribute
    for (const auto& body :
         {R"({"unknown":)" + lists + "}", objects, R"({"resourceMetrics":[{"resource":)" + objects + "}]}"})
        CHECK(post(now, body, plain_json).status == 400);
    for (const auto& body : {groups, nested}) CHECK(post(now, body, protobuf).status == 400);
    CHECK(works(now));
}

TEST_CASE("row 34: OTLP that is garbage is answered 400 with a Status that quotes none of it, and changes nothing") {
    receiver now{{}};
    const std::string secret = "s3cret-name";
    auto broken = otlp_writer::to_protobuf(report({secret}));
    broken.pop_back();
    auto cut = otlp_writer::to_json(report({secret}));
    cut.pop_back();
    for (const auto& body : {broken, "\xff" + secret, secret}) {
        const auto answer = post(now, body, protobuf);
        CHECK(answer.status == 400);
        REQUIRE(answer.header("Content-Type") != nullptr);
        CHECK(*answer.header("Content-Type") == "application/x-protobuf");
        CHECK(answer.body.starts_with("\x08\x03\x12"));  // Status{code = 1: 3, message = 2}
        CHECK(answer.body.find(secret) == answer.body.npos);
    }
    for (const auto& body : {cut, R"({"resourceMetrics":")" + secret + "\"}", "\xff" + secret, secret}) {
        const auto answer = post(now, body, plain_json);
        CHECK(answer.status == 400);
        const auto status = json::parse(answer.body, nullptr, false);
        REQUIRE(status.is_object());
        CHECK(status["code"] == 3);
        CHECK_FALSE(status["message"].get<std::string>().empty());
        CHECK(answer.body.find(secret) == answer.body.npos);
    }
    CHECK(now.table().rows().empty());
    CHECK(now.statistics().requests.refused == 7);
    CHECK(works(now));
}

TEST_CASE("row 38: a page in a browser gets nothing into a receiver, whatever it calls it, and only loopback listens") {
    receiver now{{}};
    const auto body = otlp_writer::to_json(report({"users"}));
    const auto head = [&](const char* method, const std::string& host, const std::string& lines) {
        return std::string{method} + " /v1/metrics HTTP/1.1\r\nHost: " + host + "\r\n" + lines;
    };
    const std::string rest = plain_json + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    const auto no_origin_is_named = [](const candor::http_response& answer) {
        return std::none_of(answer.headers.begin(), answer.headers.end(), [](const candor::http_header& header) {
            return header.name.starts_with("Access-Control-");
        });
    };
    for (const char* host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.2"}) {
        CAPTURE(std::string{host});
        const auto answer = answer_to(now, head("POST", host, rest));
        CHECK(answer.status == 403);
        CHECK(no_origin_is_named(answer));
    }
    for (const char* origin : {"http://evil.example", "null", "http://localhost"}) {
        CAPTURE(std::string{origin});
        const std::string line = "Origin: " + std::string{origin} + "\r\n";
        const auto answer = answer_to(now, head("POST", "localhost", line + rest));
        CHECK(answer.status == 403);
        CHECK(no_origin_is_named(answer));
        const auto preflight =
            answer_to(now, head("OPTIONS", "localhost", line + "Access-Control-Request-Method: POST\r\n\r\n"));
        CHECK(preflight.status == 405);
        CHECK(no_origin_is_named(preflight));
    }
    CHECK(now.table().rows().empty());
    const candor::testing::detail::descriptor stranger{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    auto address = candor::testing::detail::loopback(port_of(now));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    CHECK(::connect(stranger.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0);
    CHECK(works(now));
}

TEST_CASE(
    "row 39: of table names without an end so many count as are allowed, and the sender is told how many do not") {
    receiver now{{.table = {.max_rows = 100}}};
    std::uint64_t rejected = 0;
    for (int request = 0; request < 10; ++request) {
        std::vector<std::string> names;
        for (int i = 0; i < 200; ++i) names.push_back("table " + std::to_string(request * 200 + i));
        const auto answer = post(now, otlp_writer::to_json(report(names)), plain_json);
        CHECK(answer.status == 200);
        const auto partial = json::parse(answer.body)["partialSuccess"];
        CHECK(partial["errorMessage"].get<std::string>().find("max_rows") != std::string::npos);
        rejected += std::stoul(partial["rejectedDataPoints"].get<std::string>());
    }
    CHECK(rejected == 1'900);
    CHECK(now.table().rows().size() == 100);
    CHECK(now.statistics().rejected_points.total() == 1'900);
    const auto known = post(now, otlp_writer::to_json(report({"table 0"})), plain_json);
    CHECK(known.body == "{}");
}

TEST_CASE("row 40: escapes and newlines in a reported name are made visible in the metrics file") {
    const temporary_directory directory;
    const auto path = directory.path() / "metrics.txt";
    {
        receiver now{{.metrics_file = path}};
        const std::vector<std::string> names{"\x1b[2J\x1b]0;title\x07", "a\nb\r\nc", std::string{"nul\0in", 6},
                                             "\xc2\x9b"
                                             "31m",
                                             "\xe2\x80\xaegnp.exe"};
        CHECK(post(now, otlp_writer::to_json(report(names)), plain_json).status == 200);
        CHECK(now.table().rows().size() == 5);
    }
    std::ifstream file{path, std::ios::binary};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    CHECK(text.find("[2J") != text.npos);
    CHECK(std::count(text.begin(), text.end(), '\n') == 6);  // the head and five rows
    CHECK(
        std::none_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < 0x20 && c != '\n') || c == 0x7f; }));
    for (const char* hidden : {"\xc2\x9b", "\xe2\x80\xae"}) CHECK(text.find(hidden) == text.npos);
}

TEST_CASE("row 62: requests of exporters that are odd and valid are taken in") {
    receiver now{{}};
    const auto body = otlp_writer::to_protobuf(report({"users"}));
    const auto length = "Content-Length: " + std::to_string(body.size()) + "\r\n";
    const auto host = "Host: " + now.endpoint() + "\r\n";
    const auto plain = host + protobuf + length;
    const auto in_chunks = [&] {
        std::string out;
        for (const char c : body) out += "1;x=y\r\n" + std::string{c} + "\r\n";
        return out + "0\r\nX-Checksum: 1\r\n\r\n";
    }();
    const std::vector<std::string> requests{
        "POST //v1/metrics HTTP/1.1\r\n" + plain + "\r\n" + body,
        "POST /v1/metrics/ HTTP/1.1\r\n" + plain + "\r\n" + body,
        "POST /v1/metrics?a=b HTTP/1.1\r\n" + plain + "\r\n" + body,
        "POST http://" + now.endpoint() + "/v1/metrics HTTP/1.1\r\n" + plain + "\r\n" + body,
        "POST /v1/metrics HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n" +
            plain + "\r\n" + body,
        "POST /v1/metrics HTTP/1.1\r\n" + host + protobuf + "Transfer-Encoding: chunked\r\n\r\n" + in_chunks,
        "\r\nPOST /v1/metrics HTTP/1.1\r\nUser-Agent: " + std::string(10'000, 'u') + "\r\n" + plain + "\r\n" + body,
    };
    raw_client worker{port_of(now)};
    for (const auto& request : requests) {
        CAPTURE(request.substr(0, 60));
        CHECK(worker.exchange(request).status == 200);
    }
    REQUIRE(worker.send("POST /v1/metrics HTTP/1.1\r\nExpect: 100-continue\r\n" + plain + "\r\n"));
    CHECK(worker.read_answer().status == 100);
    CHECK(worker.exchange(body).status == 200);
    CHECK(answer_to(now, "POST /v1/metrics HTTP/1.0\r\n" + plain + "\r\n" + body).status == 200);
    CHECK(now.statistics().requests.accepted == requests.size() + 2);

    const auto foreign = answer_to(now, "POST http://evil.example/v1/metrics HTTP/1.1\r\n" + plain + "\r\n" + body);
    CHECK(foreign.status == 403);  // that is its host, whatever the field says
}

}  // namespace receiver_faults_test
