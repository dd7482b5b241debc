#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <candor/candor.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "bare_loop.hpp"
#include "sender.hpp"
#include "sink_server.hpp"
#include "ten_fields.hpp"

// What a call of `track` costs its caller: each single call is timed, the clock's own cost taken off.
namespace candor::benchmarks {

namespace {

using clock = std::chrono::steady_clock;
constexpr std::size_t queue_messages = 10'000;

/// Durations of calls, in nanoseconds.
class samples {
public:
    samples() {
        all_.reserve(200'000);
        for (int i = 0; i < 10'000; ++i) time([] {});
        std::sort(all_.begin(), all_.end());
        clock_cost_ = all_[all_.size() / 2];
        all_.clear();
    }

    template <class Call>
    void time(const Call& call) {
        const auto start = clock::now();
        call();
        const auto end = clock::now();
        all_.push_back(static_cast<std::uint32_t>((end - start).count()));
    }

    void report(benchmark::State& state) {
        std::sort(all_.begin(), all_.end());
        const auto at = [&](double share) {
            const auto found = all_[static_cast<std::size_t>(share * static_cast<double>(all_.size()))];
            return static_cast<double>(found - std::min(found, clock_cost_));
        };
        state.counters["p50_ns"] = at(0.5);
        state.counters["p99_ns"] = at(0.99);
        state.counters["p99.9_ns"] = at(0.999);
        state.counters["clock_ns"] = clock_cost_;
    }

private:
    std::vector<std::uint32_t> all_;
    std::uint32_t clock_cost_ = 0;
};

/// Both sides with the same face.
class candor_side {
public:
    explicit candor_side(std::uint16_t port) : telemetry_{options_for(port)} {}
    bool track(const ten_fields& event) { return telemetry_.track(event) == admission::accepted; }
    [[nodiscard]] std::size_t pending() const { return telemetry_.statistics().pending; }

private:
    telemetry telemetry_;
};

class bare_side : public bare_loop {
public:
    explicit bare_side(std::uint16_t port) : bare_loop{port, false} {}
};

/// The bare loop has no notion of a server that is dead: here it has none.
class stuck_bare_side : public bare_loop {
public:
    explicit stuck_bare_side(std::uint16_t) : bare_loop{0, false} {}
};

/// A port that refuses connections, or takes them and never answers.
class dead_port {
public:
    explicit dead_port(bool refuses) {
        socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const generic = reinterpret_cast<sockaddr*>(&address);
        if (socket_ < 0 || ::bind(socket_, generic, size) != 0 || (!refuses && ::listen(socket_, 64) != 0) ||
            ::getsockname(socket_, generic, &size) != 0)
            throw std::runtime_error{"cannot bind to 127.0.0.1"};
        number_ = ntohs(address.sin_port);
    }
    dead_port(const dead_port&) = delete;
    dead_port& operator=(const dead_port&) = delete;
    ~dead_port() { ::close(socket_); }
    [[nodiscard]] std::uint16_t number() const noexcept { return number_; }

private:
    int socket_ = -1;
    std::uint16_t number_ = 0;
};

/// Delivery works: bursts of 2,000 calls, each after the last one is delivered but for less than a batch.
template <class Side>
void bursts(benchmark::State& state) {
    const sink_server sink;
    ten_fields event;
    for (auto _ : state) {
        samples taken;
        Side side{sink.port()};
        for (int burst = 0; burst < 50; ++burst) {
            for (int i = 0; i < 2000; ++i) taken.time([&] { benchmark::DoNotOptimize(side.track(event)); });
            while (side.pending() >= 250) pause();
        }
        taken.report(state);
    }
}

/// Delivery works: a call every 20 µs.
template <class Side>
void paced(benchmark::State& state) {
    const sink_server sink;
    ten_fields event;
    for (auto _ : state) {
        samples taken;
        Side side{sink.port()};
        auto next = clock::now();
        for (int i = 0; i < 25'000; ++i) {
            while (clock::now() < next) {
            }
            next += std::chrono::microseconds{20};
            taken.time([&] { benchmark::DoNotOptimize(side.track(event)); });
        }
        taken.report(state);
    }
}

/// Nothing can be delivered: all that the queue takes, ten times.
template <class Side>
void dead(benchmark::State& state, bool refuses) {
    const dead_port port{refuses};
    ten_fields event;
    for (auto _ : state) {
        samples taken;
        std::size_t accepted = 0;
        for (int i = 0; i < 10; ++i) {
            Side side{port.number()};
            for (std::size_t n = 0; n < queue_messages; ++n) taken.time([&] { accepted += side.track(event); });
        }
        taken.report(state);
        if (accepted != 10 * queue_messages) state.SkipWithError("a call was not accepted");
    }
}

/// The queue is full.
template <class Side>
void full(benchmark::State& state) {
    const dead_port port{false};
    ten_fields event;
    for (auto _ : state) {
        samples taken;
        Side side{port.number()};
        while (side.track(event)) {
        }
        for (int i = 0; i < 100'000; ++i) taken.time([&] { benchmark::DoNotOptimize(side.track(event)); });
        taken.report(state);
    }
}

void construct_candor(benchmark::State& state) {
    const auto options = options_for(9);
    for (auto _ : state) telemetry made{options};
}

void construct_bare(benchmark::State& state) {
    for (auto _ : state) bare_loop made{0, false};
}

[[maybe_unused]] const bool registered = [] {
    const auto add = [](const char* name, auto function) {
        benchmark::RegisterBenchmark(name, function)->Iterations(1)->Unit(benchmark::kMillisecond)->UseRealTime();
    };
    add("track/bursts/candor", bursts<candor_side>);
    add("track/bursts/bare", bursts<bare_side>);
    add("track/paced/candor", paced<candor_side>);
    add("track/paced/bare", paced<bare_side>);
    add("track/full/candor", full<candor_side>);
    add("track/full/bare", full<stuck_bare_side>);
    add("track/refused/candor", [](benchmark::State& s) { dead<candor_side>(s, true); });
    add("track/blackhole/candor", [](benchmark::State& s) { dead<candor_side>(s, false); });
    add("track/dead/bare", [](benchmark::State& s) { dead<stuck_bare_side>(s, true); });
    benchmark::RegisterBenchmark("construct/candor", construct_candor)->Unit(benchmark::kMicrosecond)->UseRealTime();
    benchmark::RegisterBenchmark("construct/bare", construct_bare)->Unit(benchmark::kMicrosecond)->UseRealTime();
    return true;
}();

}  // namespace

}  // namespace candor::benchmarks
