#include <candor/event/json_writer.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

#include <support/rounds.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace json_writer_test {

namespace {

using candor::detail::json_writer;
using condition = json_writer::condition;
using nlohmann::json;

constexpr std::size_t plenty = 1024 * 1024;

/// What `write` writes, where there is room for everything.
template <class Write>
std::string written(const Write& write) {
    json_writer out{plenty};
    write(out);
    CHECK(out.state() == condition::good);
    return std::string{out.text()};
}

std::string quoted(std::string_view text) {
    return written([&](json_writer& out) { out.string(text); });
}

template <class Number>
std::string number(Number value) {
    return written([&](json_writer& out) { out.number(value); });
}

std::string value(const json& tree) {
    return written([&](json_writer& out) { out.value(tree); });
}

/// The same as another implementation understands it: nlohmann replaces by the same rule.
std::string replaced(const std::string& text) {
    return json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace)).get<std::string>();
}

std::string hex(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        out += "0123456789abcdef"[byte >> 4];
        out += "0123456789abcdef"[byte & 15];
        out += ' ';
    }
    return out;
}

/// Compares many texts with nlohmann's reading of them, and remembers the first that differs.
class comparison {
public:
    void add(const std::string& text) {
        ++count_;
        json_writer out{plenty};
        out.string(text);
        const json parsed = json::parse(out.text(), nullptr, false);
        if (!parsed.is_string() || parsed.get<std::string>() != replaced(text))
            if (first_.empty()) first_ = hex(text) + "gives " + std::string{out.text()};
    }

    [[nodiscard]] const std::string& first_difference() const { return first_; }
    [[nodiscard]] std::size_t count() const { return count_; }

private:
    std::string first_;
    std::size_t count_ = 0;
};

/// `levels` containers around a null, without recursion.
json nested(int levels, bool arrays) {
    json tree;
    for (int i = 0; i < levels; ++i) {
        json outer = arrays ? json::array() : json::object();
        if (arrays) {
            outer.push_back(std::move(tree));
        } else {
            outer["a"] = std::move(tree);
        }
        tree = std::move(outer);
    }
    return tree;
}

condition state_of(const json& tree) {
    json_writer out{plenty};
    out.value(tree);
    return out.state();
}

/// Bytes of a text that uses all that the writer has.
void write_everything(json_writer& out) {
    out.raw("{");
    out.key("plain");
    out.string("twenty-five plain characters");
    out.key("escaped");
    out.string("\x01\"\\\n\x1f tail \x02");
    out.key("utf8");
    out.string("\xc3\xa9\xff\xe2\x82\xac\xe2\x82");
    out.key("numbers");
    out.raw("[");
    out.separate();
    out.number(std::numeric_limits<std::int64_t>::min());
    out.separate();
    out.number(-2.2250738585072014e-308);
    out.separate();
    out.boolean(false);
    out.raw("]");
    out.key("tree");
    out.value(json{{"a", {1, 2.5, nullptr, "\x03"}}, {"b", json::object()}});
    out.raw("}");
}

}  // namespace

TEST_CASE("plain text is copied") {
    CHECK(quoted("") == R"("")");
    CHECK(quoted("a") == R"("a")");
    CHECK(quoted("a/b <c> & 'd' \x7f") == "\"a/b <c> & 'd' \x7f\"");
}

TEST_CASE("quotes, backslashes and all control characters are escaped") {
    CHECK(quoted("\"") == R"("\"")");
    CHECK(quoted("\\") == R"("\\")");
    CHECK(quoted("a\nb\rc\td") == R"("a\nb\rc\td")");
    for (char c = 0; c < 0x20; ++c) {
        if (c == '\n' || c == '\r' || c == '\t') continue;
        const std::string expected = std::string{"\"\\u00"} + (c < 0x10 ? "0" : "1") + "0123456789abcdef"[c & 15] + '"';
        CHECK(quoted({&c, 1}) == expected);
    }
    CHECK(quoted(std::string_view{"a\0b", 3}) == R"("a\u0000b")");
}

