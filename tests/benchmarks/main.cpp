#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <vector>

// Runs all benchmarks, by default five times in random order, and says beside each target what was measured: the median
// of the runs, the reference's, and their ratio. Where the issue that sets a target names what the reference takes, the
// last column is the ratio that the target comes to: a slow or busy machine slows both.
namespace candor::benchmarks {

namespace {

struct target {
    const char* text;       ///< what is bounded
    const char* benchmark;  ///< `/candor` is added
    const char* reference;  ///< the reference's benchmark; null where there is none
    const char* counter;    ///< empty: the time
    const char* unit;
    double bound;             ///< 0: none was set, what it takes is of interest
    bool is_least;            ///< else the bound is the most that is allowed
    double reference_figure;  ///< what the reference took where the bound was set; 0 where that is not known
    double ratio = 0;         ///< what the ratio may come to; else it follows from the two
};

constexpr target targets[] = {
    {"track, delivery works, median", "track/bursts", "track/bursts/bare", "p50_ns", "ns", 250, false, 200},
    {"track, delivery works, 99 %", "track/bursts", "track/bursts/bare", "p99_ns", "ns", 2000, false, 2100},
    {"track every 20 us, median", "track/paced", "track/paced/bare", "p50_ns", "ns", 250, false, 200},
    {"track every 20 us, 99 %", "track/paced", "track/paced/bare", "p99_ns", "ns", 2000, false, 2100},
    {"track, queue full, median", "track/full", "track/full/bare", "p50_ns", "ns", 250, false, 0},
    {"track, queue full, 99 %", "track/full", "track/full/bare", "p99_ns", "ns", 2000, false, 0},
    {"track, connections refused, median", "track/refused", "track/dead/bare", "p50_ns", "ns", 250, false, 200},
    {"track, connections refused, 99 %", "track/refused", "track/dead/bare", "p99_ns", "ns", 2000, false, 2100},
    {"track, server never answers, median", "track/blackhole", "track/dead/bare", "p50_ns", "ns", 250, false, 200},
    {"track, server never answers, 99 %", "track/blackhole", "track/dead/bare", "p99_ns", "ns", 2000, false, 2100},
    {"delivered without gzip", "deliver/plain", "deliver/plain/bare", "events_per_s", "/s", 500e3, true, 750e3, 0.8},
    {"processor time an event", "deliver/plain", "deliver/plain/bare", "cpu_us_per_event", "us", 3, false, 0},
    {"peak of memory", "deliver/plain", "deliver/plain/bare", "peak_MiB", "MiB", 32, false, 0},
    {"delivered with gzip", "deliver/gzip", "deliver/gzip/bare", "events_per_s", "/s", 200e3, true, 290e3, 0.8},
    {"processor time an event, gzip", "deliver/gzip", "deliver/gzip/bare", "cpu_us_per_event", "us", 5, false, 0},
    {"peak of memory, gzip", "deliver/gzip", "deliver/gzip/bare", "peak_MiB", "MiB", 32, false, 0},
    {"exit with a healthy server, median", "exit", "exit/bare", "p50_us", "us", 0, false, 0, 2},
    {"construction and destruction", "construct", "construct/bare", "", "us", 50, false, 0},
    {"OTLP point into the table, protozero", "otlp/table", "otlp/protobuf/protozero", "ns_per_point", "ns", 76, false,
     38},
    {"OTLP point into the table, protobuf", "otlp/table", "otlp/protobuf/libprotobuf", "ns_per_point", "ns", 75, false,
     600},
    {"OTLP point of JSON, nlohmann's accept", "otlp/json", "otlp/json/accept", "ns_per_point", "ns", 1920, false, 1600},
    {"growth over ten million OTLP points", "otlp/memory", "", "growth_MiB", "MiB", 1, false, 0},
    {"capture with 20 frames, median", "sentry/capture", "sentry/backtrace", "p50_ns", "ns", 10000, false, 0},
    {"capture that wakes an idle worker", "sentry/capture_with_idle_worker", "sentry/backtrace_and_wake", "p50_ns",
     "ns", 0, false, 0},
    {"installing the crash handler, median", "sentry/install", "sentry/backtrace", "p50_ns", "ns", 100000, false, 0},
    {"10,000 events stored at exit", "spool/exit", "spool/exit/bare", "ms", "ms", 100, false, 0},
    {"start with 5 MiB in the spool", "spool/start", "spool/start/empty", "", "us", 1000, false, 0},
    {"1 MB of adversarial text redacted, worst", "redact/adversarial", "redact/adversarial/bare", "worst_ms", "ms", 50,
     false, 0},
};

/// Prints what Google Benchmark's own reporter prints, and at the end the targets.
class reporter : public benchmark::ConsoleReporter {
public:
    reporter() : ConsoleReporter{OO_None} {}

    void ReportRuns(const std::vector<Run>& runs) override {
        ConsoleReporter::ReportRuns(runs);
        for (const auto& run : runs) {
            if (run.run_type != Run::RT_Iteration || run.error_occurred) continue;
            auto& counters = measured_[run.run_name.function_name];
            counters[""].push_back(run.GetAdjustedRealTime());
            for (const auto& [name, counter] : run.counters) counters[name].push_back(counter.value);
        }
    }

    void Finalize() override {
        std::printf("\n%-37s %14s %12s %12s %7s %7s\n", "target", "", "measured", "reference", "ratio", "allowed");
        for (const auto& t : targets) {
            const auto found = median(t.benchmark + std::string{"/candor"}, t.counter);
            const auto reference = median(t.reference, t.counter);
            if (found == 0) continue;
            std::printf("%-37s ", t.text);
            if (t.bound > 0) {
                std::printf("%s %7.0f ", t.is_least ? ">=" : "<=", t.bound);
            } else {
                std::printf("%10s ", "");
            }
            std::printf("%-3s %12.4g ", t.unit, found);
            if (reference > 0) {
                std::printf("%12.4g %7.2f ", reference, found / reference);
            } else {
                std::printf("%12s %7s ", "", "");
            }
            if (t.ratio > 0 || t.reference_figure > 0) {
                std::printf("%7.2f\n", t.ratio > 0 ? t.ratio : t.bound / t.reference_figure);
            } else {
                std::printf("%7s\n", "");
            }
        }
    }

private:
    double median(const std::string& benchmark, const char* counter) {
        auto& values = measured_[benchmark][counter];
        if (values.empty()) return 0;
        std::sort(values.begin(), values.end());
        return values[values.size() / 2];
    }

    std::map<std::string, std::map<std::string, std::vector<double>>> measured_;
};

}  // namespace

}  // namespace candor::benchmarks

int main(int argc, char** argv) {
    std::string repetitions = "--benchmark_repetitions=5";
    std::string shuffled = "--benchmark_enable_random_interleaving=true";
    std::vector<char*> arguments{argv[0], repetitions.data(), shuffled.data()};
    arguments.insert(arguments.end(), argv + 1, argv + argc);  // the later of two counts
    int count = static_cast<int>(arguments.size());
    benchmark::Initialize(&count, arguments.data());
    if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
    candor::benchmarks::reporter reporter;
    benchmark::RunSpecifiedBenchmarks(&reporter);
}
