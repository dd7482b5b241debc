#include <candor/candor.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/delivery/spool/format.hpp>

#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/otlp_writer.hpp>
#include <support/socket_server.hpp>
#include <support/stopwatch.hpp>
#include <support/temporary_directory.hpp>

#include "fault_program.hpp"

#include <doctest/doctest.h>

// row 51: whatever the account source, the name server, the disk and a callback do, a program ends within its budget,
// and what that is not enough for is counted.
namespace budget_test {

namespace {

using namespace std::chrono_literals;
using candor::tests::machine;
using candor::tests::noted;

constexpr std::uint64_t events = 9000;
constexpr auto budget = 500ms;
/// The program may go on so long after its event before it is late.
constexpr auto promise = budget + 200ms;
/// The same of `revoke`, which gives nothing time to be sent.
constexpr auto revoke_promise = 300ms;
/// `track` waits for nothing.
constexpr auto track_promise = 50ms;

/// What goes wrong in a run of the program, which its environment tells it.
struct trial {
    std::string disk{};  ///< SYSTEM_FAULTS of support/system_faults.cpp
    /// What does not return: `account`, `callback`, `names`, `server`. `spill`: the worker stores before the end, which
    /// `stores` waits for. `revoke`: instead of the end; `revoking`: in a callback. `lasts`: the program goes on until
    /// the disk has answered.
    std::string others{};

    [[nodiscard]] bool is(std::string_view word) const { return others.find(word) != others.npos; }
};

/// What the program says at its end.
struct report {
    std::chrono::milliseconds took{}, slowest_track{};
    std::uint64_t accepted = 0, delivered = 0, pending = 0, spooled = 0, dropped = 0;
};

[[noreturn]] void hang() {
    for (;;) ::pause();
}

std::size_t count_files(const std::filesystem::path& directory) {
    std::error_code none;
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator{directory, none}, {}));
}

/// Whether no thread of candor's is left in this process.
bool is_alone() {
    for (const auto& thread : std::filesystem::directory_iterator{"/proc/self/task"}) {
        std::string name;
        std::ifstream{thread.path() / "comm"} >> name;
        if (name.starts_with("candor-")) return false;
    }
    return true;
}

/// A run of the program under what its environment says goes wrong: `events` wait when it ends, and an error.
report run(const machine& m) {
    const char* const words = std::getenv("BUDGET_TRIAL");
    const trial wanted{.others = words == nullptr ? "" : words};
    const auto hangs = [&](std::string_view what) { return wanted.is(what); };
    const candor::testing::closed_port nobody;
    const auto silent = candor::testing::detail::bound_socket();
    ::listen(silent.get(), 8);  // connections are made, and nobody looks at them
    const auto address =
        hangs("names")
            ? "telemetry.invalid:9"
            : "127.0.0.1:" + std::to_string(hangs("server") ? candor::testing::detail::port_of(silent) : nobody.port());
    auto options = m.options("http://" + address);
    if (const char* const place = std::getenv("SYSTEM_FAULTS_UNDER")) {
        options.delivery.spool.directory = std::filesystem::path{place} / "spool";
        ::setenv("XDG_STATE_HOME", place, 1);
        options.capture_crashes = true;
    }
    options.sentry_dsn = "http://key@" + address + "/7";
    options.shutdown_timeout = budget;
    options.delivery.queue_messages = hangs("spill") ? events + events / 10 : 3 * events;  // else all waits to the end
    if (hangs("account")) options.account = []() -> std::optional<candor::account> { hang(); };
    if (hangs("callback")) options.delivery.on_attempt = [](const auto&, const auto&) { hang(); };
    report out;
    std::optional<candor::telemetry> t;
    std::atomic<bool> is_tracked = false;
    if (wanted.is("revoking"))
        options.delivery.on_attempt = [&](const auto&, const auto&) {
            becomes_true([&] { return is_tracked.load(); });
            t->revoke();
        };
    t.emplace(options);
    const auto files_before = count_files(options.delivery.spool.directory);
    if (const char* const faults = std::getenv("BUDGET_FAULTS")) ::setenv("SYSTEM_FAULTS", faults, 1);
    for (std::uint64_t i = 0; i < events; ++i) {
        if (i == events / 4 * 3 && wanted.is("stores"))
            becomes_true([&] { return count_files(options.delivery.spool.directory) > files_before; });
        const candor::testing::stopwatch watch;
        t->track(noted{.note = "left"});
        out.slowest_track = std::max(out.slowest_track, std::chrono::milliseconds{watch.elapsed()});
    }
    t->capture_message(candor::sentry::severity::error, "left");
    is_tracked = true;
    const candor::testing::stopwatch watch;
    wanted.is("revoke") ? t->revoke() : t->shutdown();
    const auto s = t->statistics();
    t.reset();
    out.took = watch.elapsed();
    if (wanted.is("lasts")) becomes_true(is_alone);
    out.accepted = s.accepted;
    out.delivered = s.delivered;
    out.pending = s.pending;
    out.spooled = s.spooled;
    out.dropped = s.dropped.total();
    return out;
}

