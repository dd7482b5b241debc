#include <candor/policy/hex.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

namespace hex_test {

using namespace candor::detail;

static_assert(hex_pair('\0') == "00" && hex_pair('\x09') == "09" && hex_pair('\xaf') == "af" &&
              hex_pair('\xff') == "ff");
static_assert(hex_value('0') == 0 && hex_value('9') == 9 && hex_value('a') == 10 && hex_value('F') == 15);
static_assert(hex_value('g') == -1 && hex_value('/') == -1 && hex_value(':') == -1 && hex_value('\0') == -1);
static_assert(hex_value('@') == -1 && hex_value('`') == -1 && hex_value('G') == -1 && hex_value('\xff') == -1);
static_assert(hex_byte("00") == 0 && hex_byte("fF and more") == 255 && hex_byte("7e") == 0x7e);
static_assert(hex_byte("") == -1 && hex_byte("f") == -1 && hex_byte("0x") == -1 && hex_byte("-1") == -1);

TEST_CASE("a number is written in as many digits as asked for, and read back") {
    std::string out = "at ";
    append_hex(out, 0x1f, 4);
    append_hex(out, std::numeric_limits<std::uint64_t>::max(), 16);
    append_hex(out, 0x123456789, 8);  // the lowest digits of a number that has more
    CHECK(out == "at 001fffffffffffffffff23456789");
    std::string_view rest = std::string_view{out}.substr(3);
    CHECK(take_hex(rest, 4) == 0x1f);
    CHECK(take_hex(rest, 16) == std::numeric_limits<std::uint64_t>::max());
    CHECK(rest == "23456789");
}

TEST_CASE("what append_hex does not write is not read, and stays") {
    for (const std::string_view text : {"", "1", "12g4", "12F4", "-123", " 123", "0x12"}) {
        CAPTURE(text);
        auto rest = text;
        CHECK_FALSE(take_hex(rest, 4));
        CHECK(rest == text);
    }
}

}  // namespace hex_test
