#ifndef CANDOR_EVENT_RFC3339_HPP
#define CANDOR_EVENT_RFC3339_HPP

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include <candor/policy/clock.hpp>

namespace candor::detail {

/// The most bytes that `write_rfc3339` writes.
inline constexpr std::size_t rfc3339_size = sizeof("2026-01-02T03:04:05.678901234Z") - 1;

/// Writes `time` in UTC as RFC 3339 has it, with as many digits of the second as are not zero (none for a whole
/// second), and returns the end. `wall_time` spans the years 1677 to 2262, so four digits hold every year.
inline char* write_rfc3339(wall_time time, char* out) noexcept {
    const auto put = [&out](unsigned value, int digits) {
        for (int i = digits; i-- > 0; value /= 10) out[i] = static_cast<char>('0' + value % 10);
        out += digits;
    };
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    const auto day = std::chrono::floor<std::chrono::days>(seconds);
    const std::chrono::year_month_day date{day};
    const auto of_day = static_cast<unsigned>((seconds - day).count());

    put(static_cast<unsigned>(static_cast<int>(date.year())), 4);
    *out++ = '-';
    put(static_cast<unsigned>(date.month()), 2);
    *out++ = '-';
    put(static_cast<unsigned>(date.day()), 2);
    *out++ = 'T';
    put(of_day / 3600, 2);
    *out++ = ':';
    put(of_day / 60 % 60, 2);
    *out++ = ':';
    put(of_day % 60, 2);
    const auto fraction =
        static_cast<unsigned>((time.time_since_epoch().count() % 1'000'000'000 + 1'000'000'000) % 1'000'000'000);
    if (fraction != 0) {
        *out++ = '.';
        put(fraction, 9);
        while (out[-1] == '0') --out;
    }
    *out++ = 'Z';
    return out;
}

/// The same as a string.
inline std::string to_rfc3339(wall_time time) {
    char text[rfc3339_size];
    return {text, write_rfc3339(time, text)};
}

}  // namespace candor::detail

#endif
