#ifndef CANDOR_POLICY_AT_EXIT_HPP
#define CANDOR_POLICY_AT_EXIT_HPP

#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include <candor/policy/fork.hpp>

namespace candor::detail {

/// While it lives, `call(object)` happens when the process ends by `std::exit`, by a return from main or by
/// `std::quick_exit`, which do not destroy what stands on a stack. In a child of `fork` it does not happen: the object
/// is the parent's. Its destructor waits for a call under way. Thread-safe.
class at_exit {
public:
    /// Throws `std::bad_alloc`, and `std::system_error` where a mutex cannot be had.
    at_exit(void (*call)(void*) noexcept, void* object) : list_{list().get()}, call_{call}, object_{object} {
        if (list_ == nullptr) throw std::bad_alloc{};
        const std::lock_guard guard{list_->mutex};
        next_ = list_->first;
        if (next_ != nullptr) next_->previous_ = this;
        list_->first = this;
    }
    at_exit(const at_exit&) = delete;
    at_exit& operator=(const at_exit&) = delete;
    ~at_exit() {
        if (list().find() != list_) return;
        std::unique_lock lock{list_->mutex};
        list_->ended.wait(lock, [&] { return list_->running != this; });
        if (is_listed_) take_out();
    }

private:
    struct registry {
        std::mutex mutex;
        std::condition_variable ended;
        at_exit* first = nullptr;
        const at_exit* running = nullptr;
    };

    /// Never destroyed: objects of static storage may outlive anything that is.
    static per_process<registry>& list() {
        static auto& all = []() -> per_process<registry>& {
            auto* const made = new per_process<registry>{[] { return std::make_unique<registry>(); }};
            std::atexit(run_all);
#ifndef __APPLE__  // which has no such function
            std::at_quick_exit(run_all);
#endif
            return *made;
        }();
        return all;
    }

    static void run_all() noexcept {
        auto* const all = list().find();
        if (all == nullptr) return;
        std::unique_lock lock{all->mutex};
        while (all->first != nullptr) {
            auto& next = *all->first;
            next.take_out();
            all->running = &next;
            lock.unlock();
            next.call_(next.object_);
            lock.lock();
            all->running = nullptr;
            all->ended.notify_all();
        }
    }

    void take_out() noexcept {
        (previous_ == nullptr ? list_->first : previous_->next_) = next_;
        if (next_ != nullptr) next_->previous_ = previous_;
        is_listed_ = false;
    }

    registry* const list_;
    void (*const call_)(void*) noexcept;
    void* const object_;
    at_exit* next_ = nullptr;
    at_exit* previous_ = nullptr;
    bool is_listed_ = true;
};

/// A `T` with a `shutdown()`, which is called before it is destroyed and when the process ends.
template <class T>
class until_exit : public T {
public:
    using T::T;
    until_exit(const until_exit&) = delete;
    until_exit& operator=(const until_exit&) = delete;
    ~until_exit() {
        at_exit_.reset();
        T::shutdown();
    }

private:
    std::optional<at_exit> at_exit_{std::in_place,
                                    [](void* self) noexcept { static_cast<until_exit*>(self)->shutdown(); }, this};
};

}  // namespace candor::detail

#endif
