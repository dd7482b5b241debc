#include <candor/otlp/tape.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include <candor/otlp/wire.hpp>

#include <doctest/doctest.h>

namespace tape_test {

namespace {

using candor::detail::otlp_tape;
using candor::otlp::wire_reader;

}  // namespace

TEST_CASE("A tape is protobuf that the reader reads back") {
    otlp_tape tape;
    tape.varint(1, std::numeric_limits<std::uint64_t>::max());
    tape.varint(2, 0);
    tape.fixed64(3, 0x0123456789abcdef);
    tape.text(4, "four");
    tape.text(15, std::string(300, 'x'));
    wire_reader in{tape.bytes()};
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

TEST_CASE("A message on a tape has its length, short or long") {
    for (const std::size_t size : {0U, 1U, 124U, 125U, 126U, 127U, 128U, 20'000U, 3'000'000U}) {
        otlp_tape tape;
        const auto outer = tape.open(1);
        const auto inner = tape.open(2);
        tape.text(3, std::string(size, 'x'));
        REQUIRE(tape.close(inner));
        tape.varint(4, 5);
        REQUIRE(tape.close(outer));

        wire_reader in{tape.bytes()};
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

TEST_CASE("A part of a tape that is blanked is one unknown field") {
    for (const std::size_t size : {0U, 1U, 123U, 124U, 125U, 126U, 127U, 128U, 129U, 130U, 131U, 20'000U}) {
        otlp_tape tape;
        tape.varint(1, 7);
        const auto begin = tape.size();
        tape.text(2, std::string(size, 'x'));
        const auto end = tape.size();
        tape.varint(3, 8);
        tape.blank(begin, end);

        wire_reader in{tape.bytes()};
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

}  // namespace tape_test
