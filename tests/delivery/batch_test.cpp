#include <candor/delivery/batch.hpp>

#include <string>

#include <doctest/doctest.h>

#include "line_protocol.hpp"

namespace batch_test {

namespace {

using candor::drop_reason;
using candor::detail::batch;

struct filled {
    explicit filled(candor::delivery_options chosen = {}) : limits{chosen} { b.reserve(10); }
    batch::addition add(std::string_view record) { return b.add(protocol, record, {}, limits); }

    candor::delivery_options limits;
    candor::tests::line_protocol protocol;
    batch b;
};

}  // namespace

TEST_CASE("messages are sent whole, in order") {
    filled f;
    for (const auto* text : {"a", "b", "c"}) CHECK_FALSE(f.add(text).dropped);
    CHECK(f.b.size() == 3);
    f.b.send_whole();
    const auto range = f.b.next();
    CHECK(range.messages.size() == 3);
    CHECK(range.text(range.messages[2]) == "c");
    CHECK(range.messages[2].record_size == 1);
    f.b.pop();
    CHECK(f.b.is_settled());
}

TEST_CASE("halves come one after the other, the first one first") {
    filled f;
    for (const auto* text : {"a", "b", "c", "d", "e"}) f.add(text);
    f.b.send_whole();
    f.b.split();
    CHECK(f.b.next().messages.size() == 2);
    f.b.split();
    CHECK(f.b.next().text(f.b.next().messages[0]) == "a");
    f.b.pop();
    CHECK(f.b.next().text(f.b.next().messages[0]) == "b");
    f.b.pop();
    CHECK(f.b.next().messages.size() == 3);
}

TEST_CASE("an empty batch has nothing to send") {
    filled f;
    f.b.send_whole();
    CHECK(f.b.is_settled());
}

TEST_CASE("a record that becomes no message leaves no trace, and says why") {
    filled f{{.message_bytes = 100}};
    f.add("a");
    CHECK(f.add("internal").dropped == drop_reason::internal);
    CHECK(f.add("throw").dropped == drop_reason::failed);
    const auto grown = f.add("grow");
    CHECK(grown.dropped == drop_reason::too_large);
    CHECK(grown.text.starts_with("grow+++"));
    f.add("b");
    f.b.send_whole();
    std::string body;
    f.protocol.write_body(f.b.next(), {}, body);
    CHECK(body == "a\nb\n");
}

TEST_CASE("a message that does not fit is left for the next batch; one alone always fits") {
    filled f{{.batch_bytes = 10, .message_bytes = 9}};
    CHECK(f.add("1234567").has_room);
    CHECK(f.add("1").has_room);  // 8 bytes and two line ends
    CHECK_FALSE(f.add("2").has_room);
    CHECK(f.b.size() == 2);
    f.b.clear();
    CHECK(f.add("2").has_room);
}

}  // namespace batch_test
