#ifndef CANDOR_OTLP_TEXT_TABLE_HPP
#define CANDOR_OTLP_TEXT_TABLE_HPP

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <candor/event/rfc3339.hpp>
#include <candor/otlp/display_width.hpp>
#include <candor/otlp/table.hpp>
#include <candor/policy/hex.hpp>
#include <candor/policy/utf8.hpp>

namespace candor::otlp {

/// Which columns a text table has.
enum class table_columns {
    automatic,  ///< `full` where a row has a client id or a time, else `compact`
    compact,    ///< Table, Duration, Resources, Errors, Panics
    full,       ///< Table, Client ID, Start Time, End Time, Duration, Resources, Errors, Panics
};

namespace detail {

/// A duration as Go's `Duration.String` writes it: `2h0m3s`, `1m1.234s`, `1.5ms`, `0s`.
[[nodiscard]] inline std::string duration_text(std::chrono::nanoseconds duration) {
    constexpr std::uint64_t second = 1'000'000'000;
    const bool is_negative = duration.count() < 0;
    const auto count = static_cast<std::uint64_t>(duration.count());
    const std::uint64_t all = is_negative ? 0 - count : count;
    std::string out = is_negative ? "-" : "";

    // `value` units with as many digits of their fraction as are not zero.
    const auto put = [&out](std::uint64_t value, std::uint64_t unit, std::string_view name) {
        out += std::to_string(value / unit);
        if (value % unit != 0) {
            std::string fraction = std::to_string(unit + value % unit);  // a one, the zeros that lead, the digits
            fraction.front() = '.';
            fraction.erase(fraction.find_last_not_of('0') + 1);
            out += fraction;
        }
        out += name;
    };
    if (all == 0) return "0s";
    if (all < 1'000) {
        put(all, 1, "ns");
    } else if (all < 1'000'000) {
        put(all, 1'000, "\xc2\xb5s");
    } else if (all < second) {
        put(all, 1'000'000, "ms");
    } else {
        if (all >= 3600 * second) put(all / (3600 * second), 1, "h");
        if (all >= 60 * second) put(all / (60 * second) % 60, 1, "m");
        put(all % (60 * second), second, "s");
    }
    return out;
}

/// Whether a character must not reach a terminal or a cell: controls, line ends, what turns the direction of the text
/// around, what cannot be seen (but for the joiners and variation selectors, which writing needs), and the border.
[[nodiscard]] constexpr bool is_escaped(char32_t c) noexcept {
    constexpr code_range ranges[] = {
        {0x0000, 0x001f},   {0x007c, 0x007c},   {0x007f, 0x009f},   {0x00ad, 0x00ad},
        {0x061c, 0x061c},   {0x180e, 0x180e},   {0x200b, 0x200b},   {0x200e, 0x200f},
        {0x2028, 0x202e},   {0x2060, 0x206f},   {0xfeff, 0xfeff},   {0xfff0, 0xfffb},
        {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe00ff}, {0xe01f0, 0xe0fff},
    };
    return contains(ranges, c);
}

/// `text` fit for a cell: each byte of a character that is escaped, and each that is not UTF-8, as `\xNN`.
[[nodiscard]] inline std::string cell_text(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const auto first = candor::detail::first_character(text);
        const auto bytes = text.substr(0, first.size);
        text.remove_prefix(first.size);
        if (first.is_well_formed && !is_escaped(first.code)) {
            out += bytes;
            continue;
        }
        for (const char byte : bytes) out.append("\\x").append(candor::detail::hex_pair(byte));
    }
    return out;
}

/// One column of a text table.
class text_column {
public:
    enum class alignment { left, right };

    text_column(std::string_view header, alignment align) : align_{align} { add(std::string{header}); }

    /// Adds the cell of a further row.
    void add(std::string text) {
        const std::size_t width = display_width(text);
        width_ = std::max(width_, width);
        cells_.push_back({std::move(text), width});
    }

    /// Appends the cell of a row, padded to the width of the column. Row 0 is the header.
    void write(std::size_t row, std::string& out) const {
        const auto& c = cells_[row];
        const std::size_t padding = width_ - c.width;
        if (align_ == alignment::right) out.append(padding, ' ');
        out += c.text;
        if (align_ == alignment::left) out.append(padding, ' ');
    }

private:
    struct cell {
        std::string text{};
        std::size_t width = 0;
    };

    alignment align_;
    std::size_t width_ = 0;
    std::vector<cell> cells_{};
};

}  // namespace detail

/// The rows as text in UTF-8: a header line and a line a row, each ended by a newline, with cells between `|`. Running
/// tables come first; otherwise by name, then by client id. Numbers, without separators, and durations are aligned to
/// the right; what is not known is `N/A`. Columns line up where the terminal gives characters the widths that Unicode
/// says. In names, what could disturb the terminal or the table is written as `\xNN`, a `|` as `\x7c`. Throws only
/// `std::bad_alloc`.
[[nodiscard]] inline std::string text_table(std::vector<row> rows, table_columns columns = table_columns::automatic) {
    using detail::text_column;
    std::sort(rows.begin(), rows.end(), [](const row& a, const row& b) {
        const bool a_ended = !a.running(), b_ended = !b.running();
        return std::tie(a_ended, a.table, a.client_id) < std::tie(b_ended, b.table, b.client_id);
    });
    const bool is_full =
        columns == table_columns::full ||
        (columns == table_columns::automatic && std::any_of(rows.begin(), rows.end(), [](const row& r) {
             return !r.client_id.empty() || r.start_time || r.end_time;
         }));

    std::vector<text_column> all;
    const auto column = [&](std::string_view header, text_column::alignment align, auto text) {
        auto& added = all.emplace_back(header, align);
        for (const auto& r : rows) added.add(text(r));
    };
    const auto left = text_column::alignment::left, right = text_column::alignment::right;
    const auto time = [](const std::optional<wall_time>& t) {
        return t ? candor::detail::to_rfc3339(*t) : std::string{"N/A"};
    };
    column("Table", left, [](const row& r) { return detail::cell_text(r.table); });
    if (is_full) {
        column("Client ID", left,
               [](const row& r) { return r.client_id.empty() ? "N/A" : detail::cell_text(r.client_id); });
        column("Start Time", left, [&](const row& r) { return time(r.start_time); });
        column("End Time", left, [&](const row& r) { return time(r.end_time); });
    }
    column("Duration", right, [](const row& r) { return r.duration ? detail::duration_text(*r.duration) : "N/A"; });
    column("Resources", right, [](const row& r) { return std::to_string(r.resources); });
    column("Errors", right, [](const row& r) { return std::to_string(r.errors); });
    column("Panics", right, [](const row& r) { return std::to_string(r.panics); });

    std::string out;
    for (std::size_t line = 0; line <= rows.size(); ++line) {
        for (const auto& c : all) {
            out += all.data() == &c ? "| " : " | ";
            c.write(line, out);
        }
        out += " |\n";
    }
    return out;
}

}  // namespace candor::otlp

#endif
