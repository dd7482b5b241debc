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
// client's first does: what the system takes to wake a thread, which on a virtual machine may be more than all the rest
// together. So the captures that wake nobody are measured by themselves, while the worker has an error in hand, and
// those that wake it too, beside the same walk and a bare wake.
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

/// Where a worker is held up.
class gate {
public:
    /// Waits until it is open.
    void pass() {
        std::unique_lock lock{mutex_};
        has_arrived_ = true;
        changed_.notify_all();
        changed_.wait(lock, [&] { return is_open_; });
    }

    void close() {
        const std::lock_guard guard{mutex_};
        is_open_ = has_arrived_ = false;
    }

    void await_arrival() {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [&] { return has_arrived_; });
    }

    void open() {
        const std::lock_guard guard{mutex_};
        is_open_ = true;
        changed_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool is_open_ = true;
    bool has_arrived_ = false;
};

/// A client whose errors have a stack of 20 frames, from the function that captures to the one that starts the program.
class capturer {
public:
    capturer() {
        start_anew();
        capture();
        flush();
    }

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
                                       gate_.pass();
                                       sent_ = static_cast<int>(e.exceptions.front().frames.size());
                                       return true;
                                   }});
    }

    /// The worker takes an error in hand and keeps it, until `release`.
    void occupy_worker() {
        gate_.close();
        capture();
        gate_.await_arrival();
    }
    void release_worker() {
        gate_.open();
        flush();
    }

    [[nodiscard]] int frames_sent() const { return sent_; }

private:
    const std::runtime_error failure_{"disk full"};
    gate gate_;
    int added_ = 0;
    int sent_ = 0;  ///< of the last event, written before the flush returns
    std::optional<sentry::basic_client<null_transport, system_clock>> client_;
};

void capture(benchmark::State& state) {
    constexpr int burst = 50;  // a queue holds 100
    capturer errors;
    int count = 0;
    errors.occupy_worker();
    measure(
        state, [&] { errors.capture(); },
        [&] {
            if (++count % burst != 0) return;
            errors.release_worker();
            errors.occupy_worker();
        });
    errors.release_worker();
    state.counters["frames"] = errors.frames_sent();
}

/// Gives another thread the time to idle, and takes none of its processor's.
void let_idle() {
    for (const auto until = clock::now() + until_idle; clock::now() < until;) {
    }
}

void capture_with_idle_worker(benchmark::State& state) {
    capturer errors;
    measure(
        state, [&] { errors.capture(); },
        [&] {
            errors.flush();
            let_idle();
        });
    state.counters["frames"] = errors.frames_sent();
}

void first_capture(benchmark::State& state) {
    capturer errors;
    errors.start_anew();
    measure(
        state, [&] { errors.capture(); },
        [&] {
            errors.flush();
            errors.start_anew();
        });
    state.counters["frames"] = errors.frames_sent();
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
