#ifndef CANDOR_PLATFORM_FORK_HPP
#define CANDOR_PLATFORM_FORK_HPP

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

#ifndef _WIN32
#include <pthread.h>
#endif

#include <candor/platform/errno_guard.hpp>
#include <candor/platform/system_calls.hpp>

namespace candor::detail {

/// Counts the forks between the first process and this one: a child made by `fork()` has one more than its parent.
/// Children of `_Fork()`, `vfork()` and bare system calls are not told apart.
inline std::atomic<unsigned> fork_generation{0};

/// A descriptor that a child closes: one that is ours, and its twin, if any, which it is a duplicate of.
struct descriptor_of_parent {
    static constexpr std::uint64_t nobody = 0;
    static constexpr std::uint64_t somebody = 1;  ///< who is about to fill it in
    std::atomic<std::uint64_t> owner{nobody};
    int number = -1;
    int twin = -1;
    file_id id{};
};

/// A table, because a child may find any lock taken.
inline std::array<descriptor_of_parent, 512> descriptors_of_parent{};
inline std::atomic<std::uint64_t> next_descriptor_owner{descriptor_of_parent::somebody + 1};

inline void close_if_same(int number, const file_id& id) noexcept {
    file_facts found;
    if (system_calls::real().fstat(number, &found) == 0 && found.is_same_file(id)) system_calls::real().close(number);
}

/// What happens first in a child, on its only thread: nothing but what a signal handler may do. A number may mean
/// another file by now, where the program has closed what it does not know.
inline void enter_child() noexcept {
    const errno_guard guard;
    fork_generation.fetch_add(1, std::memory_order_relaxed);
    for (auto& slot : descriptors_of_parent) {
        if (slot.owner.load(std::memory_order_acquire) == descriptor_of_parent::nobody) continue;
        if (slot.owner.exchange(descriptor_of_parent::nobody) == descriptor_of_parent::somebody) continue;
        if (slot.twin >= 0) close_if_same(slot.twin, slot.id);
        close_if_same(slot.number, slot.id);
    }
}

/// Makes sure that forks count from now on. Returns 0, or what went wrong.
inline int watch_forks() noexcept {
#ifdef _WIN32
    return 0;
#else
    static std::atomic<bool> are_watched{false};  // not a static with a guard, which a child could find taken
    if (are_watched.load(std::memory_order_acquire) || are_watched.exchange(true)) return 0;
    const int error = ::pthread_atfork(nullptr, nullptr, enter_child);
    if (error != 0) are_watched = false;
    return error;
#endif
}

/// The same. Throws `std::system_error`.
inline void count_forks() {
    if (const int error = watch_forks(); error != 0)
        throw std::system_error{error, std::generic_category(), "pthread_atfork"};
}

/// While it lives, a child made by `fork()` closes a descriptor at once: a socket that a child keeps is not closed for
/// its peer when the parent closes it, and a file that it keeps stays locked. Beyond 512 of them, children keep some.
/// Not thread-safe; made anew, not copied.
class closed_in_child {
public:
    closed_in_child() = default;

    /// `twin`, if any, is a descriptor that `number` was duplicated from and somebody else closes.
    explicit closed_in_child(int number, int twin = -1) noexcept {
        file_facts found;
        if (number >= 0 && system_calls::real().fstat(number, &found) == 0) take_slot(number, twin, found);
    }
    closed_in_child(int number, int twin, const file_id& id) noexcept { take_slot(number, twin, id); }
    closed_in_child(closed_in_child&& other) noexcept
        : slot_{std::exchange(other.slot_, nullptr)}, owner_{other.owner_} {}
    closed_in_child& operator=(closed_in_child&& other) noexcept {
        std::swap(slot_, other.slot_);
        std::swap(owner_, other.owner_);
        return *this;
    }
    ~closed_in_child() { end(); }

    /// The descriptor is about to be closed, or has been.
    void end() noexcept {
        if (slot_ == nullptr) return;
        std::uint64_t mine = owner_;  // in a child, the slot may be another's
        std::exchange(slot_, nullptr)->owner.compare_exchange_strong(mine, descriptor_of_parent::nobody);
    }

    /// Whether this is a child, which has closed it.
    [[nodiscard]] bool is_closed() const noexcept { return slot_ != nullptr && slot_->owner.load() != owner_; }

private:
    void take_slot(int number, int twin, const file_id& id) noexcept {
        static_cast<void>(watch_forks());  // where there is no memory for that, children keep it
        for (auto& slot : descriptors_of_parent) {
            auto nobody = descriptor_of_parent::nobody;
            if (slot.owner.load(std::memory_order_relaxed) != nobody ||
                !slot.owner.compare_exchange_strong(nobody, descriptor_of_parent::somebody))
                continue;
            slot.number = number;
            slot.twin = twin;
            slot.id = id;
            owner_ = next_descriptor_owner.fetch_add(1);
            slot.owner.store(owner_, std::memory_order_release);
            slot_ = &slot;
            return;
        }
    }

    descriptor_of_parent* slot_ = nullptr;
    std::uint64_t owner_ = 0;
};

/// What is never destroyed, because it, or what it has, is not ours any more: in a child, what its parent made. Linked
/// together, so that leak checkers find it.
struct left_behind {
    virtual ~left_behind() = default;
    left_behind* next = nullptr;

    static inline std::atomic<left_behind*> all{nullptr};

    static void leave(left_behind* one) noexcept {
        one->next = all.load(std::memory_order_relaxed);
        while (!all.compare_exchange_weak(one->next, one)) {
        }
    }
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
            left_behind::leave(last);
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
    struct holder : left_behind {
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
                left_behind::leave(found);
                found = made.release();
            }
            return found->value.get();
        } catch (...) {
            return nullptr;
        }
    }

    const std::function<std::unique_ptr<T>()> make_;
    std::atomic<holder*> current_;
    std::atomic<bool> is_retired_{false};
};

}  // namespace candor::detail

#endif
