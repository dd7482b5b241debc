#include <candor/privacy/pattern_search.hpp>

#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace pattern_search_test {

namespace {

using candor::detail::privacy::fold_case;
using candor::detail::privacy::pattern_search;
using places = std::vector<std::pair<std::size_t, std::size_t>>;

pattern_search built(const std::vector<std::string>& patterns, const std::vector<std::string>& words = {}) {
    pattern_search out{fold_case()};
    for (const auto& p : patterns) out.add(p);
    for (const auto& w : words) out.add_word(w);
    out.build();
    return out;
}

places found(const pattern_search& in, std::string_view text) {
    places out;
    in.each(
        text, [&](std::size_t begin, std::size_t end) { out.emplace_back(begin, end); },
        [](std::size_t, std::size_t) {});
    return out;
}

places found_words(const pattern_search& in, std::string_view text) {
    places out;
    in.each(
        text, [](std::size_t, std::size_t) {},
        [&](std::size_t begin, std::size_t end) { out.emplace_back(begin, end); });
    return out;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool matches(std::string_view text, std::string_view pattern) {
    for (std::size_t i = 0; i < pattern.size(); ++i)
        if (lower(text[i]) != lower(pattern[i])) return false;
    return true;
}

/// The definition: for each place the longest pattern that ends there.
places found_slowly(const std::vector<std::string>& patterns, std::string_view text) {
    places out;
    for (std::size_t end = 1; end <= text.size(); ++end) {
        std::size_t longest = 0;
        for (const auto& p : patterns)
            if (p.size() <= end && p.size() > longest && matches(text.substr(end - p.size(), p.size()), p))
                longest = p.size();
        if (longest != 0) out.emplace_back(end - longest, end);
    }
    return out;
}

}  // namespace

TEST_CASE("every occurrence of every pattern is found, in either case, the longest that ends at a place") {
    const auto search = built({"he", "she", "his", "hers"});
    CHECK(found(search, "usHErs") == places{{1, 4}, {2, 6}});
    CHECK(found(search, "") == places{});
    CHECK(found(search, "xyz") == places{});
    CHECK(found(built({"aa"}), "aaaa") == places{{0, 2}, {1, 3}, {2, 4}});
    CHECK(found(built({}), "aaaa") == places{});
    CHECK(found(built({""}), "aaaa") == places{});
}

TEST_CASE("patterns may hold any bytes") {
    const std::string binary{"\0\xff\x80", 3};
    CHECK(found(built({binary}), "a" + binary + binary) == places{{1, 4}, {4, 7}});
}

TEST_CASE("a match reaches beyond the pattern as far as was said, but not before the text") {
    pattern_search search{fold_case()};
    search.add("abc", 1, 1);
    search.add("xabc");  // is found with what its end reaches, too
    search.build();
    CHECK(found(search, "-abc-") == places{{0, 5}});
    CHECK(found(search, "abc") == places{{0, 4}});
    CHECK(found(search, "-xabc-") == places{{1, 6}});
}

TEST_CASE("words are told apart from patterns, and all that end at a place are told") {
    const auto search = built({"banana"}, {"ana", "na", ""});
    CHECK(found(search, "banana") == places{{0, 6}});
    CHECK(found_words(search, "banana") == places{{1, 4}, {2, 4}, {3, 6}, {4, 6}});
    CHECK(found_words(built({"nan"}, {"an"}), "anan") == places{{0, 2}, {2, 4}});
}

TEST_CASE("patterns are found exactly where a byte-by-byte search finds them") {
    std::mt19937 random{20261123};
    const auto word = [&](std::size_t size) {
        std::string out;
        while (out.size() < size) out += "abA"[random() % 3];
        return out;
    };
    for (int i = 0; i < 3000; ++i) {
        std::vector<std::string> patterns;
        for (auto count = 1 + random() % 6; count > 0; --count) patterns.push_back(word(1 + random() % 6));
        const auto text = word(random() % 50);
        CAPTURE(text);
        REQUIRE(found(built(patterns), text) == found_slowly(patterns, text));
    }
}

}  // namespace pattern_search_test
