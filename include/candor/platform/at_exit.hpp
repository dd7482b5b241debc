#ifndef CANDOR_PLATFORM_AT_EXIT_HPP
#define CANDOR_PLATFORM_AT_EXIT_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <utility>

#include <candor/platform/fork.hpp>
#include <candor/platform/inside.hpp>

namespace candor::detail {

/// While it lives, `call(object)` happens when the process ends by `std::exit`, by a return from main or by
/// `std::quick_exit`, which do not destroy what is on a stack. In a child of `fork` it does not happen: the object is
/// the parent's. Where several threads end the process at once, it happens on each of them: one may be what the others
/// wait for. Then one goes on, and the others only where the process still is there some seconds later. Its destructor
/// waits for calls under way. Thread-safe.
///
/// `std::quick_exit` may be called in a signal handler. Where that has interrupted candor, nothing is called: the
/// thread may hold a lock that the call would wait for. Where it has interrupted anything else, such as an allocator,
/// others may wait for that with a lock of candor's: while `is_quick()`, a call waits for locks and threads by `poll`
/// only.
class at_exit {
public:
    /// Throws `std::bad_alloc`, and `std::system_error` where a mutex cannot be had.
    at_exit(void (*call)(void*) noexcept, void* object) : list_{list().get()}, call_{call}, object_{object} {
        if (list_ == nullptr) throw std::bad_alloc{};
        const inside library;
        const std::lock_guard guard{list_->mutex};
        serial_ = ++list_->newest;
        next_ = list_->first;
        if (next_ != nullptr) next_->previous_ = this;
        list_->first = this;
    }
    at_exit(const at_exit&) = delete;
    at_exit& operator=(const at_exit&) = delete;
    ~at_exit() {
        if (list().find() != list_) return;
        const inside library;
        std::unique_lock lock{list_->mutex};
        list_->ended.wait(lock, [&] { return calls_ == 0; });
        (previous_ == nullptr ? list_->first : previous_->next_) = next_;
        if (next_ != nullptr) next_->previous_ = previous_;
    }

    /// What was made after the first of these, and is destroyed when the process ends, would be destroyed before they
    /// are called. From now on they are called before that. Has an effect once for each `Use`.
    template <class Use>
    static void come_first() noexcept {
        static std::atomic_flag is_done;
        const inside library;
        if (is_done.test_and_set(std::memory_order_relaxed)) return;
        try {
            list();
            std::atexit(run_all);
        } catch (...) {  // no memory: there is nobody to call then
        }
    }

    /// Whether the process ends by `std::quick_exit`: then nothing is destroyed, and what does not come to its end may
    /// be left as it is.
    [[nodiscard]] static bool is_quick() noexcept { return is_quick_.load(std::memory_order_relaxed); }

    /// Takes a mutex, while `is_quick()` only where nobody has it. Whoever calls asks what is returned, and comes
    /// again.
    [[nodiscard]] static std::unique_lock<std::mutex> lock(std::mutex& of) noexcept {
        return is_quick() ? std::unique_lock{of, std::try_to_lock} : std::unique_lock{of};
    }

    /// Asks until the answer is true or `limit` has passed, at least once. A signal handler may do so.
    template <class Ask>
    static void poll(std::chrono::steady_clock::time_point limit, const Ask& ask) noexcept {
        while (!ask() && std::chrono::steady_clock::now() < limit)
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }

private:
    /// How long a thread leaves the end of the process to another one: the short time where its id is the lower one.
    static constexpr std::chrono::seconds short_turn_{2}, long_turn_{6};

    /// Of those that were called, from the oldest to the newest: none in between is left out.
    struct called {
        std::uint64_t oldest = std::numeric_limits<std::uint64_t>::max();
        std::uint64_t newest = 0;
    };

    struct registry {
        std::mutex mutex;
        std::condition_variable ended;  ///< a call
        at_exit* first = nullptr;       ///< the newest
        std::uint64_t newest = 0;
        std::thread::id ender{};  ///< who ends the process
        called by_ender{};
    };

