#ifndef CANDOR_DELIVERY_RENDEZVOUS_HPP
#define CANDOR_DELIVERY_RENDEZVOUS_HPP

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include <candor/policy/clock.hpp>

namespace candor::detail {

/// Where a worker idles, and threads of the program wait for it. Both go through the clock policy. Every member is
/// called with `mutex` held, or with the lock that holds it.
template <clock Clock>
class rendezvous {
public:
    explicit rendezvous(Clock& clock) noexcept : clock_{clock} {}

    std::mutex mutex;

    /// The worker has nothing to do before `until`, unless it is woken. It may return early.
    void idle(std::unique_lock<std::mutex>& lock, steady_time until) {
        is_idle_ = true;
        idle_until_ = until;
        clock_.idle_until(lock, work_, until);
        if (is_woken_) {
            // A scheduler likes to run who is woken at once, on the processor of whoever woke it, which then waits for
            // all that the worker does, and not only for the call that woke it.
            lock.unlock();
            std::this_thread::yield();
            lock.lock();
        }
        is_idle_ = false;
        if (std::exchange(is_woken_, false)) progress_.notify_all();
    }

    /// Whether the worker idles beyond `time`, and nobody has woken it.
    [[nodiscard]] bool oversleeps(steady_time time) const noexcept {
        return is_idle_ && !is_woken_ && idle_until_ > time;
    }

    /// Whether the worker was woken and is not there yet.
    [[nodiscard]] bool is_coming() const noexcept { return is_woken_; }

    /// Wakes the worker where it idles.
    void wake() noexcept {
        if (mark_woken()) work_.notify_one();
    }

    /// The same, and gives up the lock first: the worker would wake only to wait for it.
    void wake(std::unique_lock<std::mutex>& lock) noexcept {
        if (!mark_woken()) return;
        lock.unlock();
        work_.notify_one();
    }

    /// The worker has done something that threads may wait for.
    void announce() noexcept { progress_.notify_all(); }

    /// A thread waits for the worker, until `deadline`, the next announcement or spuriously. A worker that was just
    /// woken is awaited without the clock: a simulated one must not let time pass for a worker that is on its way.
    void await(std::unique_lock<std::mutex>& lock, steady_time deadline) {
        if (is_woken_) {
            progress_.wait(lock);
        } else {
            clock_.wait_until(lock, progress_, deadline);
        }
    }

private:
    bool mark_woken() noexcept { return is_idle_ && !std::exchange(is_woken_, true); }

    Clock& clock_;
    std::condition_variable work_;
    std::condition_variable progress_;
    steady_time idle_until_{};
    bool is_idle_ = false;
    bool is_woken_ = false;
};

}  // namespace candor::detail

#endif