constexpr const char* program = "row 51: a program that ends without a server stores what waits";

/// Becomes this test program again, under the library that stands between it and the system, where it runs one case
/// alone. Returns only where that fails.
int become(const char* name, const trial& of, const std::string& directory, int output) {
    const auto self = std::filesystem::read_symlink("/proc/self/exe");
    const auto set = [](const char* variable, const std::string& value) {
        if (!value.empty()) ::setenv(variable, value.c_str(), 1);
    };
    set("LD_PRELOAD", (self.parent_path() / "libsystem_faults.so").string());
    set("BUDGET_FAULTS", of.disk + (of.is("names") ? ",getaddrinfo=hang" : ""));
    set("SYSTEM_FAULTS_UNDER", directory);
    set("BUDGET_TRIAL", of.others);
    set("REPORT_TO", std::to_string(output));
    ::execl(self.c_str(), self.c_str(), "--out=/dev/null", (std::string{"--test-case="} + name).c_str(), nullptr);
    return 98;
}

/// A run of the program in a process of its own.
class running_trial {
public:
    explicit running_trial(const trial& of)
        : machine_{make_machine(of)}, child_{[&](int output) {
              return become(program, of, machine_->directory.string(), output);
          }} {}

    /// Waits for its end.
    std::optional<report> end() {
        const auto ended = child_.wait();
        CHECK(ended.signal() == 0);
        CHECK(ended.exit_code() == 0);
        report out;
        std::int64_t took = 0, slowest = 0;
        std::istringstream said{ended.said};
        said >> took >> slowest >> out.accepted >> out.delivered >> out.pending >> out.spooled >> out.dropped;
        if (!said) return std::nullopt;
        out.took = std::chrono::milliseconds{took};
        out.slowest_track = std::chrono::milliseconds{slowest};
        return out;
    }

    /// How many messages wait in the spool.
    [[nodiscard]] std::uint64_t stored() const {
        return candor::detail::count_spooled({.directory = machine_->spool()});
    }

private:
    /// Where an earlier run has left something, which a revocation removes.
    static std::unique_ptr<machine> make_machine(const trial& of) {
        auto out = std::make_unique<machine>();
        if (of.is("revok")) out->leave(candor::testing::closed_port{}.url(""), {"old"});
        return out;
    }

    std::unique_ptr<machine> machine_;
    child_process child_;
};

/// Whether the program, in one of a few runs, ended in time, and in each but for what a busy machine adds, with a true
/// account of its events. A machine that is busy with other things may make one run late, and not each one.
report check_budget(const trial& of, std::unique_ptr<running_trial> running) {
    CAPTURE(of.disk);
    CAPTURE(of.others);
    const auto limit = of.is("revoke") ? revoke_promise : promise;
    report out;
    for (int attempt = 0; attempt < 5; ++attempt) {
        if (!running) running = std::make_unique<running_trial>(of);
        const auto end = running->end();
        REQUIRE(end);
        out = *end;
        CHECK(out.accepted == events + 1);
        CHECK(out.pending == 0);
        CHECK(out.delivered + out.spooled + out.dropped == events + 1);
        if (of.disk != "pwrite=lie") CHECK(running->stored() >= out.spooled);
        REQUIRE(out.took < limit + candor::testing::slack);
        if (of.is("revoke")) CHECK(out.spooled == 0);
        if (of.is("revoke lasts")) CHECK(running->stored() == 0);
        if (out.took <= limit && out.slowest_track <= track_promise) break;
        running.reset();
    }
    CHECK(out.took <= limit);
    CHECK(out.slowest_track <= track_promise);
    return out;
}

/// All of them, at the same time.
std::vector<report> check_budgets(const std::vector<trial>& trials) {
    std::vector<std::unique_ptr<running_trial>> running;
    for (const auto& one : trials) running.push_back(std::make_unique<running_trial>(one));
    std::vector<report> out;
    for (std::size_t i = 0; i < trials.size(); ++i) out.push_back(check_budget(trials[i], std::move(running[i])));
    return out;
}

constexpr const char* receiver_program = "row 51: a receiver that ends shows what it received";

