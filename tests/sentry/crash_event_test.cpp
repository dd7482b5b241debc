#include <candor/sentry/crash_event.hpp>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <candor/testing.hpp>

#include <doctest/doctest.h>

namespace crash_event_test {

using candor::sentry::crash_record;
using candor::sentry::severity;
using candor::sentry::detail::crash_event;

namespace {

const candor::wall_time now = candor::testing::manual_clock{}.wall_now();

}  // namespace

TEST_CASE("a crash is a fatal exception named by its signal, that nobody handled") {
    const auto id = candor::uuid::random();
    const auto event =
        crash_event({.event_id = id,
                     .release = "acme@0.9",
                     .time = now,
                     .signal = SIGSEGV,
                     .code = 1,
                     .fault_address = 0xdead0,
                     .instruction = 0x1010,
                     .frames = {0x1010, 0x1020, 0x9000},
                     .modules = {{.file = "/bin/acme", .build_id = "00", .address = 0x1000, .size = 0x100},
                                 {.file = "/lib/unused.so", .address = 0x4000, .size = 0x100}},
                     .breadcrumbs = {{.time = now, .level = "info", .category = "ui", .message = "click"}},
                     .complete = true});
    CHECK(event.id == id);
    CHECK(event.timestamp == now);
    CHECK(event.level == severity::fatal);
    CHECK(event.release == "acme@0.9");  // of the run that crashed, not of this one
    REQUIRE(event.exceptions.size() == 1);
    const auto& what = event.exceptions[0];
    CHECK(what.type == "SIGSEGV");
    CHECK(what.value == "Segmentation fault at 0xdead0");
    CHECK(what.mechanism == "signalhandler");
    CHECK_FALSE(what.handled);
    CHECK(what.mechanism_data.at("signal") == std::to_string(SIGSEGV));
    CHECK(what.mechanism_data.at("code") == "1");
    CHECK(what.mechanism_data.at("record") == "complete");
    REQUIRE(what.frames.size() == 3);
    CHECK(what.frames[0].instruction_addr == 0x1010);
    CHECK(what.frames[0].package == "/bin/acme");
    CHECK(what.frames[2].package.empty());
    REQUIRE(event.modules.size() == 1);
    CHECK(event.modules[0].file == "/bin/acme");
    CHECK(event.breadcrumbs.size() == 1);
}

TEST_CASE("a record that was not finished is a crash all the same") {
    const auto event = crash_event({.event_id = candor::uuid::random(), .release = "acme@1", .time = now});
    CHECK(event.exceptions[0].type == "Crash");
    CHECK(event.exceptions[0].mechanism_data.at("record") == "incomplete");
    CHECK(event.exceptions[0].mechanism_data.count("signal") == 0);
    CHECK(event.exceptions[0].frames.empty());
}

#ifdef __linux__
TEST_CASE("a function of a library that this run has loaded elsewhere is named") {
    // As if the C library had lain at another address when the program crashed.
    const auto loaded = candor::sentry::loaded_modules();
    const auto address = reinterpret_cast<std::uintptr_t>(&std::abort);
    for (auto m : loaded) {
        if (address - m.address >= m.size || m.build_id.empty()) continue;
        const std::uint64_t then = 0x10000000;
        const auto frame = address - m.address + then + 4;
        m.address = then;
        const auto event = crash_event({.signal = SIGABRT, .frames = {frame}, .modules = {m}});
        CHECK(event.exceptions[0].frames[0].function == "abort");
        CHECK(event.exceptions[0].frames[0].instruction_addr == frame);
        return;
    }
    MESSAGE("the C library has no build id here");
}
#endif

}  // namespace crash_event_test
