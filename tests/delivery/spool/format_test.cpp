#include <candor/delivery/spool/format.hpp>

#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

namespace format_test {

namespace {

using namespace candor::detail;

const std::string text = "{\"a\":1}{\"b\":\"\xc3\xa9\"}";
const std::vector<message> two{{.offset = 0, .size = 7, .sent_at = 6}, {.offset = 7, .size = 10, .sent_at = 0}};

const std::string content = make_spool_file({text, two}, 3);

}  // namespace

TEST_CASE("a file of the spool is text") {
    CHECK(content ==
          "candor-spool 1 attempts=3 messages=00000002 checksum=761b4f02ed201297\n"
          "6 {\"a\":1}\n"
          "0 {\"b\":\"\xc3\xa9\"}\n");
}

TEST_CASE("what was written is read") {
    const auto found = parse_spool_file(content);
    REQUIRE(found);
    CHECK(found->attempts == 3);
    REQUIRE(found->messages.size() == 2);
    const message_range range{content, found->messages};
    CHECK(range.text(found->messages[0]) == "{\"a\":1}");
    CHECK(found->messages[0].sent_at == 6);
    CHECK(range.text(found->messages[1]) == "{\"b\":\"\xc3\xa9\"}");
    CHECK(found->messages[1].sent_at == 0);
}

TEST_CASE("a file that is cut anywhere, or has a byte more, is not read") {
    for (std::size_t size = 0; size < content.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(parse_spool_file(std::string_view{content}.substr(0, size)));
    }
    CHECK_FALSE(parse_spool_file(content + "x"));
    CHECK_FALSE(parse_spool_file(content + "\n"));
}

TEST_CASE("a file of which any byte was changed is not read, but for the attempts") {
    for (std::size_t at = 0; at < content.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            auto changed = content;
            changed[at] = static_cast<char>(changed[at] ^ 1 << bit);
            const bool is_attempts = at == spool_magic.size() && changed[at] >= '0' && changed[at] <= '9';
            CAPTURE(at);
            CAPTURE(bit);
            CHECK(parse_spool_file(changed).has_value() == is_attempts);
        }
    }
}

TEST_CASE("a time of sending beyond its message is not read, whatever the checksum says") {
    const std::vector<message> beyond{{.offset = 0, .size = 7, .sent_at = 8}};
    CHECK_FALSE(parse_spool_file(make_spool_file({text, beyond}, 0)));
}

TEST_CASE("a name says whose it is, and nothing else is a name") {
    const spool_name name{.protocol = "rudderstack",
                          .destination = 0xfedcba9876543210,
                          .created = 1'767'323'045'123,
                          .writer = 1,
                          .serial = 2,
                          .messages = 250};
    const auto told = name.text();
    CHECK(told == "rudderstack-fedcba9876543210-019b7ca98d03-0000000000000001-00000002-000000fa.spool");
    const auto found = spool_name::parse(told);
    REQUIRE(found);
    CHECK(found->text() == told);
    CHECK(found->created == name.created);
    CHECK(found->messages == 250);
    for (const std::string& other :
         {std::string{}, "." + told, told + ".damaged", "x" + told.substr(11) + "/", "Rudderstack" + told.substr(11),
          told.substr(11), "crash-" + told, told.substr(0, 40), std::string(200, 'a'), "a-" + std::string(80, '0')}) {
        CAPTURE(other);
        CHECK_FALSE(spool_name::parse(other));
    }
}

}  // namespace format_test
