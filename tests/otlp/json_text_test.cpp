#include <candor/otlp/json_text.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <support/otlp_requests.hpp>
#include <support/otlp_writer.hpp>
#include <support/rounds.hpp>

#include <doctest/doctest.h>

namespace json_text_test {

namespace {

using candor::detail::json_text_iterator;

/// Writes down what nlohmann's parser says, with the strings where they are to be found.
class events : public nlohmann::json_sax<nlohmann::json> {
public:
    std::string_view plain{};
    std::vector<std::string> said{};

    bool null() override { return say("null"); }
    bool boolean(bool flag) override { return say(flag ? "true" : "false"); }
    bool number_integer(std::int64_t number) override { return say(std::to_string(number)); }
    bool number_unsigned(std::uint64_t number) override { return say(std::to_string(number)); }
    bool number_float(double, const std::string& text) override { return say(text); }
    bool string(std::string& text) override { return say("string " + content(text)); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return say("{"); }
    bool key(std::string& text) override { return say("key " + content(text)); }
    bool end_object() override { return say("}"); }
    bool start_array(std::size_t) override { return say("["); }
    bool end_array() override { return say("]"); }
    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override {
        say("error");
        return false;
    }

private:
    bool say(std::string text) {
        said.push_back(std::move(text));
        return true;
    }
    [[nodiscard]] std::string content(const std::string& text) const {
        return plain.data() != nullptr ? std::string{plain} : text;
    }
};

std::vector<std::string> with_iterator(std::string_view text) {
    events handler;
    const json_text_iterator start{text, handler.plain};
    nlohmann::json::sax_parse(start, start.end(), &handler);
    return handler.said;
}

std::vector<std::string> without(std::string_view text) {
    events handler;
    nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &handler);
    return handler.said;
}

/// What the parser is given.
std::string given(std::string_view text) {
    std::string_view plain;
    std::string all;
    const json_text_iterator start{text, plain};
    for (auto at = start; at != start.end(); at++) all += *at;
    return all;
}

}  // namespace

static_assert(std::input_iterator<json_text_iterator>);

TEST_CASE("Plain strings are given as empty ones, and all else as it is") {
    CHECK(given("") == "");
    CHECK(given(R"({"key":["value",1,"",true]})") == R"({"":["",1,"",true]})");
    CHECK(given(R"(["a\"b","c"])") == R"(["a\"b",""])");
    CHECK(given(R"(["\\","c"])") == R"(["\\",""])");
    CHECK(given("[\"\xc3\xa9\",\"c\"]") == "[\"\xc3\xa9\",\"\"]");
    CHECK(given("[\"a\nb\",\"c\"]") == "[\"a\nb\",\"\"]");
    CHECK(given("\"a\x7f ~\"") == "\"\"");
    CHECK(given("\"not ended") == "\"not ended");
    CHECK(given("\"ended\\\"") == "\"ended\\\"");
    CHECK(given("\"") == "\"");
}

TEST_CASE("nlohmann's parser says the same with and without the iterator, whatever the text") {
    for (const char* text :
         {"", "\"", "\"\"", "[\"\\\"\",\"\\\\\",\"\\u0041\",\"a\\", "{\"a\":\"b\",\"c\\n\":\"\\/\",\"\":\"\xc3\xa9\"}",
          "[\"\xff\",1]", "[\"a\tb\"]", "{\"a\" \"b\"}", "[\"a\"\"b\"]", "tr\"ue\"", "\"a\" x", "[\"\\x\"]",
          "[\"\\u12\"]", "\xef\xbb\xbf[\"a\"]"}) {
        CAPTURE(text);
        CHECK(with_iterator(text) == without(text));
    }
    const auto original = to_json(otlp_writer::rich_request());
    CHECK(with_iterator(original) == without(original));
    std::minstd_rand random{20221124};
    const auto at_most = [&](std::size_t most) { return std::uniform_int_distribution<std::size_t>{0, most}(random); };
    constexpr std::string_view troublesome = "\"\"\"\\\\{}[],: \n\xc3\xa9\x7f\x1f";
    for (int i = 0; i < candor::testing::rounds(3'000); ++i) {
        auto text = original;
        for (std::size_t n = at_most(2); n-- > 0;)
            text[at_most(text.size() - 1)] = troublesome[at_most(troublesome.size() - 1)];
        text.resize(text.size() - at_most(text.size() / 8));
        REQUIRE(with_iterator(text) == without(text));
    }
}

}  // namespace json_text_test
