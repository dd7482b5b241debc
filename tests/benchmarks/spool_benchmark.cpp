#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <candor/candor.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "../support/temporary_directory.hpp"

// What it takes to store 10,000 events when a program ends without a network, without the time that the disk takes to
// sync; and what a full spool adds to the start of the next run.
namespace candor::benchmarks {

namespace {

using clock = std::chrono::steady_clock;

/// A server that is not there.
struct no_network {
    static http_response send(const http_request&) { return {.error = transport_error::unreachable}; }
    static void cancel() noexcept {}
};

/// The file system, and how long it took to sync.
struct timed_calls : system_calls {
    static int fsync(int file) noexcept {
        const auto start = clock::now();
        const int out = system_calls::fsync(file);
        syncing += (clock::now() - start).count();
        return out;
    }
    inline static std::atomic<std::int64_t> syncing{0};
};

template <class Calls>
using pipeline = detail::pipeline<rudderstack::detail::protocol, no_network, system_clock, Calls>;

/// Fills a pipeline with `count` messages that the network does not take, and ends it.
template <class Calls>
statistics spool_messages(const std::filesystem::path& directory, std::size_t count, clock::duration& took) {
    const std::string head = R"({"type":"track","messageId":"0f8fad5b-d9cb-469f-a165-70867728950e","event":"sync")";
    const std::string tail = R"(,"properties":{"note":")" + std::string(300, 'x') + R"("},"channel":"server"})";
    no_network transport;
    system_clock time;
    delivery_options options{.queue_messages = 20'000};
    options.spool.directory = directory;
    pipeline<Calls> delivery{
        "rudderstack", options, {}, 1, rudderstack::detail::protocol{*parse_url("http://127.0.0.1:1"), "key", nullptr},
        transport,     time};
    rudderstack::detail::record_header header;
    header.head_size = static_cast<std::uint32_t>(head.size());
    for (std::size_t i = 0; i < count; ++i) {
        if (delivery.enqueue(std::array{header.bytes(), std::string_view{head}, std::string_view{tail}}) !=
            admission::accepted)
            throw std::runtime_error{"not accepted"};
    }
    const auto start = clock::now();
    delivery.shutdown(std::chrono::milliseconds{0});
    took = clock::now() - start;
    return delivery.statistics();
}

void spool_at_exit(benchmark::State& state) {
    double milliseconds = 0;
    double syncing = 0;
    for ([[maybe_unused]] auto _ : state) {
        const temporary_directory t;
        timed_calls::syncing = 0;
        clock::duration took{};
        const auto counts = spool_messages<timed_calls>(t.path() / "spool", 10'000, took);
        if (counts.spooled != 10'000) throw std::runtime_error{"not stored"};
        syncing = static_cast<double>(timed_calls::syncing) / 1e6;
        milliseconds = std::chrono::duration<double, std::milli>{took}.count() - syncing;
        state.SetIterationTime(milliseconds / 1e3);
    }
    state.counters["ms_beyond_sync"] = milliseconds;
    state.counters["ms_sync"] = syncing;
}

/// Variables of a machine whose state directory this is.
struct state_home {
    [[nodiscard]] std::optional<std::string> get(const char* name) const {
        return std::string_view{name} == "XDG_STATE_HOME" ? std::optional{path} : std::nullopt;
    }
    std::string path{};
};

void start(benchmark::State& state, bool is_full) {
    const temporary_directory t;
    if (is_full) {
        clock::duration ignored{};
        spool_messages<system_calls>(t.path() / "acme" / "telemetry", 12'000, ignored);
    }
    no_network transport;
    system_clock time;
    const telemetry_options options{.product = {.name = "acme", .version = "1.0.0", .env_prefix = "ACME"},
                                    .write_key = "key",
                                    .data_plane_url = "http://127.0.0.1:1",
                                    .shutdown_timeout = std::chrono::milliseconds{0}};
    for ([[maybe_unused]] auto _ : state) {
        const basic_telemetry<no_network, system_clock, state_home> telemetry{options, transport, time,
                                                                              state_home{t.string()}};
        benchmark::DoNotOptimize(&telemetry);
    }
}

[[maybe_unused]] const auto* const registered = [] {
    benchmark::RegisterBenchmark("spool/exit/candor", spool_at_exit)->UseManualTime()->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark("spool/start/empty", start, false)->Unit(benchmark::kMicrosecond);
    return benchmark::RegisterBenchmark("spool/start/candor", start, true)->Unit(benchmark::kMicrosecond);
}();

}  // namespace

}  // namespace candor::benchmarks
