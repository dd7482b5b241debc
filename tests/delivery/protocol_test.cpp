#include <candor/delivery/protocol.hpp>

#include <doctest/doctest.h>

namespace protocol_test {

TEST_CASE("a range gives the text of each of its messages, and what they counted as") {
    const candor::detail::message messages[] = {{.offset = 0, .size = 2, .record_size = 10},
                                                {.offset = 2, .size = 3, .record_size = 20}};
    const candor::detail::message_range range{"abcde", messages};
    CHECK(range.text(messages[0]) == "ab");
    CHECK(range.text(messages[1]) == "cde");
    CHECK(range.count().bytes == 30);
}

}  // namespace protocol_test
