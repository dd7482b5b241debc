#ifndef CANDOR_DELIVERY_RETRY_AFTER_HPP
#define CANDOR_DELIVERY_RETRY_AFTER_HPP

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include <candor/policy/clock.hpp>

namespace candor::detail {

/// The longest wait that a server can ask for.
inline constexpr std::chrono::hours longest_retry_after{24};

/// An HTTP date in the one form that senders may use (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
inline std::optional<wall_time> parse_http_date(std::string_view text) {
    static constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    if (text.size() != 29 || text.substr(25) != " GMT" || text[3] != ',' || text[4] != ' ' || text[7] != ' ' ||
        text[11] != ' ' || text[16] != ' ' || text[19] != ':' || text[22] != ':')
        return std::nullopt;
    bool good = true;
    const auto number = [&](std::size_t at, std::size_t digits) {
        int value = 0;
        const auto* end = text.data() + at + digits;
        good = good && text[at] != '-' && std::from_chars(text.data() + at, end, value).ptr == end;
        return value;
    };
    const int day = number(5, 2), year = number(12, 4), hour = number(17, 2), minute = number(20, 2),
              second = number(23, 2);
    const auto month = std::find(months.begin(), months.end(), text.substr(8, 3));
    if (!good || month == months.end() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
    // wall_time ends in 2262; what lies beyond is clamped by the caller anyway.
    const std::chrono::year_month_day date{std::chrono::year{std::clamp(year, 1970, 2261)},
                                           std::chrono::month{static_cast<unsigned>(month - months.begin()) + 1},
                                           std::chrono::day{static_cast<unsigned>(day)}};
    if (!date.ok()) return std::nullopt;
    return std::chrono::sys_days{date} + std::chrono::hours{hour} + std::chrono::minutes{minute} +
           std::chrono::seconds{second};
}

/// How long a Retry-After header (RFC 9110, 10.2.3) asks to wait: seconds or a date, clamped to 24 hours. Nothing where
/// it says neither; a date in the past means no wait.
inline std::optional<std::chrono::milliseconds> parse_retry_after(std::string_view text, wall_time now) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    const std::chrono::milliseconds most = longest_retry_after;
    if (!text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos) {
        std::uint32_t seconds = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
        if (error != std::errc{}) return most;  // more than 32 bits hold
        return std::min<std::chrono::milliseconds>(std::chrono::seconds{seconds}, most);
    }
    const auto date = parse_http_date(text);
    if (!date) return std::nullopt;
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(*date - now);
    return std::clamp(wait, std::chrono::milliseconds{0}, most);
}

}  // namespace candor::detail

#endif
