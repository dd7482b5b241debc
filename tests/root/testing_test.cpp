#include <candor/testing.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <candor/policy/clock.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/transport.hpp>

#include <support/temporary_directory.hpp>

namespace testing_test {

namespace {

using candor::http_request;
using candor::http_response;
using candor::steady_time;
using candor::transport_error;
using candor::testing::fixed_environment;
using candor::testing::manual_clock;
using candor::testing::recording_transport;
using std::chrono::hours;
using std::chrono::seconds;

static_assert(candor::clock<manual_clock>);
static_assert(candor::transport<recording_transport>);
static_assert(candor::environment<fixed_environment>);

// A worker as the pipeline's: it idles until `wake`, works, and idles again.
class worker {
public:
    worker(manual_clock& clock, std::vector<std::chrono::nanoseconds> wakes) : clock_{clock}, wakes_{std::move(wakes)} {
        thread_ = std::thread{[this] { run(); }};
    }
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;
    ~worker() {
        {
            const std::lock_guard guard{mutex_};
            stop_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }

    // Waits as `flush` does until `count` steps are done. False where the clock reached the deadline first.
    bool wait_for_steps(std::size_t count, std::chrono::nanoseconds timeout) {
        const auto deadline = clock_.now() + timeout;
        std::unique_lock lock{mutex_};
        while (done_.size() < count) {
            if (clock_.now() >= deadline) return false;
            clock_.wait_until(lock, changed_, deadline);
        }
        return true;
    }

    // When each step was done.
    std::vector<steady_time> steps() {
        const std::lock_guard guard{mutex_};
        return done_;
    }

private:
    void run() {
        std::unique_lock lock{mutex_};
        for (std::size_t step = 0; !stop_; ++step) {
            const auto until = step < wakes_.size() ? steady_time{} + wakes_[step] : steady_time::max();
            while (!stop_ && clock_.now() < until) clock_.idle_until(lock, changed_, until);
            if (stop_) return;
            done_.push_back(clock_.now());
            changed_.notify_all();
        }
    }

    manual_clock& clock_;
    std::vector<std::chrono::nanoseconds> wakes_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<steady_time> done_;
    bool stop_ = false;
    std::thread thread_;
};

}  // namespace

TEST_CASE("a manual clock stands still until it is moved") {
    manual_clock clock;
    CHECK(clock.now() == steady_time{});
    CHECK(clock.wall_now() ==
          std::chrono::sys_days{std::chrono::January / 2 / 2026} + hours{3} + std::chrono::minutes{4} + seconds{5});
    const auto wall = clock.wall_now();
    clock.advance(seconds{30});
    CHECK(clock.now() == steady_time{} + seconds{30});
    CHECK(clock.wall_now() == wall + seconds{30});
}

TEST_CASE("a manual clock starts where it is told") {
    const candor::wall_time start = std::chrono::sys_days{std::chrono::May / 1 / 1970};
    CHECK(manual_clock{start}.wall_now() == start);
    CHECK(manual_clock{start}.now() == steady_time{});
}

TEST_CASE("the calendar of a manual clock can be set without moving the steady time") {
    manual_clock clock;
    const auto before = clock.wall_now() - hours{5};
    clock.set_wall(before);
    CHECK(clock.wall_now() == before);
    CHECK(clock.now() == steady_time{});
    clock.advance(seconds{1});
    CHECK(clock.wall_now() == before + seconds{1});
}

TEST_CASE("advance wakes a worker whose wait is over, and no other") {
    manual_clock clock;
    worker early{clock, {seconds{5}}};
    worker late{clock, {seconds{60}}};
    REQUIRE(clock.wait_for_idle(2));
    CHECK(clock.next_wake() == steady_time{} + seconds{5});

    clock.advance(seconds{5} - std::chrono::nanoseconds{1});
    CHECK(early.steps().empty());

    clock.advance(std::chrono::nanoseconds{1});
    CHECK(early.wait_for_steps(1, seconds{1}));
    CHECK(early.steps() == std::vector{steady_time{} + seconds{5}});
    CHECK(late.steps().empty());
}

TEST_CASE("a wait for a moment that is past does not wait") {
    manual_clock clock;
    clock.advance(seconds{1});
    std::mutex mutex;
    std::condition_variable changed;
    std::unique_lock lock{mutex};
    clock.idle_until(lock, changed, clock.now());
    clock.wait_until(lock, changed, clock.now());
    CHECK(lock.owns_lock());
    CHECK(clock.next_wake() == steady_time::max());
}

TEST_CASE("a program that waits for the worker skips the worker's waits") {
    manual_clock clock;
    worker w{clock, {seconds{10}, seconds{40}, hours{2}}};
    REQUIRE(clock.wait_for_idle());
    const auto began = std::chrono::steady_clock::now();
    CHECK(w.wait_for_steps(3, hours{3}));
    CHECK(w.steps() == std::vector{steady_time{} + seconds{10}, steady_time{} + seconds{40}, steady_time{} + hours{2}});
    CHECK(std::chrono::steady_clock::now() - began < candor::testing::patience);
}

TEST_CASE("a program does not wait past its deadline for a worker that sleeps longer") {
    manual_clock clock;
    worker w{clock, {hours{2}}};
    REQUIRE(clock.wait_for_idle());
    CHECK_FALSE(w.wait_for_steps(1, seconds{30}));
    CHECK(clock.now() == steady_time{} + seconds{30});
    CHECK(w.steps().empty());
}

TEST_CASE("an empty script answers 200, and every request is kept in order") {
    recording_transport transport;
    CHECK(transport.requests().empty());
    CHECK(transport.send({.url = "http://plane/1", .body = "a"}).status == 200);
    CHECK(transport.send({.url = "http://plane/2", .headers = {{"X", "y"}}, .body = "b"}).status == 200);
    const auto requests = transport.requests();
    REQUIRE(requests.size() == 2);
    CHECK(requests[0].url == "http://plane/1");
    CHECK(requests[0].body == "a");
    CHECK(requests[1].headers.at(0).value == "y");
    CHECK(requests[1].body == "b");
}

TEST_CASE("scripted answers come in order, then 200 again") {
    recording_transport transport;
    transport.respond(429, {{"Retry-After", "7"}});
    transport.fail(transport_error::unreachable);
    transport.respond(http_response{.status = 400, .body = "no"});

    const auto first = transport.send({});
    CHECK(first.status == 429);
    CHECK(*first.header("retry-after") == "7");
    const auto second = transport.send({});
    CHECK(second.status == 0);
    CHECK(second.error == transport_error::unreachable);
    CHECK(transport.send({}).body == "no");
    CHECK(transport.send({}).status == 200);
    CHECK(transport.requests().size() == 4);
}

TEST_CASE("a request that hangs is recorded and ends only with cancel") {
    recording_transport transport;
    transport.hang();
    http_response answer;
    std::thread sender{[&] { answer = transport.send({.body = "stuck"}); }};
    CHECK(transport.wait_for_requests(1));
    CHECK(transport.requests().at(0).body == "stuck");
    transport.cancel();
    sender.join();
    CHECK(answer.error == transport_error::cancelled);
    CHECK(answer.status == 0);
}

TEST_CASE("after cancel nothing is recorded, and the script no longer counts") {
    recording_transport transport;
    transport.respond(503);
    transport.cancel();
    transport.cancel();
    CHECK(transport.send({}).error == transport_error::cancelled);
    CHECK(transport.requests().empty());
}

TEST_CASE("several clients may share one recording transport") {
    recording_transport transport;
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i) {
        clients.emplace_back([&] {
            for (int n = 0; n < 50; ++n) transport.send({});
        });
    }
    CHECK(transport.wait_for_requests(200));
    for (auto& c : clients) c.join();
    CHECK(transport.requests().size() == 200);
}

TEST_CASE("a fixed environment holds what it was given and nothing of the process") {
    const fixed_environment environment{{{"ACME_KEY", "k"}, {"EMPTY", ""}}};
    CHECK(environment.get("ACME_KEY") == "k");
    CHECK(environment.get("EMPTY") == "");
    CHECK(environment.get("PATH") == std::nullopt);
    CHECK(environment.get("acme_key") == std::nullopt);
    CHECK(fixed_environment{}.get("ACME_KEY") == std::nullopt);
    std::string all;
    environment.each(
        [&](std::string_view name, std::string_view value) { all.append(name).append("=").append(value).append(";"); });
    CHECK(all == "ACME_KEY=k;EMPTY=;");
}

TEST_CASE("a document that is not what it is generated from is outdated, and can be written anew") {
    using candor::testing::outdated;
    const temporary_directory t;
    const fixed_environment none;
    const auto file = t.path() / "TELEMETRY.md";
    CHECK(outdated(file, "a\nb\n", none).starts_with(file.string() + " is not there; run the test with "));
    const fixed_environment updating{{{"CANDOR_UPDATE_DOCUMENTS", "1"}}};
    CHECK(outdated(file, "a\nb\n", updating).empty());
    CHECK(outdated(file, "a\nb\n", none).empty());
    const auto line = [&](const char* number) { return file.string() + ":" + number + " is \""; };
    CHECK(outdated(file, "a\nc\n", none).starts_with(line("2") + "b\\x0a\" and should be \"c\\x0a\"; run the test"));
    CHECK(outdated(file, "a\nb", none).starts_with(line("2")));
    CHECK(outdated(file, "a\n", none).starts_with(line("2")));
    CHECK(outdated(file, "a\nb\nc\n", none).starts_with(line("3") + "\" and should be \"c"));
    CHECK(outdated(file, "", none).starts_with(line("1")));
    CHECK(outdated(t.path(), "a", none) == t.path().string() + " is not a regular file");
    CHECK(outdated(t.path(), "a", updating) == t.path().string() + " is a directory");
}

}  // namespace testing_test
