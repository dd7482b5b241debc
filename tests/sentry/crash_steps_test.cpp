#include <candor/sentry/crash_steps.hpp>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <system_error>
#include <vector>

#include <candor/sentry/crash_file.hpp>
#include <candor/sentry/crash_record.hpp>

#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace crash_steps_test {

namespace {

using namespace candor::sentry;
using detail::crash_cause;

/// A record, ready for a crash.
struct prepared {
    prepared() {
        const auto start = detail::start_section(candor::uuid::random(), {}, "acme@1", {});
        std::error_code error;
        file =
            detail::record_file::create(scratch.path() / "record", start, start.size() + detail::largest_crash, error);
        REQUIRE_FALSE(error);
        auto& writer = detail::the_crash_writer;
        writer.file = &file;
        writer.breadcrumbs = nullptr;
        writer.at = start.size();
        writer.frame_count = 0;
    }
    ~prepared() { detail::the_crash_writer.file = nullptr; }

    /// What a crash writes.
    crash_record write(const crash_cause& cause) const {
        for (const auto step : detail::write_crash.steps) step(cause);
        return read();
    }

    [[nodiscard]] crash_record read() const {
        crash_record out;
        const auto content = file.read(detail::largest_record);
        REQUIRE(detail::parse_crash_record(*content, out) == detail::record_state::crashed);
        return out;
    }

    temporary_directory scratch{};
    detail::record_file file{};
};

}  // namespace

TEST_CASE("the record says what the system has said, and is complete after the last step") {
    const prepared crash;
    const crash_cause cause{.time = 5, .fault_address = 8, .thread = 7, .signal = SIGSEGV, .code = 1};
    CHECK(detail::write_crash.is_wanted(SIGSEGV));
    const auto record = crash.write(cause);
    CHECK_FALSE(record.complete);
    detail::write_crash.end(cause);
    CHECK(crash.read().complete);
    CHECK(record.time.time_since_epoch().count() == 5);
    CHECK(record.fault_address == 8);
    CHECK(record.thread == 7);
    CHECK(record.signal == SIGSEGV);
    CHECK(record.code == 1);
}

TEST_CASE("where the instruction is not known the frames are those of the handler") {
    const prepared crash;
    const auto frames = crash.write({.signal = SIGSEGV}).frames;
    REQUIRE(frames.size() > 1);
    CHECK(std::find(frames.begin(), frames.end(), 0) == frames.end());
}

TEST_CASE("a call of a wrong pointer has its caller for a frame, from the stack or the register") {
    std::uint64_t return_address = 0x1234;
    crash_cause cause{.fault_address = 16, .signal = SIGSEGV, .code = 1};
    cause.machine = {.is_known = true, .instruction = 16, .stack = reinterpret_cast<std::uintptr_t>(&return_address)};
    CHECK(prepared{}.write(cause).frames == std::vector<std::uint64_t>{16, 0x1234});
    cause.machine = {.is_known = true, .instruction = 16, .caller = 0x5678};
    CHECK(prepared{}.write(cause).frames == std::vector<std::uint64_t>{16, 0x5678});
}

TEST_CASE("a record that is not ours any more is not written, nor a failure that was reported") {
    prepared crash;
    CHECK(detail::write_crash.is_wanted(SIGABRT));
    detail::the_termination.is_told = true;
    CHECK_FALSE(detail::write_crash.is_wanted(SIGABRT));
    CHECK(detail::write_crash.is_wanted(SIGSEGV));
    detail::the_termination.is_told = false;
    crash.file.close();
    CHECK_FALSE(detail::write_crash.is_wanted(SIGSEGV));
}

}  // namespace crash_steps_test
