#include <candor/event/properties.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <ratio>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

#include <candor/event/fields.hpp>
#include <candor/event/serialized_event.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/privacy/redactor.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "direct_properties.hpp"

namespace properties_test {

namespace {

using candor::redactor;
using candor::uuid;
using candor::detail::json_writer;
using condition = json_writer::condition;
using namespace std::chrono_literals;
using nlohmann::json;

const uuid invocation = *uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e");
const candor::detail::run_facts run{invocation, "GitHub Actions"};

/// What became of an event's properties. The event itself and its serialized values must be written alike.
struct outcome {
    condition state;
    std::string text;
};

template <candor::event Event>
outcome write(const Event& event, std::size_t limit, const redactor& secrets) {
    json_writer out{limit};
    candor::tests::write_properties(out, event, run, secrets);
    CHECK(out.size() <= limit);

    candor::detail::event_serializer serialized{limit};
    CHECK(serialized.serialize(event, run, secrets) == out.state());
    if (out.state() == condition::good) {
        std::string bytes;
        serialized.with_parts({}, [&](std::span<const std::string_view> parts) {
            for (const auto part : parts) bytes += part;
        });
        json_writer again{limit};
        candor::detail::write_serialized_properties<Event>(again, bytes, run, secrets);
        CHECK(again.text() == out.text());
    }
    return {out.state(), std::string{out.text()}};
}

template <candor::event Event>
std::string properties(const Event& event, const redactor& secrets = redactor{}) {
    const auto written = write(event, 32 * 1024, secrets);
    CHECK(written.state == condition::good);
    const std::string object = "{" + written.text + "}";
    CHECK(json::accept(object));
    return object;
}

/// An event with one field, `v`.
template <class T>
struct one {
    static constexpr std::string_view event_name = "one";
    T value;
    static constexpr auto fields() { return std::tuple{candor::field("v", &one::value, "Value")}; }
};

template <class T>
struct one_text {
    static constexpr std::string_view event_name = "one_text";
    T value;
    static constexpr auto fields() { return std::tuple{candor::free_text("v", &one_text::value, "Value")}; }
};

/// How a field with this value is written: the JSON between `{"v":` and `}`; nothing where it is left out.
template <class T>
std::string field(T value) {
    const std::string text = properties(one<T>{std::move(value)});
    return text == "{}" ? "" : text.substr(5, text.size() - 6);
}

template <class T>
std::string free_text(T value, const redactor& secrets) {
    const std::string text = properties(one_text<T>{std::move(value)}, secrets);
    return text == "{}" ? "" : text.substr(5, text.size() - 6);
}

template <class Event>
condition state_of(const Event& event, std::size_t limit = 32 * 1024) {
    return write(event, limit, redactor{}).state;
}

struct build_finished {
    static constexpr std::string_view event_name = "build_finished";
    std::string target{};
    std::chrono::milliseconds duration{};
    bool cached = false;
    std::optional<std::string> error{};
    std::string undeclared = "stays here";

    static constexpr auto fields() {
        return std::tuple{
            candor::field("target", &build_finished::target, "Name of the build target"),
            candor::field("duration", &build_finished::duration, "Wall time"),
            candor::field("cached", &build_finished::cached, "Whether the cache answered"),
            candor::free_text("error", &build_finished::error, "Error message, secrets redacted"),
            candor::invocation_id("run", "The invocation again"),
            candor::ci("ci", "The CI system"),
        };
    }
};

struct worked_out {
    static constexpr std::string_view event_name = "worked_out";
    int rows = 0;
    int files = 0;

    [[nodiscard]] std::optional<double> rows_per_file() const {
        return files == 0 ? std::nullopt : std::optional{static_cast<double>(rows) / files};
    }
    [[nodiscard]] std::vector<std::string_view> states() const { return {"new", "old"}; }
    [[nodiscard]] std::string secret() const { return "number " + std::to_string(rows); }
    [[nodiscard]] int doubled() const noexcept { return 2 * rows; }

    static constexpr auto fields() {
        return std::tuple{
            candor::field("rows_per_file", &worked_out::rows_per_file, "A quotient"),
            candor::field("states", &worked_out::states, "A list"),
            candor::free_text("secret", &worked_out::secret, "A text"),
            candor::field("doubled", &worked_out::doubled, "A product"),
        };
    }
};

struct throwing {
    static constexpr std::string_view event_name = "throwing";
    int number = 1;

