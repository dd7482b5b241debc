#include <candor/policy/clock.hpp>

#include <chrono>
#include <concepts>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <type_traits>

#include <doctest/doctest.h>

namespace clock_test {

namespace {

using lock_t = std::unique_lock<std::mutex>;
using candor::steady_time;
using candor::wall_time;
using condition = std::condition_variable;

// The smallest clock there is, and the same with one defect each.
struct minimal {
    steady_time now() noexcept { return {}; }
    wall_time wall_now() noexcept { return {}; }
    void idle_until(lock_t&, condition&, steady_time) {}
    void wait_until(lock_t&, condition&, steady_time) {}
};
static_assert(candor::clock<minimal>);
static_assert(candor::clock<candor::system_clock>);

struct without_now {
    wall_time wall_now() noexcept { return {}; }
    void idle_until(lock_t&, condition&, steady_time) {}
    void wait_until(lock_t&, condition&, steady_time) {}
};
static_assert(!candor::clock<without_now>);

struct now_throws : minimal {
    steady_time now() { return {}; }
};
static_assert(!candor::clock<now_throws>);

struct now_is_calendar_time : minimal {
    wall_time now() noexcept { return {}; }
};
static_assert(!candor::clock<now_is_calendar_time>);

struct without_wall_now {
    steady_time now() noexcept { return {}; }
    void idle_until(lock_t&, condition&, steady_time) {}
    void wait_until(lock_t&, condition&, steady_time) {}
};
static_assert(!candor::clock<without_wall_now>);

struct wall_now_throws : minimal {
    wall_time wall_now() { return {}; }
};
static_assert(!candor::clock<wall_now_throws>);

struct wall_now_in_whole_seconds : minimal {
    std::chrono::sys_seconds wall_now() noexcept { return {}; }
};
static_assert(!candor::clock<wall_now_in_whole_seconds>);

struct without_idle {
    steady_time now() noexcept { return {}; }
    wall_time wall_now() noexcept { return {}; }
    void wait_until(lock_t&, condition&, steady_time) {}
};
static_assert(!candor::clock<without_idle>);

struct without_wait {
    steady_time now() noexcept { return {}; }
    wall_time wall_now() noexcept { return {}; }
    void idle_until(lock_t&, condition&, steady_time) {}
};
static_assert(!candor::clock<without_wait>);

struct waits_for_a_duration : minimal {
    void wait_until(lock_t&, condition&, std::chrono::nanoseconds) {}
};
static_assert(!candor::clock<waits_for_a_duration>);

static_assert(!candor::clock<std::chrono::steady_clock>);
static_assert(!candor::clock<int>);

}  // namespace

TEST_CASE("the system clock is stateless and costs an owner no memory worth naming") {
    CHECK(std::is_empty_v<candor::system_clock>);
    CHECK(std::is_nothrow_default_constructible_v<candor::system_clock>);
}

TEST_CASE("the system clock's now is the steady clock's") {
    const candor::system_clock clock;
    const auto before = std::chrono::steady_clock::now();
    const auto now = clock.now();
    CHECK(before <= now);
    CHECK(now <= std::chrono::steady_clock::now());
}

TEST_CASE("the system clock's calendar is the system's, in nanoseconds") {
    const candor::system_clock clock;
    const auto before = std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
    const auto now = clock.wall_now();
    CHECK(std::same_as<decltype(now)::duration, std::chrono::nanoseconds>);
    CHECK(before - std::chrono::seconds{60} <= now);  // a time server may step it back meanwhile
    CHECK(now <= before + std::chrono::seconds{60});
}

TEST_CASE("a wait of the system clock ends at its deadline, with the lock held again") {
    const candor::system_clock clock;
    std::mutex mutex;
    condition changed;
    lock_t lock{mutex};

    const auto deadline = clock.now() + std::chrono::milliseconds{5};
    while (clock.now() < deadline) clock.idle_until(lock, changed, deadline);
    CHECK(lock.owns_lock());

    const auto second = clock.now() + std::chrono::milliseconds{5};
    while (clock.now() < second) clock.wait_until(lock, changed, second);
    CHECK(lock.owns_lock());
}

TEST_CASE("a wait of the system clock for a moment that is past returns") {
    const candor::system_clock clock;
    std::mutex mutex;
    condition changed;
    lock_t lock{mutex};
    clock.idle_until(lock, changed, clock.now() - std::chrono::seconds{1});
    clock.wait_until(lock, changed, steady_time::min());
    CHECK(lock.owns_lock());
}

TEST_CASE("a wait of the system clock without a deadline ends with a notification") {
    const candor::system_clock clock;
    std::mutex mutex;
    condition changed;
    bool ready = false;
    bool seen = false;
    std::thread waiter{[&] {
        lock_t lock{mutex};
        while (!ready) clock.idle_until(lock, changed, steady_time::max());
        seen = true;
    }};
    {
        const std::lock_guard guard{mutex};
        ready = true;
    }
    changed.notify_all();
    waiter.join();
    CHECK(seen);
}

}  // namespace clock_test
