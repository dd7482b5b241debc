// Programs that crash again and again, and runs that report it, over real sockets.
#include <candor/candor.hpp>

#include <signal.h>
#include <stdlib.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/gateway_process.hpp>
#include <support/in_two_days.hpp>
#include <support/rounds.hpp>
#include <support/socket_server.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace crash_loops_test {

namespace {

namespace fs = std::filesystem;
using candor::testing::in_two_days;
using state = gateway_process::state;
using namespace std::chrono_literals;

/// The machine of a user, with a server that may not be there.
class machine {
public:
    [[nodiscard]] candor::telemetry_options options() const {
        const auto address = "127.0.0.1:" + std::to_string(port_);
        candor::telemetry_options out{.product = {.name = "loops", .version = "1.0.0", .env_prefix = "LOOPS_TEST"},
                                      .sentry_dsn = "http://key@" + address + "/7",
                                      .capture_crashes = true,
                                      .shutdown_timeout = 1s};
        out.delivery.spool.directory = state_ / "loops" / "telemetry";
        return out;
    }

    gateway_process& start_server() {
        nobody_.reset();
        return server_.emplace(directory_.path() / "notes", port_);
    }

    /// A run that crashes as soon as it has telemetry.
    void crash() const {
        const auto end = run_in_child([&](int) {
            go_home();
            const candor::telemetry telemetry{options()};
            ::raise(SIGSEGV);
            return 0;
        });
        REQUIRE(end.signal() == SIGSEGV);
    }

    /// A run that has nothing to say, and `lasts` until then.
    template <class Condition>
    void run(const Condition& lasts) const {
        const auto end = run_in_child([&](int) {
            go_home();
            candor::httplib_transport transport;
            in_two_days clock;
            candor::basic_telemetry<candor::httplib_transport, in_two_days> telemetry{options(), transport, clock};
            const bool has_come = becomes_true(lasts);
            telemetry.shutdown();
            return has_come ? 0 : 1;
        });
        CHECK(end.exit_code() == 0);
    }

    /// A run that is killed while it tries to report.
    void kill_a_run() const {
        child_process run{[&](int output) {
            go_home();
            auto options = this->options();
            options.delivery.on_attempt = [&](const auto&, const auto&) { say(output, "."); };
            const candor::telemetry telemetry{options};
            say(output, "!");
            for (;;) ::pause();
            return 0;
        }};
        run.read(2);
        ::kill(run.id(), SIGKILL);
        CHECK(run.wait().signal() == SIGKILL);
    }

    /// The records of crashes.
    [[nodiscard]] std::vector<fs::path> records() const {
        std::vector<fs::path> out;
        for (const auto& entry : fs::recursive_directory_iterator{state_})
            if (entry.path().filename().string().starts_with("crash-")) out.push_back(entry.path());
        return out;
    }

    [[nodiscard]] std::multiset<std::string> reported() const { return server_->error_ids(); }

private:
    /// In a child: crash records lie in the state directory, which the environment names.
    void go_home() const { ::setenv("XDG_STATE_HOME", state_.c_str(), 1); }

    const temporary_directory directory_{};
    const std::filesystem::path state_ = directory_.path() / "state";
    std::optional<candor::testing::closed_port> nobody_{std::in_place};
    const int port_ = nobody_->port();
    std::optional<gateway_process> server_{};
};

constexpr std::size_t crashes = 20;

std::size_t distinct(const std::multiset<std::string>& ids) { return std::set(ids.begin(), ids.end()).size(); }

}  // namespace

TEST_CASE("row 53: of a program that crashes at each start every crash is reported, under one id") {
    for (const auto meanwhile : {state::healthy, state::hanging_up, state::silent}) {
        CAPTURE(static_cast<int>(meanwhile));
        machine m;
        auto& server = m.start_server();
        server.become(meanwhile);
        for (std::size_t i = 0; i < crashes; ++i) m.crash();
        server.become(state::healthy);
        m.run([&] { return distinct(m.reported()) >= crashes; });
        m.run([] { return true; });
        CHECK(distinct(m.reported()) == crashes);
        // A report that was under way at the next crash goes again, under its id: here, all but the last may.
        CHECK(m.reported().size() < 2 * crashes);
    }
}

TEST_CASE("row 53: crashes while nobody listens are reported by later runs, which have no errors of their own") {
    machine m;
    for (std::size_t i = 0; i < crashes; ++i) m.crash();
    m.start_server();
    m.run([&] { return distinct(m.reported()) >= crashes; });
    m.run([] { return true; });
    CHECK(distinct(m.reported()) == crashes);
    CHECK(m.reported().size() == crashes);
}

TEST_CASE("row 53: a crash whose report has been stored is reported once, though its record is still there") {
    machine m;
    m.crash();
    REQUIRE(m.records().size() == 1);
    const auto record = m.records()[0];
    const auto aside = record.parent_path() / "aside";
    fs::copy_file(record, aside);
    m.run([] { return true; });  // nobody listens
    CHECK(m.records().empty());
    fs::rename(aside, record);  // as where that run had been killed before it could remove it
    m.start_server();
    m.run([&] { return distinct(m.reported()) >= 1; });
    m.run([] { return true; });
    CHECK(m.reported().size() == 1);
    CHECK(m.records().empty());
}

TEST_CASE("row 53: a crash, then a run that is killed while it tries to report it: the next one does") {
    machine m;
    m.crash();
    m.kill_a_run();
    m.start_server();
    m.run([&] { return !m.reported().empty(); });
    m.run([] { return true; });
    CHECK(m.reported().size() == 1);
}

}  // namespace crash_loops_test
