#ifndef CANDOR_POLICY_AT_EXIT_HPP
#define CANDOR_POLICY_AT_EXIT_HPP

#include <condition_variable>
#include <cstdlib>
#include <mutex>

#ifndef _WIN32
#include <sys/types.h>
#include <unistd.h>
#endif

namespace candor::detail {

/// While it lives, `call(object)` happens when the process ends by `std::exit`, by a return from main or by
/// `std::quick_exit`, which do not destroy what stands on a stack. In a child of `fork` it does not happen: the object
/// is the parent's. Its destructor waits for a call under way. Thread-safe.
class at_exit {
public:
    /// Throws `std::bad_alloc`, and `std::system_error` where a mutex cannot be had.
    at_exit(void (*call)(void*) noexcept, void* object) : call_{call}, object_{object} {
        auto& all = list();
        const std::lock_guard guard{all.mutex};
        next_ = all.first;
        if (next_ != nullptr) next_->previous_ = this;
        all.first = this;
    }
    at_exit(const at_exit&) = delete;
    at_exit& operator=(const at_exit&) = delete;
    ~at_exit() {
        auto& all = list();
        std::unique_lock lock{all.mutex};
        all.ended.wait(lock, [&] { return all.running != this; });
        if (!is_listed_) return;
        take_out(all);
    }

private:
    struct registry {
        std::mutex mutex;
        std::condition_variable ended;
        at_exit* first = nullptr;
        const at_exit* running = nullptr;
    };

    /// Never destroyed: objects of static storage may outlive anything that is.
    static registry& list() {
        static registry& all = []() -> registry& {
            auto* const made = new registry;
            std::atexit(run_all);
#ifndef __APPLE__  // which has no such function
            std::at_quick_exit(run_all);
#endif
            return *made;
        }();
        return all;
    }

    static void run_all() noexcept {
        auto& all = list();
        std::unique_lock lock{all.mutex};
        while (all.first != nullptr) {
            auto& next = *all.first;
            next.take_out(all);
            if (!next.is_ours()) continue;
            all.running = &next;
            lock.unlock();
            next.call_(next.object_);
            lock.lock();
            all.running = nullptr;
            all.ended.notify_all();
        }
    }

    void take_out(registry& all) noexcept {
        (previous_ == nullptr ? all.first : previous_->next_) = next_;
        if (next_ != nullptr) next_->previous_ = previous_;
        is_listed_ = false;
    }

#ifdef _WIN32
    [[nodiscard]] bool is_ours() const noexcept { return true; }
#else
    [[nodiscard]] bool is_ours() const noexcept { return process_ == ::getpid(); }
    const pid_t process_ = ::getpid();
#endif

    void (*const call_)(void*) noexcept;
    void* const object_;
    at_exit* next_ = nullptr;
    at_exit* previous_ = nullptr;
    bool is_listed_ = true;
};

}  // namespace candor::detail

#endif
