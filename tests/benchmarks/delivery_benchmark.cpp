#include <benchmark/benchmark.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <candor/candor.hpp>
#include <chrono>
#include <cstdint>
#include <stdexcept>

#include "bare_loop.hpp"
#include "sender.hpp"
#include "sink_server.hpp"
#include "ten_fields.hpp"

// What delivery of 100,000 events costs, from the first call to the last answer. Each run sends from a process of its
// own, so that its processor time and its peak of memory are its own; the producer waits where the queue is full.
namespace candor::benchmarks {

namespace {

constexpr std::uint64_t events = 100'000;

struct measured {
    double seconds = 0;
    double processor_seconds = 0;
    double peak_mebibytes = 0;
    bool good = false;
};

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

/// Runs `work` in a process of its own.
template <class Work>
measured in_child(const Work& work) {
    int result[2];
    if (::pipe(result) != 0) throw std::runtime_error{"pipe"};
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error{"fork"};
    if (child == 0) {
        measured out;
        rusage before{}, after{};
        ::getrusage(RUSAGE_SELF, &before);
        const auto start = std::chrono::steady_clock::now();
        out.good = work(
            [&] { out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); });
        ::getrusage(RUSAGE_SELF, &after);
        out.processor_seconds =
            seconds(after.ru_utime) + seconds(after.ru_stime) - seconds(before.ru_utime) - seconds(before.ru_stime);
        out.peak_mebibytes = static_cast<double>(after.ru_maxrss) / 1024;
        ::_exit(::write(result[1], &out, sizeof out) == sizeof out ? 0 : 1);
    }
    ::close(result[1]);
    measured out;
    const bool came = ::read(result[0], &out, sizeof out) == sizeof out;
    ::close(result[0]);
    ::waitpid(child, nullptr, 0);
    if (!came) throw std::runtime_error{"the sending process has ended early"};
    return out;
}

template <class Work>
void deliver(benchmark::State& state, const Work& work) {
    for (auto _ : state) {
        const sink_server sink{std::size_t{128} << 20U};
        const measured found = in_child([&](const auto& all_delivered) { return work(sink.port(), all_delivered); });
        const sink_report arrived = sink.report();
        if (!found.good || arrived.events != events || arrived.distinct != events)
            state.SkipWithError("not every event arrived exactly once");
        state.SetIterationTime(found.seconds);
        state.counters["events_per_s"] = static_cast<double>(events) / found.seconds;
        state.counters["cpu_us_per_event"] = 1e6 * found.processor_seconds / static_cast<double>(events);
        state.counters["peak_MiB"] = found.peak_mebibytes;
        state.counters["requests"] = static_cast<double>(arrived.requests);
    }
}

void candor_delivers(benchmark::State& state, bool compress) {
    deliver(state, [&](std::uint16_t port, const auto& all_delivered) {
        telemetry telemetry{options_for(port, compress)};
        ten_fields event;
        for (; event.serial < events; ++event.serial) {
            while (telemetry.track(event) == admission::full) pause();
        }
        const bool delivered = telemetry.flush(std::chrono::minutes{1});
        all_delivered();
        return delivered;
    });
}

void bare_loop_delivers(benchmark::State& state, bool compress) {
    deliver(state, [&](std::uint16_t port, const auto& all_delivered) {
        {
            bare_loop loop{port, compress};
            ten_fields event;
            for (; event.serial < events; ++event.serial) {
                while (!loop.track(event)) pause();
            }
        }
        all_delivered();
        return true;
    });
}

[[maybe_unused]] const bool registered = [] {
    const auto add = [](const char* name, auto function, bool compress) {
        benchmark::RegisterBenchmark(name, [=](benchmark::State& state) { function(state, compress); })
            ->Iterations(1)
            ->Unit(benchmark::kMillisecond)
            ->UseManualTime();
    };
    add("deliver/plain/candor", candor_delivers, false);
    add("deliver/plain/bare", bare_loop_delivers, false);
#ifdef CPPHTTPLIB_ZLIB_SUPPORT
    add("deliver/gzip/candor", candor_delivers, true);
    add("deliver/gzip/bare", bare_loop_delivers, true);
#endif
    return true;
}();

}  // namespace

}  // namespace candor::benchmarks