TEST_CASE("every byte is written right wherever it stands") {
    comparison all;
    for (int byte = 0; byte < 256; ++byte) {
        for (std::size_t at = 0; at < 20; ++at) {
            std::string text(20, 'x');
            text[at] = static_cast<char>(byte);
            all.add(text);
            text[19 - at] = '"';
            all.add(text);
        }
    }
    CHECK(all.count() == 256 * 40);
    CHECK(all.first_difference() == "");
}

TEST_CASE("well-formed UTF-8 is copied") {
    for (const char* text : {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
                             "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80"})
        CHECK(quoted(text) == std::string{'"'} + text + '"');
}

TEST_CASE("row 16: what is not UTF-8 becomes one U+FFFD for each longest part of a sequence") {
    const auto inside = [](std::string_view text) {
        std::string out = quoted(text);
        for (std::size_t at = 0; (at = out.find("\xef\xbf\xbd", at)) != std::string::npos;) out.replace(at, 3, "?");
        return out.substr(1, out.size() - 2);
    };
    SUBCASE("continuation bytes without a lead") {
        CHECK(inside("\x80") == "?");
        CHECK(inside("a\xbf\x80z") == "a??z");
    }
    SUBCASE("overlong forms") {
        CHECK(inside("\xc0\x80") == "??");
        CHECK(inside("\xc1\xbf") == "??");
        CHECK(inside("\xe0\x80\xaf") == "???");
        CHECK(inside("\xe0\x9f\xbf") == "???");
        CHECK(inside("\xf0\x80\x80\xaf") == "????");
        CHECK(inside("\xf0\x8f\xbf\xbf") == "????");
    }
    SUBCASE("surrogates") {
        CHECK(inside("\xed\xa0\x80") == "???");
        CHECK(inside("\xed\xbf\xbf") == "???");
        CHECK(inside("\xed\xa0\xbd\xed\xb8\x80") == "??????");
    }
    SUBCASE("above U+10FFFF, and bytes that never occur") {
        CHECK(inside("\xf4\x90\x80\x80") == "????");
        CHECK(inside("\xf5\x80\x80\x80") == "????");
        CHECK(inside("\xf8\x88\x80\x80\x80") == "?????");
        CHECK(inside("\xfe\xff") == "??");
    }
    SUBCASE("cut short by the end or by something else") {
        CHECK(inside("\xc3") == "?");
        CHECK(inside("\xe2\x82") == "?");
        CHECK(inside("\xf0\x9f\x98") == "?");
        CHECK(inside("\xf0\x9f") == "?");
        CHECK(inside("\xf0\x9fz") == "?z");
        CHECK(inside("\xe2\x82\xc3\xa9") == "?\xc3\xa9");
        CHECK(inside("\xe2\x82\"\n") == "?\\\"\\n");
        CHECK(inside({"\xe2\x82\0", 3}) == "?\\u0000");
    }
    SUBCASE("the example of the Unicode standard, chapter 3") {
        CHECK(inside("\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64") == "a???b?c??d");
    }
}

TEST_CASE("a text that ends in the middle of a sequence is not read past its end") {
    const std::string whole = "\xf0\x9f\x98\x80";
    for (std::size_t length = 1; length < whole.size(); ++length)
        CHECK(quoted(std::string_view{whole}.substr(0, length)) == "\"\xef\xbf\xbd\"");
}

