#ifndef CANDOR_POLICY_FORK_HPP
#define CANDOR_POLICY_FORK_HPP

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

#ifndef _WIN32
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace candor::detail {

/// Counts the forks between the first process and this one: a child made by `fork()` has one more than its parent.
/// Children of `_Fork()`, `vfork()` and bare system calls are not told apart.
inline std::atomic<unsigned> fork_generation{0};

/// Descriptors that a child closes: one that is ours, and its twin of which that is a duplicate. Zero where there is
/// none. A table, because a child may find any lock taken.
inline std::array<std::atomic<std::uint64_t>, 512> closed_by_children{};

#ifndef _WIN32

/// What happens first in a child, on its only thread: nothing but what a signal handler may do.
inline void enter_child() noexcept {
    const int kept = errno;
    fork_generation.fetch_add(1, std::memory_order_relaxed);
    for (auto& slot : closed_by_children) {
        const std::uint64_t pair = slot.exchange(0, std::memory_order_relaxed);
        if (pair == 0) continue;
        const int own = static_cast<int>(pair >> 32) - 1;
        const int twin = static_cast<int>(pair & 0xffffffff) - 1;
        // Its owner closes the twin when it likes, and the number may mean another file by now.
        struct stat ours {};
        struct stat theirs {};
        if (twin >= 0 && ::fstat(own, &ours) == 0 && ::fstat(twin, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
            ours.st_ino == theirs.st_ino)
            ::close(twin);
        ::close(own);
    }
    errno = kept;
}

/// Makes sure that forks count from now on. Throws `std::system_error` where there is no memory for that.
inline void count_forks() {
    static const bool registered = [] {
        if (const int error = ::pthread_atfork(nullptr, nullptr, enter_child); error != 0)
            throw std::system_error{error, std::generic_category(), "pthread_atfork"};
        return true;
    }();
    static_cast<void>(registered);
}

#else

inline void count_forks() {}

#endif

/// While it lives, a child made by `fork()` closes a descriptor at once: a socket that a child keeps is not closed for
/// its peer when the parent closes it, and a file that it keeps stays locked. Beyond 512 of them, children keep some.
/// Not thread-safe; made anew, not copied.
class closed_in_child {
public:
    closed_in_child() = default;

    /// `own` is closed after this ends. `twin`, if any, is a descriptor that `own` was duplicated from and somebody
    /// else closes.
    explicit closed_in_child(int own, int twin = -1) noexcept {
        if (own < 0) return;
        const auto pair =
            static_cast<std::uint64_t>(own + 1) << 32 | static_cast<std::uint64_t>(twin < 0 ? 0 : twin + 1);
        for (auto& slot : closed_by_children) {
            std::uint64_t none = 0;
            if (slot.load(std::memory_order_relaxed) == 0 && slot.compare_exchange_strong(none, pair)) {
                slot_ = &slot;
                return;
            }
        }
    }
    closed_in_child(closed_in_child&& other) noexcept : slot_{std::exchange(other.slot_, nullptr)} {}
    closed_in_child& operator=(closed_in_child&& other) noexcept {
        std::swap(slot_, other.slot_);
        return *this;
    }
    ~closed_in_child() { end(); }

    /// The descriptor is about to be closed.
    void end() noexcept {
        if (slot_ != nullptr) std::exchange(slot_, nullptr)->store(0);
    }

private:
    std::atomic<std::uint64_t>* slot_ = nullptr;
};

/// What a child leaves where it is: links, so that checkers of leaks find it.
struct left_to_parent {
    virtual ~left_to_parent() = default;
    left_to_parent* next = nullptr;

    static inline std::atomic<left_to_parent*> all{nullptr};
};

/// A `T` for each process that uses it, since its threads, locks and sockets are of one process alone. A child made by
/// `fork()` neither uses nor destroys its parent's, wherever the fork found that, and makes its own when it first needs
/// one. Thread-safe, but for construction and destruction.
template <class T>
class per_process {
public:
    /// Calls `make` now, and again in each child that needs a `T`. Throws what that throws, and `std::system_error`.
    explicit per_process(std::function<std::unique_ptr<T>()> make)
        : make_{std::move(make)}, current_{(count_forks(), new holder{make_()})} {}
    per_process(const per_process&) = delete;
    per_process& operator=(const per_process&) = delete;
    ~per_process() {
        holder* const last = current_.load(std::memory_order_acquire);
        if (last->is_ours()) {
            delete last;
        } else {
            leave(last);
        }
    }

    /// This process's. Null in a child that has none yet.
    [[nodiscard]] T* find() const noexcept {
        const holder* const found = current_.load(std::memory_order_acquire);
        return found->is_ours() ? found->value.get() : nullptr;
    }

    /// This process's, made where there is none. Null where that fails, or after `retire`.
    [[nodiscard]] T* get() noexcept {
        holder* found = current_.load(std::memory_order_acquire);
        return found->is_ours() ? found->value.get() : renew(found);
    }

    /// No child makes one any more.
    void retire() noexcept { is_retired_.store(true, std::memory_order_relaxed); }
    [[nodiscard]] bool is_retired() const noexcept { return is_retired_.load(std::memory_order_relaxed); }

private:
    struct holder : left_to_parent {
        explicit holder(std::unique_ptr<T> made) noexcept : value{std::move(made)} {}
        [[nodiscard]] bool is_ours() const noexcept {
            return generation == fork_generation.load(std::memory_order_relaxed);
        }

        std::unique_ptr<T> value;
        const unsigned generation = fork_generation.load(std::memory_order_relaxed);
    };

    /// Without a lock, which a parent could have left taken: where several threads of a child come first, each makes
    /// one, and one is kept.
    T* renew(holder* found) noexcept {
        if (is_retired()) return nullptr;
        try {
            auto made = std::make_unique<holder>(make_());
            if (current_.compare_exchange_strong(found, made.get(), std::memory_order_acq_rel)) {
                leave(found);
                found = made.release();
            }
            return found->value.get();
        } catch (...) {
            return nullptr;
        }
    }

    static void leave(holder* parents) noexcept {
        parents->next = left_to_parent::all.load(std::memory_order_relaxed);
        while (!left_to_parent::all.compare_exchange_weak(parents->next, parents)) {
        }
    }

    const std::function<std::unique_ptr<T>()> make_;
    std::atomic<holder*> current_;
    std::atomic<bool> is_retired_{false};
};

}  // namespace candor::detail

#endif
