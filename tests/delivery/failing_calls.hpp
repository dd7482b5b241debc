// The file system's calls, of which the Nth fails.
#ifndef CANDOR_TESTS_DELIVERY_FAILING_CALLS_HPP
#define CANDOR_TESTS_DELIVERY_FAILING_CALLS_HPP

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <candor/platform/system_calls.hpp>

namespace candor::tests {

struct failing_calls {
    inline static int left = -1;  ///< how many succeed before the one that fails; negative: all
    inline static int error = 0;
    inline static bool is_short = false;  ///< a write stops half-way first

    static const detail::system_calls& table() {
        static const detail::system_calls out = [] {
            auto calls = detail::system_calls::real();
            calls.open_directory = failing<&detail::system_calls::open_directory>;
            calls.mkdir = failing<&detail::system_calls::mkdir>;
            calls.opendir = [](int directory) noexcept -> void* {
                return fails() ? nullptr : detail::system_calls::real().opendir(directory);
            };
            calls.openat = failing<&detail::system_calls::openat>;
            calls.fstat = failing<&detail::system_calls::fstat>;
            calls.fstatat = failing<&detail::system_calls::fstatat>;
            calls.fchmod = failing<&detail::system_calls::fchmod>;
            calls.flock = failing<&detail::system_calls::flock>;
            calls.pread = failing<&detail::system_calls::pread>;
            calls.pwrite = write;
            calls.ftruncate = failing<&detail::system_calls::ftruncate>;
            calls.renameat = failing<&detail::system_calls::renameat>;
            calls.unlinkat = failing<&detail::system_calls::unlinkat>;
            return calls;
        }();
        return out;
    }

private:
    static bool fails() noexcept {
        if (left < 0 || left-- > 0) return false;
        left = -1;
        errno = error;
        return true;
    }

    /// A call of the table that may fail.
    template <auto Call>
    struct entry;
    template <class Result, class... Arguments, Result (*detail::system_calls::*Call)(Arguments...) noexcept>
    struct entry<Call> {
        static Result call(Arguments... arguments) noexcept {
            return fails() ? Result{-1} : (detail::system_calls::real().*Call)(arguments...);
        }
    };
    template <auto Call>
    static constexpr auto failing = &entry<Call>::call;

    static std::ptrdiff_t write(int file, const void* bytes, std::size_t size, std::uint64_t at) noexcept {
        const auto& real = detail::system_calls::real();
        if (!fails()) return real.pwrite(file, bytes, size, at);
        if (is_short && size > 1) {
            left = 0;  // and the next call fails
            return real.pwrite(file, bytes, size / 2, at);
        }
        return -1;
    }
};

}  // namespace candor::tests

#endif
