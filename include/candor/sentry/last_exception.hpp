#ifndef CANDOR_SENTRY_LAST_EXCEPTION_HPP
#define CANDOR_SENTRY_LAST_EXCEPTION_HPP

#include <cstdint>
#include <cstring>
#include <exception>
#include <mutex>
#include <utility>

#include <candor/platform/library.hpp>
#include <candor/sentry/capture.hpp>

namespace candor::sentry::detail {

#if defined(__LP64__)

/// Whether `object` is the exception object that `held` keeps alive.
inline bool is_object_of(const std::exception_ptr& held, const std::exception& object) noexcept {
    if (!held) return false;
#if defined(__cpp_rtti)
    // An `exception_ptr` is the address of the exception object.
    const void* address = nullptr;
    static_assert(sizeof held == sizeof address);
    std::memcpy(&address, static_cast<const void*>(&held), sizeof address);
    return address == dynamic_cast<const void*>(&object);
#else
    try {
        std::rethrow_exception(held);
    } catch (const std::exception& e) {
        return &e == &object;
    } catch (...) {
        return false;
    }
#endif
}

/// The exception that was captured last, kept alive until the next one is, so that no other can have its address.
///
/// The code that destroys an exception may be a shared library's that the program unloads meanwhile. So only such are
/// kept, with all those nested in them, whose destructors last as long as candor does. The exception's type does not
/// tell: a library has its own copy of an inline destructor. What the C++ ABI of all 64-bit systems but Windows puts
/// before an exception object does. Elsewhere none is kept, and none is recognised.
///
/// Foreign code, as a destructor is, runs without the mutex. Any thread.
class last_exception {
public:
    last_exception() = default;
    last_exception(const last_exception&) = delete;
    last_exception& operator=(const last_exception&) = delete;
    ~last_exception() { forget(); }

    /// Whether it is `object`. If not, and `object` is being handled, it becomes the last one. An object that was not
    /// thrown, such as a temporary, never does.
    bool is_repeated(const std::exception& object) noexcept {
        const std::exception_ptr handled = std::current_exception();
        std::exception_ptr next;
        if (is_object_of(handled, object) && is_lasting(handled, object)) next = handled;
        const std::lock_guard guard{mutex_};
        if (is_object_of(last_, object)) return true;
        if (next) std::swap(last_, next);
        return false;
    }

    /// Whether it is what `thrown` points to.
    bool is_last(const std::exception_ptr& thrown) noexcept {
        const std::lock_guard guard{mutex_};
        return last_ == thrown;
    }

    /// The same; if not, that becomes the last one.
    bool is_repeated(const std::exception_ptr& thrown) noexcept {
        std::exception_ptr next;
        if (is_lasting(thrown)) next = thrown;
        const std::lock_guard guard{mutex_};
        if (last_ == thrown) return true;
        if (next) std::swap(last_, next);
        return false;
    }

    /// Keeps none.
    void forget() noexcept {
        std::exception_ptr last;
        const std::lock_guard guard{mutex_};
        std::swap(last_, last);
    }

private:
    [[nodiscard]] bool is_lasting(const std::exception_ptr& thrown, int most = most_exceptions) const noexcept {
        if (!thrown) return true;
        if (most == 0 || !has_lasting_destructor(thrown)) return false;
        try {
            std::rethrow_exception(thrown);
        } catch (const std::nested_exception& e) {
            return is_lasting(e.nested_ptr(), most - 1);
        } catch (...) {
            return true;
        }
    }

    /// The same, where it need not be thrown again to look at it.
    [[nodiscard]] bool is_lasting(const std::exception_ptr& thrown,
                                  [[maybe_unused]] const std::exception& object) const noexcept {
#if defined(__cpp_rtti)
        if (!has_lasting_destructor(thrown)) return false;
        const auto* nested = dynamic_cast<const std::nested_exception*>(&object);
        return nested == nullptr || is_lasting(nested->nested_ptr(), most_exceptions - 1);
#else
        return is_lasting(thrown);
#endif
    }

    [[nodiscard]] bool has_lasting_destructor(const std::exception_ptr& thrown) const noexcept {
        constexpr std::uint64_t gnu = 0x474e5543432b2b00, clang = 0x434c4e47432b2b00;  // GNUCC++, CLNGC++
        const char* object = nullptr;
        std::memcpy(&object, static_cast<const void*>(&thrown), sizeof object);
        std::uint64_t made_by = 0;
        std::memcpy(&made_by, object - 32, sizeof made_by);
        if (made_by != gnu && made_by != clang) return false;
        const void* destructor = nullptr;
        std::memcpy(&destructor, object - 104, sizeof destructor);
        return destructor == nullptr || code_.contains(destructor);
    }

    const candor::detail::lasting_code code_{};
    std::mutex mutex_;
    std::exception_ptr last_;
};

#else

class last_exception {
public:
    bool is_last(const std::exception_ptr&) noexcept { return false; }
    bool is_repeated(const std::exception&) noexcept { return false; }
    bool is_repeated(const std::exception_ptr&) noexcept { return false; }
    void forget() noexcept {}
};

#endif

}  // namespace candor::sentry::detail

#endif
