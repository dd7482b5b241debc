#include <benchmark/benchmark.h>
#include <execinfo.h>

#include <algorithm>
#include <array>
#include <candor/policy/clock.hpp>
#include <candor/policy/transport.hpp>
#include <candor/sentry/client.hpp>
#include <candor/sentry/crash.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../support/temporary_directory.hpp"

// What a capture costs its caller, beside what the C library takes to walk a stack as deep; and what it costs to
// install the crash handler. A capture costs more where it has to wake a worker that idles, or to start one, as a
// client's first does. Both are measured by themselves, for a worker that has just delivered may be on its way to idle
// or there already.
namespace candor::benchmarks {

namespace {

using clock = std::chrono::steady_clock;
constexpr int runs = 2'000;
constexpr int stack_depth = 20;
constexpr std::chrono::microseconds until_idle{300};  ///< much more than the worker takes to get there

/// Calls `last` below so many frames of its own.
template <class Last>
[[gnu::noinline]] void nested(int frames, const Last& last) {
    if (frames <= 0) {
        last();
    } else {
        nested(frames - 1, last);
    }
    benchmark::ClobberMemory();  // the call above is not the last thing, so that it keeps its frame
}

/// Times `run`, and does `rest` after each time.
template <class Run, class Rest>
void measure(benchmark::State& state, const Run& run, const Rest& rest) {
    std::vector<double> taken;
    for ([[maybe_unused]] auto _ : state) {
        for (int i = 0; i < runs; ++i) {
            const auto start = clock::now();
            run();
            taken.push_back(std::chrono::duration<double, std::nano>(clock::now() - start).count());
            rest();
        }
    }
    std::sort(taken.begin(), taken.end());
    state.counters["p50_ns"] = taken[taken.size() / 2];
    state.counters["p99_ns"] = taken[taken.size() * 99 / 100];
}

/// A client whose errors have a stack of 20 frames, from the function that captures to the one that starts the program.
class capturer {
public:
    void capture() {
        nested(added_, [this] {
            if (client_->capture(failure_) != admission::accepted) throw std::runtime_error{"not captured"};
        });
    }

    /// Delivers, and from then on adds the calls that the stack was short of.
    void flush() {
        if (!client_->flush(std::chrono::seconds{10})) throw std::runtime_error{"not delivered"};
        added_ += stack_depth - sent_;
    }

    void start_anew() {
        client_.emplace(
            sentry::client_options{.dsn = "http://key@127.0.0.1:9000/7", .before_send = [this](sentry::event& e) {
                                       sent_ = static_cast<int>(e.exceptions.front().frames.size());
                                       return true;
                                   }});
    }

    [[nodiscard]] int frames_sent() const { return sent_; }

private:
    const std::runtime_error failure_{"disk full"};
    int added_ = 0;
    int sent_ = 0;  ///< of the last event, written before the flush returns
    std::optional<sentry::basic_client<null_transport, system_clock>> client_;
};

/// Does `rest` after each capture and its delivery.
template <class Rest>
void measure_capture(benchmark::State& state, const Rest& rest) {
    capturer errors;
    errors.start_anew();
    errors.capture();
    errors.flush();
    measure(
        state, [&] { errors.capture(); },
        [&] {
            errors.flush();
            rest(errors);
        });
    state.counters["frames"] = errors.frames_sent();
}

void capture(benchmark::State& state) {
    measure_capture(state, [](capturer&) {});
}

/// Gives another thread the time to idle, and takes none of its processor's.
void let_idle() {
    for (const auto until = clock::now() + until_idle; clock::now() < until;) {
    }
}

void capture_with_idle_worker(benchmark::State& state) {
    measure_capture(state, [](capturer&) { let_idle(); });
}

void first_capture(benchmark::State& state) {
    measure_capture(state, [](capturer& errors) { errors.start_anew(); });
}

void backtrace_of_the_c_library(benchmark::State& state) {
    std::array<void*, 50> frames;
    int count = 0, added = 0;
    const auto walk = [&] { count = ::backtrace(frames.data(), static_cast<int>(frames.size())); };
    measure(
        state, [&] { nested(added, walk); }, [&] { added += stack_depth - count; });
    state.counters["frames"] = count;
}

/// The same walk, and a word to a thread that idles, as whoever hands something over to one has to say.
void backtrace_and_wake(benchmark::State& state) {
    std::mutex mutex;
    std::condition_variable told;
    int given = 0, taken = 0;
    bool is_over = false;
    std::thread idler{[&] {
        std::unique_lock lock{mutex};
        while (!is_over) {
            taken = given;
            told.wait(lock, [&] { return is_over || taken != given; });
        }
    }};
    std::array<void*, 50> frames;
    int count = 0, added = 0;
    const auto walk = [&] {
        count = ::backtrace(frames.data(), static_cast<int>(frames.size()));
        {
            const std::lock_guard guard{mutex};
            ++given;
        }
        told.notify_one();
    };
    measure(
        state, [&] { nested(added, walk); },
        [&] {
            added += stack_depth - count;
            let_idle();
        });
    state.counters["frames"] = count;
    {
        const std::lock_guard guard{mutex};
        is_over = true;
    }
    told.notify_one();
    idler.join();
}

void install(benchmark::State& state) {
    const temporary_directory directory;
    std::optional<sentry::crash_handler> handler;
    measure(
        state, [&] { handler.emplace(sentry::crash_options{.directory = directory.path(), .release = "acme@1"}); },
        [&] { handler.reset(); });
}

[[maybe_unused]] const bool registered = [] {
    const auto add = [](const char* name, void (*run)(benchmark::State&)) {
        benchmark::RegisterBenchmark(name, run)->Iterations(1)->UseRealTime();
    };
    add("sentry/capture/candor", capture);
    add("sentry/capture_with_idle_worker/candor", capture_with_idle_worker);
    add("sentry/first_capture/candor", first_capture);
    add("sentry/backtrace", backtrace_of_the_c_library);
    add("sentry/backtrace_and_wake", backtrace_and_wake);
    add("sentry/install/candor", install);
    return true;
}();

}  // namespace

}  // namespace candor::benchmarks
