#include <benchmark/benchmark.h>

#include <algorithm>
#include <candor/candor.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "bare_loop.hpp"
#include "sender.hpp"
#include "sink_server.hpp"
#include "ten_fields.hpp"

// What the end of a short program takes where the server is healthy: ten events wait, and are delivered over a new
// connection.
namespace candor::benchmarks {

namespace {

constexpr std::uint64_t events = 10;

/// Times `end`, which begins when `begin` has returned, and says what the median is.
template <class Begin, class End>
void time_exit(benchmark::State& state, const Begin& begin, const End& end) {
    const sink_server sink{std::size_t{64} << 20U};
    std::vector<double> took;
    ten_fields event;
    for ([[maybe_unused]] auto _ : state) {
        begin(sink.port(), event);
        const auto start = std::chrono::steady_clock::now();
        end();
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        state.SetIterationTime(seconds);
        took.push_back(1e6 * seconds);
    }
    if (sink.report().distinct != events * took.size()) state.SkipWithError("not every event arrived");
    const auto middle = took.begin() + static_cast<std::ptrdiff_t>(took.size() / 2);
    std::nth_element(took.begin(), middle, took.end());
    state.counters["p50_us"] = *middle;
}

void candor_exits(benchmark::State& state) {
    std::optional<telemetry> telemetry;
    time_exit(
        state,
        [&](std::uint16_t port, ten_fields& event) {
            auto options = options_for(port);
            options.shutdown_timeout = std::chrono::seconds{10};
            telemetry.emplace(options);
            for (std::uint64_t i = 0; i < events; ++i, ++event.serial) telemetry->track(event);
        },
        [&] { telemetry.reset(); });
}

void bare_loop_exits(benchmark::State& state) {
    std::optional<bare_loop> loop;
    time_exit(
        state,
        [&](std::uint16_t port, ten_fields& event) {
            loop.emplace(port, false);
            for (std::uint64_t i = 0; i < events; ++i, ++event.serial) loop->track(event);
        },
        [&] { loop.reset(); });
}

[[maybe_unused]] const bool registered = [] {
    const auto add = [](const char* name, void (*function)(benchmark::State&)) {
        benchmark::RegisterBenchmark(name, function)->Iterations(200)->Unit(benchmark::kMicrosecond)->UseManualTime();
    };
    add("exit/candor", candor_exits);
    add("exit/bare", bare_loop_exits);
    return true;
}();

}  // namespace

}  // namespace candor::benchmarks
