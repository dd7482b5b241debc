#include <candor/policy/utf8.hpp>

#include <cstddef>
#include <string_view>

#include <doctest/doctest.h>

namespace utf8_test {

using namespace std::string_view_literals;
using candor::detail::first_character;
using candor::detail::is_continuation;

static_assert(!is_continuation('\x7f') && is_continuation('\x80') && is_continuation('\xbf') &&
              !is_continuation('\xc0'));

TEST_CASE("characters are read as UTF-8 has them") {
    const auto is = [](std::string_view text, char32_t code, std::size_t size) {
        const auto first = first_character(text);
        return first.is_well_formed && first.code == code && first.size == size;
    };
    CHECK(is("ab", 'a', 1));
    CHECK(is("\0"sv, 0, 1));
    CHECK(is("\x7f", 0x7f, 1));
    CHECK(is("\xc2\x80", 0x80, 2));
    CHECK(is("\xdf\xbfx", 0x7ff, 2));
    CHECK(is("\xe0\xa0\x80", 0x800, 3));
    CHECK(is("\xed\x9f\xbf", 0xd7ff, 3));
    CHECK(is("\xee\x80\x80", 0xe000, 3));
    CHECK(is("\xef\xbf\xbfx", 0xffff, 3));
    CHECK(is("\xf0\x90\x80\x80", 0x10000, 4));
    CHECK(is("\xf4\x8f\xbf\xbfx", 0x10ffff, 4));
}

TEST_CASE("of what is not UTF-8, as much is one part as a character could begin with") {
    const auto part = [](std::string_view text) {
        const auto first = first_character(text);
        CHECK_FALSE(first.is_well_formed);
        CHECK(first.code == 0);
        return first.size;
    };
    CHECK(part("") == 0);
    for (const auto one : {"\x80"sv, "\xbf"sv, "\xc0\x80"sv, "\xc1\xbf"sv, "\xc2"sv, "\xc2 "sv, "\xc2\xc2"sv,
                           "\xe0\x80\x80"sv, "\xe0\x9f\xbf"sv, "\xed\xa0\x80"sv, "\xed\xbf\xbf"sv, "\xf0\x80\x80\x80"sv,
                           "\xf0\x8f\xbf\xbf"sv, "\xf4\x90\x80\x80"sv, "\xf5\x80\x80\x80"sv, "\xff"sv}) {
        CAPTURE(one.size());
        CHECK(part(one) == 1);
    }
    for (const auto two : {"\xe2\x82"sv, "\xe2\x82 "sv, "\xe2\x82\xc3\xa9"sv, "\xf0\x9f"sv, "\xe2\x82\0"sv}) {
        CAPTURE(two.size());
        CHECK(part(two) == 2);
    }
    CHECK(part("\xf0\x9f\x98"sv) == 3);
    CHECK(part("\xf0\x9f\x98z"sv) == 3);
}

}  // namespace utf8_test
