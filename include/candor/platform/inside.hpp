#ifndef CANDOR_PLATFORM_INSIDE_HPP
#define CANDOR_PLATFORM_INSIDE_HPP

#include <atomic>

namespace candor::detail {

/// While it lives, this thread is in code that takes locks of candor's. A signal handler that interrupts the thread
/// there can ask, and must take none of them.
class inside {
public:
    explicit inside(bool is = true) noexcept : before_{state()} { set(is); }
    inside(const inside&) = delete;
    inside& operator=(const inside&) = delete;
    ~inside() { set(before_); }

    /// Of this thread. May be asked in a signal handler.
    [[nodiscard]] static bool is_this_thread() noexcept { return state(); }

private:
    static volatile bool& state() noexcept {
        static constinit thread_local volatile bool value = false;
        return value;
    }
    static void set(bool is) noexcept {
        std::atomic_signal_fence(std::memory_order_seq_cst);
        state() = is;
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }

    const bool before_;
};

}  // namespace candor::detail

#endif
