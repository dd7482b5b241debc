#include <candor/telemetry.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <candor/event/init.hpp>
#include <candor/event/login.hpp>
#include <candor/event/sync.hpp>
#include <candor/testing.hpp>
#include <nlohmann/json.hpp>

#include <support/child_process.hpp>
#include <support/temporary_directory.hpp>

namespace telemetry_test {

namespace {

using namespace std::chrono_literals;
using candor::admission;
using candor::drop_reason;
using candor::level;
using candor::testing::fixed_environment;
using candor::testing::manual_clock;
using candor::testing::recording_transport;
using nlohmann::json;

using telemetry = candor::basic_telemetry<recording_transport, manual_clock, fixed_environment>;

struct ping {
    static constexpr std::string_view event_name = "ping";
    std::string note{};
    static constexpr auto fields() { return std::tuple{candor::free_text("note", &ping::note, "Anything")}; }
};

struct built {
    static constexpr std::string_view event_name = "built";
    static constexpr auto fields() { return std::tuple{candor::ci("by", "The CI system that built it")}; }
};

const candor::product acme{.name = "acme", .version = "1.4.0", .env_prefix = "ACME"};

/// What a program passes that sends.
candor::telemetry_options options(level chosen = level::all) {
    return {.product = acme,
            .level = chosen,
            .write_key = "k",
            .data_plane_url = "http://plane",
            .account =
                [] {
                    return std::optional<candor::account>{{"u1", "t1"}};
                },
            .internal_team = [](const auto&) { return false; }};
}

std::vector<json> messages(const recording_transport& transport) {
    std::vector<json> out;
    for (const auto& request : transport.requests()) {
        const json body = json::parse(request.body);
        for (const auto& message : body.at("batch")) out.push_back(message);
    }
    return out;
}

/// Policies that count every call, for a program that is to make none.
struct counters {
    inline static std::atomic<int> calls{0};
};
struct counting_transport : recording_transport, counters {
    counting_transport() { ++calls; }
    candor::http_response send(const candor::http_request& request) {
        ++calls;
        return recording_transport::send(request);
    }
    void cancel() noexcept { ++calls; }
    void check(const candor::url&) const { ++calls; }
};
struct counting_clock : counters {
    counting_clock() { ++calls; }
    candor::steady_time now() const noexcept { return ++calls, candor::steady_time{}; }
    candor::wall_time wall_now() const noexcept { return ++calls, candor::wall_time{}; }
    void idle_until(std::unique_lock<std::mutex>&, std::condition_variable&, candor::steady_time) { ++calls; }
    void wait_until(std::unique_lock<std::mutex>&, std::condition_variable&, candor::steady_time) { ++calls; }
};
struct few_variables : counters {
    std::optional<std::string> get(const char* name) const {
        const std::string_view wanted{name};
        // Where the user only wants to see what would be sent, an old spool stays.
        if (wanted != "XDG_STATE_HOME" && wanted != "HOME" && wanted != "ACME_TELEMETRY_DEBUG") ++calls;
        return std::nullopt;
    }
};

}  // namespace

TEST_CASE("at level none no policy is made or called, but to find an old spool") {
    counters::calls = 0;
    auto o = options(level::none);
    o.sentry_dsn = "http://key@errors/7";
    o.capture_crashes = o.capture_uncaught = true;
    o.account = [] { return ++counters::calls, std::optional<candor::account>{}; };
    o.internal_team = [](const auto&) { return ++counters::calls, false; };
    o.before_send = [](auto&) { return ++counters::calls, true; };
    {
        candor::basic_telemetry<counting_transport, counting_clock, few_variables> t{o};
        CHECK(t.track(ping{}) == admission::disabled);
        CHECK(t.capture(std::runtime_error{"x"}) == admission::disabled);
        CHECK(t.capture_message(candor::sentry::severity::error, "x") == admission::disabled);
        t.add_breadcrumb("a", "b");
        CHECK(t.flush(1s));
        CHECK_FALSE(t.sends_events());
        CHECK_FALSE(t.sends_errors());
        CHECK(t.invocation_id().is_nil());
        CHECK(t.statistics().refused[admission::disabled] == 3);
        CHECK(t.statistics().accepted == 0);
        t.shutdown();
    }
    CHECK(counters::calls == 0);
}

TEST_CASE("analytics are sent at stats and all, and at no other level") {
    for (const auto chosen : {level::none, level::errors, level::stats, level::all}) {
        manual_clock clock;
        recording_transport transport;
        {
            telemetry t{options(chosen), transport, clock};
            t.track(ping{});
        }
        const bool sends = chosen == level::stats || chosen == level::all;
        CHECK(messages(transport).size() == (sends ? 1 : 0));
    }
}

TEST_CASE("a development build sends nothing, except to a data plane that the environment sets") {
    for (const auto* version : {"", "development"}) {
        manual_clock clock;
        recording_transport transport;
        auto o = options();
        o.product.version = version;
        SUBCASE("without") {
            telemetry t{o, transport, clock};
            CHECK(t.track(ping{}) == admission::disabled);
        }
        SUBCASE("a key alone is no destination") {
            telemetry t{o, transport, clock, {{{"ACME_RUDDERSTACK_WRITE_KEY", "other"}}}};
            CHECK(t.track(ping{}) == admission::disabled);
        }
        SUBCASE("with") {
            telemetry t{o, transport, clock, {{{"ACME_RUDDERSTACK_DATA_PLANE_URL", "http://mine"}}}};
            CHECK(t.track(ping{}) == admission::accepted);
            CHECK(t.flush(1s));
            CHECK(transport.requests().at(0).url == "http://mine/v1/batch");
        }
    }
}

TEST_CASE("variables override what the program says, empty ones do not") {
    manual_clock clock;
    recording_transport transport;
    {
        telemetry t{options(),
                    transport,
                    clock,
                    {{{"ACME_RUDDERSTACK_DATA_PLANE_URL", "http://mine/x"}, {"ACME_RUDDERSTACK_WRITE_KEY", "other"}}}};
        t.track(ping{});
    }
    {
        telemetry t{options(),
                    transport,
                    clock,
                    {{{"ACME_RUDDERSTACK_DATA_PLANE_URL", ""}, {"ACME_RUDDERSTACK_WRITE_KEY", ""}}}};
        t.track(ping{});
    }
    const auto requests = transport.requests();
    REQUIRE(requests.size() == 2);
    CHECK(requests[0].url == "http://mine/x/v1/batch");
    CHECK(requests[0].headers[0].value == "Basic b3RoZXI6");
    CHECK(requests[1].url == "http://plane/v1/batch");
    CHECK(requests[1].headers[0].value == "Basic azo=");
}

TEST_CASE("what is wrong in the environment turns analytics off with a diagnostic, and never throws") {
    const std::vector<std::pair<const char*, std::string>> wrong{{"ACME_RUDDERSTACK_DATA_PLANE_URL", "plane"},
                                                                 {"ACME_RUDDERSTACK_DATA_PLANE_URL", "http://"},
                                                                 {"ACME_RUDDERSTACK_DATA_PLANE_URL", "http://a\r\nb"},
                                                                 {"ACME_RUDDERSTACK_DATA_PLANE_URL", "http://a\nb"},
                                                                 {"ACME_RUDDERSTACK_WRITE_KEY", "a\r\nb"},
                                                                 {"ACME_RUDDERSTACK_WRITE_KEY", std::string{"a\0b", 3}},
                                                                 {"ACME_RUDDERSTACK_WRITE_KEY", "a b"}};
    for (const auto& variable : wrong) {
        CAPTURE(variable.first);
        CAPTURE(variable.second);
        manual_clock clock;
        recording_transport transport;
        std::vector<std::string> said;
        auto o = options();
        o.diagnostics = [&](std::string_view text) { said.emplace_back(text); };
        telemetry t{o, transport, clock, {{variable}}};
        CHECK(t.track(ping{}) == admission::disabled);
        REQUIRE(said.size() == 1);
        CHECK(said[0].find("allowed: ") != std::string::npos);
        CHECK(said[0].find_first_of("\r\n") == std::string::npos);
    }
}

TEST_CASE("what the program got wrong is thrown, at every level") {
    for (const auto chosen : {level::none, level::all}) {
        manual_clock clock;
        recording_transport transport;
        const auto field_of = [&](const auto& change) -> std::string {
            auto o = options(chosen);
            change(o);
            try {
                telemetry{o, transport, clock};
                return "";
            } catch (const candor::configuration_error& error) {
                return error.field();
            }
        };
        CHECK(field_of([](auto&) {}) == "");
        CHECK(field_of([](auto& o) { o.product.name = ""; }) == "product.name");
        CHECK(field_of([](auto& o) { o.product.name = "../acme"; }) == "product.name");
        CHECK(field_of([](auto& o) { o.data_plane_url = "plane"; }) == "data_plane_url");
        CHECK(field_of([](auto& o) { o.data_plane_url = "http://"; }) == "data_plane_url");
        CHECK(field_of([](auto& o) { o.write_key = "a\nb"; }) == "write_key");
        CHECK(field_of([](auto& o) { o.shutdown_timeout = -1ms; }) == "shutdown_timeout");
        CHECK(field_of([](auto& o) { o.delivery.flush_interval = 0ms; }) == "delivery.flush_interval");
        CHECK(field_of([](auto& o) { o.delivery.batch_messages = 0; }) == "delivery.batch_messages");
        CHECK(field_of([](auto& o) { o.data_plane_url = ""; }) == "");
    }
    manual_clock clock;
    recording_transport transport;
    auto o = options();
    o.write_key = "";
    CHECK_THROWS_AS((telemetry{o, transport, clock}), candor::configuration_error);
}

TEST_CASE("the account source is asked on the worker, once, and again for a login") {
    manual_clock clock;
    recording_transport transport;
    std::vector<std::thread::id> asked_on;
    auto o = options();
    o.account = [&] {
        asked_on.push_back(std::this_thread::get_id());
        return std::optional<candor::account>{{"u" + std::to_string(asked_on.size()), "t1"}};
    };
    telemetry t{o, transport, clock};
    for (int i = 0; i < 3; ++i) t.track(ping{});
    CHECK(t.flush(1s));
    CHECK(asked_on.size() == 1);
    CHECK(asked_on[0] != std::this_thread::get_id());
    t.track(ping{});
    t.track(candor::login_succeeded{});
    t.track(ping{});
    CHECK(t.flush(1s));
    CHECK(asked_on.size() == 2);
    const auto sent = messages(transport);
    REQUIRE(sent.size() == 6);
    CHECK(sent[3]["userId"] == "u1");
    CHECK(sent[4]["userId"] == "u2");
    CHECK(sent[5]["userId"] == "u2");
}

TEST_CASE("without an account login and sync events are dropped, others are sent; a source that throws is no account") {
    for (const bool throws : {false, true}) {
        manual_clock clock;
        recording_transport transport;
        std::atomic<int> asked{0};
        auto o = options();
        o.account = [&, throws]() -> std::optional<candor::account> {
            ++asked;
            if (throws) throw std::runtime_error{"lookup"};
            return std::nullopt;
        };
        telemetry t{o, transport, clock};
        t.track(candor::sync_started{});
        t.track(candor::sync_completed{});
        t.track(candor::init_started{});
        t.track(ping{});
        CHECK(t.flush(1s));
        CHECK(asked == 1);
        CHECK(t.statistics().dropped[drop_reason::no_account] == 2);
        const auto sent = messages(transport);
        REQUIRE(sent.size() == 2);
        for (const auto& message : sent) {
            CHECK_FALSE(message.contains("userId"));
            CHECK(message["anonymousId"] == t.invocation_id().to_string());
            CHECK_FALSE(message["properties"].contains("team"));
        }
    }
}

TEST_CASE("nothing of an internal team reaches the wire") {
    manual_clock clock;
    recording_transport transport;
    auto o = options();
    o.internal_team = [](const auto&) { return true; };
    telemetry t{o, transport, clock};
    for (int i = 0; i < 5; ++i) t.track(ping{});
    CHECK(t.flush(1s));
    CHECK(transport.requests().empty());
    CHECK(t.statistics().dropped[drop_reason::internal] == 5);
}

TEST_CASE("row 32: a callback may track") {
    manual_clock clock;
    recording_transport transport;
    telemetry* self = nullptr;
    auto o = options();
    o.account = [&] {
        self->track(ping{"from the account source"});
        return std::optional<candor::account>{{"u1", "t1"}};
    };
    telemetry t{o, transport, clock};
    self = &t;
    t.track(ping{"first"});
    CHECK(t.flush(1s));
    CHECK(t.flush(1s));
    CHECK(t.statistics().delivered == 2);
}

TEST_CASE("an event that declares it says which CI system runs the program, and only there") {
    const auto said = [](const std::map<std::string, std::string>& variables) {
        recording_transport transport;
        manual_clock clock;
        telemetry sends{options(), transport, clock, fixed_environment{variables}};
        CHECK(sends.track(built{}) == admission::accepted);
        CHECK(sends.flush(1s));
        const auto all = messages(transport);
        REQUIRE(all.size() == 1);
        return all[0].at("properties").value("by", "nothing");
    };
    CHECK(said({}) == "nothing");
    CHECK(said({{"CI", "false"}}) == "nothing");
    CHECK(said({{"CI", "true"}}) == "unknown");
    CHECK(said({{"GITLAB_CI", "true"}, {"CI", "true"}}) == "GitLab CI");
}

TEST_CASE("free text is redacted with the registered secrets and the home directory") {
    manual_clock clock;
    recording_transport transport;
    auto o = options();
    o.secrets = {"hunter2-token"};
    telemetry t{o, transport, clock, {{{"HOME", "/home/somebody"}}}};
    t.track(ping{"cannot open /home/somebody/x with hunter2-token from https://me:pw@example.com/"});
    CHECK(t.flush(1s));
    const auto note = messages(transport).at(0)["properties"]["note"].get<std::string>();
    for (const auto* secret : {"somebody", "hunter2", "pw", "me:"}) CHECK(note.find(secret) == std::string::npos);
    CHECK(note.find("cannot open ~/x with ") == 0);
}

TEST_CASE("the program may bring its own invocation id") {
    manual_clock clock;
    recording_transport transport;
    auto o = options();
    o.invocation_id = candor::uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e");
    telemetry t{o, transport, clock};
    CHECK(t.invocation_id() == *o.invocation_id);
    telemetry other{options(), transport, clock};
    CHECK(other.invocation_id() != t.invocation_id());
    CHECK_FALSE(other.invocation_id().is_nil());
}

TEST_CASE("row 30: after shutdown events are answered closed, and the destructor has nothing left to do") {
    manual_clock clock;
    recording_transport transport;
    telemetry t{options(), transport, clock};
    t.track(ping{});
    t.shutdown();
    CHECK(t.statistics().delivered == 1);
    CHECK(t.track(ping{}) == admission::closed);
    CHECK(t.statistics().refused[admission::closed] == 1);
}

namespace {

/// What a program passes that sends errors, and events as well.
candor::telemetry_options with_errors(level chosen = level::all) {
    auto out = options(chosen);
    out.sentry_dsn = "http://key@errors/7";
    return out;
}

/// How many requests went to each.
struct tally {
    int events = 0;
    int errors = 0;
    friend bool operator==(const tally&, const tally&) = default;
};

tally requests(const recording_transport& transport) {
    tally out;
    for (const auto& request : transport.requests()) {
        out.events += request.url == "http://plane/v1/batch";
        out.errors += request.url == "http://errors/api/7/envelope/";
    }
    return out;
}

/// The event of an envelope.
json event_of(const candor::http_request& request) {
    const auto first = request.body.find('\n'), second = request.body.find('\n', first + 1);
    return json::parse(request.body.substr(second + 1, request.body.find('\n', second + 1) - second - 1));
}

}  // namespace

TEST_CASE("only what the level allows is sent") {
    struct sample {
        level chosen;
        tally expected;
    };
    for (const auto& each : {sample{level::none, {0, 0}}, sample{level::errors, {0, 1}}, sample{level::stats, {1, 0}},
                             sample{level::all, {1, 1}}}) {
        const auto chosen = each.chosen;
        const auto expected = each.expected;
        CAPTURE(to_string(chosen));
        recording_transport transport;
        manual_clock clock;
        telemetry t{with_errors(chosen), transport, clock, fixed_environment{}};
        CHECK(t.sends_events() == (expected.events == 1));
        CHECK(t.sends_errors() == (expected.errors == 1));
        CHECK(t.track(ping{"x"}) == (expected.events == 1 ? admission::accepted : admission::disabled));
        CHECK(t.capture(std::runtime_error{"x"}) == (expected.errors == 1 ? admission::accepted : admission::disabled));
        CHECK(t.flush(1s));
        CHECK(requests(transport) == expected);
        const auto counts = t.statistics();
        CHECK(counts.delivered == static_cast<std::uint64_t>(expected.events + expected.errors));
        CHECK(counts.refused[admission::disabled] + counts.delivered == 2);
    }
}

TEST_CASE("a captured exception says which product it is from, and nothing secret") {
    recording_transport transport;
    manual_clock clock;
    auto chosen = with_errors(level::errors);
    chosen.secrets = {"topsecret"};
    telemetry t{chosen, transport, clock, fixed_environment{{{"HOME", "/home/ann"}}}};
    t.add_breadcrumb("file", "/home/ann/data");
    t.capture(std::runtime_error{"cannot open /home/ann/data with topsecret"});
    t.capture(std::make_exception_ptr(std::logic_error{"second"}));
    t.capture_message(candor::sentry::severity::warning, "third");
    CHECK(t.flush(1s));
    REQUIRE(transport.requests().size() == 3);
    const auto event = event_of(transport.requests()[0]);
    CHECK(event["release"] == "acme@1.4.0");
    CHECK(event["contexts"]["app"] == json{{"app_name", "acme"}, {"app_version", "1.4.0"}});
    CHECK(event["exception"]["values"][0]["value"] == "cannot open ~/data with [redacted]");
    CHECK(event["breadcrumbs"]["values"][0]["message"] == "~/data");
    CHECK(event_of(transport.requests()[2])["level"] == "warning");
}

TEST_CASE("a development build reports errors only where the environment says") {
    recording_transport transport;
    manual_clock clock;
    auto development = with_errors();
    development.product.version = "development";
    telemetry silent{development, transport, clock, fixed_environment{}};
    CHECK_FALSE(silent.sends_errors());
    telemetry told{development, transport, clock, fixed_environment{{{"ACME_SENTRY_DSN", "http://other@elsewhere/8"}}}};
    CHECK(told.sends_errors());
    CHECK_FALSE(told.sends_events());
    told.capture(std::runtime_error{"x"});
    CHECK(told.flush(1s));
    REQUIRE(transport.requests().size() == 1);
    CHECK(transport.requests()[0].url == "http://elsewhere/api/8/envelope/");
}

TEST_CASE("a bad DSN throws where the program passes it, and is a diagnostic where the environment does") {
    recording_transport transport;
    manual_clock clock;
    auto wrong = with_errors(level::none);
    wrong.sentry_dsn = "http://errors/7";
    CHECK_THROWS_WITH_AS((telemetry{wrong, transport, clock, fixed_environment{}}),
                         doctest::Contains("sentry_dsn is \"http://errors/7\""), candor::configuration_error);

    std::vector<std::string> said;
    auto good = with_errors();
    good.diagnostics = [&](std::string_view text) { said.emplace_back(text); };
    telemetry t{good, transport, clock, fixed_environment{{{"ACME_SENTRY_DSN", "garbage"}}}};
    CHECK_FALSE(t.sends_errors());
    CHECK(t.sends_events());
    REQUIRE(said.size() == 1);
    CHECK(said[0].find("sentry_dsn is \"garbage\"") != std::string::npos);
}

TEST_CASE("a version that no server takes as a release is said, and all is sent as ever") {
    for (const auto& [named, is_said] : {std::pair{"1.4.0", false}, {"feature/x", true}, {"1.4.0\n", true}}) {
        const std::string version = named;
        CAPTURE(version);
        recording_transport transport;
        manual_clock clock;
        std::vector<std::string> said;
        auto o = with_errors();
        o.product.version = version;
        o.diagnostics = [&](std::string_view text) { said.emplace_back(text); };
        telemetry t{o, transport, clock, fixed_environment{}};
        t.track(ping{"x"});
        t.capture(std::runtime_error{"x"});
        t.shutdown();
        CHECK(requests(transport) == tally{1, 1});
        REQUIRE(said.size() == (is_said ? 1 : 0));
        if (!is_said) continue;
        CHECK(said[0].find("errors come without a release: a server does not take \"acme@") == 0);
        CHECK(said[0].find('\n') == std::string::npos);
    }
}

TEST_CASE("shutdown delivers events and errors within one timeout") {
    recording_transport transport;
    manual_clock clock;
    telemetry t{with_errors(), transport, clock, fixed_environment{}};
    t.track(ping{"x"});
    t.capture(std::runtime_error{"x"});
    t.shutdown();
    CHECK(requests(transport) == tally{1, 1});
    CHECK(t.capture(std::runtime_error{"late"}) == admission::closed);
    const auto counts = t.statistics();
    CHECK(counts.accepted == counts.delivered + counts.pending + counts.spooled + counts.dropped.total());

    recording_transport dead;
    dead.hang();
    dead.hang();
    telemetry stuck{with_errors(), dead, clock, fixed_environment{}};
    stuck.track(ping{"x"});
    stuck.capture(std::runtime_error{"x"});
    REQUIRE(dead.wait_for_requests(1));
    const auto began = clock.now();
    stuck.shutdown();
    CHECK(clock.now() - began <= 500ms);
    CHECK(stuck.statistics().dropped.total() == 2);
}

namespace {

/// A machine on which programs run one after the other.
struct machine {
    [[nodiscard]] fixed_environment variables(std::map<std::string, std::string> more = {}) const {
        more["XDG_STATE_HOME"] = t.string();
        return fixed_environment{more};
    }
    [[nodiscard]] std::vector<std::filesystem::path> files(std::string_view start = "") const {
        std::vector<std::filesystem::path> out;
        const auto path = t.path() / "acme" / "telemetry";
        if (!std::filesystem::exists(path)) return out;
        for (const auto& entry : std::filesystem::directory_iterator{path})
            if (entry.path().filename().string().starts_with(start)) out.push_back(entry.path());
        return out;
    }
    /// Those of them that hold messages.
    [[nodiscard]] std::size_t spooled(std::string_view start) const {
        const auto all = files(start);
        return static_cast<std::size_t>(
            std::count_if(all.begin(), all.end(), [](const auto& path) { return path.extension() == ".spool"; }));
    }
    /// A run without a network leaves an event and an error.
    void leave() const {
        recording_transport transport;
        manual_clock clock;
        for (int i = 0; i < 8; ++i) transport.fail(candor::transport_error::unreachable);
        auto o = with_errors();
        o.write_key = "topsecretkey";
        o.secrets = {"hunter2"};
        telemetry t1{o, transport, clock, variables()};
        t1.track(ping{"the password is hunter2"});
        t1.capture(std::runtime_error{"the password is hunter2"});
        t1.shutdown();
        CHECK(t1.statistics().spooled == 2);
    }
    const temporary_directory t{};
};

}  // namespace

TEST_CASE("what one run cannot deliver, events and errors, the next one does") {
    const machine m;
    m.leave();
    CHECK(m.spooled("rudderstack-") == 1);
    CHECK(m.spooled("sentry-") == 1);
    recording_transport transport;
    manual_clock clock;
    telemetry t{with_errors(), transport, clock, m.variables()};
    t.track(ping{"x"});
    t.capture(std::runtime_error{"x"});
    CHECK(t.flush(1s));
    t.shutdown();
    CHECK(requests(transport) == tally{2, 2});
    CHECK(t.statistics().recovered == 2);
    CHECK(t.statistics().delivered == 4);
    CHECK(m.spooled("") == 0);
    CHECK(m.files().size() == 2);  // the times of the last deliveries
}

TEST_CASE("row 42: no credential, no secret and no endpoint stands in a file of the spool or in its name") {
    const machine m;
    m.leave();
    for (const auto& path : m.files()) {
        std::ifstream file{path, std::ios::binary};
        const std::string all = path.filename().string() + std::string{std::istreambuf_iterator<char>{file}, {}};
        for (const char* text : {"topsecretkey", "dG9wc2VjcmV0a2V5", "hunter2", "plane", "errors/7", "key@"}) {
            CAPTURE(text);
            CHECK(all.find(text) == std::string::npos);
        }
    }
}

TEST_CASE("what the level does not allow any more is removed at the next start") {
    for (const auto chosen : {level::none, level::errors, level::stats, level::all}) {
        CAPTURE(static_cast<int>(chosen));
        const machine m;
        m.leave();
        auto o = with_errors();
        o.level = chosen;
        recording_transport transport;
        manual_clock clock;
        const telemetry t{o, transport, clock, m.variables()};
        CHECK(m.spooled("rudderstack-") == (candor::sends_analytics(chosen) ? 1 : 0));
        CHECK(m.spooled("sentry-") == (candor::sends_errors(chosen) ? 1 : 0));
        CHECK(m.files("rudderstack-").empty() != candor::sends_analytics(chosen));
        CHECK(m.files("sentry-").empty() != candor::sends_errors(chosen));
    }
}

TEST_CASE("at level none a state directory that is not there is not made") {
    const machine m;
    recording_transport transport;
    manual_clock clock;
    { const telemetry t{options(level::none), transport, clock, m.variables()}; }
    CHECK(std::filesystem::is_empty(m.t.path()));
}

TEST_CASE(
    "row 33: revoke() cancels what is under way, removes the spool and the records of crashes, and nothing leaves") {
    const machine m;
    m.leave();
    auto o = with_errors();
    o.capture_crashes = true;
    recording_transport transport;
    transport.hang();
    transport.hang();
    manual_clock clock;
    telemetry t{o, transport, clock, m.variables()};
    CHECK(m.files("crash-").size() == 1);
    t.track(ping{"x"});
    CHECK_FALSE(t.flush(0ms));
    REQUIRE(transport.wait_for_requests(1));
    t.capture(std::runtime_error{"x"});
    t.revoke();
    t.revoke();
    CHECK(t.track(ping{"x"}) == admission::closed);
    CHECK(t.capture(std::runtime_error{"x"}) == admission::closed);
    CHECK(m.files().empty());
    t.shutdown();
    const auto s = t.statistics();
    CHECK(s.delivered == 0);
    CHECK(s.spooled == 0);
    CHECK(s.dropped[drop_reason::revoked] == s.accepted);
    CHECK(s.accepted == 2);
}

namespace {

struct far_away {
    static constexpr std::string_view event_name = "far_away";
    std::string_view note{};
    static constexpr auto fields() { return std::tuple{candor::field("note", &far_away::note, "Anything")}; }
};

}  // namespace

TEST_CASE("a crash inside track is reported by the next start, once") {
    const machine m;
    auto o = with_errors();
    o.capture_crashes = true;
    const auto end = run_in_child([&](int) {
        recording_transport transport;
        manual_clock clock;
        telemetry t{o, transport, clock, m.variables()};
        const void* nobodys = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        t.track(far_away{.note = {static_cast<const char*>(nobodys), 100}});
        return 1;
    });
    CHECK(end.signal() == SIGSEGV);
    for (const int expected : {1, 0}) {
        std::vector<std::string> reported;
        o.before_send = [&](const candor::sentry::event& e) {
            reported.push_back(e.exceptions.at(0).type);
            return true;
        };
        recording_transport transport;
        manual_clock clock;
        telemetry t{o, transport, clock, m.variables()};
        CHECK(t.flush(1s));
        CHECK(requests(transport).errors == expected);
        CHECK(reported == std::vector<std::string>(static_cast<std::size_t>(expected), "SIGSEGV"));
    }
}

TEST_CASE(
    "a debugged run prints what it would send, readable, with or without a destination, and sends and stores nothing") {
    const machine m;
    m.leave();
    auto o = with_errors();
    o.capture_crashes = true;
    SUBCASE("a released program") {}
    SUBCASE("a development build with nowhere to send to") {
        o.product.version = "development";
        o.data_plane_url = o.write_key = o.sentry_dsn = "";
    }
    const auto before = m.files();
    const auto variables =
        m.variables({{"ACME_TELEMETRY_DEBUG", "1"}, {"ACME_TELEMETRY_LOG", (m.t.path() / "sent.log").string()}});
    const auto run = run_in_child([&](int output) {
        ::dup2(output, STDERR_FILENO);
        recording_transport transport;
        manual_clock clock;
        telemetry t{o, transport, clock, variables};
        t.track(ping{"x"});
        t.capture(std::runtime_error{"disk full"});
        t.shutdown();
        return transport.requests().empty() && t.statistics().delivered == 2 ? 0 : 1;
    });
    CHECK(run.exit_code() == 0);
    CHECK(run.said.find("/v1/batch\n{\n  \"batch\": [\n") != std::string::npos);
    CHECK(run.said.find("\"event\": \"ping\"") != std::string::npos);
    CHECK(run.said.find("/envelope/\n") != std::string::npos);
    CHECK(run.said.find("\"value\": \"disk full\"") != std::string::npos);
    CHECK(m.files() == before);
    CHECK_FALSE(std::filesystem::exists(m.t.path() / "sent.log"));
}

TEST_CASE("at the level none, and where the variable is 0, debugging prints nothing") {
    for (const bool is_off : {false, true}) {
        const machine m;
        auto o = with_errors();
        const auto variables = m.variables({{"ACME_TELEMETRY_DEBUG", is_off ? "0" : "1"}});
        if (!is_off) o.level = candor::level::none;
        const auto run = run_in_child([&](int output) {
            ::dup2(output, STDERR_FILENO);
            recording_transport transport;
            manual_clock clock;
            telemetry t{o, transport, clock, variables};
            t.track(ping{"x"});
            t.shutdown();
            return transport.requests().size() == (is_off ? 1U : 0U) ? 0 : 1;
        });
        CHECK(run.exit_code() == 0);
        CHECK(run.said.empty());
    }
}

TEST_CASE("a log has what was sent of events and of errors, and the program's own callback sees it too") {
    const machine m;
    auto o = with_errors();
    int seen = 0;
    std::mutex mutex;
    o.delivery.on_attempt = [&](const candor::http_request&, const candor::http_response&) {
        const std::lock_guard guard{mutex};
        ++seen;
    };
    const auto file = m.t.path() / "sent.log";
    const auto variables = m.variables({{"ACME_TELEMETRY_LOG", file.string()}});
    recording_transport transport;
    manual_clock clock;
    telemetry t{o, transport, clock, variables};
    t.track(ping{"x"});
    t.capture(std::runtime_error{"disk full"});
    CHECK(t.flush(1s));
    CHECK(seen == 2);
    auto logged = candor::detail::payload_log::read(file);
    REQUIRE(logged.size() == 2);
    for (const auto& request : transport.requests()) {
        const auto same = [&](const auto& one) { return one.url == request.url && one.body == request.body; };
        CHECK(std::any_of(logged.begin(), logged.end(), same));
    }
}

TEST_CASE("row 21: without a home nothing is stored or made, and telemetry works") {
    const temporary_directory place;
    fixed_environment variables{};
    SUBCASE("that a variable names") {}
    SUBCASE("that is there") { variables = {{{"HOME", (place.path() / "nonexistent").string()}}}; }
    recording_transport transport;
    manual_clock clock;
    telemetry t{with_errors(), transport, clock, variables};
    t.track(ping{"x"});
    CHECK(t.flush(1s));
    transport.fail(candor::transport_error::unreachable);
    transport.fail(candor::transport_error::unreachable);
    t.track(ping{"x"});
    t.shutdown();
    CHECK(t.statistics().spooled == 0);
    CHECK(t.statistics().dropped[drop_reason::shutdown] == 1);
    CHECK(std::filesystem::is_empty(place.path()));
}

}  // namespace telemetry_test
