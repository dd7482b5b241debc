#include <candor/candor.hpp>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <candor/presets/cloudquery.hpp>

#include "examples/data_plane.hpp"
#include "support/exchange.hpp"
#include "support/socket_server.hpp"
#include "support/temporary_directory.hpp"

namespace candor_test {

// The whole library over real sockets, in real time.
namespace {

using namespace std::chrono_literals;
using candor::admission;
using candor::drop_reason;
using candor::examples::data_plane;
using candor::testing::closed_port;
using candor::testing::hanging_resolver;
using candor::testing::slack;
using candor::testing::socket_server;
using candor::testing::stopwatch;
using nlohmann::json;
namespace rs = candor::rudderstack;

constexpr auto key = "write-key";

/// With deadlines of requests that are far off: what ends in time does so for another reason.
rs::client_options to(const std::string& url) {
    return {.write_key = key, .data_plane_url = url, .delivery = {.connect_timeout = 1min, .request_timeout = 1min}};
}

rs::track download(int i = 0) {
    return {.user_id = "u" + std::to_string(i), .event = "Download", .properties = {{"n", i}}};
}

/// How long destruction takes with a message on its way to `url`, and what became of the message.
struct ended {
    std::chrono::milliseconds time;
    candor::statistics counts;
};

template <class Client>
ended shut_down(Client& client) {
    client.enqueue(download());
    const stopwatch since;
    client.shutdown();
    return {since.elapsed(), client.statistics()};
}

struct event_with_note {
    static constexpr std::string_view event_name = "noted";
    std::string note{};
    int number = 0;
    static constexpr auto fields() {
        return std::tuple{candor::free_text("note", &event_with_note::note, "Anything"),
                          candor::field("number", &event_with_note::number, "A number")};
    }
};

candor::telemetry_options program(const std::string& url) {
    // Not in the home directory of whoever runs this.
    static const temporary_directory home;
    static int programs = 0;
    candor::telemetry_options out{.product = {.name = "acme", .version = "1.4.0", .env_prefix = "CANDOR_TEST_UNSET"},
                                  .level = candor::level::all,
                                  .write_key = key,
                                  .data_plane_url = url,
                                  .account = [] {
                                      return std::optional<candor::account>{{"u1", "t1"}};
                                  }};
    out.delivery.spool.directory = home.path() / std::to_string(++programs);
    return out;
}

}  // namespace

TEST_CASE("a program's events arrive at a data plane") {
    data_plane server;
    {
        candor::telemetry telemetry{program(server.url())};
        CHECK(telemetry.track(candor::sync_started{.sync_name = "s"}) == admission::accepted);
        CHECK(telemetry.track(event_with_note{"\xff\n", 7}) == admission::accepted);
    }
    const auto got = server.messages();
    REQUIRE(got.size() == 2);
    CHECK(got[0]["event"] == "sync_run_started");
    CHECK(got[0]["userId"] == "u1");
    CHECK(got[1]["properties"]["note"] == "\xef\xbf\xbd\n");
    CHECK(got[1]["properties"]["number"] == 7);
    CHECK(got[1]["properties"]["team"] == "t1");
}

TEST_CASE("each of the six types passes a gateway's rules") {
    data_plane server;
    rs::client client{to(server.url())};
    client.enqueue(rs::track{.user_id = "u", .event = "E"});
    client.enqueue(rs::identify{.user_id = "u"});
    client.enqueue(rs::page{.anonymous_id = "a"});
    client.enqueue(rs::screen{.user_id = "u"});
    client.enqueue(rs::group{.user_id = "u", .group_id = "g"});
    client.enqueue(rs::alias{.user_id = "u", .previous_id = "p"});
    CHECK(client.flush(10s));
    CHECK(server.messages().size() == 6);
    const auto requests = server.requests();
    REQUIRE(requests.size() == 1);
    CHECK(requests[0].header("RS-userAgent") == "serverSDK");
    CHECK(requests[0].header("Content-Type") == "application/json");
#ifdef CPPHTTPLIB_ZLIB_SUPPORT
    CHECK(requests[0].header("Content-Encoding") == "gzip");
#endif
}

TEST_CASE("without compression the body goes as it is") {
    data_plane server;
    auto options = to(server.url());
    options.delivery.compress = false;
    rs::client client{options};
    client.enqueue(download());
    CHECK(client.flush(10s));
    CHECK(server.requests().at(0).header("Content-Encoding") == "");
}

TEST_CASE("row 6: of a batch that is answered 400 the culprits are found and dropped, and the rest arrives once") {
    std::mutex mutex;
    std::multiset<int> taken;
    socket_server server{[&](socket_server::peer& peer) {
        while (const auto request = peer.read_request()) {
            const bool is_good = request->find("\"culprit\"") == std::string::npos;
            if (is_good) {
                const std::lock_guard guard{mutex};
                const auto body = json::parse(request->substr(request->find("\r\n\r\n") + 4));
                for (const auto& message : body["batch"]) taken.insert(message["properties"]["n"].get<int>());
            }
            if (!peer.write(is_good ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                                    : "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
                return;
        }
    }};
    auto options = to(server.url(""));
    options.delivery.compress = false;
    rs::client client{options};
    std::multiset<int> expected;
    for (int i = 0; i < 40; ++i) {
        auto message = download(i);
        if (i == 0 || i == 23) {
            message.event = "culprit";
        } else {
            expected.insert(i);
        }
        client.enqueue(message);
    }
    CHECK_FALSE(client.flush(10s));
    CHECK(client.statistics().delivered == 38);
    CHECK(client.statistics().dropped[drop_reason::rejected] == 2);
    const std::lock_guard guard{mutex};
    CHECK(taken == expected);
}

TEST_CASE("row 8: a batch over the server's limit is split until it fits; a message over it alone is dropped") {
    data_plane server{{.max_request_bytes = 2000}};
    auto options = to(server.url());
    rs::client client{options};
    for (int i = 0; i < 20; ++i) client.enqueue(download(i));
    client.enqueue(rs::track{.user_id = "u", .event = "E", .properties = {{"t", std::string(3000, 'x')}}});
    CHECK_FALSE(client.flush(10s));
    CHECK(client.statistics().delivered == 20);
    CHECK(client.statistics().dropped[drop_reason::too_large] == 1);
    CHECK(server.messages().size() == 20);
}

TEST_CASE("row 7: 401, 403 and 404 drop the batch, pause the destination and are said once") {
    for (const int status : {401, 403, 404}) {
        CAPTURE(status);
        data_plane server;
        std::atomic<int> said{0};
        auto options = to(server.url());
        options.diagnostics = [&](std::string_view) { ++said; };
        rs::client client{options};
        if (status == 404) {
            server.rules().disable_source();
        } else {
            server.answer_next(status);
        }
        client.enqueue(download());
        CHECK_FALSE(client.flush(10s));
        client.enqueue(download());
        CHECK_FALSE(client.flush(1s));
        CHECK(server.requests().size() == 1);
        CHECK(client.statistics().dropped[drop_reason::unauthorized] == 1);
        CHECK(client.statistics().pending == 1);
        CHECK(said == 1);
    }
}

TEST_CASE("row 10: on 429 and 5xx the same messages go again, with the same ids") {
    for (const int status : {429, 500, 502, 503, 504}) {
        CAPTURE(status);
        data_plane server;
        rs::client client{to(server.url())};
        server.answer_next(status);
        client.enqueue(download());
        CHECK(client.flush(10s));
        CHECK(server.requests().size() == 2);
        CHECK(server.messages().size() == 1);
    }
}

TEST_CASE("row 9: after 429 the messages wait as long as the server says, and then arrive") {
    data_plane server;
    rs::client client{to(server.url())};
    server.answer_next(429, {{"Retry-After", "1"}});
    client.enqueue(download());
    const stopwatch since;
    CHECK(client.flush(20s));
    CHECK(since.elapsed() >= 990ms);
    CHECK(server.requests().size() == 2);
    CHECK(server.messages().size() == 1);
}

TEST_CASE("row 9: where the server says longer than there is time, flush and shutdown do not wait in vain") {
    data_plane server;
    rs::client client{to(server.url())};
    server.answer_next(429, {{"Retry-After", "3600"}});
    client.enqueue(download());
    const stopwatch since;
    CHECK_FALSE(client.flush(60s));
    CHECK_MESSAGE(since.elapsed() < slack, "flush knows that it would be in vain");
    client.shutdown();
    CHECK(since.elapsed() < 1s + slack);
    CHECK(server.requests().size() == 1);
}

TEST_CASE("row 11: a redirect is not followed, and the key goes nowhere else") {
    data_plane elsewhere, server;
    rs::client client{to(server.url())};
    server.answer_next(302, {{"Location", elsewhere.url() + "/v1/batch"}});
    client.enqueue(download());
    CHECK(client.flush(10s));
    CHECK(server.requests().size() == 2);
    CHECK(elsewhere.requests().empty());
}

TEST_CASE("row 4: after a reset in the head of an answer the same messages go again, with the same ids") {
    socket_server server{[](socket_server::peer& peer) {
        if (!peer.read_request()) return;
        if (peer.number() == 1) {
            peer.write("HTTP/1.1 200 OK\r\nContent-Le");
            return peer.reset();
        }
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK");
        peer.hold();
    }};
    auto options = to(server.url(""));
    options.delivery.compress = false;
    rs::client client{options};
    client.enqueue(download());
    CHECK(client.flush(10s));
    const auto requests = server.requests();
    REQUIRE(requests.size() == 2);
    const auto message = [](const std::string& request) {
        return json::parse(request.substr(request.find("\r\n\r\n") + 4))["batch"][0];
    };
    CHECK(message(requests[0])["messageId"] == message(requests[1])["messageId"]);
    CHECK(message(requests[0])["originalTimestamp"] == message(requests[1])["originalTimestamp"]);
}

TEST_CASE("row 2: shutdown ends at once where nothing listens") {
    const closed_port port;
    auto options = to(port.url(""));
    options.shutdown_timeout = 1min;
    rs::client client{options};
    const auto [time, counts] = shut_down(client);
    CHECK(time < slack);
    CHECK(counts.dropped[drop_reason::shutdown] == 1);
}

TEST_CASE("row 3: shutdown ends in time when the server accepts and never answers") {
    socket_server server{[](socket_server::peer& peer) { peer.hold(); }};
    auto options = to(server.url(""));
    options.shutdown_timeout = 500ms;
    rs::client client{options};
    const auto [time, counts] = shut_down(client);
    CHECK(time >= 300ms);
    CHECK(time < 500ms + slack);
    CHECK(counts.dropped[drop_reason::shutdown] == 1);
}

TEST_CASE("row 3: shutdown ends in time when nothing accepts") {
    const candor::testing::full_backlog server;
    auto options = to(server.url(""));
    options.shutdown_timeout = 300ms;
    rs::client client{options};
    CHECK(shut_down(client).time < 300ms + slack);
}

TEST_CASE("row 3: shutdown ends in time when the answer comes a byte at a time") {
    socket_server server{[](socket_server::peer& peer) {
        if (!peer.read_request()) return;
        while (peer.write("H") && peer.pause(10ms)) {
        }
    }};
    auto options = to(server.url(""));
    options.shutdown_timeout = 300ms;
    rs::client client{options};
    CHECK(shut_down(client).time < 300ms + slack);
}

TEST_CASE("row 1: shutdown ends in time when a name never resolves") {
    using transport = candor::basic_httplib_transport<hanging_resolver>;
    hanging_resolver resolver;
    {
        transport hangs{resolver};
        candor::system_clock clock;
        auto options = to("http://never.example");
        options.shutdown_timeout = 300ms;
        rs::basic_client<transport, candor::system_clock> client{options, hangs, clock};
        CHECK(shut_down(client).time < 300ms + slack);
        CHECK(client.statistics().dropped[drop_reason::shutdown] == 1);
    }
    CHECK(resolver.calls() == 1);
    resolver.release();
}

TEST_CASE("8 threads track at once: nothing is lost, nothing doubled") {
    constexpr int threads = 8, each = 500;
    data_plane server;
    {
        auto options = program(server.url());
        options.shutdown_timeout = 20s;
        candor::telemetry telemetry{options};
        std::vector<std::thread> producers;
        for (int t = 0; t < threads; ++t) {
            producers.emplace_back([&, t] {
                for (int i = 0; i < each; ++i) {
                    while (telemetry.track(event_with_note{"x", t * each + i}) == admission::full)
                        std::this_thread::yield();
                }
            });
        }
        for (auto& producer : producers) producer.join();
        CHECK(telemetry.flush(20s));
        const auto counts = telemetry.statistics();
        CHECK(counts.delivered == threads * each);
        CHECK(counts.accepted == counts.delivered + counts.pending + counts.spooled + counts.dropped.total());
    }
    std::set<int> numbers;
    std::set<std::string> ids;
    for (const auto& message : server.messages()) {
        numbers.insert(message["properties"]["number"].get<int>());
        ids.insert(message["messageId"].get<std::string>());
    }
    CHECK(server.messages().size() == threads * each);
    CHECK(numbers.size() == threads * each);
    CHECK(ids.size() == threads * each);
}

#ifndef CPPHTTPLIB_OPENSSL_SUPPORT
TEST_CASE("https without TLS compiled in is refused at construction, with how to get it") {
    try {
        rs::client client{to("https://plane")};
        FAIL("accepted");
    } catch (const candor::configuration_error& error) {
        CHECK(std::string{error.what()}.find("CPPHTTPLIB_OPENSSL_SUPPORT") != std::string::npos);
    }
}
#endif

TEST_CASE("construction sends nothing and starts nothing") {
    socket_server server{[](socket_server::peer&) {}};
    {
        candor::telemetry telemetry{program(server.url(""))};
        CHECK(telemetry.sends_events());
    }
    CHECK(server.connections() == 0);
}

}  // namespace candor_test
