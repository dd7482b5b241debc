#include <candor/event/record_reader.hpp>

#include <cstdint>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

namespace record_reader_test {

using candor::detail::record_reader;

namespace {

template <class T>
void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

TEST_CASE("values and texts come in the order in which they stand") {
    std::string bytes;
    put(bytes, 2.5);
    put(bytes, std::uint32_t{3});
    bytes += "one";
    put(bytes, std::uint64_t{0});
    bytes += "rest";
    record_reader reader{bytes};
    CHECK(reader.take<double>() == 2.5);
    CHECK(reader.take_text() == "one");
    CHECK(reader.take_text<std::uint64_t>().empty());
    CHECK(reader.rest() == "rest");
    CHECK(reader.take_bytes(4) == "rest");
    CHECK(reader.is_empty());
    CHECK(reader.is_good());
}

TEST_CASE("nothing is read behind the end, and what is missing makes all that follows missing") {
    std::string bytes;
    put(bytes, UINT64_MAX);
    bytes += "text";
    record_reader reader{bytes};
    CHECK(reader.take_text<std::uint64_t>().empty());
    CHECK_FALSE(reader.is_good());
    CHECK(reader.take<char>() == 0);
    record_reader cut{std::string_view{bytes}.substr(0, 7)};
    CHECK(cut.take<std::uint64_t>() == 0);
    CHECK_FALSE(cut.is_good());
}

}  // namespace record_reader_test
