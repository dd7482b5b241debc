#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <candor/candor.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "../support/temporary_directory.hpp"

// What it takes to store 10,000 events when a program ends without a network, beside a bare loop that writes the same
// bytes; and what a full spool adds to the start of the next run.
namespace candor::benchmarks {

namespace {

using clock = std::chrono::steady_clock;

/// A server that is not there.
struct no_network {
    static http_response send(const http_request&) { return {.error = transport_error::unreachable}; }
    static void cancel() noexcept {}
};

/// Fills a pipeline with `count` messages that the network does not take, and ends it.
statistics spool_messages(const std::filesystem::path& directory, std::size_t count, clock::duration& took) {
    const std::string head = R"({"type":"track","messageId":"0f8fad5b-d9cb-469f-a165-70867728950e","event":"sync")";
    const std::string tail = R"(,"properties":{"note":")" + std::string(300, 'x') + R"("},"channel":"server"})";
    no_network transport;
    system_clock time;
    delivery_options options{.queue_messages = 20'000};
    options.spool.directory = directory;
    detail::policies<no_network, system_clock> policies{transport, time};
    const auto delivery = rudderstack::detail::make_pipeline(*detail::parse_url("http://127.0.0.1:1"), "key", nullptr,
                                                             options, {}, policies);
    rudderstack::detail::record_header header;
    header.head_size = static_cast<std::uint32_t>(head.size());
    for (std::size_t i = 0; i < count; ++i) {
        if (delivery->enqueue(std::array{header.bytes(), std::string_view{head}, std::string_view{tail}}) !=
            admission::accepted)
            throw std::runtime_error{"not accepted"};
    }
    const auto start = clock::now();
    delivery->shutdown(std::chrono::milliseconds{0});
    took = clock::now() - start;
    return delivery->statistics();
}

void spool_at_exit(benchmark::State& state) {
    double milliseconds = 0;
    for ([[maybe_unused]] auto _ : state) {
        const temporary_directory t;
        clock::duration took{};
        const auto counts = spool_messages(t.path() / "spool", 10'000, took);
        if (counts.spooled != 10'000) throw std::runtime_error{"not stored"};
        milliseconds = std::chrono::duration<double, std::milli>{took}.count();
        state.SetIterationTime(milliseconds / 1e3);
    }
    state.counters["ms"] = milliseconds;
}

/// The least that it can take: files of the same bytes, each written under another name and renamed.
void write_at_exit(benchmark::State& state) {
    const temporary_directory t;
    clock::duration ignored{};
    spool_messages(t.path() / "spool", 10'000, ignored);
    std::vector<std::string> contents;
    for (const auto& entry : std::filesystem::directory_iterator{t.path() / "spool"}) {
        std::ifstream file{entry.path(), std::ios::binary};
        contents.emplace_back(std::istreambuf_iterator<char>{file}, std::istreambuf_iterator<char>{});
    }
    double milliseconds = 0;
    for ([[maybe_unused]] auto _ : state) {
        const temporary_directory scratch;
        const auto start = clock::now();
        for (std::size_t i = 0; i < contents.size(); ++i) {
            const auto name = scratch.path() / std::to_string(i);
            const int file = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
            const auto size = static_cast<ssize_t>(contents[i].size());
            if (::write(file, contents[i].data(), contents[i].size()) != size) throw std::runtime_error{"not written"};
            ::close(file);
            std::filesystem::rename(name, name.string() + ".spool");
        }
        milliseconds = std::chrono::duration<double, std::milli>{clock::now() - start}.count();
        state.SetIterationTime(milliseconds / 1e3);
    }
    state.counters["ms"] = milliseconds;
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
        spool_messages(t.path() / "acme" / "telemetry", 12'000, ignored);
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
    benchmark::RegisterBenchmark("spool/exit/bare", write_at_exit)->UseManualTime()->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark("spool/start/empty", start, false)->Unit(benchmark::kMicrosecond);
    return benchmark::RegisterBenchmark("spool/start/candor", start, true)->Unit(benchmark::kMicrosecond);
}();

}  // namespace

}  // namespace candor::benchmarks
