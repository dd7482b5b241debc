// What runs leave and later runs deliver, to a server that limits rates or is away, over real sockets: each number of
// the statistics against what the server and the disk show.
#include <candor/candor.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <vector>

#include <examples/data_plane.hpp>
#include <support/becomes_true.hpp>
#include <support/socket_server.hpp>
#include <support/stopwatch.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace replays_test {

namespace {

using candor::admission;
using candor::examples::data_plane;
using candor::testing::closed_port;
using candor::testing::stopwatch;
using namespace std::chrono_literals;

struct left {
    static constexpr std::string_view event_name = "left";
    int number = 0;
    static constexpr auto fields() { return std::tuple{candor::field("number", &left::number, "Which of them")}; }
};

/// A machine with a spool, and a server that is not there before it is started.
class machine {
public:
    [[nodiscard]] candor::telemetry_options options() const {
        candor::telemetry_options out{.product = {.name = "replays", .version = "1.0.0", .env_prefix = "REPLAYS_TEST"},
                                      .write_key = "write-key",
                                      .data_plane_url = "http://127.0.0.1:" + std::to_string(port_),
                                      .internal_team = [](const auto&) { return false; },
                                      .shutdown_timeout = 500ms};
        out.delivery.spool.directory = directory_.path() / "spool";
        return out;
    }

    data_plane& start_server() {
        nobody_.reset();
        return server_.emplace(candor::examples::data_plane_options{.port = port_});
    }

    /// What a run that ends while nobody listens leaves: so many events.
    candor::statistics leave(int events) {
        candor::telemetry run{options()};
        track(run, events);
        run.shutdown();
        return run.statistics();
    }

    void track(candor::telemetry& run, int events) {
        for (; events > 0; --events) CHECK(run.track(left{tracked_++}) == admission::accepted);
    }

    /// How often each event has arrived, the first one at the front.
    [[nodiscard]] std::vector<int> arrivals() const {
        std::vector<int> out(static_cast<std::size_t>(tracked_));
        for (const auto& message : server_->messages()) ++out.at(message["properties"]["number"].get<std::size_t>());
        return out;
    }

    [[nodiscard]] bool has_each_once() const {
        const auto all = arrivals();
        return std::all_of(all.begin(), all.end(), [](int times) { return times == 1; });
    }

    [[nodiscard]] bool has_files() const {
        std::error_code none;
        const std::filesystem::directory_iterator found{options().delivery.spool.directory, none};
        return std::any_of(begin(found), end(found),
                           [](const auto& one) { return one.path().extension() == ".spool"; });
    }

    [[nodiscard]] std::uint64_t tracked() const { return static_cast<std::uint64_t>(tracked_); }

private:
    const temporary_directory directory_{};
    std::optional<closed_port> nobody_{std::in_place};
    const int port_ = nobody_->port();
    std::optional<data_plane> server_{};
    int tracked_ = 0;
};

bool adds_up(const candor::statistics& s) {
    return s.accepted == s.delivered + s.pending + s.spooled + s.dropped.total();
}

/// Looks at the statistics of a run again and again, as long as it lives.
class auditor {
public:
    explicit auditor(const candor::telemetry& of)
        : thread_{[this, &of] {
              while (!is_over_) {
                  const auto now = of.statistics();
                  if (!adds_up(now) || now.recovered > now.accepted) ++wrong_;
                  std::this_thread::yield();
              }
          }} {}
    ~auditor() {
        is_over_ = true;
        thread_.join();
        CHECK(wrong_ == 0);
    }

private:
    std::atomic<bool> is_over_{false};
    std::atomic<int> wrong_{0};
    std::thread thread_;
};

}  // namespace

