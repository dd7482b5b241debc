#ifndef CANDOR_DELIVERY_WORKER_SIGNAL_HPP
#define CANDOR_DELIVERY_WORKER_SIGNAL_HPP

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include <candor/policy/clock.hpp>
#include <candor/policy/policies.hpp>

namespace candor::detail {

/// How a worker idles and is woken, and how threads of the program wait for it. Both go through the clock policy. Every
/// member is called with the worker's mutex held, or with the lock that holds it.
class worker_signal {
public:
    explicit worker_signal(clock_interface& clock) noexcept : clock_{clock} {}

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
        if (std::exchange(is_woken_, false)) announce_end();
    }

    /// Whether the worker idles beyond `time`, and nobody has woken it.
    [[nodiscard]] bool oversleeps(steady_time time) const noexcept {
        return is_idle_ && !is_woken_ && idle_until_ > time;
    }

    /// Whether the worker has nothing to do.
    [[nodiscard]] bool is_idle() const noexcept { return is_idle_ && !is_woken_; }

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

    /// The worker is at the end, or has come there. Who waits for that is not woken by anything else on the way: on few
    /// processors that would hold up the worker.
    void announce_end() noexcept {
        end_.notify_all();
        progress_.notify_all();
    }

    /// A thread waits for the worker, until `deadline`, the next announcement or spuriously. A worker that was just
    /// woken is awaited without the clock: a simulated one must not let time pass for a worker that is on its way.
    void await(std::unique_lock<std::mutex>& lock, steady_time deadline) { await(lock, progress_, deadline); }

    /// The same, until the next announcement of the end.
    void await_end(std::unique_lock<std::mutex>& lock, steady_time deadline) { await(lock, end_, deadline); }

    /// The same without the clock, for at most `time`, until `condition` holds.
    template <class Condition>
    void await_end_for(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds time, const Condition& condition) {
        end_.wait_for(lock, time, condition);
    }

private:
    void await(std::unique_lock<std::mutex>& lock, std::condition_variable& change, steady_time deadline) {
        if (is_woken_) {
            change.wait(lock);
        } else {
            clock_.wait_until(lock, change, deadline);
        }
    }

    bool mark_woken() noexcept { return is_idle_ && !std::exchange(is_woken_, true); }

    clock_interface& clock_;
    std::condition_variable work_;
    std::condition_variable progress_;
    std::condition_variable end_;
    steady_time idle_until_{};
    bool is_idle_ = false;
    bool is_woken_ = false;
};

}  // namespace candor::detail

#endif
