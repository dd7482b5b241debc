#include <candor/privacy/text_ranges.hpp>

#include <cstddef>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

namespace text_ranges_test {

namespace {

using namespace candor::detail::privacy;
using candor::detail::is_digit;
using candor::detail::is_letter;

/// Each range as `begin-end` and the first letter of its kind.
std::string said(const text_range& r) {
    return std::to_string(r.begin) + "-" + std::to_string(r.end) + "nhs"[static_cast<unsigned>(r.kind)] + " ";
}

std::string all_of(const text_ranges& ranges) {
    std::string out;
    ranges.each([&](const text_range& r) { out += said(r); });
    return out;
}

std::string redactions_of(const text_ranges& ranges) {
    std::string out;
    ranges.each_redaction([&](const text_range& r) { out += said(r); });
    return out;
}

static_assert(is_beyond_ascii('\x80') && is_beyond_ascii('\xff') && !is_beyond_ascii('\x7f'));
static_assert(is_alphanumeric('0') && is_alphanumeric('z') && is_alphanumeric('A') && !is_alphanumeric('_'));
static_assert(!is_alphanumeric('\0') && !is_alphanumeric('\xe9'));

}  // namespace

TEST_CASE("a run is skipped forwards and backwards, within its bounds") {
    constexpr std::string_view text = "ab12cd";
    CHECK(skip_while(text, 2, is_digit) == 4);
    CHECK(skip_while(text, 0, is_digit) == 0);
    CHECK(skip_while(text, 4, is_letter) == 6);
    CHECK(skip_while(text, 6, is_letter) == 6);
    CHECK(skip_back_while(text, 4, 0, is_digit) == 2);
    CHECK(skip_back_while(text, 4, 3, is_digit) == 3);
    CHECK(skip_back_while(text, 2, 0, is_letter) == 0);
}

TEST_CASE("what one search finds becomes one range where it overlaps or adjoins") {
    text_ranges ranges;
    ranges.add(0, 4);
    ranges.add(1, 5);
    ranges.add(5, 7);
    ranges.add(8, 8);  // nothing
    ranges.add(9, 10);
    CHECK(all_of(ranges) == "0-7s 9-10s ");
    ranges.add(3, 11);  // ends last, and begins before others
    CHECK(all_of(ranges) == "0-11s ");
}

TEST_CASE("the finds of several searches stand in order") {
    text_ranges ranges;
    ranges.add(4, 6);
    ranges.add(20, 22);
    ranges.end_search();
    ranges.add(0, 2);
    ranges.add(5, 9);
    ranges.add(30, 31);
    ranges.end_search();
    CHECK(all_of(ranges) == "0-2s 4-6s 5-9s 20-22s 30-31s ");
    CHECK(redactions_of(ranges) == "0-2s 4-9s 20-22s 30-31s ");
}

TEST_CASE("neighbours are one redaction, but for a home directory") {
    text_ranges ranges;
    ranges.add(0, 2, finding::home);
    ranges.add(2, 4, finding::home);
    ranges.end_search();
    ranges.add(4, 6);
    ranges.end_search();
    ranges.add(6, 8, finding::name);
    ranges.end_search();
    CHECK(redactions_of(ranges) == "0-2h 2-4h 4-8s ");
}

TEST_CASE("a name within the home directory goes with it; a secret there makes all of it one") {
    text_ranges ranges;
    ranges.add(0, 9, finding::home);
    ranges.end_search();
    ranges.add(6, 9, finding::name);
    ranges.end_search();
    CHECK(redactions_of(ranges) == "0-9h ");
    ranges.add(1, 5);
    ranges.end_search();
    CHECK(redactions_of(ranges) == "0-9s ");
}

TEST_CASE("a million finds that overlap take no memory") {
    text_ranges ranges;
    for (std::size_t i = 0; i < 1'000'000; ++i) ranges.add(i, i + 4);
    CHECK(all_of(ranges) == "0-1000003s ");
}

TEST_CASE("what has been redacted before is no find, but stays whole where there is one") {
    constexpr std::string_view text = "a=[redacted][redacted]b";
    text_ranges ranges{text};
    ranges.add(2, 12);
    ranges.add(12, 22, finding::name);
    ranges.end_search();
    CHECK(ranges.empty());
    ranges.add(20, 23);
    ranges.end_search();
    CHECK_FALSE(ranges.empty());
    ranges.add_marks();
    CHECK(all_of(ranges) == "2-12s 12-22s 20-23s ");
    CHECK(redactions_of(ranges) == "2-23s ");
}

TEST_CASE("a range beyond the text is a find") {
    text_ranges ranges{"[redacted]"};
    ranges.add(1, 11);
    CHECK(all_of(ranges) == "1-11s ");
}

}  // namespace text_ranges_test
