#ifndef CANDOR_POLICY_CLOCK_HPP
#define CANDOR_POLICY_CLOCK_HPP

#include <chrono>
#include <concepts>
#include <condition_variable>
#include <mutex>

namespace candor {

/// A point on the clock that never jumps: what deadlines and waits are measured with.
using steady_time = std::chrono::steady_clock::time_point;

/// A point in calendar time with nanoseconds: what stands in events. It may jump.
using wall_time = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

namespace detail {

/// Now and `timeout` later. A timeout beyond what the clock can say means "for ever", a negative one means now.
template <class Rep, class Period>
steady_time after(steady_time now, std::chrono::duration<Rep, Period> timeout) noexcept {
    using duration = std::chrono::duration<Rep, Period>;
    if (timeout <= duration::zero()) return now;
    // Compared in the coarser unit: the largest number of milliseconds is more nanoseconds than there are.
    if (timeout >= std::chrono::floor<duration>(steady_time::max() - now)) return steady_time::max();
    return now + timeout;
}

}  // namespace detail

/// A source of time, and the only way candor waits. Every member may be called from any thread at once.
///
/// 1. `now()` is monotonic and does not throw.
/// 2. `wall_now()` is the calendar time and does not throw.
/// 3. `idle_until(lock, changed, deadline)`: candor's worker has nothing to do before `deadline`. Called with
///    `lock` held; releases it while waiting and holds it again on return. Returns when `changed` is notified,
///    when `deadline` is reached, or spuriously. `steady_time::max()` means no deadline.
/// 4. `wait_until(lock, changed, deadline)`: a thread of the program waits for the worker, on the same terms. It
///    is a member of its own so that a simulated clock can let time pass exactly then.
template <class C>
concept clock = requires(C& c, std::unique_lock<std::mutex>& lock, std::condition_variable& changed, steady_time t) {
    { c.now() }
    noexcept->std::same_as<steady_time>;
    { c.wall_now() }
    noexcept->std::same_as<wall_time>;
    c.idle_until(lock, changed, t);
    c.wait_until(lock, changed, t);
};

/// The system's clocks. Stateless.
class system_clock {
public:
    [[nodiscard]] steady_time now() const noexcept { return std::chrono::steady_clock::now(); }

    [[nodiscard]] wall_time wall_now() const noexcept {
        return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
    }

    void idle_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, steady_time deadline) const {
        wait_until(lock, changed, deadline);
    }

    void wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, steady_time deadline) const {
        if (deadline == steady_time::max()) {
            changed.wait(lock);  // a library may overflow when it converts the largest time point
        } else {
            changed.wait_until(lock, deadline);
        }
    }
};

}  // namespace candor

#endif
