#include <candor/sentry/client.hpp>

#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <candor/testing.hpp>

#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace client_test {

using namespace std::chrono_literals;
using candor::admission;
using candor::configuration_error;
using candor::sentry::severity;
using nlohmann::json;

namespace {

using client = candor::sentry::basic_client<candor::testing::recording_transport, candor::testing::manual_clock>;

struct bench {
    candor::testing::manual_clock clock;
    candor::testing::recording_transport transport;
    client errors{{.dsn = "http://key@127.0.0.1:9000/7", .release = "acme@1.4.0"}, transport, clock};

    /// The lines of a request's envelope.
    [[nodiscard]] std::vector<std::string> lines(std::size_t request) const {
        std::vector<std::string> out;
        const std::string body = transport.requests().at(request).body;
        for (std::size_t at = 0; at < body.size();) {
            const auto end = body.find('\n', at);
            out.push_back(body.substr(at, end - at));
            at = end + 1;
        }
        return out;
    }
};

/// A function that is in the stack of what it captures.
[[gnu::noinline]] admission capture_here(client& errors, const std::exception& e) { return errors.capture(e); }

}  // namespace

TEST_CASE("a captured exception arrives as an envelope with one event") {
    bench b;
    CHECK(capture_here(b.errors, std::runtime_error{"disk full"}) == admission::accepted);
    CHECK(b.errors.flush(1s));
    const auto lines = b.lines(0);
    REQUIRE(lines.size() == 3);
    const auto header = json::parse(lines[0]), item = json::parse(lines[1]), event = json::parse(lines[2]);
    CHECK(header["event_id"] == event["event_id"]);
    CHECK(header["sent_at"] == "2026-01-02T03:04:05Z");
    CHECK(item == json{{"type", "event"}, {"length", lines[2].size()}});
    CHECK(event["platform"] == "native");
    CHECK(event["level"] == "error");
    CHECK(event["release"] == "acme@1.4.0");
    CHECK(event["server_name"] == "oss");
    const auto& values = event["exception"]["values"];
    REQUIRE(values.size() == 1);
    CHECK(values[0]["type"] == "std::runtime_error");
    CHECK(values[0]["value"] == "disk full");
    CHECK(values[0]["mechanism"] == json{{"type", "generic"}, {"handled", true}});
}

TEST_CASE("the newest frame says where the capture stands in the source") {
    bench b;
    capture_here(b.errors, std::runtime_error{"x"});
    CHECK(b.errors.flush(1s));
    const auto event = json::parse(b.lines(0)[2]);
    const auto& frames = event["exception"]["values"][0]["stacktrace"]["frames"];
    REQUIRE_FALSE(frames.empty());
    CHECK(frames.back()["filename"] == "client_test.cpp");
    CHECK(frames.back()["function"] == "capture_here");
    CHECK(frames.back()["lineno"].get<int>() > 0);
#ifdef __linux__
    CHECK(frames.size() > 2);
    // Each address lies in a module that the event names, so that a server can look the function up.
    for (const auto& f : frames) {
        const auto address = std::stoull(f["instruction_addr"].get<std::string>(), nullptr, 16);
        bool found = false;
        for (const auto& m : event["debug_meta"]["images"]) {
            const auto begin = std::stoull(m["image_addr"].get<std::string>(), nullptr, 16);
            found = found || (address >= begin && address - begin < m["image_size"].get<std::uint64_t>());
            CHECK(m["code_file"].get<std::string>().find('/') == std::string::npos);
        }
        CHECK(found);
    }
    // The newest one lies in the function that captured.
    const auto newest = std::stoull(frames.back()["instruction_addr"].get<std::string>(), nullptr, 16);
    const auto begin = reinterpret_cast<std::uintptr_t>(&capture_here);
    CHECK(newest > begin);
    CHECK(newest < begin + 4096);
#endif
}

TEST_CASE("nested exceptions are a chain, the innermost cause first") {
    bench b;
    try {
        try {
            throw std::logic_error{"cause"};
        } catch (...) {
            std::throw_with_nested(std::runtime_error{"effect"});
        }
    } catch (const std::exception& e) {
        b.errors.capture(e);
    }
    CHECK(b.errors.flush(1s));
    const auto values = json::parse(b.lines(0)[2])["exception"]["values"];
    REQUIRE(values.size() == 2);
    CHECK(values[0]["type"] == "std::logic_error");
    CHECK(values[0]["value"] == "cause");
    CHECK(values[1]["type"] == "std::runtime_error");
    CHECK_FALSE(values[0].contains("stacktrace"));
    CHECK(values[1].contains("stacktrace"));
}