    [[nodiscard]] std::string fails() const { throw std::runtime_error{"no"}; }
    [[nodiscard]] std::string fails_otherwise() const { throw 7; }

    static constexpr auto fields() {
        return std::tuple{
            candor::field("first", &throwing::fails, "Never there"),
            candor::field("number", &throwing::number, "There"),
            candor::free_text("last", &throwing::fails_otherwise, "Never there"),
        };
    }
};

struct nothing {
    static constexpr std::string_view event_name = "nothing";
    static constexpr auto fields() { return std::tuple<>{}; }
};

}  // namespace

TEST_CASE("the declared fields stand in the order of their declaration, and nothing else") {
    CHECK(properties(build_finished{.target = "all", .duration = 1200ms}) ==
          R"({"target":"all","duration":1200000000,"cached":false,"run":"0f8fad5b-d9cb-469f-a165-70867728950e",)"
          R"("ci":"GitHub Actions"})");
    CHECK(properties(build_finished{.target = "a\"b", .cached = true, .error = "it failed"}) ==
          R"({"target":"a\"b","duration":0,"cached":true,"error":"it failed",)"
          R"("run":"0f8fad5b-d9cb-469f-a165-70867728950e","ci":"GitHub Actions"})");
    CHECK(properties(nothing{}) == "{}");
}

TEST_CASE("fields follow what already stands in the object") {
    json_writer out{1024};
    out.raw("{\"before\":1");
    candor::tests::write_properties(out, one<int>{2}, run, redactor{});
    CHECK(out.text() == R"({"before":1,"v":2)");
}

TEST_CASE("text, truth and numbers") {
    CHECK(field(std::string{"na\xc3\xafve"}) == "\"na\xc3\xafve\"");
    CHECK(field(std::string{"a\0b\xff", 4}) == "\"a\\u0000b\xef\xbf\xbd\"");
    CHECK(field(std::string_view{"view"}) == R"("view")");
    CHECK(field(std::string_view{}) == R"("")");
    CHECK(field(true) == "true");
    CHECK(field(false) == "false");
    CHECK(field(std::int8_t{-128}) == "-128");
    CHECK(field(std::uint8_t{65}) == "65");  // not the letter
    CHECK(field(short{-3}) == "-3");
    CHECK(field(42U) == "42");
    CHECK(field(std::numeric_limits<long long>::min()) == "-9223372036854775808");
    CHECK(field(std::numeric_limits<unsigned long long>::max()) == "18446744073709551615");
    CHECK(field(0.25) == "0.25");
    CHECK(field(0.25F) == "0.25");
    CHECK(field(std::numeric_limits<double>::quiet_NaN()) == "null");
    CHECK(field(std::numeric_limits<float>::infinity()) == "null");
    CHECK(field(invocation) == R"("0f8fad5b-d9cb-469f-a165-70867728950e")");
    CHECK(field(uuid{}) == R"("00000000-0000-0000-0000-000000000000")");
}

TEST_CASE("an empty optional is left out, a full one is its value") {
    CHECK(field(std::optional<int>{}) == "");
    CHECK(field(std::optional{0}) == "0");
    CHECK(field(std::optional<bool>{false}) == "false");
    CHECK(field(std::optional<std::string>{""}) == R"("")");
    CHECK(field(std::optional<std::vector<int>>{}) == "");
    CHECK(field(std::optional{std::vector<int>{}}) == "[]");
    CHECK(field(std::optional{std::vector{1, 2}}) == "[1,2]");
    CHECK(field(std::optional{std::numeric_limits<double>::quiet_NaN()}) == "null");
}

