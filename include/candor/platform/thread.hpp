#ifndef CANDOR_PLATFORM_THREAD_HPP
#define CANDOR_PLATFORM_THREAD_HPP

#include <atomic>
#include <cstddef>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#ifndef _WIN32
#include <pthread.h>
#endif

#include <candor/platform/library.hpp>
#include <candor/platform/signals.hpp>

namespace candor::detail {

/// The stack of each thread of candor's: memory that is taken where it is touched. What is left of it is for the
/// program's callbacks; what the system gives otherwise is 8 MiB here, 512 KiB or 128 KiB there.
inline constexpr std::size_t thread_stack_size = std::size_t{2} * 1024 * 1024;

/// A thread like `std::thread`, but with a name for debuggers (not on Windows) and a stack of a known size.
class worker_thread {
public:
    worker_thread() = default;
    worker_thread(worker_thread&& other) noexcept { *this = std::move(other); }

#ifdef _WIN32
    template <class Function>
    worker_thread(const char*, Function function) : thread_{std::move(function)} {}
    worker_thread& operator=(worker_thread&& other) noexcept {
        thread_.swap(other.thread_);
        return *this;
    }

    [[nodiscard]] bool joinable() const noexcept { return thread_.joinable(); }
    void join() { thread_.join(); }
    void detach() { thread_.detach(); }

private:
    std::thread thread_;
#else
    /// Starts it. A name has at most 15 characters. Throws `std::system_error` and `std::bad_alloc`.
    template <class Function>
    worker_thread(const char* name, Function function) {
        using started = std::pair<const char*, Function>;
        auto call = std::make_unique<started>(name, std::move(function));
        pthread_attr_t attributes;
        int error = ::pthread_attr_init(&attributes);
        if (error == 0) error = ::pthread_attr_setstacksize(&attributes, thread_stack_size);
        const auto run = [](void* given) -> void* {
            const std::unique_ptr<started> mine{static_cast<started*>(given)};
            set_name(mine->first);
            mine->second();
            return nullptr;
        };
        if (error == 0) error = ::pthread_create(&thread_, &attributes, run, call.get());
        ::pthread_attr_destroy(&attributes);
        if (error != 0) throw std::system_error{error, std::generic_category(), "no thread"};
        static_cast<void>(call.release());
        is_joinable_ = true;
    }
    worker_thread& operator=(worker_thread&& other) noexcept {
        std::swap(thread_, other.thread_);
        std::swap(is_joinable_, other.is_joinable_);
        return *this;
    }

    [[nodiscard]] bool joinable() const noexcept { return is_joinable_; }
    void join() noexcept {
        ::pthread_join(thread_, nullptr);
        is_joinable_ = false;
    }
    void detach() noexcept {
        ::pthread_detach(thread_);
        is_joinable_ = false;
    }

private:
    /// On the thread itself.
    static void set_name(const char* name) noexcept {
#ifdef __APPLE__
        ::pthread_setname_np(name);
#else
        ::pthread_setname_np(::pthread_self(), name);
#endif
    }

    pthread_t thread_{};
    bool is_joinable_ = false;
#endif
};

/// Nothing of ours is unloaded under a thread: one may be left behind in a call that does not return.
inline void stay_loaded_for_threads() noexcept {
    static std::atomic_flag is_done;
    if (!is_done.test_and_set(std::memory_order_relaxed)) stay_loaded(&stay_loaded_for_threads);
}

/// Starts a thread that takes none of the program's signals. From the first one on, the shared library that candor is
/// in stays loaded. Throws what `worker_thread` throws.
template <class Function>
worker_thread start_worker_thread(const char* name, Function function) {
    stay_loaded_for_threads();
    const no_signals inherited;
    return worker_thread{name, std::move(function)};
}

}  // namespace candor::detail

#endif
