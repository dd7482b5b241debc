#include <candor/candor.hpp>

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <candor/testing.hpp>

#include <examples/data_plane.hpp>
#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/exchange.hpp>
#include <support/sanitizer.hpp>
#include <support/socket_server.hpp>

#include "fault_program.hpp"

#include <doctest/doctest.h>

// What a program can do to its own telemetry: values, callbacks, memory, consent and configuration.
namespace program_faults_test {

namespace {

using namespace std::chrono_literals;
using candor::admission;
using candor::drop_reason;
using candor::examples::data_plane;
using candor::testing::closed_port;
using candor::testing::slack;
using candor::testing::socket_server;
using candor::testing::stopwatch;
using candor::tests::machine;
using candor::tests::noted;
using nlohmann::json;
namespace behaviours = candor::testing::behaviours;

std::vector<std::string> notes(const data_plane& server) {
    std::vector<std::string> out;
    for (const auto& message : server.messages()) out.push_back(message["properties"]["note"]);
    return out;
}

bool adds_up(const candor::statistics& s) {
    return s.accepted == s.delivered + s.pending + s.spooled + s.dropped.total();
}

}  // namespace

TEST_CASE("row 15: NaN and the infinities arrive as null, in a batch that is valid JSON") {
    const machine m;
    data_plane server;
    candor::telemetry t{m.options(server.url())};
    for (const double number :
         {std::nan(""), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(), 0.1})
        t.track(noted{.number = number});
    CHECK(t.flush(10s));
    std::vector<json> numbers;
    for (const auto& message : server.messages()) numbers.push_back(message["properties"]["number"]);
    CHECK(numbers == std::vector<json>{nullptr, nullptr, nullptr, 0.1});
}

TEST_CASE("row 16: invalid UTF-8 arrives as U+FFFD, a NUL as itself, in events and in errors") {
    const machine m;
    data_plane server;
    auto options = m.options(server.url());
    options.sentry_dsn = "http://key@127.0.0.1:" + std::to_string(server.port()) + "/7";
    candor::telemetry t{options};
    const std::string hostile{"a\0b\xff\xc3\"\n", 7};
    t.track(noted{.note = hostile});
    t.capture(std::runtime_error{hostile.c_str() + 2});
    CHECK(t.flush(10s));
    CHECK(notes(server) == std::vector<std::string>{std::string{"a\0b", 3} + "\xef\xbf\xbd\xef\xbf\xbd\"\n"});
    REQUIRE(server.errors().size() == 1);
    CHECK(server.errors()[0]["exception"]["values"][0]["value"] == "b\xef\xbf\xbd\xef\xbf\xbd\"\n");
}

TEST_CASE("row 19: while a server does not answer, a full queue refuses, counts and does not block") {
    socket_server server{behaviours::never_answer()};
    const machine m;
    auto options = m.options(server.url(""));
    options.delivery.queue_messages = 100;
    options.delivery.spool.enabled = false;
    candor::telemetry t{options};
    const stopwatch watch;
    int accepted = 0;
    for (int i = 0; i < 10'000; ++i) {
        const auto answer = t.track(noted{});
        accepted += answer == admission::accepted;
        if (answer != admission::accepted) CHECK(answer == admission::full);
    }
    CHECK(watch.elapsed() < 5s);  // an answer would be waited for twice as long
    CHECK(accepted == 100);
    CHECK(t.statistics().refused[admission::full] == 9'900);
    t.shutdown();
    CHECK(t.statistics().dropped[drop_reason::shutdown] == 100);
    CHECK(adds_up(t.statistics()));
}

TEST_CASE("row 31: whatever a callback throws, events and errors arrive, and the worker goes on") {
    const machine m;
    data_plane server;
    auto options = m.options(server.url());
    options.sentry_dsn = "http://key@127.0.0.1:" + std::to_string(server.port()) + "/7";
    std::mutex mutex;
    std::set<std::string> thrown;
    const auto fail = [&](const char* where) {
        const std::lock_guard guard{mutex};
        thrown.insert(where);
        throw std::runtime_error{where};
    };
    options.account = [&]() -> std::optional<candor::account> { return fail("account"), std::nullopt; };
    options.before_send = [&](auto&) { return fail("before_send"), true; };
    options.diagnostics = [&](std::string_view) { fail("diagnostics"); };
    options.delivery.on_delivered = [&](std::string_view) { fail("on_delivered"); };
    options.delivery.on_dropped = [&](std::string_view, drop_reason) { fail("on_dropped"); };
    candor::telemetry t{options};
    for (int i = 1; i <= 3; ++i) {
        if (i == 2) server.answer_next(400);
        t.track(noted{});
        t.capture(std::runtime_error{"an error " + std::to_string(i)});
        CHECK(t.flush(10s) == (i != 2));
    }
    CHECK(server.messages().size() == 2);
    CHECK(server.errors().size() == 3);
    CHECK(t.statistics().delivered == 5);
    CHECK(t.statistics().dropped[drop_reason::rejected] == 1);
    CHECK(thrown == std::set<std::string>{"account", "before_send", "diagnostics", "on_delivered", "on_dropped"});
}

TEST_CASE("row 31: where the process gets no more memory, events are refused and counted, and it lives") {
    // Sanitizers take all the memory that there is, and bear no limit: there the same must hold without one.
#if defined(CANDOR_TESTS_ADDRESS_SANITIZER) || defined(CANDOR_TESTS_THREAD_SANITIZER)
    constexpr bool is_limited = false;
    constexpr int most = 1'000;
#else
    constexpr bool is_limited = true;
    constexpr int most = 1'000'000;
#endif
    const machine m;
    const closed_port nobody;
    const auto end = run_in_child([&](int) {
        auto options = m.options(nobody.url(""));
        options.delivery.queue_messages = 10'000'000;
        options.delivery.queue_bytes = std::size_t{1} << 40;
        options.delivery.spool.enabled = false;
        candor::telemetry t{options};
        const noted large{.note = std::string(30'000, 'x')};
        if (t.track(large) != admission::accepted) return 1;
        rlimit memory{};
        ::getrlimit(RLIMIT_AS, &memory);
        const auto unlimited = memory.rlim_cur;
        if (is_limited) memory.rlim_cur = std::size_t{1} << 20;  // less than there is: no more comes
        ::setrlimit(RLIMIT_AS, &memory);
        auto answer = admission::accepted;
        for (int i = 0; i < most && answer == admission::accepted; ++i) answer = t.track(large);
        const bool refuses = answer == admission::out_of_memory && t.track(large) == admission::out_of_memory;
        memory.rlim_cur = unlimited;
        ::setrlimit(RLIMIT_AS, &memory);
        if (refuses != is_limited) return 2;
        if (t.track(large) != admission::accepted) return 3;
        t.shutdown();
        const auto s = t.statistics();
        return s.refused[admission::out_of_memory] == (is_limited ? 2U : 0U) && s.dropped.total() == s.accepted &&
                       adds_up(s)
                   ? 0
                   : 4;
    });
    CHECK(end.signal() == 0);
    CHECK(end.exit_code() == 0);
}

TEST_CASE("row 32: each callback may track, and what it tracks arrives") {
    const machine m;
    data_plane server;
    server.answer_next(503);  // so that there is something to say
    candor::telemetry* self = nullptr;
    std::mutex mutex;
    std::set<std::string> from;
    const auto track_once = [&](const char* where) {
        {
            const std::lock_guard guard{mutex};
            if (!from.insert(where).second) return;
        }
        CHECK(self->track(noted{.note = where}) == admission::accepted);
        CHECK_FALSE(self->flush(10s));  // it would wait for itself
        static_cast<void>(self->statistics());
    };
    auto options = m.options(server.url());
    options.account = [&] { return track_once("account"), std::optional<candor::account>{{"u1", "t1"}}; };
    options.internal_team = [&](const auto&) { return track_once("internal_team"), false; };
    options.diagnostics = [&](std::string_view) { track_once("diagnostics"); };
    options.delivery.on_delivered = [&](std::string_view) { track_once("on_delivered"); };
    candor::telemetry t{options};
    self = &t;
    t.track(noted{.note = "first"});
    CHECK(t.flush(10s));
    CHECK(t.flush(10s));
    const auto got = notes(server);
    CHECK(std::set<std::string>{got.begin(), got.end()} ==
          std::set<std::string>{"first", "account", "internal_team", "diagnostics", "on_delivered"});
    CHECK(got.size() == 5);
}

TEST_CASE("row 33: consent that is revoked while a server keeps a request ends it, and nothing leaves afterwards") {
    const machine m;
    {
        const closed_port nobody;
        m.leave(nobody.url(""), {"of an earlier run"});
    }
    REQUIRE(m.files().size() == 1);
    std::atomic<bool> has_ended{false};
    socket_server server{[&](socket_server::peer& p) {
        if (!p.read_request()) return;
        while (p.read_some()) {
        }
        has_ended = true;
    }};
    auto options = m.options(server.url(""));
    options.delivery.request_timeout = 10min;
    candor::telemetry t{options};
    t.track(noted{});
    CHECK_FALSE(t.flush(0ms));
    REQUIRE(server.wait_for_requests(1));
    t.track(noted{});
    const stopwatch watch;
    t.revoke();
    CHECK(watch.elapsed() < slack);
    CHECK(becomes_true([&] { return has_ended.load(); }));
    CHECK(t.track(noted{}) == admission::closed);
    static_cast<void>(t.flush(100ms));
    t.shutdown();
    CHECK(server.requests().size() == 1);
    CHECK(server.connections() == 1);
    CHECK(t.statistics().dropped[drop_reason::revoked] == 2);
    CHECK(m.files().empty());
}

TEST_CASE("row 41: CR, LF and NUL are refused at construction, from the program and from a variable") {
    const machine m;
    const auto field_of = [](const candor::telemetry_options& options) -> std::string {
        try {
            const candor::telemetry t{options};
            return "";
        } catch (const candor::configuration_error& error) {
            CHECK(std::string_view{error.what()}.find_first_of(std::string_view{"\r\n\0", 3}) == std::string::npos);
            return error.field();
        }
    };
    const auto plain = m.options("http://127.0.0.1");
    for (const std::string& with : {std::string{"\r\nX-A: b"}, std::string{"\n"}, std::string{"\0", 1}}) {
        auto options = plain;
        options.write_key += with;
        CHECK(field_of(options) == "write_key");
        options = plain;
        options.data_plane_url += with;
        CHECK(field_of(options) == "data_plane_url");
        options = plain;
        options.data_plane_url = "http://127.0.0.1/" + with + "/path";
        CHECK(field_of(options) == "data_plane_url");
        options = plain;
        options.sentry_dsn = "http://key" + with + "@127.0.0.1/7";
        CHECK(field_of(options) == "sentry_dsn");
        options = plain;
        options.sentry_dsn = "http://key@127.0.0.1/7" + with;
        CHECK(field_of(options) == "sentry_dsn");
    }
    const std::pair<const char*, const char*> variables[] = {
        {"CANDOR_TEST_ROW41_RUDDERSTACK_WRITE_KEY", "key\r\nX-A: b"},
        {"CANDOR_TEST_ROW41_RUDDERSTACK_DATA_PLANE_URL", "http://127.0.0.1\r\nX-A: b"},
        {"CANDOR_TEST_ROW41_SENTRY_DSN", "http://key@127.0.0.1/7\n"}};
    for (const auto& variable : variables) {
        const char* const name = variable.first;
        CAPTURE(name);
        auto options = plain;
        options.product.env_prefix = "CANDOR_TEST_ROW41";
        options.sentry_dsn = "http://key@127.0.0.1/7";
        int said = 0;
        options.diagnostics = [&](std::string_view) { ++said; };
        ::setenv(name, variable.second, 1);
        const candor::telemetry t{options};
        ::unsetenv(name);
        CHECK(said == 1);
        CHECK(t.sends_events() == (std::string_view{name}.ends_with("SENTRY_DSN")));
        CHECK(t.sends_errors() != t.sends_events());
    }
}

TEST_CASE("row 42: the error for a key or a URL that cannot work does not repeat the credential") {
    const machine m;
    const auto complaint = [](const candor::telemetry_options& options) -> std::string {
        try {
            const candor::telemetry none{options};
        } catch (const candor::configuration_error& error) {
            return error.what();
        }
        return {};
    };
    auto options = m.options("http://127.0.0.1");
    options.write_key = "topsecretkey\n";
    CHECK(complaint(options).starts_with("write_key is \"***\"; allowed: "));
    options = m.options("http://me:hunter2@host:99999");
    CHECK(complaint(options).starts_with("data_plane_url is \"http://***@host:99999\"; allowed: "));
    options = m.options("http://127.0.0.1");
    options.sentry_dsn = "http://topsecretkey@host:99999/1";
    CHECK(complaint(options).starts_with("sentry_dsn is \"http://***@host:99999/1\"; allowed: "));
}

TEST_CASE("row 42: no diagnostic has a credential or a secret in it, whatever the server does") {
    const machine m;
    std::mutex mutex;  // events and errors have a worker each
    std::vector<std::string> said;
    const auto run_against = [&](const std::string& url) {
        auto options = m.options(url);
        options.write_key = "topsecretkey";
        options.secrets = {"hunter2"};
        options.sentry_dsn = "http://privatekey:oldsecret@" + url.substr(7) + "/7";
        options.diagnostics = [&](std::string_view text) {
            const std::lock_guard guard{mutex};
            said.emplace_back(text);
        };
        candor::telemetry t{options};
        t.track(noted{.note = "the password is hunter2"});
        t.capture(std::runtime_error{"the password is hunter2"});
        CHECK_FALSE(t.flush(0ms));
        t.shutdown();
    };
    run_against(closed_port{}.url(""));
    for (const char* answer :
         {"401 No", "400 No", "413 No", "429 No", "503 No", "302 No\r\nLocation: http://elsewhere.example/"}) {
        // Gives back what it was sent, as some servers do.
        socket_server server{[&](socket_server::peer& p) {
            while (const auto request = p.read_request()) {
                const auto echo = "HTTP/1.1 " + std::string{answer} +
                                  "\r\nContent-Length: " + std::to_string(request->size()) + "\r\n\r\n" + *request;
                if (!p.write(echo)) return;
            }
        }};
        run_against(server.url(""));
    }
    CHECK(said.size() >= 14);
    for (const auto& text : said)
        for (const char* secret : {"topsecretkey", "dG9wc2VjcmV0a2V5", "privatekey", "oldsecret", "hunter2"}) {
            CAPTURE(text);
            CHECK(text.find(secret) == std::string::npos);
        }
}

}  // namespace program_faults_test
