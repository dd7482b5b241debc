#include <benchmark/benchmark.h>

#include <candor/otlp/json.hpp>
#include <candor/otlp/protobuf.hpp>
#include <candor/otlp/table.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <protozero/pbf_reader.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "../differential/walk.hpp"
#include "../support/otlp_requests.hpp"

// What it takes to read a metrics request of 10,000 points: candor's decoders beside protozero's streaming walk of the
// same bytes, with and without a table, libprotobuf's parse and walk, and nlohmann's check that a text is JSON.
namespace candor::benchmarks {

namespace {

using clock = std::chrono::steady_clock;
constexpr std::size_t points = 10'000;

/// Looks at all that a table looks at, and no more.
struct counter {
    std::size_t points = 0;
    std::int64_t sum = 0;
    std::uint64_t times = 0;
    std::size_t text = 0;

    void resource(std::span<const otlp::attribute> attributes) { add(attributes); }
    void scope(std::string_view name, std::string_view version) { text += name.size() + version.size(); }
    void metric(const otlp::metric_descriptor& m) { text += m.name.size(); }
    void point(const otlp::number_point& p) {
        ++points;
        sum += p.value.integer;
        times += p.start_time + p.time;
        add(p.attributes);
    }
    void finish() {}

    void add(std::span<const otlp::attribute> attributes) {
        for (const auto& a : attributes) text += a.key.size() + a.value.string.size();
    }
};

/// 1,000 tables, each with ten clients.
otlp_writer::request large_request() {
    auto request = otlp_writer::usual_request();
    auto& all = request.resources.at(0).scopes.at(0).metrics.at(0).points;
    const auto point = all.at(0);
    all.assign(points, point);
    for (std::size_t i = 0; i < points; ++i) {
        all[i].value = static_cast<std::int64_t>(i);
        all[i].attributes.at(0).value = "client-" + std::to_string(i % 10);
        all[i].attributes.at(1).value = "aws_service_table_" + std::to_string(i / 10);
    }
    return request;
}

const std::string& protobuf_body() {
    static const std::string body = to_protobuf(large_request());
    return body;
}

const std::string& json_body() {
    static const std::string body = to_json(large_request());
    return body;
}

/// Runs what reads the body into a counter, once each time.
template <class Read>
void measure(benchmark::State& state, const std::string& body, Read read) {
    std::size_t found = 0;
    const auto start = clock::now();
    for ([[maybe_unused]] auto _ : state) {
        counter visitor;
        read(body, visitor);
        benchmark::DoNotOptimize(visitor);
        found += visitor.points;
    }
    const std::chrono::duration<double, std::nano> taken = clock::now() - start;
    const auto expected = points * static_cast<std::size_t>(state.iterations());
    if (found != expected) throw std::runtime_error{"points were lost"};
    state.counters["ns_per_point"] = taken.count() / static_cast<double>(expected);
    state.SetBytesProcessed(static_cast<std::int64_t>(body.size()) * state.iterations());
}

void candor_protobuf(const std::string& body, counter& visitor) {
    if (!otlp::decode_protobuf(body, visitor)) throw std::runtime_error{"malformed"};
}

/// All that a request costs a receiver: read, and taken into a table that knows its rows.
void candor_table(const std::string& body, counter& visitor) {
    static otlp::table table;
    otlp::table::update update{table};
    if (!otlp::decode_protobuf(body, update) || update.rejected() != 0) throw std::runtime_error{"not taken"};
    visitor.points = points;
}

void candor_json(const std::string& body, counter& visitor) {
    if (!otlp::decode_json(body, visitor)) throw std::runtime_error{"malformed"};
}

void nlohmann_accept(const std::string& body, counter& visitor) {
    if (!nlohmann::json::accept(body)) throw std::runtime_error{"malformed"};
    visitor.points = points;
}

void libprotobuf(const std::string& body, counter& visitor) {
    differential::Request request;
    if (!request.ParseFromString(body)) throw std::runtime_error{"malformed"};
    differential::walk(request, visitor);
}

// protozero's walk reads the same fields, in the order in which they come.

using protozero::pbf_reader;

void walk_attribute(pbf_reader in, counter& visitor) {
    while (in.next()) {
        if (in.tag() == 1) {
            visitor.text += in.get_view().size();
        } else if (in.tag() == 2) {
            auto value = in.get_message();
            while (value.next()) {
                if (value.tag() == 1) {
                    visitor.text += value.get_view().size();
                } else {
                    value.skip();
                }
            }
        } else {
            in.skip();
        }
    }
}

void walk_point(pbf_reader in, counter& visitor) {
    ++visitor.points;
    while (in.next()) {
        switch (in.tag()) {
            case 2:
            case 3:
                visitor.times += in.get_fixed64();
                break;
            case 6:
                visitor.sum += in.get_sfixed64();
                break;
            case 7:
                walk_attribute(in.get_message(), visitor);
                break;
            default:
                in.skip();
        }
    }
}

void walk_metric(pbf_reader in, counter& visitor) {
    while (in.next()) {
        if (in.tag() == 1) {
            visitor.text += in.get_view().size();
        } else if (in.tag() == 7) {
            auto sum = in.get_message();
            while (sum.next()) {
                if (sum.tag() == 1) {
                    walk_point(sum.get_message(), visitor);
                } else {
                    sum.skip();
                }
            }
        } else {
            in.skip();
        }
    }
}

void protozero_walk(const std::string& body, counter& visitor) {
    pbf_reader request{body};
    while (request.next(1)) {
        auto resource = request.get_message();
        while (resource.next(2)) {
            auto scope = resource.get_message();
            while (scope.next(2)) walk_metric(scope.get_message(), visitor);
        }
    }
}

/// How much larger the process is after ten million points than after the first ten thousand.
void memory(benchmark::State& state) {
    otlp::table table;
    const auto resident_mib = [] {
        std::size_t size = 0, resident = 0;
        std::ifstream{"/proc/self/statm"} >> size >> resident;
        return static_cast<double>(resident) * 4096 / (1024 * 1024);
    };
    const auto take = [&] {
        otlp::table::update update{table};
        if (!otlp::decode_protobuf(protobuf_body(), update)) throw std::runtime_error{"malformed"};
    };
    for ([[maybe_unused]] auto _ : state) {
        take();
        const double before = resident_mib();
        for (std::size_t taken = points; taken < 10'000'000; taken += points) take();
        state.counters["growth_MiB"] = resident_mib() - before + 0.001;  // a zero is not shown
    }
}

[[maybe_unused]] const bool registered = [] {
    const auto add = [](const char* name, const std::string& (*body)(), auto read) {
        benchmark::RegisterBenchmark(name, [=](benchmark::State& state) { measure(state, body(), read); })
            ->Unit(benchmark::kMicrosecond)
            ->UseRealTime();
    };
    add("otlp/protobuf/candor", protobuf_body, candor_protobuf);
    add("otlp/table/candor", protobuf_body, candor_table);
    add("otlp/protobuf/protozero", protobuf_body, protozero_walk);
    add("otlp/protobuf/libprotobuf", protobuf_body, libprotobuf);
    add("otlp/json/candor", json_body, candor_json);
    add("otlp/json/accept", json_body, nlohmann_accept);
    benchmark::RegisterBenchmark("otlp/memory/candor", memory)->Iterations(1)->UseRealTime();
    return true;
}();

}  // namespace

}  // namespace candor::benchmarks
