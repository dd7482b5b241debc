#ifndef CANDOR_SENTRY_RATE_LIMIT_HPP
#define CANDOR_SENTRY_RATE_LIMIT_HPP

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <candor/delivery/retry_after.hpp>
#include <candor/policy/ascii.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/http.hpp>

namespace candor::sentry::detail {

/// Cuts `text` at the first `separator`: returns what stands before it, without surrounding spaces, and leaves the
/// rest.
inline std::string_view next_part(std::string_view& text, char separator) noexcept {
    const auto end = std::min(text.find(separator), text.size());
    const auto part = candor::detail::trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    return part;
}

/// Seconds with or without a fraction, rounded up to milliseconds and clamped to 24 hours. Nothing for anything else,
/// a negative number included.
inline std::optional<std::chrono::milliseconds> parse_seconds(std::string_view text) {
    const auto point = std::min(text.find('.'), text.size());
    const auto whole = text.substr(0, point);
    const auto fraction = text.substr(std::min(point + 1, text.size()));
    const auto is_digits = [](std::string_view part) {
        return std::all_of(part.begin(), part.end(), candor::detail::is_digit);
    };
    if (whole.empty() || !is_digits(whole) || !is_digits(fraction)) return std::nullopt;
    const std::chrono::milliseconds most = candor::detail::longest_retry_after;
    long long seconds = 0;
    if (std::from_chars(whole.data(), whole.data() + whole.size(), seconds).ec != std::errc{}) return most;
    if (seconds >= most / std::chrono::seconds{1}) return most;
    std::chrono::milliseconds out = std::chrono::seconds{seconds};
    int scale = 100;
    for (const char digit : fraction.substr(0, 3)) {
        out += std::chrono::milliseconds{(digit - '0') * scale};
        scale /= 10;
    }
    if (fraction.size() > 3 && fraction.find_first_not_of('0', 3) != std::string_view::npos)
        out += std::chrono::milliseconds{1};
    return std::min(out, most);
}

/// How long an answer forbids sending errors, or nothing where it does not (getsentry/sentry-docs, SDK foundations,
/// rate limiting): the longest of the limits of `X-Sentry-Rate-Limits` that mean errors or all categories, whatever the
/// status; with status 429 and no such header, what Retry-After says, or else a minute. A limit that is not a number of
/// seconds is ignored.
inline std::optional<std::chrono::milliseconds> rate_limit_for_errors(const http_response& response, wall_time now) {
    std::optional<std::chrono::milliseconds> longest;
    bool is_told = false;  // by a limit that could be read, of whatever category
    for (const auto& header : response.headers) {
        if (!candor::detail::equal_ignoring_case(header.name, "X-Sentry-Rate-Limits")) continue;
        for (std::string_view limits = header.value; !limits.empty();) {
            auto limit = next_part(limits, ',');
            const auto wait = parse_seconds(next_part(limit, ':'));
            if (!wait) continue;
            is_told = true;
            auto categories = next_part(limit, ':');
            bool concerns_errors = categories.empty();
            while (!categories.empty()) concerns_errors |= next_part(categories, ';') == "error";
            if (concerns_errors) longest = std::max(longest.value_or(std::chrono::milliseconds{0}), *wait);
        }
    }
    if (is_told || response.status != 429) return longest;
    constexpr std::chrono::minutes unsaid{1};
    const std::string* told = response.header("Retry-After");
    if (told == nullptr) return unsaid;
    if (const auto seconds = parse_seconds(*told)) return seconds;
    return candor::detail::parse_retry_after(*told, now).value_or(unsaid);
}

}  // namespace candor::sentry::detail

#endif
