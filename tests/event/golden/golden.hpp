#ifndef CANDOR_TESTS_EVENT_GOLDEN_GOLDEN_HPP
#define CANDOR_TESTS_EVENT_GOLDEN_GOLDEN_HPP

#include <chrono>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <candor/event/fields.hpp>
#include <candor/identity/account.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/telemetry.hpp>
#include <candor/testing.hpp>
#include <candor/version.hpp>

#include <doctest/doctest.h>

/// The bytes that each event of the Go original puts on the wire. `event/golden/EVENT/CIRCUMSTANCE.txt` holds the body
/// of the request, with `<id>` for its random messageId and `<version>` for candor's version, or says why there is
/// none.
namespace candor::testing {

/// Under what the events are sent.
struct circumstances {
    bool has_account = true;
    bool is_internal = false;
    bool in_cloud = false;
};

using recorded_telemetry = basic_telemetry<recording_transport, manual_clock, fixed_environment>;

/// The program that sends them, with fixed ids.
inline telemetry_options golden_options(const circumstances& given) {
    return {.product = {.name = "acme", .version = "1.4.0", .env_prefix = "ACME"},
            .write_key = "key",
            .data_plane_url = "http://plane",
            .account =
                [given] {
                    return given.has_account ? std::optional{account{.user_id = "7c9e6679-7425-40de-944b-e07fc1f90ae7",
                                                                     .team_id = "acme"}}
                                             : std::nullopt;
                },
            .internal_team = [given](const std::optional<account>&) { return given.is_internal; },
            .secrets = {"hunter2"},
            .invocation_id = uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e")};
}

inline fixed_environment golden_environment(const circumstances& given) {
    if (given.in_cloud) return fixed_environment{{{"ACME_CLOUD", ""}, {"HOME", "/home/ann"}}};
    return fixed_environment{{{"HOME", "/home/ann"}}};
}

/// Checks that a body's messageId is a random UUID, and takes it out.
inline std::string without_message_id(std::string body) {
    constexpr std::string_view key = R"("messageId":")";
    const auto at = body.find(key);
    REQUIRE(at != std::string::npos);
    const auto begin = at + key.size();
    const auto id = uuid::parse(std::string_view{body}.substr(begin, uuid::text_size));
    REQUIRE(id);
    CHECK((id->bytes()[6] & 0xf0) == 0x40);
    CHECK((id->bytes()[8] & 0xc0) == 0x80);
    return body.replace(begin, uuid::text_size, "<id>");
}

/// Tracks one event at 03:04:05.678901234, sends it at 03:04:10.5, and says what arrived.
template <event Event>
std::string arrival(const Event& event, const circumstances& given) {
    using namespace std::chrono_literals;
    manual_clock clock{wall_time{1'767'323'045'678'901'234ns}};
    recording_transport transport;
    recorded_telemetry telemetry{golden_options(given), transport, clock, golden_environment(given)};
    CHECK(telemetry.track(event) == admission::accepted);
    clock.advance(4'821'098'766ns);
    CHECK(telemetry.flush(1s));

    const auto counts = telemetry.statistics();
    const auto requests = transport.requests();
    CHECK(counts.accepted == 1);
    CHECK(counts.delivered == requests.size());
    for (const auto& [reason, count] : counts.dropped) {
        if (count == 1) return "nothing is sent: " + std::string{to_string(reason)};
    }
    REQUIRE(requests.size() == 1);
    return without_message_id(requests[0].body);
}

inline std::string golden(std::string_view event, std::string_view circumstance) {
    std::ifstream file{"event/golden/" + std::string{event} + "/" + std::string{circumstance} + ".txt"};
    std::string text{std::istreambuf_iterator<char>{file}, {}};
    if (!text.empty() && text.back() == '\n') text.pop_back();
    constexpr std::string_view version = "<version>";
    if (const auto at = text.find(version); at != std::string::npos)
        text.replace(at, version.size(), CANDOR_VERSION_STRING);
    return text;
}

/// Compares what arrives of an event in all six circumstances with the golden files.
template <event Event>
void check_golden(const Event& event) {
    const auto check = [](std::string_view circumstance, const std::string& outcome) {
        CHECK_MESSAGE(outcome == golden(Event::event_name, circumstance), Event::event_name, ", ", circumstance);
    };
    check("account", arrival(event, {}));
    check("anonymous", arrival(event, {.has_account = false}));
    check("internal", arrival(event, {.is_internal = true}));
    check("cloud", arrival(event, {.in_cloud = true}));

    if constexpr (requires { event.shard_num; }) {
        Event sharded = event;
        sharded.shard_num = 2;
        sharded.shard_total = 4;
        check("sharded", arrival(sharded, {}));
    } else {
        check("sharded", "there is no such event: it has no shards");
    }
    if constexpr (requires { event.aborted_due_to_error; }) {
        Event aborted = event;
        aborted.status = "error";
        aborted.errors = 3;
        aborted.aborted_due_to_error = true;
        check("aborted", arrival(aborted, {}));
    } else {
        check("aborted", "there is no such event: it cannot be aborted");
    }
}

}  // namespace candor::testing

#endif