/// How long the end of a receiver takes. `stores`: its file is being written then.
std::chrono::milliseconds end_receiver(const trial& of, const std::filesystem::path& directory) {
    std::optional<candor::otlp::basic_receiver<candor::testing::manual_server, candor::system_clock>> receiver;
    receiver.emplace(candor::otlp::receiver_options{.metrics_file = directory / "metrics.txt",
                                                    .write_interval = of.is("stores") ? 1ms : 1ms * 3'600'000,
                                                    .shutdown_timeout = 1s});
    const auto files_before = count_files(directory);
    if (const char* const faults = std::getenv("BUDGET_FAULTS")) ::setenv("SYSTEM_FAULTS", faults, 1);
    otlp_writer::metric resources{.name = "sync.table.resources"};
    resources.points.push_back({.attributes = {{"sync.table.name", "users"}}, .start = 1, .time = 2, .value = 3});
    const otlp_writer::request request{.resources = {{.scopes = {{.metrics = {resources}}}}}};
    const candor::http_request_head head{
        .method = "POST",
        .target = "/v1/metrics",
        .headers = {{"Host", "localhost"}, {"Content-Type", "application/x-protobuf"}}};
    CHECK(receiver->server().receive(head, otlp_writer::to_protobuf(request)).status == 200);
    if (of.is("stores")) becomes_true([&] { return count_files(directory) > files_before; });
    const candor::testing::stopwatch watch;
    receiver->shutdown();
    receiver.reset();
    return watch.elapsed();
}

}  // namespace

TEST_CASE("row 51: a program that ends without a server stores what waits") {
    const machine m;
    const auto out = run(m);
    if (const char* const descriptor = std::getenv("REPORT_TO")) {
        std::ostringstream text;
        text << out.took.count() << ' ' << out.slowest_track.count() << ' ' << out.accepted << ' ' << out.delivered
             << ' ' << out.pending << ' ' << out.spooled << ' ' << out.dropped << '\n';
        say(std::atoi(descriptor), text.str());
        return;
    }
    CHECK(out.accepted == events + 1);
    CHECK(out.spooled > 0);
    CHECK(out.spooled + out.dropped == events + 1);
}

TEST_CASE("row 51: a disk that is slow, hangs, fails or lies holds no program longer than its budget") {
    const std::string slow = "open=50,pwrite=50,fsync=50,rename=50,flock=50,unlink=50";
    const auto ends = check_budgets({{slow, ""},
                                     {"pwrite=60000", ""},
                                     {"open=hang", ""},
                                     {"pwrite=hang", ""},
                                     {"rename=hang", "spill stores"},
                                     {"close=hang", "spill stores"},
                                     {"flock=hang", ""},
                                     {"pwrite=e28,unlink=hang", "spill stores"},  // ENOSPC
                                     {"pwrite=e28", ""},
                                     {"open=e5", ""},
                                     {"flock=e38", "spill"},  // ENOSYS
                                     {"pwrite=lie", ""}});
    CHECK(ends[0].dropped > 0);
    for (std::size_t i = 1; i + 1 < ends.size(); ++i) {
        CAPTURE(i);
        if (i < 4 || i > 7) CHECK(ends[i].spooled == 0);  // the others stored something before it failed
    }
}

TEST_CASE("row 51: whatever else hangs meanwhile holds no program longer than its budget") {
    check_budgets({{"", "account"},
                   {"", "names"},
                   {"", "callback"},
                   {"", "server"},
                   {"pwrite=hang", "account"},
                   {"rename=hang", "callback"},
                   {"open=hang", "names"},
                   {"pwrite=hang", "server"},
                   {"rename=hang", "server spill"},
                   {"open=50,pwrite=50", "server"},
                   {"pwrite=hang", "callback names"},
                   {"unlink=hang", ""},  // at the record of a crash
                   {"unlink=hang", "callback"},
                   {"unlink=hang", "revoking"},
                   {"close=hang", "server spill"}});
}

TEST_CASE("row 51: whatever hangs, revoke() returns, and nothing is sent or stored afterwards") {
    check_budgets({{"", "revoke"},
                   {"unlink=hang", "revoke"},
                   {"open=hang", "revoke"},
                   {"close=hang", "spill stores revoke"},
                   {"rename=hang", "spill stores revoke"},
                   {"pwrite=hang", "spill stores revoke"},
                   {"unlink=hang", "callback revoke"},
                   {"open=hang", "server account revoke"},
                   {"rename=700", "spill stores revoke lasts"},
                   {"unlink=200,rename=200", "spill stores revoke lasts"}});
}

