#include <candor/sentry/protocol.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <candor/testing.hpp>

#include <doctest/doctest.h>

namespace protocol_test {

using namespace std::chrono_literals;
using candor::drop_reason;
using candor::http_response;
using candor::transport_error;
using candor::sentry::detail::capture_header;
using candor::sentry::detail::discard_reason;
using action = candor::detail::response_action::kind;
using nlohmann::json;

namespace {

struct bench {
    candor::testing::manual_clock clock;
    std::shared_ptr<candor::sentry::detail::event_context> owned = make_context();
    candor::sentry::detail::event_context& context = *owned;
    candor::sentry::detail::protocol protocol{*candor::sentry::parse_dsn("https://key:secret@errors.example/a/7"),
                                              owned};

    static std::shared_ptr<candor::sentry::detail::event_context> make_context() {
        auto out = std::make_shared<candor::sentry::detail::event_context>();
        out->release = "acme@1";
        return out;
    }
    [[nodiscard]] candor::detail::moment now() const { return {clock.now(), clock.wall_now()}; }

    /// The record of a capture of this text.
    std::string record(const std::string& text) {
        const capture_header header{.id = candor::uuid::random(),
                                    .timestamp = clock.wall_now().time_since_epoch().count()};
        std::string record;
        candor::sentry::detail::append(&header, sizeof header, record);
        candor::sentry::detail::append_text({}, record);
        candor::sentry::detail::append_text(text, record);
        return record;
    }

    /// The message that it becomes.
    std::pair<std::string, candor::detail::preparation> prepare(const std::string& text = "hm") {
        std::string out;
        const auto made = protocol.prepare(record(text), now(), out);
        return {out, made};
    }

    /// The body of a request with one event, and what an answer to it means.
    std::pair<std::string, candor::detail::response_action> exchange(const http_response& response) {
        const std::string text = prepare().first;
        const candor::detail::message message{.size = text.size()};
        std::string body;
        protocol.write_body({text, {&message, 1}}, clock.wall_now(), body);
        return {body, protocol.classify(response, now())};
    }