TEST_CASE("malformed sequences are replaced as nlohmann replaces them") {
    comparison all;
    SUBCASE("all of one and of two bytes") {
        for (int a = 0; a < 256; ++a) {
            all.add({static_cast<char>(a)});
            for (int b = 0; b < 256; ++b) all.add({static_cast<char>(a), static_cast<char>(b)});
        }
        CHECK(all.count() == 256 * 257);
    }
    SUBCASE("all of four bytes at the borders of what is allowed") {
        const std::string borders = "a\"\x1f\x7f\x80\x8f\x90\x9f\xa0\xbf\xc1\xc2\xe0\xe1\xed\xf0\xf4\xf5";
        for (const char a : borders)
            for (const char b : borders)
                for (const char c : borders)
                    for (const char d : borders) all.add({a, b, c, d});
        CHECK(all.count() == 18 * 18 * 18 * 18);
    }
    SUBCASE("random bytes of which most are no letters") {
        std::mt19937 random{20261122};
        for (int i = 0; i < candor::testing::rounds(50'000); ++i) {
            std::string text(random() % 40, '\0');
            const unsigned kind = random() % 4;
            for (char& c : text) {
                const auto byte = static_cast<unsigned char>(random());
                if (kind == 0) c = static_cast<char>(byte);
                if (kind == 1) c = static_cast<char>(byte | 0x80);
                if (kind == 2) c = static_cast<char>(random() % 3 == 0 ? byte | 0xc0 : 0x80 | (byte & 0x3f));
                if (kind == 3) c = static_cast<char>(random() % 8 == 0 ? byte : 'a' + byte % 26);
            }
            all.add(text);
        }
        CHECK(all.count() == candor::testing::rounds(50'000));
    }
    CHECK(all.first_difference() == "");
}

TEST_CASE("integers are exact to their extremes") {
    using signed_limits = std::numeric_limits<std::int64_t>;
    CHECK(number(std::int64_t{0}) == "0");
    CHECK(number(signed_limits::max()) == "9223372036854775807");
    CHECK(number(signed_limits::min()) == "-9223372036854775808");
    CHECK(number(std::numeric_limits<std::uint64_t>::max()) == "18446744073709551615");
    CHECK(number(std::int64_t{9'007'199'254'740'993}) == "9007199254740993");  // 2^53 + 1, which no double holds
    CHECK(number(std::int8_t{-128}) == "-128");
    CHECK(number(std::uint8_t{255}) == "255");
}

TEST_CASE("a double reads back as the same bits") {
    using limits = std::numeric_limits<double>;
    std::vector<double> values{0.0,
                               -0.0,
                               0.1,
                               1.0 / 3,
                               1e21,
                               1e22,
                               123456789012345680.0,
                               limits::max(),
                               limits::lowest(),
                               limits::min(),
                               limits::denorm_min(),
                               -limits::denorm_min(),
                               limits::epsilon(),
                               5e-324};
    std::mt19937_64 random{7};
    while (values.size() < 20'000) {
        double value;
        const std::uint64_t bits = random();
        std::memcpy(&value, &bits, sizeof value);
        if (std::isfinite(value)) values.push_back(value);
    }
    std::size_t different = 0;
    for (const double value : values) {
        json_writer out{64};
        out.number(value);
        const json parsed = json::parse(out.text(), nullptr, false);
        const double back = parsed.is_number() ? parsed.get<double>() : limits::quiet_NaN();
        // Where it is written without a point, as -0 is, JSON knows no type: only the value must be equal.
        if (back != value || (parsed.is_number_float() && std::signbit(back) != std::signbit(value))) ++different;
    }
    CHECK(different == 0);
    CHECK(number(0.5) == "0.5");
    CHECK(number(-1.25e-7) == "-1.25e-07");
}

TEST_CASE("row 15: NaN and the infinities are null") {
    using limits = std::numeric_limits<double>;
    CHECK(number(limits::quiet_NaN()) == "null");
    CHECK(number(-limits::quiet_NaN()) == "null");
    CHECK(number(limits::infinity()) == "null");
    CHECK(number(-limits::infinity()) == "null");
    CHECK(value(json{limits::infinity(), limits::quiet_NaN()}) == "[null,null]");
}

TEST_CASE("commas stand between members and elements, and nowhere else") {
    CHECK(written([](json_writer& out) {
              out.raw("{");
              out.key("a");
              out.raw("[");
              out.separate();
              out.number(1);
              out.separate();
              out.number(2);
              out.raw("]");
              out.key("b");
              out.raw("{");
              out.key("c");
              out.boolean(true);
              out.raw("}}");
          }) == R"({"a":[1,2],"b":{"c":true}})");
    CHECK(written([](json_writer& out) {
              out.key("first");
              out.string("[");
              out.key("second");
              out.string("{");
              out.key("third");
              out.boolean(false);
          }) == R"("first":"[","second":"{","third":false)");
}

TEST_CASE("a tree of every type is written as nlohmann writes it") {
    const json tree{{"array", {1, -2, 3u, 2.5, true, false, nullptr, "text", json::array(), json::object()}},
                    {"k\n\"\xff", {{"nested", {{{"deeper", "\x01"}}}}}},
                    {"largest", std::numeric_limits<std::uint64_t>::max()},
                    {"smallest", std::numeric_limits<std::int64_t>::min()}};
    CHECK(json::parse(value(tree)) == json::parse(tree.dump(-1, ' ', false, json::error_handler_t::replace)));
    CHECK(value(json::array()) == "[]");
    CHECK(value(json::object()) == "{}");
    CHECK(value(json(nullptr)) == "null");
    CHECK(value(json{{"z", 1}, {"a", 2}}) == R"({"a":2,"z":1})");
}

TEST_CASE("what JSON has no form for is null") {
    CHECK(value(json::binary({1, 2, 3})) == "null");
    CHECK(value(json(json::value_t::discarded)) == "null");
    CHECK(value(json{{"a", json::binary({0})}}) == R"({"a":null})");
}

TEST_CASE("the members of an object are written without its braces, and of other values nothing") {
    const auto members = [](const json& tree) {
        return written([&](json_writer& out) {
            out.raw("{\"first\":1");
            out.members(tree);
            out.raw("}");
        });
    };
    CHECK(members(json{{"a", 1}, {"b", {2}}}) == R"({"first":1,"a":1,"b":[2]})");
    CHECK(members(json::object()) == R"({"first":1})");
    CHECK(members(json{1, 2}) == R"({"first":1})");
    CHECK(members(json("text")) == R"({"first":1})");
}

TEST_CASE("containers nest 64 deep and no deeper") {
    for (const bool arrays : {true, false}) {
        CHECK(state_of(nested(63, arrays)) == condition::good);
        CHECK(state_of(nested(64, arrays)) == condition::good);
        CHECK(state_of(nested(65, arrays)) == condition::too_deep);
        CHECK(state_of(nested(66, arrays)) == condition::too_deep);
        const json deepest = nested(64, arrays);
        CHECK(value(deepest) == deepest.dump());
        const json mixed{{"shallow", 1}, {"too deep", nested(64, arrays)}};
        CHECK(state_of(mixed) == condition::too_deep);
    }
    json_writer members{plenty};
    members.members(nested(64, false));
    CHECK(members.state() == condition::good);
    json_writer too_deep{plenty};
    too_deep.members(nested(65, false));
    CHECK(too_deep.state() == condition::too_deep);
}

TEST_CASE("row 18: 100,000 levels are refused without recursion into them") {
    for (const bool arrays : {true, false}) {
        const json tree = nested(100'000, arrays);
        json_writer out{plenty};
        out.value(tree);
        CHECK(out.state() == condition::too_deep);
        CHECK(out.size() < 1024);
    }
}

TEST_CASE("at no limit is a byte written past it, and what is said to be whole is whole") {
    const std::string expected = written(write_everything);
    CHECK(json::accept(expected));
    std::size_t wrong = 0;
    for (std::size_t limit = 0; limit < expected.size() + 64; ++limit) {
        json_writer out{limit};
        write_everything(out);
        const bool good = out.state() == condition::good;
        if (!good && out.state() != condition::too_large) ++wrong;
        if (out.limit() != limit || out.size() > limit) ++wrong;
        if (good ? out.text() != expected : expected.substr(0, out.size()) != out.text()) ++wrong;
        // A number asks for the room that the longest one needs, an escape for a byte more than it takes.
        if (!good && limit >= expected.size() + 32) ++wrong;
    }
    CHECK(wrong == 0);
}

TEST_CASE("limits around and past the bytes that live in the object hold as well") {
    for (const std::size_t unit : {1U, 7U, 8U, 100U, 5000U}) {
        std::size_t wrong = 0;
        for (const std::size_t limit : {2030U, 2047U, 2048U, 2049U, 2050U, 4095U, 4096U, 4097U, 10'001U}) {
            json_writer out{limit};
            std::string expected;
            const std::string text(unit, 'a');
            for (int i = 0; i < 20'000; ++i) {
                const auto before = out.state();
                out.raw(text);
                if (out.state() == condition::good) expected += text;
                if (before != condition::good && out.state() == condition::good) ++wrong;
            }
            if (out.text() != expected || out.size() > limit || out.size() + unit <= limit) ++wrong;
            if (out.state() != condition::too_large) ++wrong;
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("the worst text there is grows to six times its size and keeps within the limit") {
    const std::string text(10'000, '\x01');
    json_writer fits{60'002 + 8};
    fits.string(text);
    CHECK(fits.state() == condition::good);
    CHECK(fits.size() == 60'002);
    std::size_t wrong = 0;
    for (std::size_t limit = 59'990; limit < 60'002; ++limit) {
        json_writer out{limit};
        out.string(text);
        if (out.state() != condition::too_large || out.size() > limit) ++wrong;
    }
    CHECK(wrong == 0);
}

TEST_CASE("many small appends of every kind grow the buffer step by step") {
    std::mt19937 random{3};
    json_writer out{plenty};
    std::string expected = "[";
    out.raw("[");
    for (int i = 0; i < 20'000; ++i) {
        if (i != 0) expected += ',';
        out.separate();
        const auto kind = random() % 4;
        if (kind == 0) {
            out.number(i);
            expected += std::to_string(i);
        } else if (kind == 1) {
            out.boolean(true);
            expected += "true";
        } else if (kind == 2) {
            out.string("\n\xff");
            expected += "\"\\n\xef\xbf\xbd\"";
        } else {
            const std::string text(random() % 30, 'b');
            out.string(text);
            expected += '"' + text + '"';
        }
    }
    out.raw("]");
    expected += ']';
    CHECK(out.state() == condition::good);
    CHECK(out.text() == expected);
    CHECK(json::accept(out.text()));
}

TEST_CASE("after something did not fit, nothing more is written") {
    json_writer out{10};
    out.raw("12345");
    out.raw("678901");
    CHECK(out.state() == condition::too_large);
    CHECK(out.text() == "12345");
    out.raw("x");
    out.key("k");
    out.number(1);
    out.number(1.5);
    out.boolean(true);
    out.string("s");
    out.separate();
    out.value(json{{"a", 1}});
    out.value(nested(100, true));
    CHECK(out.state() == condition::too_large);
    CHECK(out.text() == "12345");
}

TEST_CASE("a writer without room takes nothing but nothing") {
    json_writer out{0};
    out.raw("");
    CHECK(out.state() == condition::good);
    CHECK(out.text().empty());
    out.raw("x");
    CHECK(out.state() == condition::too_large);
    CHECK(out.text().empty());
}

#if defined(__unix__) || defined(__APPLE__)
TEST_CASE("a text of 10 MB is refused without being read") {
    constexpr std::size_t size = 10'000'000;
    void* unreadable = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
    REQUIRE(unreadable != MAP_FAILED);
    const std::string_view text{static_cast<const char*>(unreadable), size};
    for (const bool in_quotes : {true, false}) {
        json_writer out{32 * 1024};
        out.raw("{\"a\":");
        if (in_quotes) {
            out.string(text);
        } else {
            out.raw(text);
        }
        CHECK(out.state() == condition::too_large);
        CHECK(out.text() == "{\"a\":");
    }
    munmap(unreadable, size);
}
#endif

}  // namespace json_writer_test
