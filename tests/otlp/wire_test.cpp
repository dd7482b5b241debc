#include <candor/otlp/wire.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <support/otlp_writer.hpp>

#include <doctest/doctest.h>

namespace wire_test {

namespace {

using candor::otlp::max_depth;
using candor::otlp::wire_reader;
using candor::otlp::wire_type;
using namespace std::string_literals;

/// Bytes at the very end of a block of memory, so that a sanitizer sees a read past them.
class exact {
public:
    explicit exact(std::string_view bytes) : size_{bytes.size()}, bytes_{new char[bytes.size()]} {
        bytes.copy(bytes_.get(), size_);
    }
    [[nodiscard]] std::string_view view() const { return {bytes_.get(), size_}; }

private:
    std::size_t size_;
    std::unique_ptr<char[]> bytes_;
};

/// What is wrong with these bytes when all fields are passed over.
std::string problem_of(std::string_view bytes, int depth = 1) {
    const exact copy{bytes};
    wire_reader in{copy.view(), depth};
    if (in.skip_all()) return "";
    REQUIRE(in.problem() != nullptr);
    CHECK_FALSE(in.next());
    return in.problem();
}

std::string repeated(std::string_view part, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += part;
    return all;
}

const std::string truncated = "a field goes past the end of its message";
const std::string too_deep = "messages or groups are nested too deep";
const std::string long_varint = "a varint has more than 64 bits";
const std::string long_length = "a tag or a length has more than 32 bits";
const std::string number_0 = "a field has the number 0";
const std::string no_type = "a field has a wire type that does not exist";
const std::string not_begun = "a group ends that was not begun";
const std::string other_end = "a group ends as another";

}  // namespace

TEST_CASE("Every kind of field is read") {
    const auto bytes = otlp_writer::message{}
                           .varint(1, 300)
                           .fixed64(2, 0x0123456789abcdef)
                           .bytes(3, "three")
                           .fixed64(4, 0x3ff8000000000000)
                           .fixed32(5, 7)
                           .varint(6, 0)
                           .bytes(200'000'000, std::string(300, 'x'))
                           .str();
    wire_reader in{bytes};
    REQUIRE(in.next());
    CHECK(in.field() == 1);
    CHECK(in.type() == wire_type::varint);
    CHECK(in.varint() == 300);
    REQUIRE(in.next());
    CHECK(in.type() == wire_type::fixed64);
    CHECK(in.fixed64() == 0x0123456789abcdef);
    REQUIRE(in.next());
    CHECK(in.type() == wire_type::bytes);
    CHECK(in.bytes() == "three");
    REQUIRE(in.next());
    CHECK(in.floating() == 1.5);
    REQUIRE(in.next());
    CHECK(in.type() == wire_type::fixed32);
    in.skip();
    REQUIRE(in.next());
    CHECK(in.field() == 6);
    CHECK(in.varint() == 0);
    REQUIRE(in.next());
    CHECK(in.field() == 200'000'000);
    CHECK(in.bytes().size() == 300);
    CHECK_FALSE(in.next());
    CHECK(in.problem() == nullptr);
}

TEST_CASE("An empty message has no field and no problem") {
    wire_reader in{{}};
    CHECK_FALSE(in.next());
    CHECK(in.problem() == nullptr);
}

TEST_CASE("A varint has up to ten bytes and 64 bits") {
    const auto read = [](const std::string& bytes) {
        const exact copy{"\x08" + bytes};
        wire_reader in{copy.view()};
        REQUIRE(in.next());
        const auto value = in.varint();
        return in.problem() == nullptr ? std::to_string(value) : std::string{in.problem()};
    };
    CHECK(read("\x01") == "1");
    CHECK(read("\xff\x01") == "255");
    CHECK(read("\x81\x80\x80\x00"s) == "1");  // longer than it need be
    CHECK(read("\xff\xff\xff\xff\xff\xff\xff\xff\x7f") == "9223372036854775807");
    CHECK(read("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") == "18446744073709551615");
    CHECK(read("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02") == long_varint);
    CHECK(read("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"s) == long_varint);
    CHECK(read("\x80\x80\x80\x80\x80\x80\x80\x80\x80") == truncated);
}

TEST_CASE("What is not well-formed is refused") {
    struct malformed {
        std::string bytes;
        std::string problem;
    };
    const malformed all[] = {
        {"\x08", truncated},                                                // a varint that is not there
        {"\x08\x80", truncated},                                            // one without its end
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", long_varint},  // one of eleven bytes
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", long_varint},      // one of 65 bits
        {"\x09\x01\x02\x03\x04\x05\x06\x07", truncated},                    // seven of eight bytes
        {"\x0d\x01\x02\x03", truncated},                                    // three of four bytes
        {"\x0a", truncated},                                                // no length
        {"\x0a\x03xy", truncated},                                          // a length past the end
        {"\x0a\x80", truncated},                                            // half a length
        {"\x0a\xff\xff\xff\xff\x0fxy", truncated},                          // a length of 4 GiB
        {"\x0a\xff\xff\xff\xff\x1fxy", long_length},                        // one of 33 bits
        {"\x0a\x82\x80\x80\x80\x80\x00xy"s, long_length},                   // one of six bytes
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01xy", long_length},    // one that is -1
        {"\x00\x01"s, number_0},                                            // field 0
        {"\x02\x01x", number_0},                                            //
        {"\x07", number_0},                                                 //
        {"\x80\x00\x01"s, number_0},                                        // the same in two bytes
        {"\x80\x80\x80\x80\x10\x01", long_length},                          // a field number of 30 bits
        {"\x88\x80\x80\x80\x80\x00\x01"s, long_length},                     // a tag of six bytes
        {"\x80", truncated},                                                // half a tag
        {"\x0e\x01", no_type},                                              // wire type 6
        {"\x0f\x01", no_type},                                              // wire type 7
        {"\x0b", truncated},                                                // a group without its end
        {"\x0b\x08\x01", truncated},                                        //
        {"\x0b\x13\x14", truncated},                                        // only the inner one ends
        {"\x0c", not_begun},                                                //
        {"\x08\x01\x0c", not_begun},                                        //
        {"\x0b\x0c\x0c", not_begun},                                        //
        {"\x0b\x14", other_end},                                            //
        {"\x0b\x13\x0c\x14", other_end},                                    // crossed
        {"\x0b\x0f\x0c", no_type},                                          // inside of a group
        {"\x0b\x00\x0c"s, number_0},                                        //
        {"\x0b\x0a\x05x\x0c", truncated},                                   //
    };
    for (const auto& m : all) {
        CAPTURE(m.bytes);
        CHECK(problem_of(m.bytes) == m.problem);
        CHECK(problem_of("\x10\x01" + m.bytes) == m.problem);  // a good field before does not help
    }
}

TEST_CASE("The largest field number is 2^29 - 1") {
    CHECK(problem_of("\xf8\xff\xff\xff\x0f\x01") == "");
    wire_reader in{"\xf8\xff\xff\xff\x0f\x01"};
    REQUIRE(in.next());
    CHECK(in.field() == (1U << 29) - 1);
}

TEST_CASE("A group is passed over with all that is in it") {
    // 1: { 2: 5  3: "xy"  4: { 5: 8 bytes }  6: 4 bytes }  then 7: 9
    const std::string bytes =
        "\x0b\x10\x05\x1a\x02xy\x23\x29"
        "12345678"
        "\x24\x35"
        "1234"
        "\x0c\x38\x09";
    wire_reader in{bytes};
    REQUIRE(in.next());
    CHECK(in.type() == wire_type::group_start);
    in.skip();
    REQUIRE(in.next());
    CHECK(in.field() == 7);
    CHECK(in.varint() == 9);
    CHECK_FALSE(in.next());
    CHECK(in.problem() == nullptr);
}

TEST_CASE("Groups nest up to the depth that is allowed, the message among them") {
    const auto nested = [](int groups) { return repeated("\x0b", groups) + repeated("\x0c", groups); };
    CHECK(problem_of(nested(max_depth - 1)) == "");
    CHECK(problem_of(nested(max_depth)) == too_deep);
    CHECK(problem_of(nested(1'000'000)) == too_deep);
    CHECK(problem_of(nested(4), max_depth - 4) == "");
    CHECK(problem_of(nested(5), max_depth - 4) == too_deep);
}

TEST_CASE("A message below the deepest is refused before anything of it is read") {
    CHECK(problem_of("\x08\x01", max_depth) == "");
    wire_reader in{"\x08\x01", max_depth + 1};
    CHECK_FALSE(in.next());
    REQUIRE(in.problem() != nullptr);
    CHECK(in.problem() == too_deep);
}

TEST_CASE("A getter asks for its wire type") {
    const std::string wrong = "a known field has the wrong wire type";
    const auto problem = [](std::string_view bytes, auto get) -> std::string {
        wire_reader in{bytes};
        REQUIRE(in.next());
        get(in);
        CHECK_FALSE(in.next());
        return in.problem() == nullptr ? "" : in.problem();
    };
    const auto varint = [](wire_reader& in) { CHECK(in.varint() == 0); };
    const auto fixed64 = [](wire_reader& in) { CHECK(in.fixed64() == 0); };
    const auto bytes = [](wire_reader& in) { CHECK(in.bytes().empty()); };
    CHECK(problem("\x0a\x01x", varint) == wrong);
    CHECK(problem("\x0a\x01x", fixed64) == wrong);
    CHECK(problem("\x08\x01", fixed64) == wrong);
    CHECK(problem("\x08\x01", bytes) == wrong);
    CHECK(problem("\x0d"
                  "1234",
                  fixed64) == wrong);
    CHECK(problem("\x0b\x0c", bytes) == wrong);
    CHECK(problem("\x0a\x02x", bytes) == truncated);
    CHECK(problem("\x09"
                  "1234567",
                  fixed64) == truncated);
}

}  // namespace wire_test
