#include <candor/policy/ascii.hpp>

#include <string_view>

#include <doctest/doctest.h>

namespace ascii_test {

using namespace candor::detail;

static_assert(is_digit('0') && is_digit('9') && !is_digit('/') && !is_digit(':') && !is_digit('\xb2'));
static_assert(is_letter('a') && is_letter('z') && is_letter('A') && is_letter('Z') && !is_letter('\xe9'));
static_assert(!is_letter('@') && !is_letter('[') && !is_letter('`') && !is_letter('{'));
static_assert(to_lower('A') == 'a' && to_lower('Z') == 'z' && to_lower('@') == '@' && to_lower('[') == '[');
static_assert(trimmed("") == "" && trimmed(" \t ") == "" && trimmed(" a\tb \t") == "a\tb" && trimmed("\na") == "\na");

TEST_CASE("two texts are the same but for case only where they are as long and differ in letters at most") {
    using candor::detail::equal_ignoring_case;
    CHECK(equal_ignoring_case("", ""));
    CHECK(equal_ignoring_case("Content-Type", "cONTENT-tYPE"));
    CHECK_FALSE(equal_ignoring_case("gzip", "gzi"));
    CHECK_FALSE(equal_ignoring_case("gzi", "gzip"));
    CHECK_FALSE(equal_ignoring_case("", "a"));
    CHECK_FALSE(equal_ignoring_case("@[", "`{"));              // the same bit as between letters
    CHECK_FALSE(equal_ignoring_case("\xc3\x84", "\xc3\xa4"));  // only ASCII has letters here
    CHECK(equal_ignoring_case(std::string_view{"a\0B", 3}, std::string_view{"A\0b", 3}));
    CHECK_FALSE(equal_ignoring_case(std::string_view{"a\0b", 3}, std::string_view{"a\0c", 3}));
}

}  // namespace ascii_test
