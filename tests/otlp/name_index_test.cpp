#include <candor/otlp/name_index.hpp>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace name_index_test {

namespace {

using candor::otlp::detail::equal_text;
using candor::otlp::detail::hash_text;
using candor::otlp::detail::name_index;

}  // namespace

TEST_CASE("texts of every length that differ in one byte differ in their hashes") {
    std::set<std::uint64_t> seen;
    std::size_t count = 0;
    for (std::size_t length = 0; length <= 40; ++length) {
        const std::string text(length, 'x');
        seen.insert(hash_text(1, text));
        ++count;
        for (std::size_t i = 0; i < length; ++i) {
            std::string other = text;
            other[i] = 'y';
            seen.insert(hash_text(1, other));
            ++count;
        }
    }
    CHECK(seen.size() == count);
    CHECK(hash_text(1, std::string(1, '\0')) != hash_text(1, ""));
    CHECK(hash_text(1, std::string(9, '\0')) != hash_text(1, std::string(8, '\0')));
}

TEST_CASE("texts of every length are compared to their last byte") {
    for (std::size_t length = 0; length <= 40; ++length) {
        const std::string text(length, 'x');
        CHECK(equal_text(text, std::string{text}.c_str()));
        for (std::size_t i = 0; i < length; ++i) {
            std::string other = text;
            other[i] = 'y';
            CHECK_FALSE(equal_text(text, other.c_str()));
        }
    }
}

TEST_CASE("a hash depends on the seed") {
    CHECK(hash_text(1, "name") != hash_text(2, "name"));
    CHECK(hash_text(1, "a name that is longer than a word") != hash_text(2, "a name that is longer than a word"));
}

TEST_CASE("the high bits of hashes are spread") {
    for (const std::string prefix : {"", "table_", "aws_ec2_", "a_rather_long_name_of_a_table_"}) {
        CAPTURE(prefix);
        std::set<std::uint64_t> high;
        for (int i = 0; i < 1024; ++i) high.insert(hash_text(7, prefix + std::to_string(i)) >> 54);
        CHECK(high.size() > 550);  // 1024 random numbers hit 647 of 1024 places
    }
}

TEST_CASE("an index finds what was inserted, however often it grew") {
    std::vector<std::string> names;
    name_index index;
    const auto find = [&](const std::string& name, std::uint64_t hash) {
        return index.find(hash, [&](std::uint32_t i) { return names[i] == name; });
    };
    CHECK(find("0", 1) == name_index::none);
    for (std::uint32_t i = 0; i < 5000; ++i) {
        names.push_back(std::to_string(i));
        index.insert(hash_text(1, names.back()), i);
    }
    CHECK(index.size() == 5000);
    for (std::uint32_t i = 0; i < 5000; ++i) CHECK(find(names[i], hash_text(1, names[i])) == i);
    CHECK(find("5000", hash_text(1, "5000")) == name_index::none);
}

TEST_CASE("names of one hash are told apart") {
    name_index index;
    const std::vector<std::string> names{"a", "b", "c"};
    for (std::uint32_t i = 0; i < 3; ++i) index.insert(42, i);
    for (std::uint32_t i = 0; i < 3; ++i)
        CHECK(index.find(42, [&](std::uint32_t at) { return names[at] == names[i]; }) == i);
    CHECK(index.find(42, [](std::uint32_t) { return false; }) == name_index::none);
}

TEST_CASE("an index that was cleared is empty and can be filled again") {
    name_index index;
    for (int round = 0; round < 3; ++round) {
        const auto any = [](std::uint32_t) { return true; };
        CHECK(index.size() == 0);
        CHECK(index.find(7, any) == name_index::none);
        index.reserve(100);
        index.insert(7, 3);
        for (std::uint32_t i = 0; i < 100; ++i) index.insert(i + 1000, i);
        CHECK(index.find(7, any) == 3);
        index.clear();
    }
}

}  // namespace name_index_test
