#include <candor/delivery/queue.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace queue_test {

using candor::detail::record_queue;

namespace {

void push(record_queue& queue, std::string_view a, std::string_view b = {}) {
    queue.push(std::array{a, b}, a.size() + b.size());
}

std::vector<std::string> records(const record_queue& queue) {
    std::vector<std::string> out;
    auto at = queue.begin();
    for (auto run = queue.run_at(at); !run.empty(); run = queue.run_at(at)) {
        at.offset += run.size();
        while (!run.empty()) out.emplace_back(record_queue::pop_record(run));
    }
    return out;
}

}  // namespace

TEST_CASE("records come out whole and in order, whatever their sizes") {
    record_queue queue;
    std::vector<std::string> expected;
    std::size_t bytes = 0;
    for (const std::size_t size : {0u, 1u, 3u, 60'000u, 4000u, 65'532u, 65'533u, 1'000'000u, 2u, 65'536u}) {
        expected.push_back(std::string(size, static_cast<char>('a' + expected.size())));
        bytes += size;
        push(queue, std::string_view{expected.back()}.substr(0, size / 2),
             std::string_view{expected.back()}.substr(size / 2));
    }
    CHECK(records(queue) == expected);
    for (const std::size_t count : {3u, 1u, 2u}) {
        for (std::size_t i = 0; i < count; ++i) bytes -= expected[i].size();
        queue.take(count);
        expected.erase(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(count));
        CHECK(records(queue) == expected);
    }
    CHECK(queue.take(expected.size()) == bytes);
    CHECK(records(queue).empty());
}

TEST_CASE("what has been read stays where it is until it is taken") {
    record_queue queue;
    push(queue, "first");
    auto at = queue.begin();
    auto run = queue.run_at(at);
    const auto first = record_queue::pop_record(run);
    for (int i = 0; i < 10'000; ++i) push(queue, "one of those that come meanwhile");
    CHECK(first == "first");
    CHECK(records(queue).size() == 10'001);
}

TEST_CASE("an emptied block is used again") {
    record_queue queue;
    queue.keep_spares(1);
    const auto where = [&] {
        auto at = queue.begin();
        return queue.run_at(at).data();
    };
    push(queue, "first");
    const char* const first = where();
    queue.take(1);
    push(queue, "again");
    CHECK(where() == first);
    push(queue, std::string(record_queue::block_size - 4, 'x'));  // a block by itself
    queue.take(2);
    push(queue, "once more");
    CHECK(records(queue) == std::vector<std::string>{"once more"});
}

TEST_CASE("a queue that was moved from is empty") {
    record_queue queue;
    push(queue, "a");
    const record_queue other{std::move(queue)};
    CHECK(records(other).size() == 1);
    CHECK(records(queue).empty());
    push(queue, "b");
    CHECK(records(queue).size() == 1);
}

}  // namespace queue_test
