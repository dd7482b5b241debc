#include <candor/rudderstack/nodes.hpp>

#include <cstdint>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

namespace nodes_test {

using namespace candor::rudderstack::detail;

TEST_CASE("the checksum is that of IEEE 802.3, of parts too") {
    CHECK(crc32_ieee("") == 0);
    CHECK(crc32_ieee("123456789") == 0xcbf43926);
    CHECK(crc32_ieee("6789", crc32_ieee("12345")) == 0xcbf43926);
    CHECK(crc32_ieee("The quick brown fox jumps over the lazy dog") == 0x414fa339);
    CHECK(crc32_ieee("\xff") == 0xff000000);
}

TEST_CASE("a message is for the node that its ids say, escaped or not") {
    struct example {
        const char* message;
        std::uint32_t of_2, of_3, of_7, of_65536;  // by zlib's crc32 of the plain ids with a colon between
    };
    for (const auto& e : {
             example{R"({"type":"track","messageId":"m","anonymousId":"0f8fad5b-d9cb-469f-a165-70867728950e",)"
                     R"("userId":"u1","event":"e","properties":{"userId":"not this"}})",
                     1, 2, 1, 11305},
             example{R"({"type":"page","messageId":"m","anonymousId":"a","context":{}})", 0, 1, 5, 40264},
             example{R"({"type":"alias","messageId":"m","userId":"u","previousId":"p"})", 0, 1, 4, 18174},
             example{R"({"type":"group","messageId":"\"","anonymousId":"b","userId":"a\"\\\/\n"})", 1, 2, 6, 64107},
             example{"{\"type\":\"track\",\"messageId\":\"m\",\"anonymousId\":\"\\u0007\","
                     "\"userId\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"}",
                     1, 1, 1, 62255},
             example{R"({"type":"track","messageId":"m","anonymousId":"\u0007","userId":"\u00e4\u20ac\ud83d\ude00"})",
                     1, 1, 1, 62255},
         }) {
        CAPTURE(e.message);
        CHECK(node_of(e.message, 1) == 0);
        CHECK(node_of(e.message, 2) == e.of_2);
        CHECK(node_of(e.message, 3) == e.of_3);
        CHECK(node_of(e.message, 7) == e.of_7);
        CHECK(node_of(e.message, 65536) == e.of_65536);
    }
}

TEST_CASE("a message that is cut anywhere is for some node") {
    const std::string whole =
        R"({"type":"track","messageId":"m\\","anonymousId":"\ud83d\ude00","userId":"\"u","event":"e"})";
    for (std::size_t size = 0; size <= whole.size(); ++size) CHECK(node_of(whole.substr(0, size), 7) < 7);
    for (const char* odd : {"[]", "{", "{\"", R"({"userId")", R"({"userId":)", R"({"userId":1})", R"({"userId":"\x"})",
                            R"({"userId":"\ud800"})", "{\"userId\":\"\xff\"}"})
        CHECK(node_of(odd, 7) < 7);
}

TEST_CASE("the number of nodes is a positive one that can be") {
    CHECK(node_count(R"({"nodeCount":1})") == 1);
    CHECK(node_count(R"( {"version":[], "nodeCount" : 65536 } )") == 65536);
    for (const char* other :
         {"", "3", "[]", "null", "{}", R"({"nodeCount":0})", R"({"nodeCount":-1})", R"({"nodeCount":65537})",
          R"({"nodeCount":1.5})", R"({"nodeCount":"3"})", R"({"nodeCount":null})", R"({"nodeCount":[3]})",
          R"({"nodeCount":18446744073709551616})", R"({"nodecount":3})", R"({"nodeCount":3)", "<html>"}) {
        CAPTURE(other);
        CHECK_FALSE(node_count(other));
    }
    CHECK_FALSE(node_count(std::string(60'000, '[')));
}

}  // namespace nodes_test
