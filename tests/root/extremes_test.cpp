#include <candor/candor.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <httplib.h>

#include <candor/testing.hpp>

#include <examples/data_plane.hpp>
#include <support/becomes_true.hpp>
#include <support/stopwatch.hpp>
#include <support/temporary_directory.hpp>

#include "fault_program.hpp"

#include <doctest/doctest.h>

// row 52: an option at its extremes works, for ever where it is the longest time, or is refused with its range.
namespace extremes_test {

namespace {

using namespace std::chrono_literals;
using candor::admission;
using candor::configuration_error;
using candor::telemetry_options;
using candor::tests::machine;
using candor::tests::noted;
using std::chrono::milliseconds;

/// What a constructor says of an option that it refuses.
template <class Construct>
std::optional<configuration_error> refusal(const Construct& construct) {
    try {
        construct();
    } catch (const configuration_error& error) {
        return error;
    }
    return std::nullopt;
}

/// Whether that names the field, the value and what is allowed.
bool names(const std::optional<configuration_error>& refused, const std::string& field, const std::string& value,
           const std::string& allowed) {
    return refused && refused->field() == field &&
           refused->what() == field + " is \"" + value + "\"; allowed: " + allowed;
}

/// A number of the options: where it is, and its range.
template <class Options>
struct size_option {
    std::string field;
    std::size_t& (*of)(Options&);
    std::size_t least;
    std::size_t most;
};

/// Calls `accepted(options)` with the number at each end of its range, and requires a refusal beyond.
template <class Options, class Run>
void check_range(const size_option<Options>& option, const Options& others, const Run& run) {
    constexpr auto largest = std::numeric_limits<std::size_t>::max();
    for (const std::size_t value : {std::size_t{0}, option.least - 1, option.least, option.least + 1, option.most - 1,
                                    option.most, option.most + 1, largest - 1, largest}) {
        CAPTURE(option.field);
        CAPTURE(value);
        Options options = others;
        option.of(options) = value;
        const auto refused = refusal([&] { run(options); });
        if (value >= option.least && value <= option.most) {
            CHECK_MESSAGE(!refused, refused->what());
        } else {
            CHECK(names(refused, option.field, std::to_string(value),
                        std::to_string(option.least) + " to " + std::to_string(option.most)));
        }
    }
}

/// A time of the options, from 1 ms or from 0.
template <class Options>
struct time_option {
    std::string field;
    milliseconds& (*of)(Options&);
    milliseconds least;
};

template <class Options, class Run>
void check_range(const time_option<Options>& option, const Options& others, const Run& run) {
    for (const auto value : {milliseconds::min(), -1ms, 0ms, 1ms, milliseconds::max() - 1ms, milliseconds::max()}) {
        CAPTURE(option.field);
        CAPTURE(value.count());
        Options options = others;
        option.of(options) = value;
        const auto refused = refusal([&] { run(options); });
        if (value >= option.least) {
            CHECK_MESSAGE(!refused, refused->what());
        } else {
            CHECK(names(refused, option.field, std::to_string(value.count()) + " ms",
                        option.least == 0ms ? "0 ms or more" : "a time above 0 ms"));
        }
    }
}

/// Ends a run in one of the ways that there are, and checks what became of it.
void run_with(const telemetry_options& options, std::size_t way) {
    candor::telemetry t{options};
    for (int i = 0; i < 3; ++i) t.track(noted{.note = "extreme"});
    const auto accepted = t.statistics().accepted;
    if (way != 2) CHECK(t.flush(milliseconds::max()));
    if (way == 2) t.revoke();
    t.shutdown();
    const auto s = t.statistics();
    CHECK(s.accepted == accepted);
    CHECK(s.accepted + s.refused.total() == 3);
    CHECK(s.delivered + s.dropped.total() == s.accepted);
    if (way != 2) CHECK(s.delivered == s.accepted);
}

}  // namespace

TEST_CASE("row 52: each option of a program's telemetry, at and beyond the ends of its range") {
    const candor::examples::data_plane server;
    const machine m;
    auto usual = m.options(server.url());
    usual.shutdown_timeout = 20s;
    std::size_t way = 0;
    const candor::testing::stopwatch watch;
    const auto run = [&](const telemetry_options& options) { run_with(options, way++ % 3); };
    auto wide = usual;
    wide.delivery.batch_bytes = std::size_t{16} << 20;
    auto narrow = usual;
    narrow.delivery.message_bytes = 1;
    using sizes = size_option<telemetry_options>;
    using times = time_option<telemetry_options>;
    check_range(sizes{"delivery.batch_messages", [](auto& o) -> auto& { return o.delivery.batch_messages;
}
, 1, 100'000
}  // namespace extremes_test
,
                usual, run);
    check_range(sizes{"delivery.batch_bytes", [](auto& o) -> auto& { return o.delivery.batch_bytes;
    }
    , 1, 16'777'216
    },
                narrow, run);
    check_range(
        sizes{"delivery.message_bytes", [](auto& o) -> auto& { return o.delivery.message_bytes;
    }
    , 1, 1'048'576
    }, wide,
        run);
    check_range(
        sizes{"delivery.queue_messages", [](auto& o) -> auto& { return o.delivery.queue_messages;
    }
    , 1, 10'000'000
    },
        usual, run);
    check_range(sizes{"delivery.queue_bytes", [](auto& o) -> auto& { return o.delivery.queue_bytes;
    }
    , 1, std::size_t{1} << 40
    },
                usual, run);
    check_range(
        sizes{"delivery.spool.max_bytes", [](auto& o) -> auto& { return o.delivery.spool.max_bytes;
    }
    , 1, 1 << 30
    },
        usual, run);
    check_range(
        sizes{"delivery.spool.max_files", [](auto& o) -> auto& { return o.delivery.spool.max_files;
    }
    , 1, 1'000'000
    },
        usual, run);
    check_range(times{"delivery.flush_interval", [](auto& o) -> auto& { return o.delivery.flush_interval;
    }
    , 1ms
    },
                usual, run);
    check_range(times{"shutdown_timeout", [](auto& o) -> auto& { return o.shutdown_timeout;
    }
    , 0ms
    }, usual, run);
    // A timeout of a millisecond is a short one: whether the server answers in it is not for this test to say.
    const auto construct = [](const telemetry_options& options) { candor::telemetry{options}; };
    for (const auto& option :
         {times{"delivery.connect_timeout", [](auto& o) -> auto& { return o.delivery.connect_timeout;
    }
    , 1ms
    }
    , times {
        "delivery.request_timeout", [](auto& o) -> auto& { return o.delivery.request_timeout; }
        , 1ms
    }
    }) {
        check_range(option, usual, construct);
        auto longest = usual;
        option.of(longest) = milliseconds::max();
        run_with(longest, 0);
    }
    using std::chrono::hours;
    for (const auto age : {hours::min(), -1h, 0h, 876'001h, hours::max()}) {
        auto options = usual;
        options.delivery.spool.max_age = age;
        CHECK(names(refusal([&] { construct(options); }), "delivery.spool.max_age", std::to_string(age.count()) + " h",
                    "1 h to 876000 h"));
    }
    for (const auto age : {1h, 876'000h}) {
        usual.delivery.spool.max_age = age;
        run(usual);
    }
    CHECK(watch.elapsed() < 60s);  // none of them waited for what does not come
    }

    TEST_CASE("row 52: a time that is for ever does not end, and one that is over does not wait") {
        candor::testing::recording_transport transport;
        candor::testing::manual_clock clock;
        const machine m;
        auto options = m.options("http://plane");
        options.delivery.flush_interval = milliseconds::max();
        options.shutdown_timeout = milliseconds::max();
        candor::basic_telemetry<candor::testing::recording_transport, candor::testing::manual_clock> t{
            options, transport, clock};
        CHECK(t.flush(milliseconds::min()));  // there is nothing to send
        REQUIRE(t.track(noted{}) == admission::accepted);
        REQUIRE(clock.wait_for_idle());
        clock.advance(1000h);
        REQUIRE(clock.wait_for_idle());
        CHECK(transport.requests().empty());
        CHECK(becomes_true([&] {  // once there is a copy on disk
            clock.advance(1s);
            return clock.next_wake() == candor::steady_time::max();
        }));
        transport.respond(503);
        transport.respond(503);
        CHECK_FALSE(t.flush(milliseconds::min()));
        CHECK_FALSE(t.flush(0ms));
        CHECK(t.flush(milliseconds::max()));
        transport.respond(503);
        transport.respond(429, {{"Retry-After", "100"}});
        REQUIRE(t.track(noted{}) == admission::accepted);
        t.shutdown();
        CHECK(t.statistics().delivered == 2);
        CHECK(t.statistics().spooled == 0);
    }

    TEST_CASE("row 52: the options of the clients that work alone") {
        const candor::examples::data_plane server;
        const candor::rudderstack::client_options events{.write_key = "write-key", .data_plane_url = server.url()};
        const auto send = [](const candor::rudderstack::client_options& options) {
            candor::rudderstack::client client{options};
            client.enqueue(candor::rudderstack::track{.user_id = "u1", .event = "Extreme"});
            CHECK(client.flush(milliseconds::max()));
        };
        using client_options = candor::rudderstack::client_options;
    check_range(time_option<client_options>{"shutdown_timeout", [](auto& o) -> auto& { return o.shutdown_timeout;
    }
    , 0ms
    },
                events, send);
    check_range(size_option<client_options>{"delivery.batch_messages",
                                            [](auto& o) -> auto& { return o.delivery.batch_messages;
    }
    , 1, 100'000
    },
                events, send);

    using error_options = candor::sentry::client_options;
    const error_options errors{.dsn = "http://key@127.0.0.1:" + std::to_string(server.port()) + "/7"};
    const auto capture = [](const error_options& options) {
        candor::sentry::client client{options};
        const auto answer = client.capture_message(candor::sentry::severity::error, "extreme");
        CHECK((answer == admission::accepted || answer == admission::sampled));
        CHECK(client.flush(milliseconds::max()));
    };
    check_range(time_option<error_options>{"shutdown_timeout", [](auto& o) -> auto& { return o.shutdown_timeout;
    }
    , 0ms
    },
                errors, capture);
    check_range(size_option<error_options>{"delivery.spool.max_files",
                                           [](auto& o) -> auto& { return o.spool.max_files;
    }
    , 1, 1'000'000
    },
                errors, capture);
    using limits = std::numeric_limits<double>;
    for (const double rate : {0.0, limits::denorm_min(), 0.5, 1 - limits::epsilon(), 1.0}) {
        auto options = errors;
        options.sample_rate = rate;
        capture(options);
    }
    const std::pair<double, std::string> refused[] = {{-limits::denorm_min(), "-4.9406564584124654e-324"},
                                                      {1 + limits::epsilon(), "1.0000000000000002"},
                                                      {limits::max(), "1.7976931348623157e+308"},
                                                      {limits::infinity(), "inf"},
                                                      {limits::quiet_NaN(), "nan"}};
    for (const auto& [rate, text] : refused) {
        auto options = errors;
        options.sample_rate = rate;
        CHECK(names(refusal([&] { capture(options); }), "sample_rate", text, "0 to 1"));
    }
    }

    TEST_CASE("row 52: the options of a receiver") {
        const temporary_directory scratch;
        using options = candor::otlp::receiver_options;
        const options usual{.metrics_file = scratch.path() / "metrics.txt"};
        const auto receive = [](const options& of) {
            candor::otlp::receiver receiver{of};
            if (of.request_timeout == 1ms) return;  // which is over before a busy machine answers
            httplib::Client worker{"http://" + receiver.endpoint()};
            const auto answer = worker.Post("/v1/metrics", "{}", "application/json");
            REQUIRE(answer);
            CHECK(answer->status == (of.body_limit < 2 ? 413 : 200));
        };
        using sizes = size_option<options>;
        using times = time_option<options>;
    check_range(sizes{"body_limit", [](auto& o) -> auto& { return o.body_limit;
    }
    , 1, 1 << 30
    }, usual, receive);
    check_range(sizes{"table.max_rows", [](auto& o) -> auto& { return o.table.max_rows;
    }
    , 1, 10'000'000
    }, usual, receive);
    check_range(sizes{"table.max_name_bytes", [](auto& o) -> auto& { return o.table.max_name_bytes;
    }
    , 1, 65'536
    },
                usual, receive);
    check_range(times{"write_interval", [](auto& o) -> auto& { return o.write_interval;
    }
    , 1ms
    }, usual, receive);
    check_range(times{"request_timeout", [](auto& o) -> auto& { return o.request_timeout;
    }
    , 1ms
    }, usual, receive);
    check_range(times{"shutdown_timeout", [](auto& o) -> auto& { return o.shutdown_timeout;
    }
    , 0ms
    }, usual, receive);
    }

    }  // namespace extremes_test
