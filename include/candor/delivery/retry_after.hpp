#ifndef CANDOR_DELIVERY_RETRY_AFTER_HPP
#define CANDOR_DELIVERY_RETRY_AFTER_HPP

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <candor/policy/ascii.hpp>
#include <candor/policy/clock.hpp>

namespace candor::detail {

/// The longest wait that a server can ask for.
inline constexpr std::chrono::hours longest_retry_after{24};

/// An HTTP date in any of its three forms (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`, or the obsolete
/// `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`. A year of two digits is the one that is less than
/// 50 years after `now`.
inline std::optional<wall_time> parse_http_date(std::string_view text, wall_time now) {
    static constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::string_view form = "w__ n__ b_ h_:m_:s_ y___";
    if (const auto comma = text.find(','); comma != text.npos) {
        form = comma == 3 ? "w__, d_ n__ y___ h_:m_:s_ GMT" : "w__, d_-n__-y_ h_:m_:s_ GMT";
        if (comma > 3) text.remove_prefix(comma - 3);  // of a weekday, its end is as good as its beginning
    }
    if (text.size() != form.size()) return std::nullopt;
    // A small letter begins a field, which goes on while there are underscores; anything else stands for itself.
    int year = 0, day = 0, hour = 0, minute = 0, second = 0;
    auto month = months.end();
    for (std::size_t at = 0, size = 0; at < form.size(); at += size) {
        const char kind = form[at];
        size = std::min(form.find_first_not_of('_', at + 1), form.size()) - at;
        std::string_view field = text.substr(at, size);
        if (!is_lower(kind)) {
            if (field.front() != kind) return std::nullopt;
        } else if (kind == 'w') {
            if (!std::all_of(field.begin(), field.end(), is_letter)) return std::nullopt;
        } else if (kind == 'n') {
            month = std::find(months.begin(), months.end(), field);
        } else {
            if (kind == 'b' && field.front() == ' ') field.remove_prefix(1);
            if (!std::all_of(field.begin(), field.end(), is_digit)) return std::nullopt;
            int& value = kind == 'y' ? year : kind == 'h' ? hour : kind == 'm' ? minute : kind == 's' ? second : day;
            std::from_chars(field.data(), field.data() + field.size(), value);
            if (kind == 'y' && size == 2) {
                const int this_year{std::chrono::year_month_day{std::chrono::floor<std::chrono::days>(now)}.year()};
                year += this_year / 100 * 100 + 100;
                while (year > this_year + 50) year -= 100;
            }
        }
    }
    if (month == months.end() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
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
    text = trimmed(text);
    const std::chrono::milliseconds most = longest_retry_after;
    if (!text.empty() && std::all_of(text.begin(), text.end(), is_digit)) {
        std::uint32_t seconds = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
        if (error != std::errc{}) return most;  // more than 32 bits hold
        return std::min<std::chrono::milliseconds>(std::chrono::seconds{seconds}, most);
    }
    const auto date = parse_http_date(text, now);
    if (!date) return std::nullopt;
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(*date - now);
    return std::clamp(wait, std::chrono::milliseconds{0}, most);
}

}  // namespace candor::detail

#endif
