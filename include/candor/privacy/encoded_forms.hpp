#ifndef CANDOR_PRIVACY_ENCODED_FORMS_HPP
#define CANDOR_PRIVACY_ENCODED_FORMS_HPP

#include <cstddef>
#include <string>
#include <string_view>

#include <candor/policy/hex.hpp>
#include <candor/privacy/text_ranges.hpp>

namespace candor::detail::privacy {

/// The number of bytes of the percent escape that begins at `at`; 0 where there is none. One that was escaped again,
/// any number of times, is one escape: `%2F`, `%252F`, `%25252F`.
constexpr std::size_t escape_size(std::string_view text, std::size_t at) noexcept {
    if (text[at] != '%') return 0;
    std::size_t end = at + 1;
    while (text.substr(end, 2) == "25" && hex_byte(text.substr(end + 2)) >= 0) end += 2;
    return hex_byte(text.substr(end)) >= 0 ? end + 2 - at : 0;
}

/// The text with each percent escape as the byte that it stands for; empty where there is none. A `%` that begins no
/// escape stays.
inline std::string percent_decoded(std::string_view text) {
    std::string out;
    std::size_t copied = 0;
    for (auto at = text.find('%'); at != std::string_view::npos; at = text.find('%', at)) {
        const auto size = escape_size(text, at);
        if (size == 0) {
            ++at;
            continue;
        }
        out += text.substr(copied, at - copied);
        at += size;
        copied = at;
        out += static_cast<char>(hex_byte(text.substr(at - 2)));
    }
    if (copied > 0) out += text.substr(copied);
    return out;
}

/// Goes through a text and its decoded form in step.
class percent_position {
public:
    explicit percent_position(std::string_view encoded) noexcept : encoded_{encoded} {}

    /// Where the decoded text's byte of that number begins in the encoded text. The numbers asked for must not
    /// decrease.
    std::size_t operator()(std::size_t decoded) noexcept {
        for (; decoded_ < decoded; ++decoded_) {
            const auto size = escape_size(encoded_, at_);
            at_ += size == 0 ? 1 : size;
        }
        return at_;
    }

private:
    std::string_view encoded_;
    std::size_t at_ = 0;
    std::size_t decoded_ = 0;
};

/// What a digit of base64 stands for, in either alphabet (RFC 4648); else -1.
constexpr int base64_value(char c) noexcept {
    if (is_upper(c)) return c - 'A';
    if (is_lower(c)) return c - 'a' + 26;
    if (is_digit(c)) return c - '0' + 52;
    if (c == '+' || c == '-') return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

/// A shorter secret is not looked for in base64: the characters that do not depend on its neighbours there are too few
/// to mean anything.
inline constexpr std::size_t shortest_in_base64 = 5;

/// Calls `form(text, before, after)` with what stands in base64 (RFC 4648, both alphabets) for `secret`, wherever in a
/// longer encoded text: it begins with the first, second or third byte of a group. A character that also has bits of a
/// neighbour is not in the text: `before` and `after` say how many there are.
template <class Form>
void each_base64_form(std::string_view secret, Form form) {
    std::string text;
    for (const std::string_view last : {"+/", "-_"}) {
        bool uses_last = false;
        for (std::size_t offset = 0; offset < 3; ++offset) {
            const std::size_t first_bit = 8 * offset;
            const std::size_t end_bit = first_bit + 8 * secret.size();
            const auto byte = [&](std::size_t i) {
                return i < offset || i - offset >= secret.size() ? 0u : static_cast<unsigned char>(secret[i - offset]);
            };
            text.clear();
            for (std::size_t bit = (first_bit + 5) / 6 * 6; bit + 6 <= end_bit; bit += 6) {
                const auto two = byte(bit / 8) << 8 | byte(bit / 8 + 1);
                const auto value = two >> (10 - bit % 8) & 63;
                constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
                uses_last = uses_last || value >= 62;
                text += value < 62 ? digits[value] : last[value - 62];
            }
            form(std::string_view{text}, first_bit % 6 == 0 ? 0u : 1u, end_bit % 6 == 0 ? 0u : 1u);
        }
        if (!uses_last) return;  // the other alphabet gives the same
    }
}

}  // namespace candor::detail::privacy

#endif
