#ifndef CANDOR_PLATFORM_DESCRIPTOR_HPP
#define CANDOR_PLATFORM_DESCRIPTOR_HPP

#include <cerrno>
#include <utility>

#include <candor/platform/errno_guard.hpp>
#include <candor/platform/fork.hpp>
#include <candor/platform/system_calls.hpp>

namespace candor::detail {

/// Owns an open file or socket, and closes it. Its number is above those of the standard streams, which a program may
/// have been started without: what that prints must not get into a file or socket of ours. Children made by `fork()`
/// close it at once.
///
/// A program may close descriptors that it does not know, as daemons do, and open others under their numbers. Those are
/// not closed here; whoever has not used one for a while asks `is_ours` before it is written to.
///
/// No member changes `errno`, but for a construction that fails. Not thread-safe.
class descriptor {
public:
    descriptor() = default;

    /// Owns what a call of the system returned. Empty where that failed, or where there is no number above 2 for it;
    /// `errno` then says why. `twin`, if any, is what `number` was duplicated from and somebody else closes; a child
    /// closes it as well.
    explicit descriptor(int number, int twin = -1) noexcept {
        if (number < 0) return;
        const int kept = errno;
        constexpr int highest_of_standard_streams = 2;
        if (number <= highest_of_standard_streams) {
            const int low = std::exchange(number, calls().duplicate(number));
            const int error = errno;
            calls().close(low);
            errno = error;
            if (number < 0) return;
        }
        file_facts found;
        is_known_ = calls().fstat(number, &found) == 0;
        if (!is_known_ && errno == EBADF) return;
        number_ = number;
        if (is_known_) {
            id_ = found;
            in_child_ = closed_in_child{number, twin, id_};
        }
        errno = kept;
    }

    /// A second descriptor of what somebody else owns, which keeps its meaning where that one is closed.
    static descriptor duplicate(int original) noexcept { return descriptor{calls().duplicate(original), original}; }

    descriptor(descriptor&& other) noexcept { swap(other); }
    descriptor& operator=(descriptor&& other) noexcept {
        descriptor taken{std::move(other)};
        swap(taken);
        return *this;
    }
    ~descriptor() { reset(); }

    [[nodiscard]] int get() const noexcept { return number_; }
    explicit operator bool() const noexcept { return number_ >= 0; }

    /// Whether it is open and the number still means what it did when this was made. One call of the system; for signal
    /// handlers too. A file whose system does not answer is taken for ours.
    [[nodiscard]] bool is_ours() const noexcept { return number_ >= 0 && !in_child_.is_closed() && is_also(number_); }

    /// Whether that number means the same file, which need not be open here any more.
    [[nodiscard]] bool is_also(int number) const noexcept {
        const errno_guard guard;
        file_facts found;
        return calls().fstat(number, &found) == 0 ? !is_known_ || found.is_same_file(id_) : errno != EBADF;
    }

    /// Closes it.
    void reset() noexcept {
        const errno_guard guard;
        if (is_ours()) calls().close(number_);
        release();
    }

    /// Gives it up: somebody else closes it.
    int release() noexcept {
        in_child_.end();
        return std::exchange(number_, -1);
    }

private:
    static const system_calls& calls() noexcept { return system_calls::real(); }

    void swap(descriptor& other) noexcept {
        std::swap(number_, other.number_);
        std::swap(is_known_, other.is_known_);
        std::swap(id_, other.id_);
        std::swap(in_child_, other.in_child_);
    }

    int number_ = -1;
    bool is_known_ = false;
    file_id id_{};
    closed_in_child in_child_{};
};

}  // namespace candor::detail

#endif
