#include <candor/delivery/last_delivery.hpp>

#include <chrono>
#include <filesystem>
#include <string>

#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace last_delivery_test {

using candor::system_calls;
using candor::detail::last_delivery;
using namespace std::chrono_literals;

namespace {

const candor::wall_time moment{std::chrono::sys_days{std::chrono::year{2026} / 1 / 2} + 3h + 4min + 5s + 678ms};

}  // namespace

TEST_CASE("the last delivery of each protocol is noted in seconds, and the later one stays") {
    const temporary_directory t;
    const auto directory = t.path() / "made";
    CHECK_FALSE(last_delivery::read(directory, "sentry"));
    last_delivery::note<system_calls>(directory, "sentry", moment);
    CHECK(last_delivery::read(directory, "sentry") == "2026-01-02T03:04:05Z");
    CHECK_FALSE(last_delivery::read(directory, "rudderstack"));
    last_delivery::note<system_calls>(directory, "sentry", moment + 24h);
    CHECK(last_delivery::read(directory, "sentry") == "2026-01-03T03:04:05Z");
    CHECK_FALSE(last_delivery::read({}, "sentry"));
}

TEST_CASE("what is no time is not shown") {
    const temporary_directory t;
    for (const std::string text : {"", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05Z\n", "\x1b[2Jxxxxxxxxxxxxxxxx\n"}) {
        CAPTURE(text);
        t.write("sentry-last.delivered", text);
        CHECK_FALSE(last_delivery::read(t.path(), "sentry"));
    }
}

TEST_CASE("nothing is written through a link") {
    const temporary_directory t;
    const auto target = t.write("target", "a text of somebody else's");
    std::filesystem::create_symlink(target, t.path() / "sentry-last.delivered");
    std::filesystem::create_hard_link(target, t.path() / "rudderstack-last.delivered");
    last_delivery::note<system_calls>(t.path(), "sentry", moment);
    last_delivery::note<system_calls>(t.path(), "rudderstack", moment);
    CHECK(std::filesystem::file_size(target) == 25);
    CHECK_FALSE(last_delivery::read(t.path(), "rudderstack"));
    CHECK_FALSE(last_delivery::read(t.path(), "sentry"));
    last_delivery::note<system_calls>(target, "sentry", moment);  // no directory
}

}  // namespace last_delivery_test
