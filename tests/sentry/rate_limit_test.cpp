#include <candor/sentry/rate_limit.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <candor/testing.hpp>

#include <doctest/doctest.h>

namespace rate_limit_test {

using namespace std::chrono_literals;
using candor::http_response;
using candor::sentry::detail::parse_seconds;
using candor::sentry::detail::rate_limit_for_errors;

namespace {

const candor::wall_time now = candor::testing::manual_clock{}.wall_now();

std::optional<std::chrono::milliseconds> limit(int status, const std::string& limits) {
    return rate_limit_for_errors({.status = status, .headers = {{"X-Sentry-Rate-Limits", limits}}}, now);
}

}  // namespace

TEST_CASE("seconds may have a fraction, are rounded up and end at 24 hours") {
    CHECK(parse_seconds("0") == 0ms);
    CHECK(parse_seconds("60") == 60s);
    CHECK(parse_seconds("1.5") == 1500ms);
    CHECK(parse_seconds("0.0001") == 1ms);
    CHECK(parse_seconds("0.1000") == 100ms);
    CHECK(parse_seconds("2.") == 2s);
    CHECK(parse_seconds("86399.9999") == 24h);
    CHECK(parse_seconds("86400") == 24h);
    CHECK(parse_seconds("99999999999999999999999999") == 24h);
    for (const std::string_view text : {"", "-1", "+1", "1e3", "nan", "inf", "0x10", "1 2", ".5", "1.-5", "1.5.5"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_seconds(text));
    }
}

TEST_CASE("the limits that mean errors or everything count, the longest of them") {
    CHECK(limit(200, "60:error:organization") == 60s);
    CHECK(limit(200, "60::organization") == 60s);
    CHECK(limit(200, "60") == 60s);
    CHECK(limit(200, "0.25:error") == 250ms);
    CHECK(limit(200, "60:transaction;error;session:key:quota_exceeded") == 60s);
    CHECK(limit(200, " 60 : transaction ; error : key , 10::key") == 60s);
    CHECK(limit(200, "10:error, 60::organization, 30:error") == 60s);
    CHECK(limit(200, "999999999:error") == 24h);
    CHECK_FALSE(limit(200, "60:transaction:organization"));
    CHECK_FALSE(limit(200, "60:something_new"));
    CHECK_FALSE(limit(200, ""));
    CHECK_FALSE(limit(200, ",,;:"));
    CHECK(limit(200, "x:error,-5:error,nan,7:error") == 7s);
}

TEST_CASE("several headers of the name are one list") {
    CHECK(rate_limit_for_errors(
              {.status = 200, .headers = {{"X-Sentry-Rate-Limits", "5:error"}, {"x-sentry-rate-limits", "9:error"}}},
              now) == 9s);
}

TEST_CASE("429 without a limit that can be read means Retry-After, or a minute") {
    CHECK(limit(429, "garbage") == 60s);
    CHECK(limit(429, "-1:error") == 60s);
    CHECK_FALSE(limit(429, "60:transaction"));  // told, and not about errors
    const auto retry_after = [](const std::string& value) {
        return rate_limit_for_errors({.status = 429, .headers = {{"Retry-After", value}}}, now);
    };
    CHECK(retry_after("7") == 7s);
    CHECK(retry_after("1.5") == 1500ms);
    CHECK(retry_after("999999999") == 24h);
    CHECK(retry_after("-1") == 60s);
    CHECK(retry_after("soon") == 60s);
    CHECK(retry_after("Fri, 02 Jan 2026 03:04:35 GMT") == 30s);
    CHECK(rate_limit_for_errors({.status = 429}, now) == 60s);
}

TEST_CASE("other answers without the header limit nothing") {
    for (const int status : {200, 400, 413, 500, 503}) {
        CAPTURE(status);
        CHECK_FALSE(rate_limit_for_errors({.status = status, .headers = {{"Retry-After", "7"}}}, now));
    }
}

}  // namespace rate_limit_test
