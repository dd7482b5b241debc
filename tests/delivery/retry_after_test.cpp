#include <candor/delivery/retry_after.hpp>

#include <string>

#include <doctest/doctest.h>
#include <candor/event/rfc3339.hpp>

namespace retry_after_test {

using namespace std::chrono_literals;
using candor::detail::parse_http_date;
using candor::detail::parse_retry_after;

namespace {
const candor::wall_time now = std::chrono::sys_days{std::chrono::November / 6 / 1994} + 8h + 49min;
}

TEST_CASE("row 12: seconds are waited, up to 24 hours") {
    CHECK(parse_retry_after("0", now) == 0ms);
    CHECK(parse_retry_after("7", now) == 7s);
    CHECK(parse_retry_after(" 7 ", now) == 7s);
    CHECK(parse_retry_after("86400", now) == 24h);
    CHECK(parse_retry_after("86401", now) == 24h);
    CHECK(parse_retry_after("4294967296", now) == 24h);
    CHECK(parse_retry_after(std::string(5000, '9'), now) == 24h);
}

TEST_CASE("a date is waited for, up to 24 hours; one in the past means now") {
    CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now) == 37s);
    CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now - 500ms) == 37500ms);
    CHECK(parse_retry_after("Sun, 06 Nov 1994 08:48:59 GMT", now) == 0ms);
    CHECK(parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", now) == 24h);
    CHECK(parse_retry_after("Thu, 01 Jan 0000 00:00:00 GMT", now) == 0ms);
}

TEST_CASE("a date in an obsolete form is one as well") {
    for (const char* text :
         {"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun Nov 06 08:49:37 1994"}) {
        CAPTURE(text);
        CHECK(parse_retry_after(text, now) == 37s);
    }
    const auto year_of = [](const char* text, candor::wall_time at) {
        return candor::detail::to_rfc3339(*parse_http_date(text, at)).substr(0, 4);
    };
    CHECK(year_of("Sunday, 06-Nov-44 08:49:37 GMT", now) == "2044");
    CHECK(year_of("Sunday, 06-Nov-45 08:49:37 GMT", now) == "1970");  // 1945, before there are such times
    CHECK(year_of("Sunday, 06-Nov-99 08:49:37 GMT", now + std::chrono::years{10}) == "1999");
    CHECK(year_of("Sunday, 06-Nov-26 08:49:37 GMT", now + std::chrono::years{32}) == "2026");
}

TEST_CASE("anything else says nothing") {
    for (const char* text : {"",
                             " ",
                             "-1",
                             "+1",
                             "1.5",
                             "7s",
                             "0x10",
                             "soon",
                             ",",
                             "Sun,",
                             "Sunday, 06-Nov-94 08:49:37",
                             "Sunday, 06 Nov 94 08:49:37 GMT",
                             "Sunday, 06-Nov-1994 08:49:37 GMT",
                             "S-n, 06 Nov 1994 08:49:37 GMT",
                             "Sun Nov   6 08:49:37 1994",
                             "Sun Nov    08:49:37 1994",
                             "Sun Nov  6 08:49:37 1994 GMT",
                             "Sun Nov  6 08-49-37 1994",
                             "Sun, 06 Nov 1994 08:49:37 UTC",
                             "Sun, 32 Nov 1994 08:49:37 GMT",
                             "Sun, 31 Feb 1994 08:49:37 GMT",
                             "Sun, 06 Nov 1994 24:49:37 GMT",
                             "Sun, 06 Nov 1994 08:60:37 GMT",
                             "Sun, 06 Nov 1994 08:49:61 GMT",
                             "Sun, -6 Nov 1994 08:49:37 GMT",
                             "Sun, 06 Xyz 1994 08:49:37 GMT"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_retry_after(text, now));
    }
}

TEST_CASE("a date is read exactly") {
    CHECK(candor::detail::to_rfc3339(*parse_http_date("Thu, 29 Feb 2024 23:59:58 GMT", now)) == "2024-02-29T23:59:58Z");
    CHECK_FALSE(parse_http_date("Wed, 29 Feb 2023 23:59:58 GMT", now));
}

}  // namespace retry_after_test