TEST_CASE("row 51: a program that starts with less consent removes what an earlier run left") {
    machine own;
    const char* const place = std::getenv("SYSTEM_FAULTS_UNDER");
    if (place == nullptr) own.leave(candor::testing::closed_port{}.url(""), {"old"});
    auto options = own.options("http://127.0.0.1:9");
    if (place != nullptr) options.delivery.spool.directory = std::filesystem::path{place} / "spool";
    options.level = candor::level::errors;
    if (const char* const faults = std::getenv("BUDGET_FAULTS")) ::setenv("SYSTEM_FAULTS", faults, 1);
    const candor::testing::stopwatch watch;
    { const candor::telemetry t{options}; }
    if (const char* const descriptor = std::getenv("REPORT_TO"))
        return say(std::atoi(descriptor), std::to_string(watch.elapsed().count()));
    CHECK(own.files().empty());
}

TEST_CASE("row 51: a disk that hangs holds no start of a program with less consent") {
    const machine m;
    m.leave(candor::testing::closed_port{}.url(""), {"old"});
    const auto end = run_in_child([&](int output) {
        return become("row 51: a program that starts with less consent*", {"unlink=hang", ""}, m.directory.string(),
                      output);
    });
    CHECK(end.exit_code() == 0);
    REQUIRE_FALSE(end.said.empty());
    CHECK(std::stoi(end.said) >= 100);
    CHECK(std::stoi(end.said) < 100 + candor::testing::slack / 1ms);
}

TEST_CASE("row 51: a program that records crashes, and a receiver, start on a disk that does not answer") {
    const temporary_directory directory;
    const char* const place = std::getenv("SYSTEM_FAULTS_UNDER");
    const std::filesystem::path there = place == nullptr ? directory.path() : std::filesystem::path{place};
    if (const char* const faults = std::getenv("BUDGET_FAULTS")) ::setenv("SYSTEM_FAULTS", faults, 1);
    const candor::testing::stopwatch watch;
    const candor::sentry::crash_handler crashes{{.directory = there / "crashes"}};
    const auto took = watch.elapsed();
    if (const char* const descriptor = std::getenv("REPORT_TO")) {
        ::setenv("SYSTEM_FAULTS", "fsync=hang", 1);  // a receiver's file has to be there, and need not be synced
        const candor::otlp::basic_receiver<candor::testing::manual_server, candor::system_clock> receiver{
            {.metrics_file = there / "metrics.txt"}};
        return say(std::atoi(descriptor), std::to_string(took.count()) + ' ' + crashes.problem() + '\n');
    }
    CHECK(crashes.problem() == "");
    CHECK(count_files(there / "crashes") == 1);
}

TEST_CASE("row 51: a disk that hangs holds no start of a program that records crashes, nor of a receiver") {
    for (const char* disk : {"open=hang", "pwrite=hang", "flock=hang"}) {
        CAPTURE(disk);
        const temporary_directory directory;
        const auto end = run_in_child([&](int output) {
            return become("row 51: a program that records crashes*", {disk, ""}, directory.path().string(), output);
        });
        CHECK(end.exit_code() == 0);
        REQUIRE_FALSE(end.said.empty());
        CHECK(std::stoi(end.said) >= 100);
        CHECK(std::stoi(end.said) < 100 + candor::testing::slack / 1ms);
        CHECK(end.said.find("no crash is recorded in ") != std::string::npos);
    }
}

TEST_CASE("nothing is synced on the way out") {
    const auto ends = check_budgets({{"fsync=exit", ""}, {"fsync=exit", "server"}, {"fsync=exit", "names"}});
    CHECK(ends[0].spooled + ends[1].spooled + ends[2].spooled > 0);
}

TEST_CASE("row 51: a receiver that ends shows what it received") {
    const temporary_directory directory;
    const char* const output = std::getenv("REPORT_TO");
    if (output == nullptr) {
        end_receiver({}, directory.path());
        std::ifstream file{directory.path() / "metrics.txt"};
        CHECK(std::string{std::istreambuf_iterator<char>{file}, {}}.find("users") != std::string::npos);
        return;
    }
    const auto took = end_receiver({.others = std::getenv("BUDGET_TRIAL")}, std::getenv("SYSTEM_FAULTS_UNDER"));
    say(std::atoi(output), std::to_string(took.count()));
}

TEST_CASE("row 51: a disk that hangs holds no receiver longer than a second") {
    for (const trial& of : {trial{"fsync=hang", "stores"}, trial{"rename=hang", "at the end"},
                            trial{"rename=hang", "stores"}, trial{"close=hang", "at the end"}}) {
        CAPTURE(of.disk);
        CAPTURE(of.others);
        const temporary_directory directory;
        const auto end =
            run_in_child([&](int output) { return become(receiver_program, of, directory.path().string(), output); });
        CHECK(end.exit_code() == 0);
        REQUIRE_FALSE(end.said.empty());
        CHECK(std::stoi(end.said) >= 1000);
        CHECK(std::stoi(end.said) < 1000 + candor::testing::slack / 1ms);
    }
}

}  // namespace budget_test
