#include <candor/otlp/protobuf_writer.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include <candor/otlp/wire.hpp>

#include <doctest/doctest.h>

namespace protobuf_writer_test {

namespace {

using candor::detail::protobuf_writer;
using candor::otlp::wire_reader;

}  // namespace

TEST_CASE("What is written is protobuf that the reader reads back") {
    protobuf_writer out;
    out.varint(1, std::numeric_limits<std::uint64_t>::max());
    out.varint(2, 0);
    out.fixed64(3, 0x0123456789abcdef);
    out.text(4, "four");
    out.text(15, std::string(300, 'x'));
    wire_reader in{out.bytes()};
    REQUIRE(in.next());
    CHECK(in.varint() == std::numeric_limits<std::uint64_t>::max());
    REQUIRE(in.next());
    CHECK(in.varint() == 0);
    REQUIRE(in.next());
    CHECK(in.fixed64() == 0x0123456789abcdef);
    REQUIRE(in.next());
    CHECK(in.bytes() == "four");
    REQUIRE(in.next());
    CHECK(in.field() == 15);
    CHECK(in.bytes() == std::string(300, 'x'));
    CHECK_FALSE(in.next());
    CHECK(in.problem() == nullptr);
}

TEST_CASE("A message that is written has its length, short or long") {
    for (const std::size_t size : {0U, 1U, 124U, 125U, 126U, 127U, 128U, 20'000U, 3'000'000U}) {
        protobuf_writer out;
        const auto outer = out.open(1);
        const auto inner = out.open(2);
        out.text(3, std::string(size, 'x'));
        REQUIRE(out.close(inner));
        out.varint(4, 5);
        REQUIRE(out.close(outer));

        wire_reader in{out.bytes()};
        REQUIRE(in.next());
        wire_reader first{in.bytes()};
        CHECK_FALSE(in.next());
        CHECK(in.problem() == nullptr);
        REQUIRE(first.next());
        wire_reader second{first.bytes()};
        REQUIRE(first.next());
        CHECK(first.varint() == 5);
        REQUIRE(second.next());
        CHECK(second.bytes() == std::string(size, 'x'));
        CHECK_FALSE(second.next());
        CHECK(second.problem() == nullptr);
    }
}

TEST_CASE("A part of it that is blanked is one unknown field") {
    for (const std::size_t size : {0U, 1U, 123U, 124U, 125U, 126U, 127U, 128U, 129U, 130U, 131U, 20'000U}) {
        protobuf_writer out;
        out.varint(1, 7);
        const auto begin = out.size();
        out.text(2, std::string(size, 'x'));
        const auto end = out.size();
        out.varint(3, 8);
        out.blank(begin, end);

        wire_reader in{out.bytes()};
        REQUIRE(in.next());
        CHECK(in.varint() == 7);
        REQUIRE(in.next());
        CHECK(in.field() == 15);
        in.skip();
        REQUIRE(in.next());
        CHECK(in.field() == 3);
        CHECK(in.varint() == 8);
        CHECK_FALSE(in.next());
        CHECK(in.problem() == nullptr);
    }
}

}  // namespace protobuf_writer_test
