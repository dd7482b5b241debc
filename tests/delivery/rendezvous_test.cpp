#include <candor/delivery/rendezvous.hpp>

#include <thread>

#include <doctest/doctest.h>
#include <candor/testing.hpp>

namespace rendezvous_test {

namespace {

using namespace std::chrono_literals;
using candor::steady_time;
using candor::testing::manual_clock;
using rendezvous = candor::detail::rendezvous<manual_clock>;

}  // namespace

TEST_CASE("a worker that idles is woken, and who waits for it does not let time pass meanwhile") {
    manual_clock clock;
    rendezvous meeting{clock};
    bool woken = false;
    std::thread worker{[&] {
        std::unique_lock lock{meeting.mutex};
        meeting.idle(lock, steady_time{1h});
        woken = true;
        meeting.announce();
    }};
    REQUIRE(clock.wait_for_idle());
    {
        std::unique_lock lock{meeting.mutex};
        CHECK(meeting.oversleeps(steady_time{59min}));
        CHECK_FALSE(meeting.oversleeps(steady_time{1h}));
        meeting.wake();
        CHECK(meeting.is_coming());
        CHECK_FALSE(meeting.oversleeps(steady_time{}));
        while (!woken) meeting.await(lock, steady_time{2h});
        CHECK_FALSE(meeting.is_coming());
    }
    worker.join();
    CHECK(clock.now() == steady_time{});
}

TEST_CASE("waking gives up the lock only where somebody idles") {
    manual_clock clock;
    rendezvous meeting{clock};
    std::unique_lock lock{meeting.mutex};
    meeting.wake(lock);
    CHECK(lock.owns_lock());
    CHECK_FALSE(meeting.is_coming());
    CHECK_FALSE(meeting.oversleeps(steady_time{}));
}

}  // namespace rendezvous_test
