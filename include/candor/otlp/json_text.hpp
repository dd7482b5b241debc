#ifndef CANDOR_OTLP_JSON_TEXT_HPP
#define CANDOR_OTLP_JSON_TEXT_HPP

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

namespace candor::detail {

/// Feeds a JSON text to nlohmann's parser, which reads strings byte by byte and spends most of its time on them. A
/// string that is plain (ASCII, nothing escaped, no control character) is passed on as an empty one, and its place is
/// noted: the parser is left with the structure, and with the strings that need a closer look.
class json_text_iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    /// At the start of the text. After the end of each string `plain` is what it says, or has no data when the parser
    /// was given the string itself. Both outlive the iterator.
    json_text_iterator(std::string_view text, std::string_view& plain) noexcept
        : at_{text.data()}, end_{text.data() + text.size()}, plain_{&plain} {}

    /// At the end.
    [[nodiscard]] json_text_iterator end() const noexcept {
        auto out = *this;
        out.at_ = end_;
        return out;
    }

    reference operator*() const noexcept { return *at_; }

    json_text_iterator& operator++() noexcept {
        const char passed = *at_++;
        switch (place_) {
            case place::outside:
                if (passed == '"') open();
                break;
            case place::inside:
                if (passed == '"') place_ = place::outside;
                if (passed == '\\') place_ = place::escaped;
                break;
            case place::escaped:
                place_ = place::inside;
                break;
        }
        return *this;
    }
    json_text_iterator operator++(int) noexcept {
        const auto before = *this;
        ++*this;
        return before;
    }

    bool operator==(const json_text_iterator& other) const noexcept { return at_ == other.at_; }

private:
    enum class place : std::uint8_t { outside, inside, escaped };

    /// After the quote that begins a string.
    void open() noexcept {
        place_ = place::inside;
        const char* close = at_;
        while (close != end_ && static_cast<signed char>(*close) >= ' ' && *close != '"' && *close != '\\') ++close;
        *plain_ = {};
        if (close == end_ || *close != '"') return;
        *plain_ = {at_, static_cast<std::size_t>(close - at_)};
        at_ = close;
    }

    const char* at_;
    const char* end_;
    std::string_view* plain_;
    place place_ = place::outside;
};

}  // namespace candor::detail

#endif
