// How often a call of `track` allocates.
#include <candor/telemetry.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <candor/testing.hpp>

#include <benchmarks/ten_fields.hpp>
#include <support/sanitizer.hpp>

#include <doctest/doctest.h>

/// So often has this thread allocated. ThreadSanitizer has operators of its own, and they stay: nothing is counted
/// there.
struct allocations {
    static inline thread_local std::size_t count = 0;
};

// Not inlined, or GCC takes each `free` here for a mistake.
#ifndef CANDOR_TESTS_THREAD_SANITIZER
[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations::count;
    if (void* out = std::malloc(size == 0 ? 1 : size)) return out;
    throw std::bad_alloc{};
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    ++allocations::count;
    return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace allocations_test {

using namespace std::chrono_literals;

namespace {

/// The event of the README.
struct build_finished {
    static constexpr std::string_view event_name = "build_finished";
    std::string target{};
    std::chrono::milliseconds duration{};
    std::optional<std::string> error{};

    static constexpr auto fields() {
        return std::tuple{
            candor::field("target", &build_finished::target, "Name of the build target"),
            candor::field("duration", &build_finished::duration, "Wall time"),
            candor::free_text("error", &build_finished::error, "Error message, secrets redacted"),
        };
    }
};

template <class Event>
void check(const Event& event) {
    using telemetry_type = candor::basic_telemetry<candor::testing::recording_transport, candor::system_clock,
                                                   candor::testing::fixed_environment>;
    candor::testing::recording_transport transport;
    candor::system_clock clock;
    candor::telemetry_options options{.product = {.name = "acme", .version = "1.4.0", .env_prefix = "ACME"},
                                      .write_key = "key",
                                      .data_plane_url = "https://plane.example"};
    telemetry_type telemetry{options, transport, clock};
    const auto allocated = [&] {
        const auto before = allocations::count;
        REQUIRE(telemetry.track(event) == candor::admission::accepted);
        return allocations::count - before;
    };
    allocated();  // starts the worker
    std::size_t most = 0;
    for (int i = 0; i < 200; ++i) most = std::max(most, allocated());
    CHECK(most <= 1);
    REQUIRE(telemetry.flush(20s));
    for (int round = -2; round < 10; ++round) {
        if (round == 0) most = 0;
        for (int i = 0; i < 20; ++i) most = std::max(most, allocated());
        REQUIRE(telemetry.flush(20s));
    }
    CHECK(most == 0);
}

}  // namespace

TEST_CASE("a call of track allocates at most once, in the steady state not at all") {
    SUBCASE("the event of the README") {
        check(build_finished{.target = "all", .duration = 2s});
        check(build_finished{.target = "all", .duration = 2s, .error = "cannot open https://user:word@host/path"});
    }
    SUBCASE("ten fields") { check(candor::benchmarks::ten_fields{}); }
    SUBCASE("a long text") { check(build_finished{.target = std::string(20'000, 'x')}); }
}

}  // namespace allocations_test
