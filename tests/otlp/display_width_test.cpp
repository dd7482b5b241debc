#include <candor/otlp/display_width.hpp>

#include <string>
#include <string_view>

#include <doctest/doctest.h>

namespace display_width_test {

namespace {

using namespace candor::otlp::detail;
using namespace std::string_view_literals;

template <std::size_t Size>
bool is_sorted(const code_range (&ranges)[Size]) {
    char32_t after = 0;
    for (const auto& r : ranges) {
        if (r.first < after || r.last < r.first) return false;
        after = r.last + 1;
    }
    return true;
}

}  // namespace

TEST_CASE("characters are read as UTF-8 has them") {
    const auto code = [](std::string_view text) { return first_character(text).code; };
    const auto size = [](std::string_view text) { return first_character(text).size; };
    CHECK(size("") == 0);
    CHECK(code("ab") == 'a');
    CHECK(size("ab") == 1);
    CHECK(first_character("\0"sv).size == 1);
    CHECK(code("\xc2\x80") == 0x80);
    CHECK(code("\xdf\xbf") == 0x7ff);
    CHECK(size("\xdf\xbf") == 2);
    CHECK(code("\xe0\xa0\x80") == 0x800);
    CHECK(code("\xed\x9f\xbf") == 0xd7ff);
    CHECK(code("\xee\x80\x80") == 0xe000);
    CHECK(code("\xef\xbf\xbf") == 0xffff);
    CHECK(size("\xef\xbf\xbfx") == 3);
    CHECK(code("\xf0\x90\x80\x80") == 0x10000);
    CHECK(code("\xf4\x8f\xbf\xbf") == 0x10ffff);
    CHECK(size("\xf4\x8f\xbf\xbf") == 4);
}

TEST_CASE("what is not UTF-8 is no character") {
    for (const auto bad :
         {"\x80"sv, "\xbf"sv, "\xc0\x80"sv, "\xc1\xbf"sv, "\xc2"sv, "\xc2 "sv, "\xc2\xc2"sv, "\xe0\x80\x80"sv,
          "\xe0\x9f\xbf"sv, "\xe2\x82"sv, "\xe2\x82 "sv, "\xed\xa0\x80"sv, "\xed\xbf\xbf"sv, "\xf0\x80\x80\x80"sv,
          "\xf0\x8f\xbf\xbf"sv, "\xf0\x9f\x98"sv, "\xf4\x90\x80\x80"sv, "\xf5\x80\x80\x80"sv, "\xff"sv}) {
        CAPTURE(bad.size());
        CHECK(first_character(bad).size == 0);
    }
}

TEST_CASE("the ranges are in order, so that they can be searched") {
    CHECK(is_sorted(wide_characters));
    CHECK(is_sorted(joining_characters));
    CHECK(is_sorted(narrow_emoji));
    CHECK_FALSE(contains(wide_characters, 0));
    CHECK(contains(wide_characters, 0x1100));
    CHECK_FALSE(contains(wide_characters, 0x10ffff));
}

TEST_CASE("most characters take one column") {
    CHECK(display_width("") == 0);
    CHECK(display_width("sync_table") == 10);
    CHECK(display_width("größe") == 5);
    CHECK(display_width("таблица") == 7);
    CHECK(display_width("جدول") == 4);
    CHECK(display_width("½·€") == 3);
}

TEST_CASE("East Asian characters take two columns") {
    CHECK(display_width("表") == 2);
    CHECK(display_width("用户表") == 6);
    CHECK(display_width("ユーザー") == 8);
    CHECK(display_width("사용자") == 6);
    CHECK(display_width("ＡＢ") == 4);
    CHECK(display_width("ﾕｰｻﾞ") == 4);  // halfwidth
    CHECK(display_width("𠀋") == 2);
    CHECK(display_width("　") == 2);
}

TEST_CASE("marks take no column") {
    CHECK(display_width("e\xcc\x81") == 1);
    CHECK(display_width("a\xcc\x81\xcc\xa3\xcc\x84") == 1);
    CHECK(display_width("か\xe3\x82\x99") == 2);
    CHECK(display_width("ก็") == 1);
    CHECK(display_width("नमस्ते") == 4);
    CHECK(display_width("नि") == 2);                                    // a spacing mark
    CHECK(display_width("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab") == 2);  // a syllable of Hangul in its parts
    CHECK(display_width("a\xe2\x80\x8c"
                        "b") == 2);              // U+200C
    CHECK(display_width("a\xe2\x80\x8d") == 1);  // U+200D
}

TEST_CASE("an emoji takes two columns, of however many characters it is made") {
    CHECK(display_width("🚀") == 2);
    CHECK(display_width("🚀🚀") == 4);
    CHECK(display_width("👍🏽") == 2);
    CHECK(display_width("☝🏽") == 2);
    CHECK(display_width("👩‍👩‍👧‍👦") == 2);
    CHECK(display_width("👩🏽‍💻") == 2);
    CHECK(display_width("👩‍❤️‍👨") == 2);
    CHECK(display_width("🏳️‍🌈") == 2);
    CHECK(display_width("🇩🇪") == 2);
    CHECK(display_width("1️⃣") == 2);
    CHECK(display_width("❤️") == 2);
    CHECK(display_width("❤") == 1);
    CHECK(display_width("🏽") == 2);
}

TEST_CASE("a joiner joins emojis and nothing else") {
    CHECK(display_width("a\xe2\x80\x8d🚀") == 3);
    CHECK(display_width("🚀\xe2\x80\x8d"
                        "a") == 3);
    CHECK(display_width("表\xe2\x80\x8d表") == 4);
    CHECK(display_width("\xe2\x80\x8d🚀") == 2);
    CHECK(display_width("a\xef\xb8\x8f") == 1);              // no emoji
    CHECK(display_width("❤\xef\xb8\x8f\xef\xb8\x8f") == 2);  // said twice
}

TEST_CASE("bytes that are not UTF-8 take a column each, and the width is known of any bytes") {
    CHECK(display_width("\xff\xfe") == 2);
    CHECK(display_width("\xe2\x82") == 2);
}

}  // namespace display_width_test
