#include <benchmark/benchmark.h>
#include <execinfo.h>

#include <algorithm>
#include <array>
#include <candor/policy/clock.hpp>
#include <candor/policy/transport.hpp>
#include <candor/sentry/client.hpp>
#include <candor/sentry/crash.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../support/temporary_directory.hpp"

// What a capture costs its caller, beside what the C library takes to walk the same stack; and what it costs to install
// the crash handler.
namespace candor::benchmarks {

namespace {

using clock = std::chrono::steady_clock;
constexpr int runs = 2'000;

/// Calls `last` below so many frames of its own.
template <class Last>
[[gnu::noinline]] void nested(int frames, const Last& last) {
    if (frames == 0) {
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

void capture(benchmark::State& state) {
    sentry::basic_client<null_transport, system_clock> errors{{.dsn = "http://key@127.0.0.1:9000/7"}};
    const std::runtime_error failure{"disk full"};
    const auto take = [&] {
        if (errors.capture(failure) != admission::accepted) throw std::runtime_error{"not captured"};
    };
    measure(
        state, [&] { nested(20, take); }, [&] { errors.flush(std::chrono::seconds{10}); });
}

void backtrace_of_the_c_library(benchmark::State& state) {
    std::array<void*, 50> frames;
    const auto walk = [&] { benchmark::DoNotOptimize(::backtrace(frames.data(), static_cast<int>(frames.size()))); };
    measure(
        state, [&] { nested(20, walk); }, [] {});
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
    add("sentry/backtrace", backtrace_of_the_c_library);
    add("sentry/install/candor", install);
    return true;
}();

}  // namespace

}  // namespace candor::benchmarks
