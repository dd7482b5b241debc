#include <candor/httplib/gzip.hpp>

#include <string>

#include <doctest/doctest.h>

#ifdef CPPHTTPLIB_ZLIB_SUPPORT
#include "../support/gunzip.hpp"
#endif

namespace gzip_test {

#ifdef CPPHTTPLIB_ZLIB_SUPPORT

namespace {

std::string json_of(std::size_t size) {
    std::string out;
    for (unsigned i = 0; out.size() < size; ++i) {
        out += R"({"messageId":")" + std::to_string(i * 2654435761U) + R"(","type":"track","event":"sync"},)";
    }
    return out;
}

}  // namespace

TEST_CASE("one encoder compresses bodies of any size, one after another") {
    candor::detail::gzip_encoder encoder;
    for (const std::size_t size : {1UL, 100UL, 175'000UL, 10UL, 2'000'000UL, 175'000UL}) {
        CAPTURE(size);
        const std::string body = json_of(size);
        const auto encoded = encoder.encode(body);
        REQUIRE(encoded);
        CHECK(candor::testing::gunzip(*encoded) == body);
        if (size > 1000) CHECK(encoded->size() < body.size() / 3);
    }
}

TEST_CASE("an empty body and one that does not compress survive as well") {
    candor::detail::gzip_encoder encoder;
    std::string noise;
    unsigned state = 1;
    for (int i = 0; i < 100'000; ++i) noise += static_cast<char>((state = state * 1664525U + 1013904223U) >> 24);
    for (const std::string& body : {std::string{}, noise}) {
        const auto encoded = encoder.encode(body);
        REQUIRE(encoded);
        CHECK(candor::testing::gunzip(*encoded) == body);
    }
}

TEST_CASE("the frame is gzip, not zlib") {
    candor::detail::gzip_encoder encoder;
    const auto encoded = encoder.encode("{}");
    REQUIRE(encoded);
    CHECK(encoded->substr(0, 2) == "\x1f\x8b");
}

#else

TEST_CASE("without zlib nothing is compressed") {
    const candor::detail::gzip_encoder encoder;
    CHECK_FALSE(encoder.encode("{}"));
}

#endif

}  // namespace gzip_test
