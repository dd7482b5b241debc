#ifndef CANDOR_TESTS_PRIVACY_MARKED_HPP
#define CANDOR_TESTS_PRIVACY_MARKED_HPP

#include <cstddef>
#include <string>
#include <string_view>

#include <candor/privacy/text_ranges.hpp>

/// The text with a `#` in place of each thing that `search(text, text_ranges&)` finds.
template <class Search>
std::string marked(std::string_view text, Search search) {
    candor::detail::privacy::text_ranges found;
    search(text, found);
    std::string out;
    std::size_t copied = 0;
    found.each_redaction([&](const candor::detail::privacy::text_range& at) {
        out += text.substr(copied, at.begin - copied);
        out += '#';
        copied = at.end;
    });
    out += text.substr(copied);
    return out;
}

/// `text` so many times.
inline std::string repeated(std::string_view text, std::size_t count) {
    std::string out;
    out.reserve(text.size() * count);
    while (count-- > 0) out += text;
    return out;
}

#endif
