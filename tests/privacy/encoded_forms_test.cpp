#include <candor/privacy/encoded_forms.hpp>

#include <cstddef>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "marked.hpp"

#include <support/base64.hpp>

#include <doctest/doctest.h>

namespace encoded_forms_test {

namespace {

using namespace candor::detail::privacy;

std::string padded_base64(std::string_view bytes, std::string_view last, bool pads) {
    auto out = base64(bytes, last);
    while (pads && out.size() % 4 != 0) out += '=';
    return out;
}

}  // namespace

TEST_CASE("percent escapes are decoded, in either case and however often they were escaped") {
    for (const auto& [encoded, decoded] : {std::pair{"%2F", "/"},
                                           {"%2f", "/"},
                                           {"a%20b", "a b"},
                                           {"%252F", "/"},
                                           {"%25252f", "/"},
                                           {"%25", "%"},
                                           {"%2525", "%"},
                                           {"100%25 of", "100% of"},
                                           {"%%41", "%A"},
                                           {"%41%", "A%"},
                                           {"%41%4", "A%4"},
                                           {"%41%4g", "A%4g"},
                                           {"%25%32%46", "%2F"},
                                           {"%c3%A4", "\xc3\xa4"},
                                           {"%252", "%2"}})
        CHECK(percent_decoded(encoded) == decoded);
    for (const char* plain : {"", "%", "%%", "%4", "%4g", "%g4", "abc", "100%", "%-1"})
        CHECK(percent_decoded(plain).empty());
    CHECK(percent_decoded(std::string("%00", 3)) == std::string(1, '\0'));
}

TEST_CASE("a place in the decoded text is found in the encoded one") {
    constexpr std::string_view encoded = "a%41b%2541%zc";
    REQUIRE(percent_decoded(encoded) == "aAbA%zc");
    percent_position place{encoded};
    const std::size_t expected[] = {0, 1, 4, 5, 10, 11, 12, 13};
    for (std::size_t i = 0; i < 8; ++i) CHECK(place(i) == expected[i]);
    CHECK(place(7) == 13);
}

TEST_CASE("a run of escaped percent signs is read once") {
    const auto run = "%" + repeated("25", 500'000);
    CHECK(percent_decoded(run) == "%");
    CHECK(percent_decoded(run + "x") == "%x");
    CHECK(percent_decoded(repeated(run.substr(0, 1001), 1000)) == std::string(1000, '%'));
}

TEST_CASE("the forms of a secret in base64 stand in every text that has it") {
    std::mt19937 random{20261123};
    const auto bytes = [&](std::size_t size) {
        std::string out;
        while (out.size() < size) out += static_cast<char>(random() % 256);
        return out;
    };
    for (int i = 0; i < 2000; ++i) {
        const auto secret = bytes(shortest_in_base64 + random() % 20);
        const auto before = bytes(random() % 7);
        const auto after = bytes(random() % 5);
        for (const std::string_view last : {"+/", "-_"}) {
            const auto text = padded_base64(before + secret + after, last, i % 2 == 0);
            const std::size_t first_bit = 8 * before.size();
            const std::size_t end_bit = first_bit + 8 * secret.size();
            bool is_found = false;
            each_base64_form(secret, [&](std::string_view form, unsigned more_before, unsigned more_after) {
                const auto at = (first_bit + 5) / 6;
                if (text.substr(at, form.size()) != form) return;
                // With what it shares with its neighbours it is all that has bits of the secret.
                is_found = is_found ||
                           (at - more_before == first_bit / 6 && at + form.size() + more_after == (end_bit + 5) / 6);
            });
            REQUIRE(is_found);
        }
    }
}

TEST_CASE("the second alphabet is gone through only where it differs") {
    const auto count = [](std::string_view secret) {
        std::multiset<std::string> forms;
        each_base64_form(secret, [&](std::string_view form, unsigned, unsigned) { forms.emplace(form); });
        return forms.size();
    };
    CHECK(count("hunter2") == 3);
    CHECK(count("\xff\xff\xff\xff\xff") == 6);
}

}  // namespace encoded_forms_test
