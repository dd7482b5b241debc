#include <candor/delivery/queue.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace queue_test {

using candor::detail::record_block;
using candor::detail::record_queue;

namespace {

void push(record_queue& queue, std::string_view a, std::string_view b = {}) {
    queue.push(std::array{a, b}, a.size() + b.size());
}

}  // namespace

TEST_CASE("records come out whole and in order, whatever their sizes") {
    record_queue queue;
    std::vector<std::string> expected;
    for (const std::size_t size : {0u, 1u, 3u, 60'000u, 4000u, 65'532u, 65'533u, 1'000'000u, 2u, 65'536u}) {
        expected.push_back(std::string(size, static_cast<char>('a' + expected.size())));
        push(queue, std::string_view{expected.back()}.substr(0, size / 2),
             std::string_view{expected.back()}.substr(size / 2));
    }
    std::vector<std::string> got;
    while (!queue.empty()) {
        record_block block = queue.take();
        for (; !block.empty(); block.pop()) got.emplace_back(block.front());
        queue.recycle(std::move(block));
    }
    CHECK(got == expected);
}

TEST_CASE("a block of no capacity is empty and takes nothing") {
    const record_block block;
    CHECK(block.empty());
    CHECK_FALSE(block.fits(0));
}

TEST_CASE("an emptied block of the usual size is used again, and none is kept beyond the spares") {
    record_queue queue;
    queue.keep_spares(1);
    push(queue, "first");
    record_block block = queue.take();
    const char* where = block.front().data();
    queue.recycle(std::move(block));
    push(queue, "again");
    block = queue.take();
    CHECK(block.front().data() == where);
    block.pop();
    CHECK(block.empty());
}

TEST_CASE("a block too large to keep is given back to the system") {
    record_queue queue;
    queue.keep_spares(4);
    push(queue, std::string(200'000, 'x'));
    record_block block = queue.take();
    CHECK_FALSE(block.is_usual());
    queue.recycle(std::move(block));
    push(queue, "small");
    CHECK(queue.take().is_usual());
}

}  // namespace queue_test
