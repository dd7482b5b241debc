#include <candor/otlp/stream_aggregator.hpp>

#include <cstdint>
#include <limits>
#include <optional>

#include <doctest/doctest.h>

namespace stream_aggregator_test {

namespace {

using candor::otlp::detail::combination;
using candor::otlp::detail::saturating_add;
using candor::otlp::detail::stream_aggregator;
using outcome = stream_aggregator::outcome;

constexpr auto least = std::numeric_limits<std::int64_t>::min();
constexpr auto most = std::numeric_limits<std::int64_t>::max();

}  // namespace

TEST_CASE("a sum that does not fit stops at the end of 64 bits") {
    CHECK(saturating_add(2, 3) == 5);
    CHECK(saturating_add(most, 1) == most);
    CHECK(saturating_add(most - 1, 1) == most);
    CHECK(saturating_add(least, -1) == least);
    CHECK(saturating_add(least, most) == -1);
    CHECK(saturating_add(most, least) == -1);
    CHECK(saturating_add(least, least) == least);
    CHECK(saturating_add(most, most) == most);
}

TEST_CASE("what nobody has told is zero for a sum and unknown otherwise") {
    CHECK(stream_aggregator{combination::sum}.value() == 0);
    CHECK_FALSE(stream_aggregator{combination::earliest}.value());
    CHECK_FALSE(stream_aggregator{combination::latest}.value());
    CHECK_FALSE(stream_aggregator{combination::longest}.value());
}

TEST_CASE("within a stream the later point replaces, and an older one says nothing") {
    stream_aggregator s{combination::sum};
    CHECK(s.replace({1, 0, 10, 5}) == outcome::changed);
    CHECK(s.replace({1, 0, 20, 9}) == outcome::changed);
    CHECK(s.replace({1, 0, 15, 7}) == outcome::unchanged);
    CHECK(s.value() == 9);
    CHECK(s.replace({1, 0, 20, 8}) == outcome::changed);  // of the same moment: the last that was said
    CHECK(s.replace({1, 0, 30, 8}) == outcome::unchanged);
    CHECK(s.replace({1, 0, 25, 3}) == outcome::unchanged);  // the time of a repeated value counts
    CHECK(s.value() == 8);
    CHECK(s.value_of(1) == 8);
    CHECK_FALSE(s.value_of(2));
}

TEST_CASE("a point without a time is taken as it comes") {
    stream_aggregator s{combination::sum};
    s.replace({1, 0, 10, 5});
    CHECK(s.replace({1, 0, 0, 6}) == outcome::changed);
    CHECK(s.replace({1, 0, 9, 7}) == outcome::unchanged);
    CHECK(s.value() == 6);
}

TEST_CASE("streams are added, or the earliest, latest or longest of them is taken") {
    const auto of = [](combination how) {
        stream_aggregator s{how};
        s.replace({1, 0, 10, 50});
        s.replace({2, 0, 10, 30});
        s.replace({3, 0, 10, 40});
        s.replace({1, 0, 11, 20});
        return s.value();
    };
    CHECK(of(combination::sum) == 90);
    CHECK(of(combination::earliest) == 20);
    CHECK(of(combination::latest) == 40);
    CHECK(of(combination::longest) == 40);
}

TEST_CASE("deltas of a counter add up whoever sends them, and may go down") {
    stream_aggregator s{combination::sum};
    CHECK(s.add({1, 0, 10, 5}) == outcome::changed);
    CHECK(s.add({2, 0, 10, 7}) == outcome::changed);
    CHECK(s.add({1, 0, 5, 1}) == outcome::changed);  // late, and counts all the same
    CHECK(s.add({1, 0, 20, 0}) == outcome::unchanged);
    CHECK(s.value() == 13);
    s.add({1, 0, 30, -3});
    CHECK(s.value() == 10);
    s.replace({3, 0, 10, 100});  // beside a sender of whole values
    CHECK(s.value() == 110);
    s.add({1, 0, 40, most});
    CHECK(s.value() == most);
}

TEST_CASE("deltas of a duration add up in each stream, and the longest stream counts") {
    stream_aggregator s{combination::longest};
    s.add({1, 0, 10, 5});
    s.add({2, 0, 10, 7});
    s.add({1, 0, 20, 4});
    CHECK(s.value() == 9);
    CHECK(s.value_of(1) == 9);
    CHECK(s.value_of(2) == 7);
}

TEST_CASE("deltas of a time move it on, and one that is a time by itself is another time") {
    // A counter of end times: the first end, then how much later the next one was.
    stream_aggregator end{combination::latest};
    end.add({1, 0, 10, 1'700'000'000});
    end.add({1, 0, 20, 25});
    CHECK(end.value() == 1'700'000'025);
    end.add({1, 0, 30, 1'700'000'500});  // the next sync of the same sender
    CHECK(end.value() == 1'700'000'500);
    end.add({1, 0, 40, 1'700'000'100});
    CHECK(end.value() == 1'700'000'500);

    stream_aggregator start{combination::earliest};
    start.add({1, 0, 10, 1'700'000'100});
    start.add({1, 0, 20, 1'700'000'000});
    start.add({1, 0, 30, 1'700'000'900});
    CHECK(start.value() == 1'700'000'000);
}

TEST_CASE("a sender that starts a thousand times is counted exactly, in streams that are bounded") {
    stream_aggregator s{combination::sum};
    std::int64_t sum = 0;
    for (std::uint64_t run = 1; run <= 1000; ++run) {
        for (std::int64_t value = 1; value <= 3; ++value)
            REQUIRE(s.replace({run, run * 100, run * 100 + static_cast<std::uint64_t>(value), value}) ==
                    outcome::changed);
        sum += 3;
        REQUIRE(s.value() == sum);
    }
    CHECK_FALSE(s.value_of(1));  // is part of the base by now
    CHECK(s.value_of(1000) == 3);
    CHECK(s.value_of(1001 - stream_aggregator::max_streams) == 3);
    CHECK_FALSE(s.value_of(1000 - stream_aggregator::max_streams));
}

TEST_CASE("of too many senders at one time the last are refused: none is counted twice") {
    stream_aggregator s{combination::sum};
    const auto count = static_cast<std::int64_t>(stream_aggregator::max_streams);
    for (std::uint64_t round = 1; round <= 3; ++round) {
        for (std::uint64_t id = 1; id <= stream_aggregator::max_streams; ++id)
            CHECK(s.replace({id, 100, 1000 * round, static_cast<std::int64_t>(round)}) == outcome::changed);
        CHECK(s.replace({1000, 100, 1000 * round, 1}) == outcome::full);
        CHECK(s.replace({1001, 0, 1000 * round, 1}) == outcome::full);  // does not know when it began
        CHECK(s.value() == count * static_cast<std::int64_t>(round));
    }
    // One that began after the oldest was last heard from takes its place, and that one does not come back.
    CHECK(s.replace({1002, 3000, 4000, 10}) == outcome::changed);
    CHECK(s.value() == count * 3 + 10);
    CHECK(s.replace({1003, 2999, 4000, 1}) == outcome::full);
    int refused = 0;
    for (std::uint64_t id = 1; id <= stream_aggregator::max_streams; ++id)
        refused += s.replace({id, 100, 5000, 3}) == outcome::full ? 1 : 0;
    CHECK(refused == 1);
    CHECK(s.value() == count * 3 + 10);
}

TEST_CASE("what is in the base is not taken again, also where senders do not know the time") {
    stream_aggregator s{combination::sum};
    for (std::uint64_t id = 1; id <= stream_aggregator::max_streams; ++id) s.replace({id, 100, 1000, 1});
    CHECK(s.replace({1001, 1000, 0, 1}) == outcome::changed);  // in the place of one that was last heard from at 1000
    CHECK(s.replace({1002, 999, 0, 1}) == outcome::full);
    CHECK(s.value() == static_cast<std::int64_t>(stream_aggregator::max_streams) + 1);
}

TEST_CASE("times and durations take any number of senders") {
    stream_aggregator longest{combination::longest}, earliest{combination::earliest};
    for (std::uint64_t id = 1; id <= 1000; ++id) {
        CHECK(longest.replace({id, 0, 1, static_cast<std::int64_t>(id % 500)}) == outcome::changed);
        earliest.replace({id, 0, 1, static_cast<std::int64_t>(2000 - id % 500)});
    }
    CHECK(longest.value() == 499);
    CHECK(earliest.value() == 1501);
}

}  // namespace stream_aggregator_test
