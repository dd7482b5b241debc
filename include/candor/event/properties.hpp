#ifndef CANDOR_EVENT_PROPERTIES_HPP
#define CANDOR_EVENT_PROPERTIES_HPP

#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <ratio>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <candor/event/fields.hpp>
#include <candor/event/json_writer.hpp>
#include <candor/event/rfc3339.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/privacy/redactor.hpp>

namespace candor::detail {

/// What the events of one run of the program have in common.
struct run_facts {
    uuid invocation{};
    std::string_view ci{};  ///< the name that `ci_system` gives; empty where there is none
};

/// Nanoseconds, clamped to what 64 bits hold; nothing for NaN and the infinities.
template <class Rep, class Period>
std::optional<std::int64_t> to_nanoseconds(std::chrono::duration<Rep, Period> duration) noexcept {
    using limits = std::numeric_limits<std::int64_t>;
    using unit = std::ratio_divide<Period, std::nano>;
    const Rep count = duration.count();
    if constexpr (std::floating_point<Rep>) {
        if (!std::isfinite(count)) return std::nullopt;
        constexpr double past_the_end = 9223372036854775808.0;  // 2 to the power of 63
        const double product = static_cast<double>(count) * unit::num / unit::den;
        if (product >= past_the_end) return limits::max();
        if (product <= -past_the_end) return limits::min();
        return static_cast<std::int64_t>(product);
    } else {
        if (std::cmp_greater(count, limits::max() / unit::num)) return limits::max();
        if (std::cmp_less(count, limits::min() / unit::num)) return limits::min();
        return static_cast<std::int64_t>(count) * unit::num / unit::den;
    }
}

template <scalar T>
void write_scalar(json_writer& out, const T& value) noexcept {
    if constexpr (text<T>) {
        out.string(value);
    } else if constexpr (std::same_as<T, bool>) {
        out.boolean(value);
    } else if constexpr (std::integral<T>) {
        out.number(value);
    } else if constexpr (std::floating_point<T>) {
        out.number(static_cast<double>(value));
    } else if constexpr (is_duration<T>::value) {
        const auto count = to_nanoseconds(value);
        if (!count) return out.raw("null");
        out.number(*count);
    } else if constexpr (is_wall_time<T>::value) {
        const auto count = to_nanoseconds(value.time_since_epoch());
        if (!count) return out.raw("null");
        char text[rfc3339_size];
        const char* end = write_rfc3339(wall_time{std::chrono::nanoseconds{*count}}, text);
        out.string({text, static_cast<std::size_t>(end - text)});
    } else {
        static_assert(std::same_as<T, uuid>);
        char text[uuid::text_size];
        value.write(text);
        out.string({text, sizeof text});
    }
}

/// Redacts only what could fit, so that a huge text costs nothing but its refusal.
inline void write_redacted(json_writer& out, std::string_view text, const redactor& secrets) noexcept {
    if (text.size() > out.limit()) return out.raw(text);  // too large, and the writer says so
    try {
        out.string(secrets.redact(text));
    } catch (...) {
        out.string("[redacted]");  // out of memory: better nothing than the raw text
    }
}

}  // namespace candor::detail

#endif