    /// Never destroyed: objects of static storage may outlive anything that is.
    static per_process<registry>& list() {
        const inside library;
        static auto& all = []() -> per_process<registry>& {
            auto* const made = new per_process<registry>{[] { return std::make_unique<registry>(); }};
            // Twice: a thread that ends the process while another one does finds the second.
            for (int i = 0; i < 2; ++i) {
                std::atexit(run_all);
#ifndef __APPLE__  // which has no such function
                std::at_quick_exit(run_all_quickly);
#endif
            }
            return *made;
        }();
        return all;
    }

    static void run_all_quickly() noexcept {
        if (inside::is_this_thread()) return;
        is_quick_ = true;
        run_all();
    }

    /// Calls all there are, the newest first, and those that come meanwhile. Only one thread goes on afterwards: two
    /// that run what is registered with `std::atexit` at once, as glibc before 2.41 lets them, would step on each
    /// other.
    ///
    /// The others do not wait for ever. A process may contain candor several times, in libraries that hide it or in two
    /// versions, which know nothing of each other: where two threads meet in two of them, each may be the first in one.
    /// The ids of threads are the same everywhere, so that one of the two goes on before the other. A thread may also
    /// wait for one that waits here.
    static void run_all() noexcept {
        auto* const all = list().find();
        if (all == nullptr) return;
        const inside library;
        std::unique_lock lock{all->mutex};
        const auto self = std::this_thread::get_id();
        if (all->ender == std::thread::id{}) all->ender = self;
        called by_another;
        called& done = all->ender == self ? all->by_ender : by_another;
        const auto next = [&] {
            auto* out = all->first;
            while (out != nullptr && out->serial_ >= done.oldest && out->serial_ <= done.newest) out = out->next_;
            return out;
        };
        while (auto* const one = next()) {
            done.oldest = std::min(done.oldest, one->serial_);
            done.newest = std::max(done.newest, one->serial_);
            ++one->calls_;
            lock.unlock();
            one->call_(one->object_);
            lock.lock();
            --one->calls_;
            all->ended.notify_all();
        }
        if (all->ender == self) return;
        all->ended.wait_for(lock, is_quick() || self < all->ender ? short_turn_ : long_turn_, [] { return false; });
        all->ender = self;
    }

    static inline std::atomic<bool> is_quick_{false};

    registry* const list_;
    void (*const call_)(void*) noexcept;
    void* const object_;
    at_exit* next_ = nullptr;
    at_exit* previous_ = nullptr;
    std::uint64_t serial_ = 0;
    int calls_ = 0;
};

/// A `T` with a `shutdown()`, which is called before it is destroyed and when the process ends.
///
/// It may be destroyed by a thread that others wait for in its members: `let_go()` ends their waiting.
template <class T>
class until_exit : public T {
public:
    using T::T;
    until_exit(const until_exit&) = delete;
    until_exit& operator=(const until_exit&) = delete;
    ~until_exit() {
        T::let_go();
        T::shutdown();
        await_calls();
    }

    /// Waits for the calls under way, those at the end of the process too. None is made afterwards.
    void await_calls() noexcept {
        at_exit_.reset();
        const inside library;
        std::unique_lock lock{mutex_};
        ended_.wait(lock, [&] { return calls_ == 0; });
    }

    /// Makes a call that may take long. The destructor waits for it.
    template <class Call>
    auto call(const Call& what) noexcept {
        const inside library;
        const counted_call while_it_lasts{*this};
        return what(static_cast<T&>(*this));
    }

private:
    class counted_call {
    public:
        explicit counted_call(until_exit& of) noexcept : of_{of} {
            const std::lock_guard guard{of_.mutex_};
            ++of_.calls_;
        }
        counted_call(const counted_call&) = delete;
        counted_call& operator=(const counted_call&) = delete;
        ~counted_call() {
            const std::lock_guard guard{of_.mutex_};
            --of_.calls_;
            of_.ended_.notify_all();
        }

    private:
        until_exit& of_;
    };

    std::mutex mutex_;
    std::condition_variable ended_;  ///< a call
    int calls_ = 0;
    std::optional<at_exit> at_exit_{
        std::in_place, [](void* self) noexcept { static_cast<until_exit*>(self)->shutdown_at_exit(); }, this};
};

}  // namespace candor::detail

#endif