    [[nodiscard]] std::uint64_t discarded(discard_reason why) {
        const auto taken = context.discarded.take();
        context.discarded.restore(taken);
        return taken[static_cast<std::size_t>(why)];
    }
};

}  // namespace

TEST_CASE("a request has Sentry's address, type and key, and not the secret") {
    bench b;
    const auto request = b.protocol.request();
    CHECK(request.method == "POST");
    CHECK(request.url == "https://errors.example/a/api/7/envelope/");
    REQUIRE(request.headers.size() == 2);
    CHECK(request.headers[0].value == "application/x-sentry-envelope");
    CHECK(request.headers[1].name == "X-Sentry-Auth");
    CHECK(request.headers[1].value == "Sentry sentry_version=7, sentry_client=candor/" CANDOR_VERSION_STRING
                                      ", sentry_key=key");
}

TEST_CASE("what each status means for an error") {
    struct sample {
        int status;
        action what;
        drop_reason reason;
        std::uint64_t send_errors;
    };
    for (const auto& expected : {
             sample{200, action::deliver, {}, 0},
             sample{202, action::deliver, {}, 0},
             sample{302, action::drop, drop_reason::rejected, 1},
             sample{400, action::drop, drop_reason::rejected, 1},
             sample{401, action::drop, drop_reason::unauthorized, 1},
             sample{403, action::drop, drop_reason::unauthorized, 1},
             sample{404, action::drop, drop_reason::unauthorized, 1},
             sample{413, action::drop, drop_reason::too_large, 1},
             sample{429, action::drop, drop_reason::rate_limited, 0},
             sample{500, action::drop, drop_reason::rejected, 1},
             sample{503, action::drop, drop_reason::rejected, 1},
         }) {
        CAPTURE(expected.status);
        bench b;
        const auto found = b.exchange({.status = expected.status}).second;
        CHECK(found.what == expected.what);
        if (expected.what == action::drop) CHECK(found.reason == expected.reason);
        CHECK(found.diagnostic.empty() == (expected.what == action::deliver));
        CHECK(b.discarded(discard_reason::send_error) == expected.send_errors);
    }
    for (const auto error :
         {transport_error::unreachable, transport_error::tls, transport_error::timeout, transport_error::broken}) {
        bench b;
        const auto found = b.exchange({.error = error, .message = "gone"}).second;
        CHECK(found.what == action::retry);
        CHECK_FALSE(found.wait);
        CHECK(b.discarded(discard_reason::send_error) == 0);
    }
}

TEST_CASE(
    "row 14: while a rate limit holds, whatever the calendar says, errors are dropped and counted, and then sent "
    "again") {
    bench b;
    CHECK(b.exchange({.status = 200, .headers = {{"X-Sentry-Rate-Limits", "60:error"}}}).second.what ==
          action::deliver);
    CHECK(b.prepare().second.dropped == drop_reason::rate_limited);
    b.clock.set_wall(b.clock.wall_now() + 48h);  // the calendar does not decide
    CHECK(b.prepare().second.dropped == drop_reason::rate_limited);
    b.clock.advance(59s);
    CHECK(b.prepare().second.dropped == drop_reason::rate_limited);
    b.clock.advance(1s);
    CHECK_FALSE(b.prepare().second.dropped);
    CHECK(b.discarded(discard_reason::ratelimit_backoff) == 3);
}

TEST_CASE("a shorter limit does not end a longer one") {
    bench b;
    b.exchange({.status = 429, .headers = {{"Retry-After", "100"}}});
    (void)b.protocol.classify({.status = 200, .headers = {{"X-Sentry-Rate-Limits", "1"}}}, b.now());
    b.clock.advance(99s);
    CHECK(b.prepare().second.dropped == drop_reason::rate_limited);
}

TEST_CASE("what was discarded goes out with the next envelope, again where that does not arrive") {
    bench b;
    b.context.discarded.add(discard_reason::sample_rate, 3);
    const std::string report =
        R"({"timestamp":"2026-01-02T03:04:05Z","discarded_events":[{"reason":"sample_rate","category":"error","quantity":3}]})";
    const std::string item =
        "{\"type\":\"client_report\",\"length\":" + std::to_string(report.size()) + "}\n" + report + "\n";
    CHECK(b.exchange({.error = transport_error::broken}).first.ends_with(item));
    CHECK(b.exchange({.status = 429, .headers = {{"Retry-After", "0"}}}).first.ends_with(item));
    const auto third = b.exchange({.status = 500}).first;
    CHECK(third.ends_with(item));
    CHECK(b.discarded(discard_reason::sample_rate) == 3);
    const auto fourth = b.exchange({.status = 200}).first;
    CHECK(fourth.find(R"({"reason":"sample_rate","category":"error","quantity":3})") != std::string::npos);
    CHECK(fourth.find(R"({"reason":"send_error","category":"error","quantity":1})") != std::string::npos);
    CHECK(b.exchange({.status = 200}).first.find("client_report") == std::string::npos);
}

TEST_CASE("before_send edits an event, but not its id and time, and what it adds is redacted") {
    bench b;
    b.context.secrets = candor::redactor{{"topsecret"}};
    b.context.before_send = [](candor::sentry::event& e) {
        e.tags["edited"] = "topsecret";
        e.id = {};
        e.timestamp = {};
        return true;
    };
    const auto parsed = json::parse(b.prepare().first);
    CHECK(parsed["tags"]["edited"] == "[redacted]");
    CHECK(parsed["event_id"] != std::string(32, '0'));
    CHECK(parsed["timestamp"] == "2026-01-02T03:04:05Z");
}

TEST_CASE("before_send may veto, and one that throws changes nothing") {
    bench b;
    b.context.before_send = [](candor::sentry::event&) { return false; };
    CHECK(b.prepare().second.dropped == drop_reason::vetoed);
    CHECK(b.discarded(discard_reason::before_send) == 1);
    b.context.before_send = [](candor::sentry::event& e) -> bool {
        e.message = "half edited";
        throw std::runtime_error{"no"};
    };
    CHECK(json::parse(b.prepare("whole").first)["message"]["formatted"] == "whole");
}

TEST_CASE("an event carries the breadcrumbs from before it") {
    bench b;
    b.context.breadcrumbs.add(b.clock.wall_now(), "info", "ui", "before");
    b.context.breadcrumbs.add(b.clock.wall_now() + 1s, "info", "ui", "after");
    const auto crumbs = json::parse(b.prepare().first)["breadcrumbs"]["values"];
    REQUIRE(crumbs.size() == 1);
    CHECK(crumbs[0]["message"] == "before");
}

TEST_CASE("nothing of an event names the machine or its user") {
    bench b;
    const auto parsed = json::parse(b.prepare().first);
    CHECK(parsed["server_name"] == "oss");
    CHECK_FALSE(parsed.contains("user"));
    CHECK_FALSE(parsed.contains("environment"));
}

TEST_CASE("what is stored of a capture is the event that is sent, whatever the rate limit, and counts as nothing") {
    bench b;
    b.context.secrets = candor::redactor{{"topsecret"}};
    b.context.breadcrumbs.add(b.clock.wall_now(), "info", "ui", "before");
    const auto record = b.record("a topsecret\nline");
    std::string sent, stored;
    CHECK_FALSE(b.protocol.prepare(record, b.now(), sent).dropped);
    const auto made = b.protocol.draft(record, stored);
    REQUIRE(made);
    CHECK_FALSE(made->is_draft);
    CHECK_FALSE(made->dropped);
    CHECK(stored == sent);
    CHECK(stored.find("topsecret") == std::string::npos);
    CHECK(stored.find('\n') == std::string::npos);

    b.exchange({.status = 429, .headers = {{"Retry-After", "100"}}});
    std::string later;
    CHECK_FALSE(b.protocol.draft(record, later)->dropped);
    CHECK(later == sent);
    CHECK(b.discarded(discard_reason::ratelimit_backoff) == 0);
}

TEST_CASE("what before_send has not seen is not stored, but an event that it has seen is") {
    bench b;
    int asked = 0;
    b.context.before_send = [&](candor::sentry::event&) { return ++asked > 0; };
    std::string stored;
    CHECK_FALSE(b.protocol.draft(b.record("hm"), stored));
    CHECK(stored.empty());
    const capture_header seen{.is_event = true};
    std::string record;
    candor::sentry::detail::append(&seen, sizeof seen, record);
    record += R"({"event_id":"1"})";
    REQUIRE(b.protocol.draft(record, stored));
    CHECK(stored == R"({"event_id":"1"})");
    CHECK(asked == 0);
}

TEST_CASE("there is no draft of an error to settle") {
    bench b;
    std::string out;
    CHECK(b.protocol.settle("6 16 44 0 {}", 0, out).dropped == drop_reason::failed);
    CHECK(out.empty());
    CHECK(b.protocol.named_user() == 0);
}

TEST_CASE("captures are stored beside the worker, and breadcrumbs come meanwhile") {
    bench b;
    b.context.secrets = candor::redactor{{"topsecret"}};
    std::vector<std::string> records;
    std::array<void*, candor::sentry::most_frames> stack;
    const auto frames = static_cast<std::uint32_t>(candor::sentry::capture_stack(stack));
    for (int i = 0; i < 50; ++i) {
        const capture_header header{.id = candor::uuid::random(), .frames = frames};
        std::string& record = records.emplace_back();
        candor::sentry::detail::append(&header, sizeof header, record);
        candor::sentry::detail::append(stack.data(), frames * sizeof(void*), record);
        candor::sentry::detail::append_text("St13runtime_error", record);
        candor::sentry::detail::append_text("a topsecret", record);
    }
    std::atomic<bool> is_over = false;
    std::thread adding{[&] {
        while (!is_over) b.context.breadcrumbs.add(b.clock.wall_now() + 1s, "info", "ui", "later");
    }};
    std::vector<std::string> stored;
    std::thread storing{[&] {
        for (const auto& record : records) b.protocol.draft(record, stored.emplace_back());
    }};
    std::vector<std::string> sent;
    for (const auto& record : records) b.protocol.prepare(record, b.now(), sent.emplace_back());
    storing.join();
    is_over = true;
    adding.join();
    CHECK(stored == sent);
}

}  // namespace protocol_test
