#include <candor/event/rfc3339.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

#include <doctest/doctest.h>

namespace rfc3339_test {

using candor::wall_time;
using candor::detail::to_rfc3339;
using std::chrono::days;
using std::chrono::nanoseconds;
using std::chrono::seconds;

namespace {

std::string at(std::int64_t second, std::int64_t nanosecond = 0) {
    return to_rfc3339(wall_time{seconds{second} + nanoseconds{nanosecond}});
}

}  // namespace

TEST_CASE("a whole second has no fraction") {
    CHECK(at(0) == "1970-01-01T00:00:00Z");
    CHECK(at(1'767'323'045) == "2026-01-02T03:04:05Z");
    CHECK(at(86'399) == "1970-01-01T23:59:59Z");
    CHECK(at(951'782'400) == "2000-02-29T00:00:00Z");
}

TEST_CASE("a fraction has as many digits as it needs") {
    CHECK(at(0, 1) == "1970-01-01T00:00:00.000000001Z");
    CHECK(at(0, 10) == "1970-01-01T00:00:00.00000001Z");
    CHECK(at(0, 500'000'000) == "1970-01-01T00:00:00.5Z");
    CHECK(at(0, 120'000'000) == "1970-01-01T00:00:00.12Z");
    CHECK(at(0, 7'000'000) == "1970-01-01T00:00:00.007Z");
    CHECK(at(1'767'323'045, 678'901'234) == "2026-01-02T03:04:05.678901234Z");
    CHECK(at(0, 999'999'999) == "1970-01-01T00:00:00.999999999Z");
}

TEST_CASE("a time before 1970 counts its fraction forwards") {
    CHECK(at(-1) == "1969-12-31T23:59:59Z");
    CHECK(at(0, -1) == "1969-12-31T23:59:59.999999999Z");
    CHECK(at(0, -500'000'000) == "1969-12-31T23:59:59.5Z");
    CHECK(at(-86'400, -250'000'000) == "1969-12-30T23:59:59.75Z");
    CHECK(at(-86'401, 250'000'000) == "1969-12-30T23:59:59.25Z");
    CHECK(at(-2'203'891'200) == "1900-03-01T00:00:00Z");  // 1900 has no 29 February
    CHECK(at(-2'203'891'201) == "1900-02-28T23:59:59Z");
}

TEST_CASE("the earliest and the latest time that there is are written whole") {
    using limits = std::numeric_limits<std::int64_t>;
    CHECK(to_rfc3339(wall_time{nanoseconds{limits::max()}}) == "2262-04-11T23:47:16.854775807Z");
    CHECK(to_rfc3339(wall_time{nanoseconds{limits::min()}}) == "1677-09-21T00:12:43.145224192Z");
    CHECK(to_rfc3339(wall_time::max()).size() == candor::detail::rfc3339_size);
}

TEST_CASE("every day of the range follows the one before") {
    const auto first = std::chrono::sys_days{std::chrono::January / 1 / 1678};
    const auto last = std::chrono::sys_days{std::chrono::December / 31 / 2261};
    std::string before;
    std::size_t out_of_order = 0;
    for (auto day = first; day <= last; day += days{1}) {
        const std::string text = to_rfc3339(wall_time{day});
        if (text <= before || text.size() != std::string{"1678-01-01T00:00:00Z"}.size()) ++out_of_order;
        before = text;
    }
    CHECK(out_of_order == 0);
    CHECK(before == "2261-12-31T00:00:00Z");
}

TEST_CASE("no more is written than was said, and the end is returned") {
    char text[candor::detail::rfc3339_size + 1];
    text[candor::detail::rfc3339_size] = '#';
    char* end = candor::detail::write_rfc3339(wall_time{nanoseconds{-1}}, text);
    CHECK(end == text + candor::detail::rfc3339_size);
    CHECK(*end == '#');
    CHECK(candor::detail::write_rfc3339(wall_time{}, text) == text + 20);
}

}  // namespace rfc3339_test
