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
