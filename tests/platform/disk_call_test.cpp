#include <candor/platform/disk_call.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include <support/becomes_true.hpp>
#include <support/stopwatch.hpp>

#include <doctest/doctest.h>

namespace disk_call_test {

using namespace std::chrono_literals;
using candor::detail::use_disk;

TEST_CASE("what the disk is used for has happened on another thread when use_disk returns true") {
    std::thread::id used;
    CHECK(use_disk(true, [&, own = std::make_unique<int>(1)]() noexcept { used = std::this_thread::get_id(); }));
    CHECK(used != std::thread::id{});
    CHECK(used != std::this_thread::get_id());
}

TEST_CASE("a disk that does not answer holds nobody, and what was wanted of it happens when it does") {
    struct disk {
        std::mutex mutex;
        std::condition_variable changed;
        bool answers = false;
        std::atomic<int> used = 0;
    };
    const auto there = std::make_shared<disk>();
    const candor::testing::stopwatch watch;
    const auto use = [there]() noexcept {
        std::unique_lock lock{there->mutex};
        there->changed.wait(lock, [&] { return there->answers; });
        ++there->used;
    };
    CHECK_FALSE(use_disk(true, use));
    CHECK(watch.elapsed() >= candor::detail::disk_time);
    CHECK_FALSE(use_disk(false, use));
    CHECK(watch.elapsed() < candor::testing::slack);
    CHECK(there->used == 0);
    {
        const std::lock_guard guard{there->mutex};
        there->answers = true;
        there->changed.notify_all();
    }
    CHECK(becomes_true([&] { return there->used == 2 && there.use_count() == 2; }));
}

}  // namespace disk_call_test