TEST_CASE("a vector is an array") {
    CHECK(field(std::vector<std::string>{}) == "[]");
    CHECK(field(std::vector<std::string>{"a", "", "[", "c\n"}) == R"(["a","","[","c\n"])");
    CHECK(field(std::vector<std::string_view>{"a", "b"}) == R"(["a","b"])");
    CHECK(field(std::vector<bool>{true, false, true}) == "[true,false,true]");
    CHECK(field(std::vector<std::int64_t>{-1, std::numeric_limits<std::int64_t>::max()}) == "[-1,9223372036854775807]");
    CHECK(field(std::vector<double>{0.5, std::numeric_limits<double>::infinity()}) == "[0.5,null]");
    CHECK(field(std::vector<std::chrono::seconds>{1s, 2s}) == "[1000000000,2000000000]");
    CHECK(field(std::vector{std::chrono::sys_days{}}) == R"(["1970-01-01T00:00:00Z"])");
    CHECK(field(std::vector<uuid>{uuid{}}) == R"(["00000000-0000-0000-0000-000000000000"])");
}

TEST_CASE("a duration is its nanoseconds") {
    using std::chrono::duration;
    CHECK(field(0s) == "0");
    CHECK(field(12345678901ns) == "12345678901");
    CHECK(field(1200ms) == "1200000000");
    CHECK(field(-1us) == "-1000");
    CHECK(field(2h) == "7200000000000");
    CHECK(field(duration<double>{1.5}) == "1500000000");
    CHECK(field(duration<float, std::milli>{0.5F}) == "500000");
    CHECK(field(duration<std::int64_t, std::pico>{1999}) == "1");
    CHECK(field(duration<std::uint8_t, std::ratio<60>>{255}) == "15300000000000");
    CHECK(field(duration<double, std::nano>{-0.25}) == "0");
}

TEST_CASE("a duration is exact up to what 64 bits hold, and clamped there") {
    using std::chrono::duration;
    using limits = std::numeric_limits<std::int64_t>;
    const std::string most = "9223372036854775807";
    const std::string least = "-9223372036854775808";
    CHECK(field(std::chrono::nanoseconds::max()) == most);
    CHECK(field(std::chrono::nanoseconds::max() - 1ns) == "9223372036854775806");
    CHECK(field(std::chrono::nanoseconds::min()) == least);
    CHECK(field(std::chrono::nanoseconds::min() + 1ns) == "-9223372036854775807");
    CHECK(field(std::chrono::microseconds{9'223'372'036'854'775}) == "9223372036854775000");
    CHECK(field(std::chrono::microseconds{9'223'372'036'854'776}) == most);
    CHECK(field(std::chrono::microseconds{-9'223'372'036'854'775}) == "-9223372036854775000");
    CHECK(field(std::chrono::microseconds{-9'223'372'036'854'776}) == least);
    CHECK(field(2562047h) == "9223369200000000000");
    CHECK(field(2562048h) == most);
    CHECK(field(-2562048h) == least);
    CHECK(field(std::chrono::hours::max()) == most);
    CHECK(field(std::chrono::hours::min()) == least);
    CHECK(field(duration<std::uint64_t, std::nano>{std::numeric_limits<std::uint64_t>::max()}) == most);
    CHECK(field(duration<std::int64_t, std::pico>{limits::max()}) == "9223372036854775");
    CHECK(field(duration<double>{1e300}) == most);
    CHECK(field(duration<double>{-1e300}) == least);
    CHECK(field(duration<double, std::ratio<3600>>{std::numeric_limits<double>::max()}) == most);
    CHECK(field(duration<float>{9'223'371'776.0F}) == "9223371776000000000");  // float's own product is 2^63
}

TEST_CASE("a duration or a time that is no number is null") {
    using seconds = std::chrono::duration<double>;
    const seconds nan{std::numeric_limits<double>::quiet_NaN()};
    const seconds infinite{std::numeric_limits<double>::infinity()};
    CHECK(field(nan) == "null");
    CHECK(field(infinite) == "null");
    CHECK(field(-infinite) == "null");
    CHECK(field(std::chrono::time_point<std::chrono::system_clock, seconds>{nan}) == "null");
}

TEST_CASE("a time is RFC 3339 in UTC, before 1970 too") {
    using std::chrono::sys_days;
    using std::chrono::sys_seconds;
    using std::chrono::sys_time;
    CHECK(field(sys_days{std::chrono::January / 2 / 2026}) == R"("2026-01-02T00:00:00Z")");
    CHECK(field(sys_seconds{1'767'323'045s}) == R"("2026-01-02T03:04:05Z")");
    CHECK(field(candor::wall_time{1'767'323'045'678'901'234ns}) == R"("2026-01-02T03:04:05.678901234Z")");
    CHECK(field(sys_time<std::chrono::milliseconds>{-500ms}) == R"("1969-12-31T23:59:59.5Z")");
    CHECK(field(std::chrono::system_clock::time_point{}) == R"("1970-01-01T00:00:00Z")");
    CHECK(field(sys_time<std::chrono::duration<double>>{std::chrono::duration<double>{0.25}}) ==
          R"("1970-01-01T00:00:00.25Z")");
    CHECK(field(sys_days::max()) == R"("2262-04-11T23:47:16.854775807Z")");
    CHECK(field(sys_days::min()) == R"("1677-09-21T00:12:43.145224192Z")");
}

TEST_CASE("a member function's answer is sent, and one that is empty is left out") {
    CHECK(properties(worked_out{.rows = 5, .files = 2}) ==
          R"({"rows_per_file":2.5,"states":["new","old"],"secret":"number 5","doubled":10})");
    CHECK(properties(worked_out{.rows = 5}, redactor{{"number 5"}}) ==
          R"({"states":["new","old"],"secret":"[redacted]","doubled":10})");
}

TEST_CASE("a member function that throws leaves its field out and takes nothing else along") {
    CHECK(properties(throwing{}) == R"({"number":1})");
}

TEST_CASE("free text is redacted, in an optional and in a vector too") {
    const redactor secrets{{"hunter2"}, "/home/ann"};
    CHECK(free_text(std::string{"password hunter2 is wrong"}, secrets) == R"("password [redacted] is wrong")");
    CHECK(free_text(std::string_view{"/home/ann/x"}, secrets) == R"("~/x")");
    CHECK(free_text(std::optional<std::string>{"http://u:p@host/"}, secrets) == R"("http://[redacted]@host/")");
    CHECK(free_text(std::optional<std::string>{}, secrets) == "");
    CHECK(free_text(std::vector<std::string>{"hunter2", "fine", "a hunter2"}, secrets) ==
          R"(["[redacted]","fine","a [redacted]"])");
    CHECK(free_text(std::vector<std::string_view>{"hunter2"}, secrets) == R"(["[redacted]"])");
    CHECK(free_text(std::optional{std::vector<std::string>{"/home/ann"}}, secrets) == R"(["~"])");
    CHECK(free_text(std::string{"\xff\nhunter2\""}, secrets) == "\"\xef\xbf\xbd\\n[redacted]\\\"\"");
}

TEST_CASE("a plain field is sent as it is") {
    const redactor secrets{{"hunter2"}, "/home/ann"};
    CHECK(properties(one<std::string>{"hunter2 in /home/ann"}, secrets) == R"({"v":"hunter2 in /home/ann"})");
    CHECK(properties(one<std::vector<std::string>>{{"hunter2"}}, secrets) == R"({"v":["hunter2"]})");
}

TEST_CASE("an event that is too large is refused, however it comes to be so") {
    const std::string huge(40'000, 'a');
    CHECK(state_of(one<std::string>{huge}) == condition::too_large);
    CHECK(state_of(one_text<std::string>{huge}) == condition::too_large);
    CHECK(state_of(one<std::vector<std::string>>{std::vector<std::string>(40, std::string(1000, 'a'))}) ==
          condition::too_large);
    CHECK(state_of(one<std::vector<std::int64_t>>{std::vector<std::int64_t>(20'000, 1)}) == condition::too_large);
    CHECK(state_of(one<std::vector<bool>>{std::vector<bool>(1'000'000)}) == condition::too_large);
    CHECK(state_of(one_text<std::vector<std::string>>{{"short", huge, "short"}}) == condition::too_large);
    CHECK(state_of(one<std::string>{std::string(32'000, 'a')}) == condition::good);
    CHECK(state_of(one_text<std::string>{std::string(32'000, 'a')}) == condition::good);
}

TEST_CASE("at no limit is a byte of an event written past it") {
    const build_finished event{.target = "a\"\xff b", .duration = 1ms, .error = std::string(100, '\n')};
    const std::size_t whole = properties(event).size() - 2;  // without the braces
    for (std::size_t limit = 0; limit < whole; ++limit) CHECK(state_of(event, limit) == condition::too_large);
    CHECK(state_of(event, whole + 32) == condition::good);
}

#if defined(__unix__) || defined(__APPLE__)
TEST_CASE("row 17: a text of 10 MB is refused without being read, by the redactor neither") {
    constexpr std::size_t size = 10'000'000;
    void* unreadable = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
    REQUIRE(unreadable != MAP_FAILED);
    const std::string_view text{static_cast<const char*>(unreadable), size};
    CHECK(state_of(one<std::string_view>{text}) == condition::too_large);
    CHECK(state_of(one_text<std::string_view>{text}) == condition::too_large);
    CHECK(state_of(one_text<std::vector<std::string_view>>{{text, text}}) == condition::too_large);
    munmap(unreadable, size);
}
#endif

}  // namespace properties_test
