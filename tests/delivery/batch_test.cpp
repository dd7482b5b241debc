#include <candor/delivery/batch.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "line_protocol.hpp"

namespace batch_test {

namespace {

using candor::drop_reason;
using candor::detail::batch;

struct filled {
    explicit filled(candor::delivery_options chosen = {}) : limits{chosen} { b.reserve(10); }
    batch::addition add(std::string_view record) { return b.add(protocol, record, next++, {}, limits); }

    candor::delivery_options limits;
    candor::tests::line_protocol protocol;
    batch b;
    std::uint32_t next = 0;
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
    CHECK(range.messages[2].index == 2);
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

TEST_CASE("a request carries no more than it may, in messages and in bytes") {
    filled f;
    for (const auto* text : {"a", "b", "c", "d", "e"}) f.add(text);
    f.b.send_whole();
    f.b.fit(f.protocol, {.messages = 2, .bytes = 100});
    CHECK(f.b.next().messages.size() == 2);
    f.b.pop();
    f.b.fit(f.protocol, {.messages = 100, .bytes = 5});  // a line of a byte and its end, and no third one
    CHECK(f.b.next().messages.size() == 2);
    CHECK(f.b.next().text(f.b.next().messages[0]) == "c");
    f.b.pop();
    f.b.fit(f.protocol, {.messages = 1, .bytes = 1});  // one is always sent
    CHECK(f.b.next().messages.size() == 1);
    f.b.pop();
    CHECK(f.b.is_settled());
}

TEST_CASE("how far a batch is settled, and what is in a row") {
    filled f;
    for (const auto* text : {"a", "b", "internal", "c", "d"}) f.add(text);
    f.b.send_whole();
    CHECK(f.b.first_unsettled() == 0);
    CHECK(f.b.row_from(0).messages.size() == 2);
    CHECK(f.b.row_from(2).messages.empty());
    CHECK(f.b.row_from(3).messages.size() == 2);
    CHECK(f.b.row_from(5).messages.empty());
    f.b.split();
    f.b.pop();
    CHECK(f.b.first_unsettled() == 3);
    CHECK(f.b.drop_before(4).messages == 1);
    CHECK(f.b.first_unsettled() == 4);
    CHECK(f.b.drop_before(9).bytes == 1);
    CHECK_FALSE(f.b.first_unsettled().has_value());
}

TEST_CASE("records that go to several places are sent place by place, and counted one by one") {
    filled f;
    for (const auto* text : {"1", "0", "4", "3", "2"}) f.add(text);
    f.b.send_whole();
    f.b.group(f.protocol);
    CHECK(f.b.next().messages.size() == 5);  // there is one place
    f.protocol.set_places(3);
    f.b.group(f.protocol);
    const auto next = [&] {
        std::string out;
        for (const auto& m : f.b.next().messages) out += f.b.next().text(m);
        return out;
    };
    CHECK(next() == "03");
    CHECK(f.b.first_unsettled() == 0);
    f.b.pop();
    CHECK(next() == "14");
    f.b.split();
    f.b.pop();
    CHECK(f.b.first_unsettled() == 2);
    f.protocol.set_places(2);
    f.b.group(f.protocol);
    CHECK(next() == "42");
    CHECK(f.b.drop_before(3).messages == 1);
    CHECK(next() == "2");
    f.b.pop();
    CHECK(f.b.is_settled());
}

TEST_CASE("a request that is sent in the order of its messages ends where another place begins") {
    filled f;
    for (const auto* text : {"0", "2", "1", "3", "4"}) f.add(text);
    f.b.send_whole();
    f.protocol.set_places(2);
    std::vector<std::size_t> sizes;
    for (; !f.b.is_settled(); f.b.pop()) {
        f.b.fit(f.protocol, {.messages = 10, .bytes = 1000});
        sizes.push_back(f.b.next().messages.size());
    }
    CHECK(sizes == std::vector<std::size_t>{2, 2, 1});
}

}  // namespace batch_test
