#include <candor/delivery/spool/format.hpp>

#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

namespace format_test {

namespace {

using namespace candor::detail;

const std::string lines = [] {
    std::string out;
    append_spool_line(out, "{\"a\":1}", 6);
    append_spool_line(out, "{\"b\":\"\xc3\xa9\"}", 0);
    append_spool_draft(out, "a draft");
    return out;
}();

const std::string content = make_spool_file(lines, 0xabc, 3);

/// The texts of the messages that are read.
std::vector<std::string> texts(std::string_view file) {
    std::vector<std::string> out;
    if (const auto found = parse_spool_file(file))
        for (const auto& m : found->messages) out.emplace_back(message_range{file, found->messages}.text(m));
    return out;
}

/// A file of release 0.1.
const std::string format_1 =
    "candor-spool 1 attempts=3 messages=00000002 checksum=761b4f02ed201297\n"
    "6 {\"a\":1}\n"
    "0 {\"b\":\"\xc3\xa9\"}\n";

}  // namespace

TEST_CASE("a file of the spool is text") {
    CHECK(content ==
          "candor-spool 2 attempts=3 settled=00000000 named=0000000000000abc\n"
          "6 e2ab915a {\"a\":1}\n"
          "0 1281749d {\"b\":\"\xc3\xa9\"}\n"
          "- 552163dd a draft\n");
}

TEST_CASE("what was written is read") {
    const auto found = parse_spool_file(content);
    REQUIRE(found);
    CHECK(found->format == 2);
    CHECK(found->attempts == 3);
    CHECK(found->named == 0xabc);
    CHECK(found->settled == 0);
    CHECK(texts(content) == std::vector<std::string>{"{\"a\":1}", "{\"b\":\"\xc3\xa9\"}", "a draft"});
    REQUIRE(found->messages.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(found->messages[i].index == i);
        CHECK(found->messages[i].sent_at == (i == 0 ? 6 : 0));
        CHECK(found->messages[i].is_draft == (i == 2));
    }
}

TEST_CASE("what is settled is left out, and a file of which all is settled has no message") {
    const auto settled = [](char digit) {
        auto out = content;
        out[spool_settled_at + 7] = digit;
        return out;
    };
    const auto found = parse_spool_file(settled('2'));
    REQUIRE(found);
    CHECK(found->settled == 2);
    REQUIRE(found->messages.size() == 1);
    CHECK(found->messages[0].index == 2);
    CHECK(texts(settled('2')) == std::vector<std::string>{"a draft"});
    REQUIRE(parse_spool_file(settled('3')));
    CHECK(parse_spool_file(settled('3'))->messages.empty());
    CHECK_FALSE(parse_spool_file(settled('4')));  // more than there are
}

TEST_CASE("a file that is cut anywhere has the lines that are whole, and none is none") {
    const std::vector<std::string> all = texts(content);
    REQUIRE(all.size() == 3);
    for (std::size_t size = 0; size < content.size(); ++size) {
        CAPTURE(size);
        const auto cut = std::string_view{content}.substr(0, size);
        std::size_t whole = 0;
        for (std::size_t end = spool_head.size(); (end = cut.find('\n', end)) != cut.npos; ++end) ++whole;
        CHECK(texts(cut) == std::vector<std::string>{all.begin(), all.begin() + static_cast<std::ptrdiff_t>(whole)});
        CHECK(parse_spool_file(cut).has_value() == (whole > 0));
        CHECK(texts(std::string{cut} + "!\n").size() == whole);
    }
    CHECK(texts(content + "6 e2ab915a {\"a\"").size() == 3);
}

TEST_CASE("a line of which any bit was changed is left out, and the others are read") {
    for (std::size_t at = spool_head.size(); at < content.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            auto changed = content;
            changed[at] = static_cast<char>(changed[at] ^ 1 << bit);
            CAPTURE(at);
            CAPTURE(bit);
            const auto found = texts(changed);
            CHECK(found.size() == (content[at] == '\n' && at + 1 < content.size() ? 1 : 2));
            for (const auto& one : found) CHECK(content.find(one) != content.npos);
        }
    }
}

TEST_CASE("a file of which no line is as it was written, or the head is not, is not read") {
    auto changed = content;
    for (const auto& one : texts(content)) changed[changed.find(one)] = '!';
    CHECK_FALSE(parse_spool_file(changed));
    for (std::size_t at = 0; at < spool_head.size(); ++at) {
        auto damaged = content;
        damaged[at] = 'X';
        CAPTURE(at);
        CHECK_FALSE(parse_spool_file(damaged));
    }
    CHECK_FALSE(parse_spool_file(spool_head));
}

TEST_CASE("a time of sending beyond its message is not read, whatever the checksum says") {
    std::string beyond;
    append_spool_line(beyond, "{\"a\":1}", 8);
    CHECK_FALSE(parse_spool_file(make_spool_file(beyond)));
}

TEST_CASE("a file of release 0.1 is read where every byte is as it was written, but for the attempts") {
    const auto found = parse_spool_file(format_1);
    REQUIRE(found);
    CHECK(found->format == 1);
    CHECK(found->attempts == 3);
    CHECK(found->messages[1].index == 1);
    CHECK(texts(format_1) == std::vector<std::string>{"{\"a\":1}", "{\"b\":\"\xc3\xa9\"}"});
    for (std::size_t at = 0; at < format_1.size(); ++at) {
        CAPTURE(at);
        CHECK_FALSE(parse_spool_file(std::string_view{format_1}.substr(0, at)));
        for (int bit = 0; bit < 8; ++bit) {
            auto changed = format_1;
            changed[at] = static_cast<char>(changed[at] ^ 1 << bit);
            const bool is_attempts = at == spool_attempts_at && changed[at] >= '0' && changed[at] <= '9';
            CAPTURE(bit);
            CHECK(parse_spool_file(changed).has_value() == is_attempts);
        }
    }
    CHECK_FALSE(parse_spool_file(format_1 + "x"));
    CHECK_FALSE(parse_spool_file(format_1 + "\n"));
}

}  // namespace format_test
