#include <candor/delivery/statistics.hpp>

#include <set>
#include <string_view>

#include <doctest/doctest.h>

namespace statistics_test {

TEST_CASE("every reason has a name of its own and a count of its own") {
    candor::statistics s;
    std::set<std::string_view> names;
    for (const auto& [reason, count] : s.dropped) {
        CHECK(count == 0);
        names.insert(to_string(reason));
        s.dropped[reason] += 2;
    }
    CHECK(names.size() == candor::detail::drop_reason_count);
    CHECK(s.dropped.total() == 2 * candor::detail::drop_reason_count);

    names.clear();
    for (const auto& [answer, count] : s.refused) names.insert(to_string(answer));
    CHECK(names.size() == candor::detail::admission_count);
    CHECK(to_string(candor::admission::out_of_memory) == "out_of_memory");
    CHECK(to_string(candor::drop_reason::failed) == "failed");
}

TEST_CASE("statistics of several destinations add up") {
    candor::statistics a, b;
    a.accepted = 3;
    a.dropped[candor::drop_reason::internal] = 1;
    b.accepted = 4;
    b.delivered = 2;
    b.pending = 1;
    b.recovered = 1;
    b.spooled = 1;
    b.dropped[candor::drop_reason::internal] = 5;
    b.refused[candor::admission::full] = 6;
    a += b;
    CHECK(a.accepted == 7);
    CHECK(a.delivered == 2);
    CHECK(a.pending == 1);
    CHECK(a.spooled == 1);
    CHECK(a.recovered == 1);
    CHECK(a.dropped[candor::drop_reason::internal] == 6);
    CHECK(a.refused[candor::admission::full] == 6);
}

}  // namespace statistics_test
