// row 48: what a signal handler may do is to end the program by std::quick_exit.
#include <candor/core.hpp>
#include <candor/testing.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <tuple>

#include <pthread.h>
#include <signal.h>

#include <support/child_process.hpp>
#include <support/rounds.hpp>
#include <support/stopwatch.hpp>

#include <doctest/doctest.h>

namespace quick_exit_test {

using namespace std::chrono_literals;

namespace {

struct noted {
    static constexpr std::string_view event_name = "noted";
    std::string note{};
    static constexpr auto fields() { return std::tuple{candor::field("note", &noted::note, "Anything")}; }
};

/// Takes everything and keeps nothing.
struct taking_transport {
    candor::http_response send(const candor::http_request&) { return {.status = 200}; }
    void cancel() noexcept {}
};

using telemetry = candor::basic_telemetry<taking_transport, candor::system_clock, candor::testing::fixed_environment>;

/// Without a spool.
candor::telemetry_options options() {
    candor::telemetry_options out{.product = {.name = "acme", .version = "1.0.0", .env_prefix = "ACME"},
                                  .write_key = "key",
                                  .data_plane_url = "http://plane",
                                  .shutdown_timeout = 200ms};
    out.delivery.spool.enabled = false;
    out.delivery.batch_messages = 10;
    return out;
}

/// Ends by `quick_exit` in a handler, on a thread that tracks as fast as it can, after so many events.
int end_in_handler(int events) {
    ::signal(SIGUSR1, [](int) { std::quick_exit(7); });
    static telemetry events_of_program{options()};
    static std::atomic<int> count{0};
    std::thread tracking{[] {
        for (;; ++count) events_of_program.track(noted{.note = std::string(100, 'x')});
    }};
    while (count < events) std::this_thread::yield();
    ::pthread_kill(tracking.native_handle(), SIGUSR1);
    tracking.join();
    return 0;
}

/// The same, on a thread that takes memory and gives it back, and tracks nothing. Where it is interrupted, it mostly
/// holds a lock of the allocator's that the worker needs to free what this thread has tracked before.
int end_in_allocator(int rounds_before) {
    ::signal(SIGUSR1, [](int) { std::quick_exit(7); });
    static telemetry events_of_program{options()};
    events_of_program.track(noted{.note = std::string(100, 'x')});
    events_of_program.flush(1s);
    events_of_program.track(noted{.note = std::string(100, 'x')});
    std::atomic<int> rounds_done{0};
    std::thread{[&, main = ::pthread_self()] {
        while (rounds_done < rounds_before) std::this_thread::yield();
        ::pthread_kill(main, SIGUSR1);
    }}.detach();
    static std::array<void*, 100> blocks;  // not to be left out by a compiler
    for (;; ++rounds_done) {
        for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = std::malloc(100 + i * 37);
        for (void* const block : blocks) std::free(block);
    }
}

}  // namespace

TEST_CASE("row 48: quick_exit in a signal handler ends the program, whatever it interrupts") {
    const int children = candor::testing::rounds(20) + 10;
    for (int i = 0; i < children; ++i) {
        const auto end = run_in_child([&](int) { return end_in_handler(100 + 37 * i); });
        CHECK(end.exit_code() == 7);
        CHECK(end.took < 200ms + candor::testing::slack);
        if (end.exit_code() != 7) return;  // each takes a minute
    }
}

TEST_CASE("row 48: quick_exit in a signal handler ends the program in time where it interrupts an allocator") {
    const int children = candor::testing::rounds(20) + 10;
    for (int i = 0; i < children; ++i) {
        const auto end = run_in_child([&](int) { return end_in_allocator(1000 + 37 * i); });
        CHECK(end.exit_code() == 7);
        CHECK(end.took < 500ms + candor::testing::slack);
        if (end.exit_code() != 7) return;
    }
}

}  // namespace quick_exit_test
