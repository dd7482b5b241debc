#include <candor/delivery/worker_signal.hpp>

#include <thread>

#include <doctest/doctest.h>
#include <candor/testing.hpp>

namespace worker_signal_test {

namespace {

using namespace std::chrono_literals;
using candor::steady_time;
using candor::detail::clock_adapter;
using candor::detail::worker_signal;
using candor::testing::manual_clock;

}  // namespace

TEST_CASE("a worker that idles is woken, and who waits for it does not let time pass meanwhile") {
    manual_clock clock;
    clock_adapter lent{clock};
    std::mutex mutex;
    worker_signal signal{lent};
    bool woken = false;
    std::thread worker{[&] {
        std::unique_lock lock{mutex};
        signal.idle(lock, steady_time{1h});
        woken = true;
        signal.announce();
    }};
    REQUIRE(clock.wait_for_idle());
    {
        std::unique_lock lock{mutex};
        CHECK(signal.oversleeps(steady_time{59min}));
        CHECK_FALSE(signal.oversleeps(steady_time{1h}));
        signal.wake();
        CHECK(signal.is_coming());
        CHECK_FALSE(signal.oversleeps(steady_time{}));
        while (!woken) signal.await(lock, steady_time{2h});
        CHECK_FALSE(signal.is_coming());
    }
    worker.join();
    CHECK(clock.now() == steady_time{});
}

TEST_CASE("waking gives up the lock only where somebody idles") {
    manual_clock clock;
    clock_adapter lent{clock};
    std::mutex mutex;
    worker_signal signal{lent};
    std::unique_lock lock{mutex};
    signal.wake(lock);
    CHECK(lock.owns_lock());
    CHECK_FALSE(signal.is_coming());
    CHECK_FALSE(signal.oversleeps(steady_time{}));
}

}  // namespace worker_signal_test
