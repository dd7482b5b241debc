#ifndef CANDOR_POLICY_UTF8_HPP
#define CANDOR_POLICY_UTF8_HPP

#include <cstddef>
#include <string_view>

namespace candor::detail {

/// Whether a byte stands within a character of UTF-8, after its first.
constexpr bool is_continuation(char c) noexcept { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// What a text in UTF-8 begins with: a character, or where there is none, bytes that make up no character.
struct utf8_character {
    bool is_well_formed = false;
    std::size_t size = 0;  ///< in bytes; 0 where the text is empty
    char32_t code = 0;     ///< 0 where it is not well-formed
};

/// The first character of `text` (Unicode 15, table 3-7). Of a malformed sequence, the longest part that a well-formed
/// one could begin with, at least a byte: the part that one U+FFFD stands for ("U+FFFD substitution of maximal
/// subparts").
constexpr utf8_character first_character(std::string_view text) noexcept {
    if (text.empty()) return {};
    const auto lead = static_cast<unsigned char>(text.front());
    if (lead < 0x80) return {true, 1, lead};
    const std::size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead < 0xc2 || lead > 0xf4) return {false, 1};
    // Of the second byte: what is longer than needed, a surrogate or beyond U+10FFFF is excluded there.
    unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    char32_t code = lead & (0xffU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        const auto byte = static_cast<unsigned char>(i < text.size() ? text[i] : 0);
        if (byte < low || byte > high) return {false, i};
        code = code << 6 | (byte & 0x3fU);
        low = 0x80;
        high = 0xbf;
    }
    return {true, length, code};
}

}  // namespace candor::detail

#endif
