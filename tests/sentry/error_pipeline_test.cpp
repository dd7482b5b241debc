#include <candor/sentry/error_pipeline.hpp>

#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>

#include <nlohmann/json.hpp>

#include <candor/testing.hpp>

#include <doctest/doctest.h>

namespace error_pipeline_test {

using namespace std::chrono_literals;
using candor::admission;
using candor::sentry::severity;
using candor::sentry::source_location;
using nlohmann::json;

namespace {

using candor::sentry::detail::error_pipeline;

candor::sentry::detail::error_settings settings(double sample_rate = 1) {
    return {.destination = *candor::sentry::parse_dsn("http://key@errors.example/7"),
            .release = "acme@1",
            .application = {{"app_name", "acme"}},
            .tags = {{"plugin", "aws"}},
            .sample_rate = sample_rate};
}

struct bench {
    candor::testing::manual_clock clock;
    candor::testing::recording_transport transport;
    candor::detail::policies<candor::testing::recording_transport, candor::testing::manual_clock> policies{transport,
                                                                                                           clock};
    error_pipeline errors;

    explicit bench(double sample_rate = 1) : errors{settings(sample_rate), policies} {}
    ~bench() { errors.delivery().shutdown(1s); }

    /// The payload of the only item, or the first one, of a request.
    [[nodiscard]] json event(std::size_t request) const {
        const std::string body = transport.requests().at(request).body;
        const auto first = body.find('\n'), second = body.find('\n', first + 1);
        const auto length = json::parse(body.substr(first + 1, second - first - 1))["length"].get<std::size_t>();
        return json::parse(body.substr(second + 1, length));
    }
};

}  // namespace

TEST_CASE("an error is sent at once and by itself, in an envelope of its own") {
    bench b;
    CHECK(b.errors.capture_message(severity::warning, "one") == admission::accepted);
    CHECK(b.errors.capture_message(severity::info, "two") == admission::accepted);
    REQUIRE(b.transport.wait_for_requests(2));
    CHECK(b.event(0)["message"]["formatted"] == "one");
    CHECK(b.event(0)["level"] == "warning");
    CHECK(b.event(0)["tags"]["plugin"] == "aws");
    CHECK(b.event(0)["contexts"]["app"]["app_name"] == "acme");
    CHECK(b.event(1)["message"]["formatted"] == "two");
    CHECK(b.event(0)["event_id"] != b.event(1)["event_id"]);
}

TEST_CASE("an exception is captured once on its way up") {
    bench b;
    const auto capture = [&](const auto& e) { return b.errors.capture(e, "static", source_location::current()); };
    try {
        try {
            throw std::runtime_error{"disk full"};
        } catch (const std::runtime_error& e) {
            CHECK(capture(e) == admission::accepted);
            CHECK(capture(e) == admission::duplicate);
            throw;
        }
    } catch (const std::exception& e) {
        CHECK(capture(e) == admission::duplicate);
        CHECK(b.errors.capture(std::current_exception(), source_location::current()) == admission::duplicate);
    }
    // The same failure once more is another exception, wherever it lies in memory.
    for (int i = 0; i < 3; ++i) {
        try {
            throw std::runtime_error{"disk full"};
        } catch (const std::runtime_error& e) {
            CHECK(capture(e) == admission::accepted);
        }
    }
    // Neither is one that was never thrown a duplicate of anything.
    CHECK(capture(std::runtime_error{"made"}) == admission::accepted);
    CHECK(capture(std::runtime_error{"made"}) == admission::accepted);
    CHECK(b.errors.delivery().flush(1s));
    CHECK(b.transport.requests().size() == 6);
}

TEST_CASE("another exception that is captured in the handler of the first is no duplicate") {
    bench b;
    try {
        throw std::runtime_error{"first"};
    } catch (const std::runtime_error& first) {
        const std::logic_error other{"other"};
        CHECK(b.errors.capture(first, "", source_location::current()) == admission::accepted);
        CHECK(b.errors.capture(other, "", source_location::current()) == admission::accepted);
        CHECK(b.errors.capture(first, "", source_location::current()) == admission::duplicate);
    }
}

TEST_CASE("a null exception is invalid") {
    bench b;
    CHECK(b.errors.capture(std::exception_ptr{}, source_location::current()) == admission::invalid);
}

TEST_CASE("an exception by its pointer is one and the same, whatever it is, also where it was left out") {
    for (const double rate : {1.0, 0.0}) {
        bench b{rate};
        for (const auto& thrown : {std::make_exception_ptr(std::runtime_error{"x"}), std::make_exception_ptr(42)}) {
            const auto capture = [&] { return b.errors.capture(thrown, source_location::current()); };
            CHECK(capture() == (rate == 0 ? admission::sampled : admission::accepted));
            CHECK(capture() == admission::duplicate);
            try {
                std::rethrow_exception(thrown);
            } catch (const std::exception& e) {
                CHECK(b.errors.capture(e, "", source_location::current()) == admission::duplicate);
            } catch (...) {
                CHECK(b.errors.capture(std::current_exception(), source_location::current()) == admission::duplicate);
            }
        }
    }
}

TEST_CASE("a part of the captures is sampled, and what is left out is reported") {
    bench none{0.0};
    CHECK(none.errors.capture_message(severity::error, "x") == admission::sampled);
    CHECK(none.transport.requests().empty());

    bench half{0.5};
    int accepted = 0, sampled = 0;
    for (int i = 0; i < 2000; ++i) {
        const auto answer = half.errors.capture_message(severity::error, "x");
        accepted += answer == admission::accepted;
        sampled += answer == admission::sampled;
        if (i % 50 == 0) REQUIRE(half.errors.delivery().flush(10s));
    }
    CHECK(accepted + sampled == 2000);
    CHECK(accepted > 800);  // eight standard deviations from the mean
    CHECK(accepted < 1200);
    REQUIRE(half.errors.delivery().flush(10s));
    std::uint64_t reported = 0;
    for (const auto& request : half.transport.requests()) {
        const auto at = request.body.find(R"("reason":"sample_rate","category":"error","quantity":)");
        if (at != std::string::npos) reported += std::stoull(request.body.substr(at + 53));
    }
    CHECK(reported <= static_cast<std::uint64_t>(sampled));
    CHECK(reported > 700);  // those after the last envelope wait for the next
}

TEST_CASE("a sample rate outside 0 to 1 is refused") {
    candor::testing::manual_clock clock;
    candor::testing::recording_transport transport;
    candor::detail::policies<candor::testing::recording_transport, candor::testing::manual_clock> policies{transport,
                                                                                                           clock};
    for (const double rate : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
        CAPTURE(rate);
        CHECK_THROWS_AS((error_pipeline{settings(rate), policies}), candor::configuration_error);
    }
}

TEST_CASE("what does not fit into the queue is refused, counted and reported") {
    bench b;
    b.transport.fail(candor::transport_error::unreachable);
    std::uint64_t accepted = 0, full = 0;
    REQUIRE(b.errors.capture_message(severity::error, "first") == admission::accepted);
    REQUIRE(b.transport.wait_for_requests(1));
    REQUIRE(b.clock.wait_for_idle());
    for (int i = 0; i < 150; ++i) {
        const auto answer = b.errors.capture_message(severity::error, "x");
        accepted += answer == admission::accepted;
        full += answer == admission::full;
    }
    CHECK(accepted == 99);
    CHECK(full == 51);
    CHECK(b.errors.delivery().flush(60s));
    CHECK(b.transport.requests()[1].body.find(R"("reason":"queue_overflow","category":"error","quantity":51)") !=
          std::string::npos);
}

TEST_CASE("what ends the program is fatal and was not handled") {
    bench b;
    b.errors.capture_termination(std::make_exception_ptr(std::runtime_error{"lost"}), source_location::current());
    b.errors.capture_termination(nullptr, source_location::current());
    REQUIRE(b.errors.delivery().flush(1s));
    const auto first = b.event(0)["exception"]["values"][0], second = b.event(1)["exception"]["values"][0];
    CHECK(b.event(0)["level"] == "fatal");
    CHECK(first["type"] == "std::runtime_error");
    CHECK(first["mechanism"] == json{{"type", "terminate"}, {"handled", false}});
    CHECK(second["type"] == "std::terminate");
}

TEST_CASE("an event that is made already goes as it is, with what holds for all of them") {
    bench b;
    const auto id = candor::uuid::random();
    CHECK(b.errors.capture_event({.id = id, .timestamp = b.clock.wall_now(), .message = "made"}) ==
          admission::accepted);
    REQUIRE(b.errors.delivery().flush(1s));
    CHECK(b.event(0)["event_id"] == candor::sentry::detail::id_text(id));
    CHECK(b.event(0)["message"]["formatted"] == "made");
    CHECK(b.event(0)["release"] == "acme@1");
    CHECK(b.event(0)["tags"]["plugin"] == "aws");
}

TEST_CASE("breadcrumbs are redacted before they are kept") {
    candor::testing::manual_clock clock;
    candor::testing::recording_transport transport;
    auto with_secret = settings();
    with_secret.secrets = candor::redactor{{"topsecret"}};
    candor::detail::policies<candor::testing::recording_transport, candor::testing::manual_clock> policies{transport,
                                                                                                           clock};
    error_pipeline errors{with_secret, policies};
    errors.add_breadcrumb("http", "GET /?key=topsecret", severity::debug);
    errors.capture_message(severity::error, "x");
    REQUIRE(errors.delivery().flush(1s));
    const auto body = transport.requests()[0].body;
    CHECK(body.find(R"("level":"debug","category":"http","message":"GET /?key=[redacted]")") != std::string::npos);
    CHECK(body.find("topsecret") == std::string::npos);
}

}  // namespace error_pipeline_test
