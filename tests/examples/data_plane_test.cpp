#include "data_plane.hpp"

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

namespace data_plane_test {

namespace {

using candor::examples::data_plane;
using nlohmann::json;

const std::string good = R"({"batch":[{"type":"track","userId":"user-1","event":"a"},)"
                         R"({"type":"identify","anonymousId":"x"}]})";

/// A client with the right key.
httplib::Client client_for(const data_plane& plane, const char* key = "write-key") {
    httplib::Client client{"127.0.0.1", plane.port()};
    client.set_basic_auth(key, "");
    client.set_tcp_nodelay(true);
    return client;
}

struct reply {
    int status = 0;
    std::string body{};
};

reply post(httplib::Client& client, const std::string& body, const char* path = "/v1/batch",
           const httplib::Headers& headers = {}) {
    const auto result = client.Post(path, headers, body, "application/json");
    REQUIRE(result);
    return {result->status, result->body};
}

reply post(const data_plane& plane, const std::string& body, const char* path = "/v1/batch",
           const httplib::Headers& headers = {}) {
    auto client = client_for(plane);
    return post(client, body, path, headers);
}

#ifdef CPPHTTPLIB_ZLIB_SUPPORT
std::string gzip(const std::string& text) {
    std::string out;
    httplib::detail::gzip_compressor compressor;
    REQUIRE(compressor.compress(text.data(), text.size(), true, [&](const char* data, std::size_t size) {
        out.append(data, size);
        return true;
    }));
    return out;
}
#endif

}  // namespace

TEST_CASE("a good batch is answered 200 and its messages are kept in order") {
    data_plane plane;
    const auto answer = post(plane, good);
    CHECK(answer.status == 200);
    CHECK(answer.body == "ok");
    const auto messages = plane.messages();
    REQUIRE(messages.size() == 2);
    CHECK(messages[0] == json{{"type", "track"}, {"userId", "user-1"}, {"event", "a"}});
    CHECK(messages[1]["type"] == "identify");

    const auto requests = plane.requests();
    REQUIRE(requests.size() == 1);
    CHECK(requests[0].method == "POST");
    CHECK(requests[0].path == "/v1/batch");
    CHECK(requests[0].status == 200);
    CHECK(requests[0].content_length == good.size());
    CHECK(requests[0].body_bytes == good.size());
    CHECK(requests[0].header("content-type") == "application/json");
    CHECK(requests[0].header("Authorization") == "Basic d3JpdGUta2V5Og==");
    CHECK(requests[0].header("REMOTE_ADDR").empty());
}

TEST_CASE("each message is shown to the program before the request is answered") {
    std::vector<std::string> seen;
    data_plane plane{{.on_message = [&](const json& message) { seen.push_back(message.dump()); }}};
    CHECK(post(plane, good).status == 200);
    REQUIRE(seen.size() == 2);
    CHECK(json::parse(seen[0])["event"] == "a");
}

TEST_CASE("a request without the write key is answered 401") {
    data_plane plane;
    SUBCASE("absent") {
        httplib::Client client{"127.0.0.1", plane.port()};
        const auto answer = post(client, good);
        CHECK(answer.status == 401);
        CHECK(answer.body == "failed to read writekey from header");
    }
    SUBCASE("empty") {
        auto client = client_for(plane, "");
        CHECK(post(client, good).body == "failed to read writekey from header");
    }
    SUBCASE("wrong") {
        auto client = client_for(plane, "write-key2");
        const auto answer = post(client, good);
        CHECK(answer.status == 401);
        CHECK(answer.body == "invalid write key");
    }
    SUBCASE("of another scheme, or not base64, or without a colon") {
        httplib::Client client{"127.0.0.1", plane.port()};
        for (const char* value : {"Bearer write-key", "Basic ***", "Basic d3JpdGUta2V5"})
            CHECK(post(client, good, "/v1/batch", {{"Authorization", value}}).status == 401);
    }
    CHECK(plane.messages().empty());
}

TEST_CASE("a disabled source is answered 404, and 200 again once it is enabled") {
    data_plane plane;
    plane.rules().disable_source();
    const auto answer = post(plane, good);
    CHECK(answer.status == 404);
    CHECK(answer.body == "source is disabled");
    CHECK(plane.messages().empty());
    plane.rules().disable_source(false);
    CHECK(post(plane, good).status == 200);
}

TEST_CASE("numbers are stored as a float64 holds them") {
    data_plane plane;
    const std::string numbers = R"({"n":[1,-7,0.1,9007199254740991,9007199254740993,18446744073709551615]})";
    CHECK(post(plane, R"({"batch":[{"userId":"u","properties":)" + numbers + "}]}").status == 200);
    const json stored = plane.messages().at(0)["properties"]["n"];
    CHECK(stored == json{1, -7, 0.1, 9007199254740991, 9007199254740992.0, 18446744073709551616.0});
    CHECK(stored[3].is_number_integer());
}

TEST_CASE("a rate limit counts events, and takes all of a request or none") {
    data_plane plane;
    plane.rules().limit_rate(5, std::chrono::hours{1});
    auto client = client_for(plane);
    CHECK(post(client, good).status == 200);
    CHECK(post(client, good).status == 200);
    const auto limited = client.Post("/v1/batch", good, "application/json");
    REQUIRE(limited);
    CHECK(limited->status == 429);
    CHECK_FALSE(limited->has_header("Retry-After"));
    CHECK(post(client, R"({"batch":[{"userId":"u"}]})").status == 200);  // one is left
    CHECK(post(client, R"({"batch":[{"userId":"u"}]})").status == 429);
    plane.rules().limit_rate(1, std::chrono::nanoseconds{1});
    CHECK(post(client, R"({"batch":[{"userId":"u"}]})").status == 200);
    CHECK(post(client, R"({"batch":[{"userId":"u"}]})").status == 200);
    CHECK(post(client, good).status == 429);
    plane.rules().lift_rate_limit();
    CHECK(post(client, good).status == 200);
    CHECK(plane.messages().size() == 9);
}

TEST_CASE("without its database the gateway answers 500, and refuses what it refuses") {
    data_plane plane;
    plane.rules().lose_database();
    CHECK(post(plane, good).status == 500);
    CHECK(post(plane, "{").status == 400);
    CHECK(plane.messages().empty());
    plane.rules().lose_database(false);
    CHECK(post(plane, good).status == 200);
}

TEST_CASE("a client that counts the nodes otherwise is sent to /cluster-info") {
    data_plane plane;
    auto client = client_for(plane);
    CHECK(client.Get("/cluster-info")->status == 404);
    plane.rules().set_node_count(3);
    CHECK(post(client, good).status == 451);
    CHECK(post(client, good, "/v1/batch", {{"RS-nodeCount", "1"}}).status == 451);
    const auto cluster = client.Get("/cluster-info");
    REQUIRE(cluster);
    CHECK(cluster->status == 200);
    CHECK(json::parse(cluster->body) == json{{"nodeCount", 3}});
    CHECK(post(client, good, "/v1/batch", {{"RS-nodeCount", "3"}}).status == 200);
    httplib::Client stranger{"127.0.0.1", plane.port()};
    CHECK(stranger.Get("/cluster-info")->status == 401);
}

TEST_CASE("what is refused at its arrival is not judged") {
    int client_port = 0;
    data_plane plane{{.on_arrival = [&](int client) { return client_port = client, false; }}};
    CHECK(post(plane, good).status == 500);
    CHECK(client_port > 0);
    CHECK(plane.messages().empty());
}

TEST_CASE("only POST to /v1/batch is known") {
    data_plane plane;
    auto client = client_for(plane);
    CHECK(client.Get("/v1/batch")->status == 405);
    CHECK(client.Put("/v1/batch", good, "application/json")->status == 405);
    CHECK(client.Delete("/v1/batch")->status == 405);
    CHECK(client.Options("/v1/batch")->status == 405);
    CHECK(client.Get("/")->status == 404);
    CHECK(post(client, good, "/v1/batch/").body == "404 page not found\n");
    CHECK(post(client, good, "/v1/track").status == 404);
    CHECK(plane.messages().empty());
    CHECK(post(client, good).status == 200);  // the connection is still in step
    CHECK(plane.requests().size() == 8);
}

TEST_CASE("one wrong message makes the whole batch a 400") {
    data_plane plane;
    auto client = client_for(plane);
    const auto with = [](const std::string& message) {
        return R"({"batch":[{"type":"track","userId":"u"},)" + message + "]}";
    };
    for (const char* body : {"", "{", "nonsense", R"({"batch":[]} x)", R"({"batch":[{"userId":"u","n":1e400}]})",
                             "{\"batch\":[{\"type\":\"\xff\"}]}"}) {
        const auto answer = post(client, body);
        CHECK(answer.status == 400);
        CHECK(answer.body == "invalid json");
    }
    for (const char* body :
         {"{}", "[]", "3", "null", R"({"batch":[]})", R"({"Batch":[{"type":"track","userId":"u"}]})"}) {
        const auto answer = post(client, body);
        CHECK(answer.status == 400);
        CHECK(answer.body == "empty batch payload");
    }
    for (const std::string& body :
         {std::string{R"({"batch":{"type":"track","userId":"u"}})"}, with("3"), with("[]"), with("null")}) {
        const auto answer = post(client, body);
        CHECK(answer.status == 400);
        CHECK(answer.body == "event is not a valid rudder event");
    }
    for (const std::string& body :
         {with(R"({"type":"track"})"), with(R"({"type":"track","userId":"","anonymousId":" "})"),
          with(R"({"type":"track","userId":null})"), with(R"({"type":"track","userId":"\t\u0000 \u200b\ufeff"})"),
          with("{\"type\":\"track\",\"anonymousId\":\"\u200b\"}"),
          with(R"({"userId":"\u0085\u2028\u2063\u3164\ue000","anonymousId":"\udb40\udc20"})")}) {
        const auto answer = post(client, body);
        CHECK(answer.status == 400);
        CHECK(answer.body == "request neither has anonymousId nor userId");
    }
    CHECK(plane.messages().empty());
    CHECK(post(client, with(R"({"type":"track","userId":7})")).status == 200);
    CHECK(post(client, with(R"({"type":7,"anonymousId":" \u200bx"})")).status == 200);  // nothing else is looked at
    CHECK(plane.messages().size() == 4);
}

TEST_CASE("JSON may nest 512 deep, and brackets in strings do not count") {
    data_plane plane;
    const auto with = [](const std::string& value) {
        return R"({"batch":[{"type":"track","userId":"u","p":)" + value + "}]}";  // the value is at depth 3
    };
    const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    CHECK(post(plane, with(nested(509))).status == 200);
    CHECK(post(plane, with(nested(510))).body == "invalid json");
    CHECK(post(plane, with(nested(1000000))).status == 400);
    CHECK(post(plane, with("\"" + std::string(1000, '[') + R"(\"[")")).status == 200);
    std::string siblings = "[[]";
    for (int i = 0; i < 1000; ++i) siblings += ",[]";
    CHECK(post(plane, with(siblings + "]")).status == 200);
}

TEST_CASE("a body over the limit is answered 413, one at the limit is taken") {
    data_plane plane{{.max_request_bytes = 1000}};
    const auto of_size = [](std::size_t size) {
        const std::string head = R"({"batch":[{"type":"track","userId":"u","p":")", tail = R"("}]})";
        return head + std::string(size - head.size() - tail.size(), 'p') + tail;
    };
    auto client = client_for(plane);
    CHECK(post(client, of_size(1000)).status == 200);
    const auto answer = post(client, of_size(1001));
    CHECK(answer.status == 413);
    CHECK(answer.body == "request size exceeds max limit");
    CHECK(post(client, of_size(100000)).status == 413);
    CHECK(post(client, of_size(1000)).status == 200);  // the connection is still in step
    CHECK(plane.messages().size() == 2);
}

TEST_CASE("a body in chunks is taken, and measured as it comes") {
    data_plane plane{{.max_request_bytes = 1000}};
    auto client = client_for(plane);
    const auto chunked = [&](const std::string& body, std::size_t times) {
        const auto result = client.Post(
            "/v1/batch", httplib::Headers{},
            [&, sent = std::size_t{0}](std::size_t, httplib::DataSink& sink) mutable {
                if (!sink.write(body.data(), body.size())) return false;
                if (++sent == times) sink.done();
                return true;
            },
            "application/json");
        return result ? result->status : 0;
    };
    CHECK(chunked(good, 1) == 200);
    CHECK(plane.requests().at(0).content_length == 0);
    CHECK(plane.requests().at(0).body_bytes == good.size());
    CHECK(chunked(good, 100) == 413);
    CHECK(plane.requests().at(1).body_bytes <= 1000);
    CHECK(plane.messages().size() == 2);
}

#ifdef CPPHTTPLIB_ZLIB_SUPPORT

TEST_CASE("a gzip body is decoded, and the limit holds for what comes out") {
    data_plane plane{{.max_request_bytes = 1000}};
    auto client = client_for(plane);
    const httplib::Headers gzipped{{"Content-Encoding", "gzip"}};
    const auto small = gzip(good);
    CHECK(post(client, small, "/v1/batch", gzipped).status == 200);
    CHECK(plane.messages().size() == 2);
    CHECK(plane.requests().at(0).header("Content-Encoding") == "gzip");
    CHECK(plane.requests().at(0).content_length == small.size());
    CHECK(plane.requests().at(0).body_bytes == good.size());

    const auto bomb = gzip(std::string(15000, ' ') + good);
    REQUIRE(bomb.size() < 1000);
    CHECK(post(client, bomb, "/v1/batch", gzipped).status == 413);
    CHECK(plane.requests().at(1).body_bytes <= 1000);
    CHECK(post(client, "not gzip at all", "/v1/batch", gzipped).status == 500);
    CHECK(plane.messages().size() == 2);
}

TEST_CASE("an encoding that the gateway does not know is no JSON to it") {
    data_plane plane;
    CHECK(post(plane, gzip(good), "/v1/batch", {{"Content-Encoding", "deflate"}}).body == "invalid json");
    CHECK(plane.messages().empty());
}

#else

TEST_CASE("without zlib a gzip body is answered 415") {
    data_plane plane;
    CHECK(post(plane, good, "/v1/batch", {{"Content-Encoding", "gzip"}}).status == 415);
    CHECK(plane.messages().empty());
}

#endif

TEST_CASE("scripted answers come first, with their headers, and nothing of such a batch is taken") {
    data_plane plane;
    plane.answer_next(503);
    plane.answer_next(429, {{"Retry-After", "7"}});
    plane.answer_next(200);
    auto client = client_for(plane);
    CHECK(post(client, good).status == 503);
    const auto limited = client.Post("/v1/batch", good, "application/json");
    REQUIRE(limited);
    CHECK(limited->status == 429);
    CHECK(limited->get_header_value("Retry-After") == "7");
    CHECK(plane.messages().empty());
    CHECK(post(client, "{").status == 400);  // a scripted 200 is judged as usual
    CHECK(post(client, good).status == 200);
    CHECK(plane.messages().size() == 2);
    const auto requests = plane.requests();
    REQUIRE(requests.size() == 4);
    CHECK(requests[1].status == 429);
    CHECK(requests[1].body_bytes == good.size());
}

TEST_CASE("a test can wait for what is to come, and not for longer than it says") {
    data_plane plane;
    std::thread sender{[&] {
        auto client = client_for(plane);
        static_cast<void>(client.Post("/v1/batch", good, "application/json"));
    }};
    CHECK(plane.wait_for_messages(2));
    CHECK(plane.wait_for_requests(1));
    sender.join();
    CHECK_FALSE(plane.wait_for_messages(3, std::chrono::milliseconds{1}));
    CHECK_FALSE(plane.wait_for_requests(2, std::chrono::milliseconds{1}));
}

TEST_CASE("many clients at once lose and double nothing") {
    data_plane plane;
    constexpr int clients = 8, batches = 20;
    std::atomic<int> taken{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < clients; ++i)
        threads.emplace_back([&] {
            auto client = client_for(plane);
            client.set_keep_alive(true);
            for (int k = 0; k < batches; ++k) {
                const auto result = client.Post("/v1/batch", good, "application/json");
                if (result && result->status == 200) ++taken;
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK(taken == clients * batches);
    CHECK(plane.messages().size() == 2 * clients * batches);
    CHECK(plane.requests().size() == clients * batches);
}

TEST_CASE("a port belongs to one server, and is free again once that has stopped") {
    std::optional<data_plane> first;
    first.emplace();
    const int port = first->port();
    CHECK(first->url() == "http://127.0.0.1:" + std::to_string(port));
    CHECK_THROWS_AS(data_plane({.port = port}), std::runtime_error);
    CHECK(post(*first, good).status == 200);
    first->stop();
    first->stop();
    CHECK(first->messages().size() == 2);
    const data_plane second{{.port = port}};
    CHECK(second.port() == port);
    CHECK(post(second, good).status == 200);
}

TEST_CASE("an envelope with an event is taken, and what is none is refused") {
    data_plane plane;
    const httplib::Headers key{{"X-Sentry-Auth", "Sentry sentry_version=7, sentry_key=key"}};
    const std::string head = "{\"event_id\":\"1\"}\n";
    const auto send = [&](const std::string& body) { return post(plane, body, "/api/7/envelope/", key).status; };
    CHECK(send(head + "{\"type\":\"event\",\"length\":9}\n{\"a\":\"\n\"}\n") == 400);  // a line break is no JSON
    CHECK(send(head +
               "{\"type\":\"event\",\"length\":7}\n{\"a\":1}\n{\"type\":\"client_report\",\"length\":2}\n{}\n") == 200);
    CHECK(send(head + "{\"type\":\"event\"}\n{\"a\":2}\n") == 200);  // up to the line's end
    CHECK(send(head + "{\"type\":\"event\",\"length\":70}\n{\"a\":1}\n") == 400);
    CHECK(send("garbage") == 400);
    CHECK(post(plane, head, "/api/7/envelope/").status == 401);
    CHECK(plane.errors() == std::vector<json>{{{"a", 1}}, {{"a", 2}}});
    CHECK(plane.messages().empty());
    CHECK(plane.wait_for_errors(2));
}

}  // namespace data_plane_test
