#include <candor/rudderstack/client.hpp>

#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <candor/testing.hpp>
#include <nlohmann/json.hpp>

namespace client_test {

namespace {

using namespace std::chrono_literals;
using candor::admission;
using candor::configuration_error;
using nlohmann::json;
namespace rs = candor::rudderstack;

using client = rs::basic_client<candor::testing::recording_transport, candor::testing::manual_clock>;

struct bench {
    explicit bench(candor::delivery_options delivery = {})
        : analytics{{.write_key = "k", .data_plane_url = "http://plane", .delivery = std::move(delivery)},
                    transport,
                    clock} {}

    /// The messages of every request so far.
    std::vector<json> messages() const {
        std::vector<json> out;
        for (const auto& request : transport.requests()) {
            const json body = json::parse(request.body);
            for (const auto& message : body.at("batch")) out.push_back(message);
        }
        return out;
    }

    candor::testing::manual_clock clock;
    candor::testing::recording_transport transport;
    client analytics;
};

}  // namespace

TEST_CASE("the example of the README: a track is delivered") {
    bench b;
    b.analytics.enqueue(rs::track{.user_id = "u1", .event = "Download", .properties = {{"application", "desktop"}}});
    CHECK(b.analytics.flush(1s));
    REQUIRE(b.messages().size() == 1);
    CHECK(b.messages()[0]["properties"] == json{{"application", "desktop"}});
    CHECK(b.analytics.statistics().delivered == 1);
}

TEST_CASE("each of the six types is written as the Go client writes it") {
    bench b;
    const json traits{{"plan", "pro"}};
    const json context{{"ip", "0.0.0.0"}, {"library", {{"name", "forged"}}}};
    const candor::wall_time at = std::chrono::sys_days{std::chrono::May / 6 / 2026} + 7ms;
    b.analytics.enqueue(rs::track{.user_id = "u",
                                  .anonymous_id = "a",
                                  .event = "E",
                                  .properties = {{"n", 1}},
                                  .context = context,
                                  .integrations = {{"All", true}},
                                  .timestamp = at,
                                  .message_id = "m1"});
    b.analytics.enqueue(rs::identify{.user_id = "u", .traits = traits, .message_id = "m2"});
    b.analytics.enqueue(rs::page{.anonymous_id = "a", .name = "Home", .properties = {{"n", 2}}, .message_id = "m3"});
    b.analytics.enqueue(rs::screen{.user_id = "u", .name = "Main", .message_id = "m4"});
    b.analytics.enqueue(rs::group{.user_id = "u", .group_id = "g", .traits = traits, .message_id = "m5"});
    b.analytics.enqueue(rs::alias{.user_id = "new", .previous_id = "old", .message_id = "m6"});
    CHECK(b.analytics.flush(1s));
    const std::string times = R"("originalTimestamp":"2026-01-02T03:04:05Z","sentAt":"2026-01-02T03:04:05Z",)";
    const std::string library = R"("context":{"library":{"name":"candor","version":")" CANDOR_VERSION_STRING R"("})";
    const std::string end = R"(,"channel":"server"})";
    REQUIRE(b.transport.requests().size() == 1);
    CHECK(b.transport.requests()[0].body ==
          R"({"batch":[{"type":"track","messageId":"m1","anonymousId":"a","userId":"u","event":"E",)"
          R"("originalTimestamp":"2026-05-06T00:00:00.007Z","sentAt":"2026-01-02T03:04:05Z",)" +
              library + R"(,"ip":"0.0.0.0"},"properties":{"n":1},"integrations":{"All":true})" + end +
              R"(,{"type":"identify","messageId":"m2","userId":"u",)" + times + library +
              R"(},"traits":{"plan":"pro"})" + end +
              R"(,{"type":"page","messageId":"m3","anonymousId":"a","name":"Home",)" + times + library +
              R"(},"properties":{"n":2})" + end + R"(,{"type":"screen","messageId":"m4","userId":"u","name":"Main",)" +
              times + library + "}" + end + R"(,{"type":"group","messageId":"m5","userId":"u","groupId":"g",)" + times +
              library + R"(},"traits":{"plan":"pro"})" + end +
              R"(,{"type":"alias","messageId":"m6","userId":"new","previousId":"old",)" + times + library + "}" + end +
              "]}");
}

TEST_CASE("sentAt is of the attempt, the rest is of the call") {
    bench b;
    b.transport.respond(503);
    b.analytics.enqueue(rs::track{.user_id = "u", .event = "E"});
    CHECK(b.analytics.flush(1s));
    const auto sent = b.messages();
    REQUIRE(sent.size() == 2);
    CHECK(sent[0]["sentAt"] != sent[1]["sentAt"]);
    for (const char* same : {"messageId", "originalTimestamp", "event"}) CHECK(sent[0][same] == sent[1][same]);
    CHECK(candor::uuid::parse(sent[0]["messageId"].get<std::string>()));
}

TEST_CASE("a message without what its type needs is refused, and the others are not") {
    bench b;
    CHECK(b.analytics.enqueue(rs::track{.user_id = "u"}) == admission::invalid);
    CHECK(b.analytics.enqueue(rs::group{.user_id = "u"}) == admission::invalid);
    CHECK(b.analytics.enqueue(rs::alias{.user_id = "u"}) == admission::invalid);
    CHECK(b.analytics.enqueue(rs::alias{.anonymous_id = "a", .previous_id = "p"}) == admission::invalid);
    CHECK(b.analytics.enqueue(rs::identify{}) == admission::invalid);
    CHECK(b.analytics.enqueue(rs::page{.user_id = " "}) == admission::invalid);
    CHECK(b.analytics.enqueue(rs::screen{.user_id = "u", .anonymous_id = "\u200b"}) == admission::invalid);
    CHECK(b.analytics.enqueue(rs::track{.user_id = "u", .event = "E", .message_id = "\ufeff"}) == admission::invalid);
    CHECK(b.analytics.enqueue(rs::track{.user_id = "u", .event = "E", .properties = json::array({1})}) ==
          admission::invalid);
    CHECK(b.analytics.enqueue(rs::track{.user_id = "u", .event = "E", .context = 1}) == admission::invalid);
    CHECK(b.analytics.enqueue(rs::identify{.user_id = "u", .traits = "x"}) == admission::invalid);
    CHECK(b.analytics.enqueue(rs::track{.user_id = "u", .event = "E"}) == admission::accepted);
    CHECK(b.analytics.flush(1s));
    CHECK(b.messages().size() == 1);
    CHECK(b.analytics.statistics().refused[admission::invalid] == 11);
    CHECK(b.analytics.statistics().accepted == 1);
}

TEST_CASE("without an id a message has the client's own, one for its lifetime") {
    bench b, other;
    for (bench* each : {&b, &other}) {
        CHECK(each->analytics.enqueue(rs::track{.event = "E"}) == admission::accepted);
        CHECK(each->analytics.enqueue(rs::page{}) == admission::accepted);
        CHECK(each->analytics.enqueue(rs::screen{}) == admission::accepted);
        CHECK(each->analytics.enqueue(rs::group{.group_id = "g"}) == admission::accepted);
        CHECK(each->analytics.flush(1s));
    }
    const auto own = [](const bench& of) { return of.messages().at(0).at("anonymousId").get<std::string>(); };
    CHECK(candor::uuid::parse(own(b)));
    CHECK(own(b) != own(other));
    for (const auto& message : b.messages()) CHECK(message["anonymousId"] == own(b));
}

TEST_CASE("a message that would fit without its times alone is refused at once") {
    for (std::size_t size = 1; size < 1100; ++size) {
        bench b{{.message_bytes = 1000}};
        const bool is_accepted =
            b.analytics.enqueue(rs::track{.user_id = "u", .event = std::string(size, 'x')}) == admission::accepted;
        CHECK(b.analytics.flush(10s) == true);
        CHECK(b.analytics.statistics().delivered == (is_accepted ? 1 : 0));
        CHECK(b.analytics.statistics().dropped.total() == 0);
        if (size < 600) CHECK(is_accepted);
    }
}

TEST_CASE("row 17: a 10 MB property and 5,000 of them are refused, and nothing else is lost") {
    bench b;
    b.analytics.enqueue(rs::track{.user_id = "u", .event = "before"});
    CHECK(b.analytics.enqueue(
              rs::track{.user_id = "u", .event = "E", .properties = {{"big", std::string(10'000'000, 'x')}}}) ==
          admission::too_large);
    json many;
    for (int i = 0; i < 5000; ++i) many["k" + std::to_string(i)] = i;
    CHECK(b.analytics.enqueue(rs::track{.user_id = "u", .event = "E", .properties = many}) == admission::too_large);
    CHECK(b.analytics.flush(1s));
    CHECK(b.messages().size() == 1);
    CHECK(b.analytics.statistics().refused[admission::too_large] == 2);
}

TEST_CASE("row 18: properties that nest deeper than 64 are refused, and nothing else is lost") {
    bench b;
    b.analytics.enqueue(rs::track{.user_id = "u", .event = "before"});
    const auto nested = [](int levels) {
        json out = json::object();
        for (int i = 1; i < levels; ++i) out = json{{"k", std::move(out)}};
        return out;
    };
    CHECK(b.analytics.enqueue(rs::track{.user_id = "u", .event = "E", .properties = nested(65)}) ==
          admission::too_deep);
    CHECK(b.analytics.enqueue(rs::track{.user_id = "u", .event = "E", .properties = nested(100'000)}) ==
          admission::too_deep);
    CHECK(b.analytics.enqueue(rs::track{.user_id = "u", .event = "deep", .properties = nested(64)}) ==
          admission::accepted);
    CHECK(b.analytics.flush(1s));
    CHECK(b.messages().size() == 2);
}

TEST_CASE("a message may be as large as the limit says, and not a byte larger") {
    bench b{{.message_bytes = 1000}};
    std::string text;
    while (b.analytics.enqueue(rs::track{.user_id = "u", .event = "E", .properties = {{"t", text}}}) ==
           admission::accepted)
        text += 'x';
    b.analytics.flush(10s);
    std::size_t largest = 0;
    for (const auto& message : b.messages()) largest = std::max(largest, message.dump().size());
    CHECK(largest <= 1000);
    CHECK(largest >= 950);
}

TEST_CASE("what the program got wrong is thrown by the constructor") {
    candor::testing::manual_clock clock;
    candor::testing::recording_transport transport;
    const auto field_of = [&](const rs::client_options& options) -> std::string {
        try {
            client{options, transport, clock};
            return "";
        } catch (const configuration_error& error) {
            return error.field();
        }
    };
    CHECK(field_of({.write_key = "k", .data_plane_url = "http://plane"}) == "");
    CHECK(field_of({.data_plane_url = "http://plane"}) == "write_key");
    CHECK(field_of({.write_key = "k\r\nX: y", .data_plane_url = "http://plane"}) == "write_key");
    CHECK(field_of({.write_key = "k"}) == "data_plane_url");
    CHECK(field_of({.write_key = "k", .data_plane_url = "http://"}) == "data_plane_url");
    CHECK(field_of({.write_key = "k", .data_plane_url = "http://plane", .shutdown_timeout = -1ms}) ==
          "shutdown_timeout");
    CHECK(field_of({.write_key = "k", .data_plane_url = "http://plane", .delivery = {.batch_messages = 0}}) ==
          "delivery.batch_messages");
}

TEST_CASE("a transport may refuse a URL when the client is made") {
    struct choosy_transport : candor::testing::recording_transport {
        void check(const candor::url& where) const {
            if (where.scheme == "https") throw configuration_error{"data_plane_url", where.origin(), "http"};
        }
    };
    candor::testing::manual_clock clock;
    choosy_transport transport;
    using choosy = rs::basic_client<choosy_transport, candor::testing::manual_clock>;
    CHECK_THROWS_AS((choosy{{.write_key = "k", .data_plane_url = "https://plane"}, transport, clock}),
                    configuration_error);
    CHECK_NOTHROW((choosy{{.write_key = "k", .data_plane_url = "http://plane"}, transport, clock}));
}

TEST_CASE("a client makes its own policies where it is given none") {
    rs::basic_client<candor::null_transport, candor::system_clock> analytics{
        {.write_key = "k", .data_plane_url = "http://plane"}};
    CHECK(analytics.enqueue(rs::track{.user_id = "u", .event = "E"}) == admission::accepted);
    CHECK(analytics.flush(10s));
    analytics.shutdown();
    CHECK(analytics.enqueue(rs::track{.user_id = "u", .event = "E"}) == admission::closed);
    CHECK(analytics.statistics().delivered == 1);
}

}  // namespace client_test
