#include <candor/httplib/inflate.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#ifdef CPPHTTPLIB_ZLIB_SUPPORT
#include "../support/deflate.hpp"
#endif

namespace inflate_test {

using candor::body_error;
using candor::detail::content_coding;
using candor::detail::parse_content_coding;

TEST_CASE("a Content-Encoding is read in letters of either case, and only what can be undone is taken") {
    CHECK(parse_content_coding("") == content_coding::identity);
    CHECK(parse_content_coding("Identity") == content_coding::identity);
#ifdef CPPHTTPLIB_ZLIB_SUPPORT
    CHECK(parse_content_coding("gzip") == content_coding::gzip);
    CHECK(parse_content_coding("GZip") == content_coding::gzip);
    CHECK(parse_content_coding("deflate") == content_coding::deflate);
#else
    CHECK_FALSE(parse_content_coding("gzip"));
    CHECK_FALSE(parse_content_coding("deflate"));
    candor::detail::body_decoder none{content_coding::gzip};
    CHECK(none.decode("x", [](std::string_view) { return std::optional<body_error>{}; }) == body_error::encoding);
#endif
    for (const char* other : {"br", "zstd", "compress", "gzip, gzip", "gzip,identity", "gzi", "gzipp", " "}) {
        CAPTURE(other);
        CHECK_FALSE(parse_content_coding(other));
    }
}

#ifdef CPPHTTPLIB_ZLIB_SUPPORT

namespace {

using candor::testing::compressed;

struct result {
    std::string text{};
    std::optional<body_error> problem{};
};

/// Decompresses pieces of `size` bytes.
result inflate_pieces(std::string_view bytes, content_coding coding, std::size_t limit, std::size_t size) {
    result out;
    candor::detail::body_decoder decoder{coding};
    while (!bytes.empty() && !out.problem) {
        // A copy without room behind it, so that a sanitizer sees a byte read too far.
        const auto given = bytes.substr(0, size);
        const std::vector<char> piece{given.begin(), given.end()};
        bytes.remove_prefix(piece.size());
        out.problem = decoder.decode({piece.data(), piece.size()}, [&](std::string_view plain) {
            if (plain.size() > limit - out.text.size()) return std::optional{body_error::too_large};
            out.text += plain;
            return std::optional<body_error>{};
        });
    }
    if (!out.problem && !decoder.is_whole()) out.problem = body_error::undecodable;
    return out;
}

/// However it is cut, a body comes to the same.
result inflate(const std::string& bytes, content_coding coding, std::size_t limit = 100'000'000) {
    auto whole = inflate_pieces(bytes, coding, limit, bytes.size());
    for (const std::size_t size : {1UL, 1000UL}) {
        if (bytes.size() > size * 10'000) continue;
        const auto cut = inflate_pieces(bytes, coding, limit, size);
        REQUIRE(cut.problem == whole.problem);
        REQUIRE((whole.problem || cut.text == whole.text));
    }
    return whole;
}

std::string text_of(std::size_t size) {
    std::string out;
    for (unsigned i = 0; out.size() < size; ++i) out += std::to_string(i * 2654435761U);
    out.resize(size);
    return out;
}

const struct {
    content_coding coding;
    int window_bits;
} formats[] = {{content_coding::gzip, 15 + 16}, {content_coding::deflate, 15}};

}  // namespace

TEST_CASE("bodies of any size come back, in both formats") {
    for (const auto& format : formats) {
        for (const std::size_t size : {0UL, 1UL, 100UL, 16'383UL, 16'384UL, 16'385UL, 3'000'000UL}) {
            CAPTURE(size);
            const auto text = text_of(size);
            const auto out = inflate(compressed(text, format.window_bits), format.coding);
            CHECK_FALSE(out.problem);
            CHECK(out.text == text);
        }
    }
}

TEST_CASE("a window that is smaller than the largest is taken as well") {
    const auto text = text_of(100'000);
    CHECK(inflate(compressed(text, 9 + 16), content_coding::gzip).text == text);
    CHECK(inflate(compressed(text, 9), content_coding::deflate).text == text);
}

TEST_CASE("several gzip members are one body, for deflate there is one") {
    const std::string gzip = compressed("one ", 31) + compressed("", 31) + compressed("two", 31);
    CHECK(inflate(gzip, content_coding::gzip).text == "one two");
    const std::string zlib = compressed("one", 15) + compressed("two", 15);
    CHECK(inflate(zlib, content_coding::deflate).problem == body_error::undecodable);
}

TEST_CASE("a body cut anywhere is undecodable") {
    for (const auto& format : formats) {
        const auto whole = compressed(text_of(300), format.window_bits);
        for (std::size_t size = 0; size < whole.size(); ++size) {
            CAPTURE(size);
            CHECK(inflate(whole.substr(0, size), format.coding).problem == body_error::undecodable);
        }
    }
}

TEST_CASE("a wrong checksum, a wrong length and something behind the end are undecodable") {
    for (const auto& format : formats) {
        const auto whole = compressed(text_of(300), format.window_bits);
        for (std::size_t from_end = 1; from_end <= (format.coding == content_coding::gzip ? 8U : 4U); ++from_end) {
            auto wrong = whole;
            wrong[wrong.size() - from_end] = static_cast<char>(wrong[wrong.size() - from_end] ^ 1);
            CHECK(inflate(wrong, format.coding).problem == body_error::undecodable);
        }
        CHECK(inflate(whole + "x", format.coding).problem == body_error::undecodable);
        CHECK(inflate(whole + std::string(1, '\0'), format.coding).problem == body_error::undecodable);
    }
}

TEST_CASE("the one format is not taken for the other, nor for a bare deflate stream") {
    CHECK(inflate(compressed("{}", 15), content_coding::gzip).problem == body_error::undecodable);
    CHECK(inflate(compressed("{}", 31), content_coding::deflate).problem == body_error::undecodable);
    CHECK(inflate(compressed("{}", -15), content_coding::deflate).problem == body_error::undecodable);
    CHECK(inflate("{}", content_coding::gzip).problem == body_error::undecodable);
}

TEST_CASE("a body of just the limit is taken, one byte more is too large") {
    for (const auto& format : formats) {
        for (const std::size_t limit : {1UL, 1000UL, 16'384UL, 100'000UL}) {
            CAPTURE(limit);
            CHECK(inflate(compressed(text_of(limit), format.window_bits), format.coding, limit).text.size() == limit);
            CHECK(inflate(compressed(text_of(limit + 1), format.window_bits), format.coding, limit).problem ==
                  body_error::too_large);
        }
        CHECK(inflate(compressed("", format.window_bits), format.coding, 0).text.empty());
    }
    const auto two = compressed(text_of(600), 31) + compressed(text_of(600), 31);
    CHECK(inflate(two, content_coding::gzip, 1200).text.size() == 1200);
    CHECK(inflate(two, content_coding::gzip, 1199).problem == body_error::too_large);
}

TEST_CASE("a body that is not compressed comes as it is") {
    CHECK(inflate("", content_coding::identity).text.empty());
    CHECK(inflate("text", content_coding::identity).text == "text");
    CHECK(inflate("text", content_coding::identity, 3).problem == body_error::too_large);
}

TEST_CASE("a bomb is cut where it passes the limit") {
    // A thousand members of a megabyte of zeros; behind the limit stands what would be undecodable.
    std::string bomb;
    const auto member = compressed(std::string(1 << 20, '\0'), 31);
    for (int i = 0; i < 1000; ++i) bomb += member;
    CHECK(bomb.size() < 1'100'000);
    CHECK(inflate(bomb + "garbage", content_coding::gzip, 64 << 20).problem == body_error::too_large);
}

#endif

}  // namespace inflate_test
