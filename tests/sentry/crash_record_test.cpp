#include <candor/sentry/crash_record.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

namespace crash_record_test {

namespace {

using candor::sentry::breadcrumb;
using candor::sentry::crash_record;
using candor::sentry::module_image;
using candor::sentry::detail::breadcrumb_image;
using candor::sentry::detail::crash_facts;
using candor::sentry::detail::parse_crash_record;
using candor::sentry::detail::record_state;
using candor::sentry::detail::section_head;
using candor::sentry::detail::section_kind;

const candor::uuid event_id = *candor::uuid::parse("01234567-89ab-4def-8123-456789abcdef");
const candor::wall_time started{std::chrono::nanoseconds{1'700'000'000'123'456'789}};
const candor::wall_time crashed = started + std::chrono::seconds{5};
const std::string build_id = "0123456789abcdeffedcba98765432100a0b0c0d";

std::string section(section_kind kind, std::string_view content) {
    std::string out(sizeof(section_head), '\0');
    out += content;
    candor::sentry::detail::seal_section(out.data(), kind, content.size());
    return out;
}

std::string start() {
    return candor::sentry::detail::start_section(
        event_id, started, "acme@1.4.0",
        {{"/usr/bin/acme", build_id, "", 0x1000, 0x2000}, {"libz.so", "", "", 0x9000, 0x100}});
}

std::string facts() {
    const crash_facts out{.time = crashed.time_since_epoch().count(),
                          .fault_address = 8,
                          .instruction = 0x1234,
                          .thread = 77,
                          .signal = SIGSEGV,
                          .code = 1};
    return section(section_kind::crash, {reinterpret_cast<const char*>(&out), sizeof out});
}

std::string frames() {
    const std::uint64_t out[]{0x1234, 0x1300, 0x1400};
    return section(section_kind::frames, {reinterpret_cast<const char*>(out), sizeof out});
}

std::string breadcrumbs() {
    breadcrumb_image image;
    image.write(started, "info", "http", "GET /");
    const std::string one{image.bytes.data(), image.used()};
    image.write(crashed, "", "", "last");
    return section(section_kind::breadcrumbs, one + std::string{image.bytes.data(), image.used()});
}

std::string whole() {
    return start() + facts() + frames() + breadcrumbs() + section(section_kind::end, "") + std::string(500, '\0');
}

}  // namespace

TEST_CASE("a crash record says what was written to it") {
    crash_record record;
    REQUIRE(parse_crash_record(whole(), record) == record_state::crashed);
    CHECK(record.event_id == event_id);
    CHECK(record.release == "acme@1.4.0");
    CHECK(record.started == started);
    CHECK(record.time == crashed);
    CHECK(record.signal == SIGSEGV);
    CHECK(record.code == 1);
    CHECK(record.fault_address == 8);
    CHECK(record.instruction == 0x1234);
    CHECK(record.thread == 77);
    CHECK(record.frames == std::vector<std::uint64_t>{0x1234, 0x1300, 0x1400});
    CHECK(record.modules == std::vector<module_image>{
                                {"acme", build_id, "67452301-ab89-efcd-fedc-ba9876543210", 0x1000, 0x2000},
                                {"libz.so", "", "", 0x9000, 0x100},
                            });
    CHECK(record.breadcrumbs == std::vector<breadcrumb>{{started, "info", "http", "GET /"}, {crashed, "", "", "last"}});
    CHECK(record.complete);
}

TEST_CASE("a record without a crash is unused") {
    crash_record record;
    CHECK(parse_crash_record("", record) == record_state::unused);
    CHECK(parse_crash_record(std::string(5000, '\0'), record) == record_state::unused);
    CHECK(parse_crash_record(start(), record) == record_state::unused);
    CHECK(parse_crash_record(start() + std::string(5000, '\0'), record) == record_state::unused);
}

TEST_CASE("a record that ends anywhere is a crash from the first byte of the crash on") {
    const auto all = whole();
    const auto begun = start().size();
    const auto told = begun + facts().size();
    const auto walked = told + frames().size();
    const auto ended = walked + breadcrumbs().size() + sizeof(section_head);
    for (std::size_t size = 1; size <= all.size(); ++size) {
        CAPTURE(size);
        crash_record record;
        const auto state = parse_crash_record(std::string_view{all}.substr(0, size), record);
        if (size <= begun) {
            CHECK(state == (size < begun ? record_state::damaged : record_state::unused));
            continue;
        }
        REQUIRE(state == record_state::crashed);
        CHECK(record.event_id == event_id);
        CHECK(record.release == "acme@1.4.0");
        CHECK(record.signal == (size < told ? 0 : SIGSEGV));
        CHECK(record.time == (size < told ? started : crashed));
        CHECK(record.frames.size() == (size < walked ? 0 : 3));
        CHECK(record.complete == (size >= ended));

        // The same where the file has its full size, as it has, and zeros from there on.
        crash_record padded;
        const auto file = all.substr(0, size) + std::string(all.size() - size, '\0');
        CHECK(parse_crash_record(file, padded) == record_state::crashed);
        if (size < told - 4) CHECK(padded.signal == 0);  // the last bytes may be zeros anyway
        CHECK(padded.event_id == event_id);
    }
}

TEST_CASE("a changed byte is noticed wherever it is") {
    const auto all = whole();
    const auto begun = start().size();
    for (std::size_t i = 0; i < all.size(); ++i) {
        for (const char change : {'\x01', '\x80', '\xff'}) {
            CAPTURE(i);
            auto bad = all;
            bad[i] = static_cast<char>(bad[i] ^ change);
            crash_record record;
            const auto state = parse_crash_record(bad, record);
            if (i < begun) {
                CHECK(state == record_state::damaged);
            } else {
                CHECK(state == record_state::crashed);
                CHECK(record.event_id == event_id);
                CHECK_FALSE(record.complete);
            }
        }
    }
}

TEST_CASE("a damaged section does not hide the ones after it") {
    auto bad = facts();
    bad.back() = 'x';
    crash_record record;
    REQUIRE(parse_crash_record(start() + bad + frames() + section(section_kind::end, ""), record) ==
            record_state::crashed);
    CHECK(record.signal == 0);
    CHECK(record.frames.size() == 3);
    CHECK_FALSE(record.complete);
}

TEST_CASE("a record of wrong sections is not believed, whatever its checksums") {
    const auto good = [](const std::string& rest) {
        crash_record record;
        REQUIRE(parse_crash_record(start() + rest, record) == record_state::crashed);
        return record;
    };
    const auto end = section(section_kind::end, "");
    CHECK(good(facts() + end).complete);
    CHECK_FALSE(good(end).complete);                                             // without a crash
    CHECK_FALSE(good(facts() + start() + end).complete);                         // two starts
    CHECK_FALSE(good(facts() + section(section_kind{42}, "x") + end).complete);  // a kind that is none
    CHECK_FALSE(good(section(section_kind::crash, "short") + end).complete);
    CHECK_FALSE(good(facts() + section(section_kind::frames, "odd") + end).complete);
    CHECK_FALSE(good(facts() + section(section_kind::breadcrumbs, "odd") + end).complete);
    CHECK_FALSE(good(facts() + section(section_kind::end, "more") + end).complete);
    const auto many = good(facts() + section(section_kind::frames, std::string(8 * 51, 'x')) + end);
    CHECK(many.frames.size() == candor::sentry::most_frames);
    CHECK_FALSE(many.complete);

    crash_record record;
    CHECK(parse_crash_record(facts() + frames(), record) == record_state::damaged);  // no start
    CHECK(parse_crash_record(section(section_kind::start, ""), record) == record_state::damaged);
    CHECK(parse_crash_record("cnd", record) == record_state::damaged);
    CHECK(parse_crash_record("cnd0", record) == record_state::damaged);
    CHECK(parse_crash_record("cndx", record) == record_state::damaged);
    CHECK(parse_crash_record("cnd2 whatever", record) == record_state::newer);
    CHECK(parse_crash_record("whatever", record) == record_state::damaged);
    CHECK(parse_crash_record(std::string(sizeof(section_head), '\xff'), record) == record_state::damaged);
    const std::string large = whole() + std::string(candor::sentry::detail::largest_record, '\0');
    CHECK(parse_crash_record(large, record) == record_state::damaged);
}

TEST_CASE("a start section keeps to its size, however many modules there are") {
    const std::string text(5000, 'x');
    const std::vector<module_image> modules(2000, module_image{text, build_id, "", 1, 2});
    const auto bytes = candor::sentry::detail::start_section(event_id, started, text, modules);
    CHECK(bytes.size() <= candor::sentry::detail::largest_start + sizeof(section_head));
    crash_record record;
    REQUIRE(parse_crash_record(bytes + facts(), record) == record_state::crashed);
    CHECK(record.release == text.substr(0, candor::sentry::detail::most_module_text));
    CHECK(record.modules.size() > 100);
    CHECK(record.modules.back().file == text.substr(0, candor::sentry::detail::most_module_text));

    const std::vector<module_image> short_ones(2000, module_image{"x", "", "", 1, 2});
    REQUIRE(parse_crash_record(candor::sentry::detail::start_section(event_id, started, "", short_ones) + facts(),
                               record) == record_state::crashed);
    CHECK(record.modules.size() == candor::sentry::detail::most_modules);
}

}  // namespace crash_record_test
