#include <candor/policy/error.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include <doctest/doctest.h>

namespace error_test {

using candor::configuration_error;
using candor::detail::has_line_break_or_nul;
using candor::detail::printable;
using namespace std::string_view_literals;

TEST_CASE("a configuration error names the field, the value and what is allowed") {
    const configuration_error error{"data_plane_url", "ftp://x", "an http or https URL"};
    CHECK(error.what() == "data_plane_url is \"ftp://x\"; allowed: an http or https URL"sv);
    CHECK(error.field() == "data_plane_url");
}

TEST_CASE("a configuration error is caught as what the standard calls it") {
    CHECK(std::is_base_of_v<std::invalid_argument, configuration_error>);
    CHECK(std::is_nothrow_copy_constructible_v<std::invalid_argument>);
}

TEST_CASE("a configuration error stays on one line whatever the value") {
    const configuration_error error{"write_key", "a\r\nb\0c"sv, "no line break"};
    CHECK(error.what() == "write_key is \"a\\x0d\\x0ab\\x00c\"; allowed: no line break"sv);
}

TEST_CASE("control characters are made visible and other bytes kept") {
    CHECK(printable("plain text, \"quoted\"") == "plain text, \"quoted\"");
    CHECK(printable("\x1b[31m\x7f\t") == "\\x1b[31m\\x7f\\x09");
    CHECK(printable("gr\xc3\xbc\xc3\x9f") == "gr\xc3\xbc\xc3\x9f");
    CHECK(printable("") == "");
}

TEST_CASE("a long value is cut at the limit, and says so only then") {
    CHECK(printable("abcd", 4) == "abcd");
    CHECK(printable("abcde", 4) == "abcd...");
    CHECK(printable(std::string(120, 'x')) == std::string(120, 'x'));
    CHECK(printable(std::string(10'000'000, 'x')) == std::string(120, 'x') + "...");
}

TEST_CASE("CR, LF and NUL are found anywhere and nothing else is") {
    CHECK(has_line_break_or_nul("\rkey"));
    CHECK(has_line_break_or_nul("k\ney"));
    CHECK(has_line_break_or_nul("key\0"sv));
    CHECK_FALSE(has_line_break_or_nul(""));
    CHECK_FALSE(has_line_break_or_nul("key\t\v\f\x1b\x7f\xc2\x85"));
}

}  // namespace error_test
