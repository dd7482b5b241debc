#include <candor/delivery/delivery_counters.hpp>

#include <doctest/doctest.h>

namespace delivery_counters_test {

using candor::admission;
using candor::drop_reason;
using candor::detail::delivery_counters;

TEST_CASE("messages and bytes go from waiting to pending to settled") {
    delivery_counters l;
    for (const std::size_t bytes : {10u, 20u, 30u}) l.accept(bytes);
    CHECK(l.accepted() == 3);
    CHECK(l.waiting() == 3);
    CHECK(l.waiting_bytes() == 60);
    l.take(2, 30);
    CHECK(l.waiting() == 1);
    CHECK(l.waiting_bytes() == 30);
    CHECK(l.pending() == 3);
    l.deliver(1, 10);
    l.drop(1, 20, drop_reason::rejected);
    CHECK(l.pending() == 1);
    CHECK(l.pending_bytes() == 30);
    CHECK(l.settled() == 2);

    const auto s = l.statistics();
    CHECK(s.accepted == 3);
    CHECK(s.delivered == 1);
    CHECK(s.pending == 1);
    CHECK(s.dropped[drop_reason::rejected] == 1);
    CHECK(s.accepted == s.delivered + s.pending + s.spooled + s.dropped.total());
}

TEST_CASE("what is dropped on purpose is not lost") {
    delivery_counters l;
    for (int i = 0; i < 3; ++i) l.accept(1);
    l.drop(1, 1, drop_reason::internal);
    l.drop(1, 1, drop_reason::no_account);
    CHECK(l.lost() == 0);
    l.drop(1, 1, drop_reason::too_large);
    CHECK(l.lost() == 1);
}

TEST_CASE("what is stored is settled and not delivered, and comes back outside of what was enqueued") {
    delivery_counters l;
    const auto sum = [&] {
        const auto s = l.statistics();
        CHECK(s.accepted == s.delivered + s.pending + s.spooled + s.dropped.total());
        return s;
    };
    for (int i = 0; i < 4; ++i) l.accept(1);
    l.take(4, 4);
    l.spool({4, 4});
    CHECK(l.settled() == 4);
    CHECK(l.lost() == 4);
    CHECK(sum().spooled == 4);
    l.recover(3, true);
    l.recover(5, false);
    CHECK(sum().spooled == 1);
    CHECK(sum().recovered == 5);
    CHECK(sum().pending == 8);
    CHECK(l.pending() == 0);
    l.deliver_recovered(2);
    l.drop_recovered(1, drop_reason::exhausted);
    l.put_back(2, true);
    l.put_back(3, false);
    CHECK(sum().delivered == 2);
    CHECK(sum().spooled == 3);
    CHECK(sum().recovered == 2);  // the others are somebody else's again
    CHECK(sum().pending == 0);
    l.drop_spooled(drop_reason::revoked);
    CHECK(sum().dropped[drop_reason::revoked] == 3);
    CHECK(l.settled() == 4);
}

TEST_CASE("what is certain counts when the program has been told, or when nobody will tell it any more") {
    for (const bool is_told : {true, false}) {
        CAPTURE(is_told);
        delivery_counters l;
        for (int i = 0; i < 3; ++i) l.accept(1);
        l.take(3, 3);
        l.recover(5, false);
        const auto end = [&] { is_told ? l.settle_expected() : l.abandon(0, 0, drop_reason::shutdown); };
        l.expect({.count = 2, .bytes = 2});
        CHECK(l.settled() == 0);
        end();
        CHECK(l.statistics().delivered == 2);
        CHECK(l.statistics().dropped[drop_reason::shutdown] == (is_told ? 0 : 1));
        l.recover(5, false);
        l.expect({.count = 4, .is_recovered = true, .dropped = drop_reason::rejected});
        end();
        end();  // no more than once
        const auto s = l.statistics();
        CHECK(s.dropped[drop_reason::rejected] == 4);
        CHECK(s.spooled == 0);
        CHECK(s.recovered == (is_told ? 10 : 4));
        CHECK(s.accepted == s.delivered + s.pending + s.spooled + s.dropped.total());
    }
}

TEST_CASE("of what is abandoned, what has a copy on disk is stored, and what was taken up is its own run's again") {
    delivery_counters l;
    for (int i = 0; i < 5; ++i) l.accept(1);
    l.take(5, 5);
    l.spool({2, 2});
    l.recover(2, true);
    l.recover(4, false);
    l.abandon(2, 2, drop_reason::shutdown);
    const auto s = l.statistics();
    CHECK(s.spooled == 4);
    CHECK(s.recovered == 0);
    CHECK(s.pending == 0);
    CHECK(s.dropped[drop_reason::shutdown] == 1);
    CHECK(s.accepted == s.delivered + s.pending + s.spooled + s.dropped.total());
}

TEST_CASE("a refusal is counted outside the sum, and handed through") {
    delivery_counters l;
    CHECK(l.refuse(admission::full) == admission::full);
    CHECK(l.statistics().refused[admission::full] == 1);
    CHECK(l.statistics().accepted == 0);
}

}  // namespace delivery_counters_test
