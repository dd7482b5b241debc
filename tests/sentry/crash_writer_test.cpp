#include <candor/sentry/crash_writer.hpp>

#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <candor/sentry/crash_file.hpp>
#include <candor/sentry/crash_record.hpp>

#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace crash_writer_test {

namespace {

using namespace candor::sentry;

/// A record in a file, as it is before a crash.
struct prepared {
    explicit prepared(std::size_t room = detail::largest_crash) {
        const auto start = detail::start_section(candor::uuid::random(), {}, "acme@1", {});
        std::error_code error;
        file = detail::record_file::create(scratch.path() / "record", start, start.size() + room, error);
        REQUIRE_FALSE(error);
        writer->file = &file;
        writer->breadcrumbs = &ring;
        writer->at = start.size();
    }

    crash_record read() {
        crash_record out;
        const auto content = file.read(detail::largest_record);
        REQUIRE(detail::parse_crash_record(*content, out) == detail::record_state::crashed);
        return out;
    }

    temporary_directory scratch;
    detail::record_file file;
    breadcrumb_ring ring;
    std::unique_ptr<detail::crash_writer> writer = std::make_unique<detail::crash_writer>();
};

}  // namespace

TEST_CASE("what is written step by step can be read after each step") {
    prepared crash;
    auto& writer = *crash.writer;
    crash.ring.add({}, "info", "http", "GET /");
    writer.facts = {.time = 5, .fault_address = 8, .instruction = 16, .thread = 7, .signal = SIGBUS, .code = 2};
    writer.write_facts();
    CHECK(crash.read().signal == SIGBUS);
    CHECK(crash.read().frames.empty());
    CHECK(writer.add_frame(16));
    CHECK(writer.add_frame(32));
    writer.write_frames();
    CHECK(crash.read().frames == std::vector<std::uint64_t>{16, 32});
    CHECK(crash.read().breadcrumbs.empty());
    writer.write_breadcrumbs();
    CHECK(crash.read().breadcrumbs == std::vector<breadcrumb>{{{}, "info", "http", "GET /"}});
    CHECK_FALSE(crash.read().complete);
    writer.write_end();
    const auto record = crash.read();
    CHECK(record.complete);
    CHECK(record.time.time_since_epoch() == std::chrono::nanoseconds{5});
    CHECK(record.fault_address == 8);
    CHECK(record.instruction == 16);
    CHECK(record.thread == 7);
    CHECK(record.code == 2);
}

TEST_CASE("the most that a crash can have fits into the space of its record") {
    prepared crash;
    auto& writer = *crash.writer;
    const auto size = crash.file.read(detail::largest_record)->size();
    writer.facts.signal = SIGSEGV;
    writer.write_facts();
    std::size_t frames = 0;
    while (writer.add_frame(frames)) ++frames;
    CHECK(frames == most_frames);
    writer.write_frames();
    const std::string text(1000, 'x');
    for (std::size_t i = 0; i < 2 * breadcrumb_ring::capacity; ++i) crash.ring.add({}, text, text, text);
    writer.write_breadcrumbs();
    writer.write_end();
    CHECK(writer.at == size);
    const auto record = crash.read();
    CHECK(record.complete);
    CHECK(record.frames.size() == most_frames);
    CHECK(record.breadcrumbs.size() == breadcrumb_ring::capacity);
}

TEST_CASE("without a ring there are no breadcrumbs") {
    prepared crash;
    crash.writer->breadcrumbs = nullptr;
    crash.writer->facts.signal = SIGSEGV;
    crash.writer->write_facts();
    crash.writer->write_breadcrumbs();
    crash.writer->write_end();
    CHECK(crash.read().breadcrumbs.empty());
    CHECK(crash.read().complete);
}

}  // namespace crash_writer_test
