#ifndef CANDOR_PLATFORM_DISK_CALL_HPP
#define CANDOR_PLATFORM_DISK_CALL_HPP

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

#include <candor/platform/inside.hpp>
#include <candor/platform/thread.hpp>

namespace candor::detail {

/// How long whoever ends something waits for a disk.
inline constexpr std::chrono::milliseconds disk_time{100};

/// Uses the disk on a thread that owns all that `use` has, and waits for that: for at most `disk_time`, or not at all
/// where it is known that the disk does not answer. False where it goes on there: it ends when the disk answers, or
/// with the process. Where there is no thread to be had, the disk is used on this one. `use` throws nothing.
template <class Use>
bool use_disk(bool does_answer, Use use) noexcept {
    struct shared {
        explicit shared(Use& given) : use{std::move(given)} {}
        Use use;
        std::mutex mutex;
        std::condition_variable ended;
        bool has_ended = false;
    };
    const inside library;
    std::shared_ptr<shared> mine;
    worker_thread thread;
    try {
        mine = std::make_shared<shared>(use);
        thread = start_worker_thread("candor-disk", [mine] {
            mine->use();
            const std::lock_guard guard{mine->mutex};
            mine->has_ended = true;
            mine->ended.notify_all();
        });
    } catch (...) {
        mine ? mine->use() : use();
        return true;
    }
    std::unique_lock lock{mine->mutex};
    const bool out = does_answer && mine->ended.wait_for(lock, disk_time, [&] { return mine->has_ended; });
    lock.unlock();
    out ? thread.join() : thread.detach();
    return out;
}

}  // namespace candor::detail

#endif