TEST_CASE("whatever was thrown can be captured") {
    bench b;
    CHECK(b.errors.capture(std::make_exception_ptr(42)) == admission::accepted);
    CHECK(b.errors.capture(std::exception_ptr{}) == admission::invalid);
    CHECK(b.errors.capture_message(severity::fatal, "giving up") == admission::accepted);
    CHECK(b.errors.flush(1s));
    CHECK(json::parse(b.lines(0)[2])["exception"]["values"][0]["type"] == "int");
    CHECK(json::parse(b.lines(1)[2])["level"] == "fatal");
}

TEST_CASE("an exception of megabytes costs no more than its beginning") {
    bench b;
    CHECK(b.errors.capture(std::runtime_error{std::string(10'000'000, 'x')}) == admission::accepted);
    CHECK(b.errors.flush(1s));
    CHECK(json::parse(b.lines(0)[2])["exception"]["values"][0]["value"] == std::string(8192, 'x'));
}

TEST_CASE("after shutdown captures are answered closed, and the account adds up") {
    bench b;
    b.errors.capture_message(severity::info, "a");
    b.transport.respond(500);
    b.errors.shutdown();
    CHECK(b.errors.capture_message(severity::info, "b") == admission::closed);
    const auto counts = b.errors.statistics();
    CHECK(counts.accepted == 1);
    CHECK(counts.accepted == counts.delivered + counts.pending + counts.spooled + counts.dropped.total());
    CHECK(counts.refused[admission::closed] == 1);
}

TEST_CASE("an option that cannot work is refused by name") {
    candor::testing::manual_clock clock;
    candor::testing::recording_transport transport;
    const auto field = [&](const candor::sentry::client_options& options) -> std::string {
        try {
            client{options, transport, clock};
            return "accepted";
        } catch (const configuration_error& error) {
            return error.field();
        }
    };
    CHECK(field({.dsn = ""}) == "dsn");
    CHECK(field({.dsn = "http://127.0.0.1/7"}) == "dsn");
    CHECK(field({.dsn = "http://k@127.0.0.1/7\r\n"}) == "dsn");
    CHECK(field({.dsn = "http://k@127.0.0.1/7", .sample_rate = 2}) == "sample_rate");
    CHECK(field({.dsn = "http://k@127.0.0.1/7", .release = "acme@feature/x"}) == "release");
    CHECK(field({.dsn = "http://k@127.0.0.1/7", .shutdown_timeout = -1ms}) == "shutdown_timeout");
    CHECK(field({.dsn = "http://k@127.0.0.1/7"}) == "accepted");
}

TEST_CASE("an error that could not be sent is sent by a later run, unless the server takes none for now") {
    const temporary_directory t;
    candor::sentry::client_options options{.dsn = "http://key@127.0.0.1:9000/7"};
    options.spool.directory = t.path() / "spool";
    const auto run = [&](const char* what, const auto& script) {
        candor::testing::manual_clock clock;
        candor::testing::recording_transport transport;
        script(transport);
        client errors{options, transport, clock};
        errors.capture(std::runtime_error{what});
        errors.shutdown();
        std::vector<std::string> said;
        for (const auto& request : transport.requests()) {
            const auto payload = request.body.substr(request.body.find("{\"event_id", 1));
            said.push_back(json::parse(payload.substr(0, payload.find('\n')))["exception"]["values"][0]["value"]);
        }
        return std::pair{said, errors.statistics()};
    };
    using texts = std::vector<std::string>;
    const auto offline = [](auto& transport) {
        for (int i = 0; i < 8; ++i) transport.fail(candor::transport_error::unreachable);
    };
    CHECK(run("first", offline).second.spooled == 1);
    const auto limited = [](auto& transport) { transport.respond(200, {{"X-Sentry-Rate-Limits", "60:error:key"}}); };
    CHECK(run("second", limited).first == texts{"second"});
    const auto [said, counts] = run("third", [](auto&) {});
    CHECK(said == texts{"third", "first"});
    CHECK(counts.recovered == 1);
    CHECK(counts.delivered == 2);
}

TEST_CASE("a network failure is retried with the same id") {
    bench b;
    b.transport.fail(candor::transport_error::broken);
    b.errors.capture_message(severity::info, "a");
    CHECK(b.errors.flush(60s));
    REQUIRE(b.transport.requests().size() == 2);
    CHECK(json::parse(b.lines(0)[2])["event_id"] == json::parse(b.lines(1)[2])["event_id"]);
}

}  // namespace client_test
