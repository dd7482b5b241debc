#ifndef CANDOR_POLICY_HEX_HPP
#define CANDOR_POLICY_HEX_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace candor::detail {

/// `00` to `ff`, one after the other.
inline constexpr auto hex_pairs = [] {
    std::array<char, 512> out{};
    for (std::size_t i = 0; i < 256; ++i) {
        out[2 * i] = "0123456789abcdef"[i >> 4];
        out[2 * i + 1] = "0123456789abcdef"[i & 15];
    }
    return out;
}();

/// The two digits of a byte.
constexpr std::string_view hex_pair(char byte) noexcept {
    return {hex_pairs.data() + std::size_t{2} * static_cast<unsigned char>(byte), 2};
}

/// The value of a hexadecimal digit of either case, or -1.
constexpr int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// The byte that two digits of either case at the front of `text` stand for, or -1.
constexpr int hex_byte(std::string_view text) noexcept {
    if (text.size() < 2 || hex_value(text[0]) < 0 || hex_value(text[1]) < 0) return -1;
    return hex_value(text[0]) * 16 + hex_value(text[1]);
}

/// Appends `value` in `digits` hexadecimal digits.
inline void append_hex(std::string& out, std::uint64_t value, int digits) {
    for (int i = digits - 1; i >= 0; --i) out += hex_pair(static_cast<char>(value >> (4 * i) & 15))[1];
}

/// Reads that number from the front of `text`, or nothing: digits of upper case are none that `append_hex` writes.
inline std::optional<std::uint64_t> take_hex(std::string_view& text, std::size_t digits) noexcept {
    std::uint64_t out = 0;
    if (text.size() < digits) return std::nullopt;
    for (const char c : text.substr(0, digits)) {
        const int value = c >= 'A' && c <= 'F' ? -1 : hex_value(c);
        if (value < 0) return std::nullopt;
        out = out << 4 | static_cast<unsigned>(value);
    }
    text.remove_prefix(digits);
    return out;
}

}  // namespace candor::detail

#endif
