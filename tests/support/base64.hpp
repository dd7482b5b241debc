#ifndef CANDOR_TESTS_SUPPORT_BASE64_HPP
#define CANDOR_TESTS_SUPPORT_BASE64_HPP

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

/// The bytes in base64 (RFC 4648) without padding. `last` are the digits of 62 and 63: `+/`, or `-_` in URLs.
inline std::string base64(std::string_view bytes, std::string_view last = "+/") {
    const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + std::string{last};
    std::string out;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        unsigned group = 0;
        for (std::size_t j = 0; j < 3; ++j)
            group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
        for (std::size_t j = 0; j < std::min<std::size_t>(4, bytes.size() - i + 1); ++j)
            out += digits[group >> (18 - 6 * j) & 63];
    }
    return out;
}

#endif