TEST_CASE("what a run says it left is what the next one finds and delivers") {
    machine m;
    const auto first = m.leave(700);
    CHECK(first.accepted == 700);
    CHECK(first.spooled == 700);
    CHECK(first.recovered == 0);
    m.start_server();
    candor::telemetry next{m.options()};
    const auditor watching{next};
    m.track(next, 10);
    CHECK(next.flush(10s));
    CHECK(becomes_true([&] { return next.statistics().delivered == 710; }));
    next.shutdown();
    const auto second = next.statistics();
    CHECK(second.accepted == 710);
    CHECK(second.recovered == 700);
    CHECK(second.spooled == 0);
    CHECK(second.pending == 0);
    CHECK(m.has_each_once());
    CHECK_FALSE(m.has_files());
}

TEST_CASE("row 54: a server that limits rates takes what another run left, in turns with what is fresh") {
    machine m;
    CHECK(m.leave(1500).spooled == 1500);
    auto& server = m.start_server();
    server.rules().limit_rate(300, 500ms);
    candor::telemetry run{m.options()};
    const auditor watching{run};
    for (int i = 0; i < 4; ++i) {
        m.track(run, 10);
        run.flush(5s);
    }
    CHECK(becomes_true([&] { return run.statistics().delivered == 1540; }));
    run.shutdown();
    const auto done = run.statistics();
    CHECK(done.accepted == 1540);
    CHECK(done.delivered == 1540);
    CHECK(done.spooled == 0);
    CHECK(done.pending == 0);
    CHECK(done.recovered == 1500);
    CHECK(done.dropped.total() == 0);
    CHECK(m.has_each_once());
    CHECK_FALSE(m.has_files());
}

TEST_CASE("row 54: short runs beside a server that limits rates lose nothing of what another one left") {
    machine m;
    CHECK(m.leave(1500).spooled == 1500);
    auto& server = m.start_server();
    server.rules().limit_rate(300, 500ms);
    std::uint64_t delivered = 0;
    for (const stopwatch watch; m.has_files() && watch.elapsed() < candor::testing::patience;) {
        candor::telemetry run{m.options()};
        {
            const auditor watching{run};
            m.track(run, 1);
            run.shutdown();
        }
        const auto end = run.statistics();
        delivered += end.delivered;
        CHECK(end.dropped.total() == 0);
        CHECK(end.pending == 0);
        CHECK(adds_up(end));
    }
    CHECK_FALSE(m.has_files());
    CHECK(m.has_each_once());
    CHECK(delivered == m.tracked());
}

TEST_CASE("what a run had to leave because of a limit is what it says, and the next one delivers it") {
    machine m;
    auto& server = m.start_server();
    server.rules().limit_rate(100, 24h);
    std::optional<candor::telemetry> first{m.options()};
    m.track(*first, 100);
    CHECK(first->flush(10s));
    m.track(*first, 150);
    first->shutdown();
    const auto left = first->statistics();
    CHECK(left.delivered == 100);
    CHECK(left.spooled == 150);
    first.reset();
    server.rules().lift_rate_limit();
    candor::telemetry second{m.options()};
    m.track(second, 1);
    CHECK(becomes_true([&] { return second.statistics().delivered == 151; }));
    second.shutdown();
    CHECK(second.statistics().recovered == 150);
    CHECK(m.has_each_once());
}

TEST_CASE("a server whose database comes and goes while runs come and go gets each event once") {
    machine m;
    CHECK(m.leave(600).spooled == 600);
    auto& server = m.start_server();
    for (int runs = 0; runs < 8; ++runs) {
        server.rules().lose_database(runs % 2 == 0);
        candor::telemetry run{m.options()};
        m.track(run, 20);
        run.shutdown();
        const auto end = run.statistics();
        CHECK(end.dropped.total() == 0);
        CHECK(adds_up(end));
        CHECK(end.pending == 0);
    }
    candor::telemetry last{m.options()};
    m.track(last, 1);
    CHECK(becomes_true([&] { return !m.has_files(); }));
    last.shutdown();
    CHECK(m.has_each_once());
}

}  // namespace replays_test
