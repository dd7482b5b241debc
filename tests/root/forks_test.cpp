// What becomes of telemetry in children made by fork(), over real sockets.
#include <candor/candor.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/gateway_process.hpp>
#include <support/rounds.hpp>
#include <support/sanitizer.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace forks_test {

using candor::admission;
using namespace std::chrono_literals;

namespace {

struct said {
    static constexpr std::string_view event_name = "said";
    std::uint64_t process = 0;  ///< 0 is the parent
    std::uint64_t serial = 0;
    static constexpr auto fields() {
        return std::tuple{candor::field("process", &said::process, "Whose"),
                          candor::field("serial", &said::serial, "Which of them")};
    }
};

candor::telemetry_options options_for(const std::string& url, const std::filesystem::path& spool) {
    candor::telemetry_options out{.product = {.name = "forks", .version = "1.0.0", .env_prefix = "FORKS_TEST"},
                                  .write_key = "write-key",
                                  .data_plane_url = url,
                                  .sentry_dsn = "http://key@" + url.substr(7) + "/1",
                                  .shutdown_timeout = 4s};
    out.delivery.spool.directory = spool;
    out.delivery.flush_interval = 1ms;
    return out;
}

/// Runs a program in a child that is killed where it takes 5 seconds. Its answer is the exit code.
pid_t start_child(const std::function<int()>& program) {
    const pid_t process = ::fork();
    if (process != 0) return process;
    ::signal(SIGALRM, SIG_DFL);
    ::alarm(5);
    ::_exit(program());
}

bool ended_well(pid_t process) {
    int status = 0;
    return ::waitpid(process, &status, 0) == process && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#ifdef CANDOR_TESTS_ADDRESS_SANITIZER
/// Its allocator does not bear a fork while other threads allocate (clang 14, GCC 12), so there every child is forked
/// when all is at rest.
constexpr bool forks_at_rest = true;
#else
constexpr bool forks_at_rest = false;
#endif

}  // namespace

TEST_CASE("row 28: children forked at any moment of the parent's work deliver their own events and no others, once") {
    const temporary_directory directory;
    const int forks = candor::testing::rounds(500);
    const gateway_process plane{directory.path() / "notes"};
    int late = 0;
    std::atomic<std::uint64_t> allowed{0}, next{0}, tracked{0};
    {
        candor::telemetry telemetry{options_for(plane.url(), directory.path() / "spool")};
        std::atomic<bool> is_over{false};
        std::vector<std::thread> workers;
        for (int i = 0; i < 3; ++i) {
            workers.emplace_back([&] {
                for (;;) {
                    const auto mine = next.fetch_add(1);
                    while (mine >= allowed) {
                        if (is_over) return;
                        std::this_thread::yield();
                    }
                    while (telemetry.track(said{.serial = mine}) != admission::accepted) std::this_thread::yield();
                    if (mine % 16 == 0) telemetry.capture_message(candor::sentry::severity::info, "from the parent");
                    if (mine % 32 == 0) telemetry.flush(1ms);
                    ++tracked;
                }
            });
        }
        for (int i = 1; i <= forks; ++i) {
            allowed += 20;
            if (forks_at_rest) {
                REQUIRE(becomes_true([&] { return tracked == allowed; }));
                REQUIRE(telemetry.flush(10s));
            }
            // Somewhere in what the threads do with these: a random moment, and no time that is waited for.
            for (int left = std::rand() % 200; left > 0; --left) std::this_thread::yield();
            const pid_t child = start_child([&] {
                if (telemetry.statistics().accepted != 0) return 2;
                for (std::uint64_t serial = 0; serial < 3; ++serial) {
                    const said event{.process = static_cast<std::uint64_t>(i), .serial = serial};
                    if (telemetry.track(event) != admission::accepted) return 3;
                }
                if (i % 4 == 0 &&
                    telemetry.capture_message(candor::sentry::severity::info, "from a child") != admission::accepted)
                    return 4;
                telemetry.shutdown();
                const auto done = telemetry.statistics();
                return done.delivered == done.accepted && done.accepted >= 3 ? 0 : 5;
            });
            if (!ended_well(child)) ++late;
        }
        is_over = true;
        for (auto& worker : workers) worker.join();
        telemetry.shutdown();
        const auto done = telemetry.statistics();
        CHECK(done.delivered == done.accepted);
    }
    CHECK(late == 0);
    std::map<std::pair<std::uint64_t, std::uint64_t>, int> expected;
    for (std::uint64_t serial = 0; serial < allowed; ++serial) expected[{0, serial}] = 1;
    for (int i = 1; i <= forks; ++i) {
        for (std::uint64_t serial = 0; serial < 3; ++serial) expected[{static_cast<std::uint64_t>(i), serial}] = 1;
    }
    CHECK((plane.events() == expected));
    const auto ids = plane.ids();
    CHECK(std::set<std::string>(ids.begin(), ids.end()).size() == ids.size());
    CHECK(plane.errors_of_children() == forks / 4);
}

TEST_CASE("row 28: a child has the same invocation, and what its parent had shut down or revoked stays so") {
    const temporary_directory directory;
    const gateway_process plane{directory.path() / "notes"};
    candor::telemetry telemetry{options_for(plane.url(), directory.path() / "spool")};
    REQUIRE(telemetry.track(said{.serial = 1}) == admission::accepted);
    REQUIRE(telemetry.flush(10s));
    const auto invocation = telemetry.invocation_id();
    CHECK(ended_well(start_child([&] {
        const bool same = telemetry.invocation_id() == invocation && telemetry.sends_events();
        const bool idle = telemetry.flush(1h);  // nothing of this process waits
        telemetry.shutdown();
        return same && idle && telemetry.track(said{}) == admission::closed ? 0 : 1;
    })));
    telemetry.shutdown();
    CHECK(ended_well(start_child([&] {
        return telemetry.track(said{.process = 1}) == admission::closed &&
                       telemetry.capture_message(candor::sentry::severity::info, "no") == admission::closed
                   ? 0
                   : 1;
    })));
    CHECK(plane.events().size() == 1);
}

TEST_CASE("row 28: a child of a child, and the clients by themselves, start anew too") {
    const temporary_directory directory;
    const gateway_process plane{directory.path() / "notes"};
    candor::rudderstack::client events{{.write_key = "write-key", .data_plane_url = plane.url()}};
    candor::sentry::client errors{{.dsn = "http://key@" + plane.url().substr(7) + "/1"}};
    const auto speak = [&](int process, const std::string& text) {
        const candor::rudderstack::track message{
            .anonymous_id = "a", .event = "spoke", .properties = {{"process", process}, {"serial", 0}}};
        return events.enqueue(message) == admission::accepted &&
               errors.capture_message(candor::sentry::severity::info, text) == admission::accepted &&
               events.flush(10s) && errors.flush(10s);
    };
    REQUIRE(speak(0, "from the parent"));
    CHECK(ended_well(start_child([&] {
        const bool spoke = speak(1, "from a child");
        const bool grandchild = ended_well(start_child([&] { return speak(2, "from a child of a child") ? 0 : 1; }));
        return spoke && grandchild && events.statistics().accepted == 1 ? 0 : 1;
    })));
    REQUIRE(speak(3, "from the parent"));
    const std::map<std::pair<std::uint64_t, std::uint64_t>, int> once{
        {{0, 0}, 1}, {{1, 0}, 1}, {{2, 0}, 1}, {{3, 0}, 1}};
    CHECK((plane.events() == once));
    CHECK(plane.errors_of_children() == 2);
}

TEST_CASE("row 28: a child holds no socket of its parent: what listens there ends with it") {
    std::optional<candor::otlp::receiver> receiver{std::in_place, candor::otlp::receiver_options{}};
    const std::string endpoint = receiver->endpoint();
    const auto port = static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.find(':') + 1)));
    child_process child{[&](int output) {
        ::alarm(15);
        say(output, receiver->endpoint() == endpoint ? "same" : "other");
        receiver.reset();  // what is the parent's goes on there
        say(output, "!");
        ::pause();
        return 0;
    }};
    CHECK(child.read(5) == "same!");
    receiver.reset();
    // The child lives, and listens on nothing: the port is free, and the address can be had by the next.
    const candor::otlp::receiver next{candor::otlp::receiver_options{.port = port}};
    CHECK(next.endpoint() == endpoint);
}

}  // namespace forks_test
