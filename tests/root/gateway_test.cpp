// A client against the rules of a real gateway, over real sockets: what it is told, and what has arrived.
#include <candor/candor.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <examples/data_plane.hpp>
#include <support/becomes_true.hpp>
#include <support/hang_up.hpp>

#include <doctest/doctest.h>

namespace gateway_test {

namespace {

using namespace std::chrono_literals;
using candor::admission;
using candor::examples::data_plane;
using nlohmann::json;
namespace rs = candor::rudderstack;

rs::client_options to(const data_plane& plane) { return {.write_key = "write-key", .data_plane_url = plane.url()}; }

rs::track numbered(int number) {
    return {.user_id = "u" + std::to_string(number % 7), .event = "E", .properties = {{"n", number}}};
}

/// How often each number has arrived.
std::multiset<int> numbers(const data_plane& plane) {
    std::multiset<int> out;
    for (const auto& message : plane.messages()) out.insert(message["properties"]["n"].get<int>());
    return out;
}

std::multiset<int> up_to(int count) {
    std::multiset<int> out;
    for (int i = 0; i < count; ++i) out.insert(i);
    return out;
}

/// The ids of what has arrived, each as often as it did.
std::multiset<std::string> ids(const data_plane& plane) {
    std::multiset<std::string> out;
    for (const auto& message : plane.messages()) out.insert(message["messageId"].get<std::string>());
    return out;
}

std::ptrdiff_t answers(const data_plane& plane, int status) {
    const auto requests = plane.requests();
    return std::count_if(requests.begin(), requests.end(), [&](const auto& one) { return one.status == status; });
}

bool adds_up(const candor::statistics& s) {
    return s.accepted == s.delivered + s.pending + s.spooled + s.dropped.total();
}

std::string utf8(char32_t c) {
    const auto tail = [c](int shift) { return static_cast<char>(0x80 | (c >> shift & 0x3f)); };
    if (c < 0x80) return {static_cast<char>(c)};
    if (c < 0x800) return {static_cast<char>(0xc0 | c >> 6), tail(0)};
    return {static_cast<char>(0xe0 | c >> 12), tail(6), tail(0)};
}

}  // namespace

TEST_CASE("no id that the client takes is blank to the gateway, whatever character it consists of") {
    data_plane plane;
    auto options = to(plane);
    options.delivery.queue_messages = 100'000;
    options.delivery.queue_bytes = std::size_t{1} << 30;
    std::size_t invalid = 0;
    {
        rs::client client{options};
        for (char32_t c = 0; c <= 0xffff; ++c) {
            if (c >= 0xd800 && c <= 0xdfff) continue;
            const auto answer = client.enqueue(rs::track{.user_id = utf8(c), .event = "E"});
            if (answer == admission::invalid) ++invalid;
        }
        CHECK(client.flush(30s));
        CHECK(client.statistics().refused.total() == invalid);
        CHECK(client.statistics().dropped.total() == 0);
    }
    CHECK(invalid > 60);
    CHECK(answers(plane, 400) == 0);
    CHECK(plane.messages().size() + invalid == 0x10000 - 0x800);
}

TEST_CASE("integers arrive as a float64 holds them, and a number that JSON has no form for as null") {
    data_plane plane;
    rs::client client{to(plane)};
    const json sent{{"exact", 9007199254740991}, {"rounded", 9007199254740993}, {"none", std::strtod("inf", nullptr)}};
    client.enqueue(rs::track{.user_id = "u", .event = "E", .properties = sent});
    CHECK(client.flush(10s));
    const json stored{{"exact", 9007199254740991}, {"rounded", 9007199254740992.0}, {"none", nullptr}};
    CHECK(plane.messages().at(0)["properties"] == stored);
}

TEST_CASE("a flush that finds nothing sends no empty batch") {
    data_plane plane;
    rs::client client{to(plane)};
    CHECK(client.flush(10s));
    client.enqueue(numbered(0));
    CHECK(client.flush(10s));
    CHECK(client.flush(10s));
    CHECK(plane.requests().size() == 1);
}

TEST_CASE("a disabled source and a wrong path are told apart") {
    for (const bool is_disabled : {false, true}) {
        CAPTURE(is_disabled);
        data_plane plane;
        plane.rules().disable_source(is_disabled);
        std::string said;
        auto options = to(plane);
        if (!is_disabled) options.data_plane_url += "/elsewhere";
        options.diagnostics = [&](std::string_view text) { said += text; };
        {
            rs::client client{options};
            client.enqueue(numbered(0));
            CHECK_FALSE(client.flush(10s));
        }
        CAPTURE(said);
        CHECK((said.find("the source is disabled") != said.npos) == is_disabled);
        CHECK((said.find("the data plane is not at this URL") != said.npos) == !is_disabled);
        CHECK(plane.messages().empty());
    }
}

TEST_CASE("row 8: the gateway measures what it has unpacked, and all of a batch that was too large arrives, once") {
    data_plane plane{{.max_request_bytes = 60'000}};
    rs::client client{to(plane)};
    constexpr int messages = 48;
    for (int i = 0; i < messages; ++i) {
        auto message = numbered(i);
        message.properties["text"] = std::string(9'000, 'x');
        CHECK(client.enqueue(message) == admission::accepted);
    }
    CHECK(client.flush(20s));
    CHECK(numbers(plane) == up_to(messages));
    CHECK(answers(plane, 413) > 0);
    CHECK(client.statistics().delivered == messages);
}

TEST_CASE("row 10: while the database is gone nothing is lost, and it arrives once it is back, under its ids") {
    data_plane plane;
    plane.rules().lose_database();
    std::multiset<std::string> tried;
    auto options = to(plane);
    options.delivery.on_attempt = [&](const candor::http_request& request, const candor::http_response& answer) {
        if (answer.status != 500) return;
        plane.rules().lose_database(false);
        const json body = json::parse(request.body);
        for (const auto& message : body["batch"]) tried.insert(message["messageId"].get<std::string>());
    };
    rs::client client{options};
    for (int i = 0; i < 20; ++i) client.enqueue(numbered(i));
    CHECK(client.flush(20s));
    CHECK(answers(plane, 500) == 1);
    CHECK(numbers(plane) == up_to(20));
    CHECK(ids(plane) == tried);
    CHECK(adds_up(client.statistics()));
}

TEST_CASE("a connection that is closed without an answer is no delivery, and the same ids come again") {
    std::atomic<int> arrivals{0};
    data_plane plane{{.on_arrival = [&](int client) {
        if (++arrivals > 2) return true;
        candor::testing::hang_up(client);
        return false;
    }}};
    rs::client client{to(plane)};
    for (int i = 0; i < 20; ++i) client.enqueue(numbered(i));
    CHECK(client.flush(20s));
    CHECK(arrivals == 3);
    CHECK(numbers(plane) == up_to(20));
    CHECK(client.statistics().delivered == 20);
}

TEST_CASE("an answer that is lost after the batch was taken makes the same ids arrive twice, and no others") {
    std::atomic<int> arrivals{0};
    data_plane plane{{.on_arrival = [&](int client) {
        if (++arrivals == 1) candor::testing::hang_up(client);
        return true;
    }}};
    rs::client client{to(plane)};
    for (int i = 0; i < 20; ++i) client.enqueue(numbered(i));
    CHECK(client.flush(20s));
    CHECK(client.statistics().delivered == 20);
    const auto all = ids(plane);
    CHECK(all.size() == 40);
    for (const auto& id : all) CHECK(all.count(id) == 2);
}

#ifdef CPPHTTPLIB_ZLIB_SUPPORT

TEST_CASE("row 44: a gateway that does not unpack gets the same ids as they are, once") {
    data_plane plane;
    plane.answer_next(400);
    rs::client client{to(plane)};
    for (int i = 0; i < 20; ++i) client.enqueue(numbered(i));
    CHECK(client.flush(20s));
    for (int i = 20; i < 30; ++i) client.enqueue(numbered(i));
    CHECK(client.flush(20s));
    std::vector<std::string> encodings;
    for (const auto& request : plane.requests()) encodings.push_back(request.header("Content-Encoding"));
    CHECK(encodings == std::vector<std::string>{"gzip", "", ""});
    CHECK(numbers(plane) == up_to(30));
}

#endif

TEST_CASE("row 54: a limit by events is passed by smaller batches, and all of it arrives, once") {
    data_plane plane;
    plane.rules().limit_rate(100, 300ms);
    auto options = to(plane);
    rs::client client{options};
    constexpr int messages = 500;
    for (int i = 0; i < messages; ++i) client.enqueue(numbered(i));
    CHECK(becomes_true([&] { return client.flush(1s) || client.statistics().delivered == messages; }));
    CHECK(numbers(plane) == up_to(messages));
    CHECK(answers(plane, 429) > 0);
    const auto counts = client.statistics();
    CHECK(counts.delivered == messages);
    CHECK(counts.dropped.total() == 0);
}

TEST_CASE("a cluster whose nodes have changed tells their number, and every message reaches its node") {
    data_plane plane;
    plane.rules().set_node_count(3);
    rs::client client{to(plane)};
    for (int i = 0; i < 21; ++i) client.enqueue(numbered(i));
    CHECK(client.flush(30s));
    CHECK(numbers(plane) == up_to(21));
    CHECK(answers(plane, 451) == 1);
    std::multiset<std::string> nodes;
    for (const auto& request : plane.requests())
        if (request.path == "/v1/batch" && request.status == 200) nodes.insert(request.header("RS-targetNode"));
    CHECK(nodes.size() == 3);
    CHECK(std::set<std::string>(nodes.begin(), nodes.end()).size() == nodes.size());
}

}  // namespace gateway_test
