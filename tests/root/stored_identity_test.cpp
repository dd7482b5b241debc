#include <candor/telemetry.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <candor/event/login.hpp>
#include <candor/testing.hpp>

#include <support/becomes_true.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

// What a run leaves on disk before it knows on whose behalf it ran, and what the run makes of it that delivers it.
namespace stored_identity_test {

namespace {

using namespace std::chrono_literals;
using candor::account;
using candor::drop_reason;
using candor::testing::fixed_environment;
using candor::testing::recording_transport;
using nlohmann::json;
namespace fs = std::filesystem;

struct noted {
    static constexpr std::string_view event_name = "noted";
    std::string note{};
    static constexpr auto fields() { return std::tuple{candor::free_text("note", &noted::note, "Anything")}; }
};

struct billed {
    static constexpr std::string_view event_name = "billed";
    static constexpr bool requires_account = true;
    static constexpr auto fields() { return std::tuple{}; }
};

/// Programs that run one after the other for one user of the machine.
struct machine {
    [[nodiscard]] candor::telemetry_options options(candor::account_source who, bool is_internal = false) const {
        candor::telemetry_options out{.product = {.name = "acme", .version = "1.4.0", .env_prefix = "ACME"},
                                      .level = candor::level::stats,
                                      .write_key = "k",
                                      .data_plane_url = "http://plane",
                                      .account = std::move(who),
                                      .internal_team = [is_internal](const auto&) { return is_internal; },
                                      .secrets = {"hunter2"},
                                      .shutdown_timeout = 1ms};
        out.delivery.spool.directory = directory.path() / "spool";
        out.delivery.flush_interval = 20ms;
        return out;
    }

    /// All that is on disk.
    [[nodiscard]] std::string stored() const {
        std::string out;
        if (!fs::exists(directory.path() / "spool")) return out;
        for (const auto& entry : fs::directory_iterator{directory.path() / "spool"})
            if (entry.path().extension() == ".spool") out += read_file(entry.path());
        return out;
    }

    static std::string read_file(const fs::path& path) {
        std::ifstream file{path, std::ios::binary};
        return {std::istreambuf_iterator<char>{file}, {}};
    }

    const temporary_directory directory{};
};

using telemetry = candor::basic_telemetry<recording_transport, candor::system_clock, fixed_environment>;

std::vector<json> messages(const recording_transport& transport) {
    std::vector<json> out;
    for (const auto& request : transport.requests()) {
        const auto body = json::parse(request.body);
        for (const auto& message : body.at("batch")) out.push_back(message);
    }
    return out;
}

/// A run whose account source does not answer before it has ended tracks one event of each kind. Gives its UUID.
std::string leave_drafts(const machine& m, bool with_login = false) {
    std::promise<void> answers;
    const auto late = answers.get_future().share();
    recording_transport transport;
    candor::system_clock clock;
    std::string invocation;
    {
        telemetry t{m.options([late] {
                        late.wait();
                        return std::optional{account{.user_id = "u0"}};
                    }),
                    transport, clock, fixed_environment{}};
        CHECK(t.track(noted{.note = "a hunter2\nb"}) == candor::admission::accepted);
        CHECK(t.track(billed{}) == candor::admission::accepted);
        if (with_login) CHECK(t.track(candor::login_succeeded{}) == candor::admission::accepted);
        REQUIRE(becomes_true([&] { return m.stored().find("billed") != std::string::npos; }));
        t.shutdown();
        CHECK(t.statistics().spooled == (with_login ? 3 : 2));
        invocation = t.invocation_id().to_string();
    }
    answers.set_value();
    CHECK(transport.requests().empty());
    return invocation;
}

/// What a later run of somebody else sends of that, and counts.
struct later_run {
    explicit later_run(const machine& m, std::optional<account> who, bool is_internal = false)
        : telemetry_{m.options([who] { return who; }, is_internal), transport, clock, fixed_environment{}} {
        telemetry_.track(noted{.note = "fresh"});
        CHECK(becomes_true([&] { return m.stored().empty() && telemetry_.statistics().pending == 0; }));
        counts = telemetry_.statistics();
        for (auto& message : messages(transport))
            if (message["properties"].value("note", "") != "fresh") sent.push_back(message);
    }

    recording_transport transport{};
    candor::system_clock clock{};
    candor::statistics counts{};
    std::vector<json> sent{};

private:
    telemetry telemetry_;
};

}  // namespace

TEST_CASE("what was stored without an identity is on disk redacted, and is sent on behalf of whoever delivers it") {
    const machine m;
    const auto invocation = leave_drafts(m);
    for (const char* text : {"hunter2", "userId", "u0"}) CHECK(m.stored().find(text) == std::string::npos);
    const later_run next{m, account{.user_id = "u2", .team_id = "t2"}};
    REQUIRE(next.sent.size() == 2);
    for (const auto& message : next.sent) {
        CHECK(message["userId"] == "u2");
        CHECK(message["anonymousId"] == invocation);
        CHECK(message["properties"]["invocation_uuid"] == invocation);
        CHECK(message["properties"]["team"] == "t2");
        CHECK(message.contains("sentAt"));
    }
    CHECK(next.sent[0]["properties"]["note"] == "a [redacted]\nb");
    CHECK(next.counts.recovered == 2);
    CHECK(next.counts.delivered == 3);
}

TEST_CASE("whoever delivers it has no account: what requires one is dropped, the rest is sent without") {
    const machine m;
    leave_drafts(m);
    const later_run next{m, std::nullopt};
    REQUIRE(next.sent.size() == 1);
    CHECK_FALSE(next.sent[0].contains("userId"));
    CHECK(next.counts.dropped[drop_reason::no_account] == 1);
}

TEST_CASE("whoever delivers it is of the product's makers: nothing is sent") {
    const machine m;
    leave_drafts(m);
    const later_run next{m, account{.user_id = "u2"}, true};
    CHECK(next.transport.requests().empty());
    CHECK(next.counts.dropped[drop_reason::internal] == 3);
}

TEST_CASE("what was stored for a user whom its own run had named meanwhile is sent for that user alone") {
    for (const char* user : {"u1", "u2"}) {
        CAPTURE(user);
        const machine m;
        std::promise<void> answers;
        const auto late = answers.get_future().share();
        recording_transport offline;
        candor::system_clock clock;
        for (int i = 0; i < 100; ++i) offline.fail(candor::transport_error::broken);
        {
            telemetry t{m.options([late] {
                            late.wait();
                            return std::optional{account{.user_id = "u1"}};
                        }),
                        offline, clock, fixed_environment{}};
            t.track(noted{.note = "early"});
            REQUIRE(becomes_true([&] { return m.stored().find("early") != std::string::npos; }));
            answers.set_value();
            static_cast<void>(t.flush(0ms));
            REQUIRE(offline.wait_for_requests(1));
        }
        const later_run next{m, account{.user_id = user}};
        const bool is_same = user == std::string_view{"u1"};
        CHECK(next.sent.size() == (is_same ? 1 : 0));
        CHECK(next.counts.dropped[drop_reason::no_account] == (is_same ? 0 : 1));
    }
}

TEST_CASE("a login that was stored names the user of the run that delivers it") {
    const machine m;
    leave_drafts(m, true);
    const later_run next{m, account{.user_id = "u2"}};
    REQUIRE(next.sent.size() == 3);
    for (const auto& message : next.sent) CHECK(message["userId"] == "u2");
}

}  // namespace stored_identity_test
