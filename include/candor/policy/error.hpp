#ifndef CANDOR_POLICY_ERROR_HPP
#define CANDOR_POLICY_ERROR_HPP

#include <stdexcept>
#include <string>
#include <string_view>

#include <candor/policy/hex.hpp>

namespace candor {

namespace detail {

/// `text` fit for one line of a terminal: control characters as `\xNN`, cut after `limit` bytes.
inline std::string printable(std::string_view text, std::size_t limit = 120) {
    std::string out;
    for (const char c : text.substr(0, limit)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            out.append("\\x").append(hex_pair(c));
        } else {
            out += c;
        }
    }
    if (text.size() > limit) out += "...";
    return out;
}

/// Whether `text` holds a byte that could end a header line or a C string early: CR, LF or NUL.
inline bool has_line_break_or_nul(std::string_view text) noexcept {
    return text.find_first_of(std::string_view{"\r\n\0", 3}) != std::string_view::npos;
}

/// A URL, or what was meant to be one, without its user and password.
inline std::string without_userinfo(std::string_view text) {
    const auto scheme = text.find("://");
    const auto at = text.rfind('@');
    if (scheme == text.npos || at == text.npos || at <= scheme + 3) return std::string{text};
    return std::string{text.substr(0, scheme + 3)} + "***" + std::string{text.substr(at)};
}

}  // namespace detail

/// What the program passed to a constructor cannot work. Thrown once, by that constructor, and by nothing
/// else in candor. `what()` names the field, the value and what is allowed, on one line; of a credential not the value.
class configuration_error : public std::invalid_argument {
public:
    /// `field` is the option's name as the program writes it; control characters in `value` are made visible.
    configuration_error(std::string_view field, std::string_view value, std::string_view allowed)
        : std::invalid_argument{std::string{field} + " is \"" + detail::printable(value) +
                                "\"; allowed: " + std::string{allowed}},
          field_{field} {}

    /// The name of the option that was refused.
    [[nodiscard]] const std::string& field() const noexcept { return field_; }

private:
    std::string field_;
};

}  // namespace candor

#endif
