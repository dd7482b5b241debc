#ifndef CANDOR_PLATFORM_LIBRARY_HPP
#define CANDOR_PLATFORM_LIBRARY_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>  // which says what C library this is
#include <cstring>
#include <exception>
#include <system_error>

// Before glibc 2.34 the functions for this are in a library of their own, and candor needs none to be linked.
#if defined(__APPLE__) || (defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 34))
#define CANDOR_CAN_STAY_LOADED
#include <dlfcn.h>
#endif
#if defined(__linux__)
#include <link.h>
#elif defined(__APPLE__)
#include <mach-o/dyld.h>
#endif

namespace candor::detail {

/// Keeps the shared library that a function is in, if any, loaded for good: the function may be called at any time, as
/// the handler of a signal is. Where the system cannot promise that, the program must not unload it meanwhile.
template <class Function>
void stay_loaded(Function* called) noexcept {
#ifdef CANDOR_CAN_STAY_LOADED
    Dl_info found{};
    if (::dladdr(reinterpret_cast<const void*>(called), &found) == 0) return;
    // The program itself is not found by its name, or is there for good anyway.
    static_cast<void>(::dlopen(found.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE));
#else
    static_cast<void>(called);
#endif
}

#undef CANDOR_CAN_STAY_LOADED

/// The code that is there as long as candor's own is: that of the program, of the library that candor is in, and of the
/// C++ runtime. Found once, when it is made; asked from any thread, without a lock on Linux. Where the system does not
/// say what lies where, nothing counts as lasting.
class lasting_code {
public:
    lasting_code() noexcept {
        // The runtime may be two libraries. A program at a fixed address has copies of what it names itself, which
        // the instance of a category is not.
        const std::exception sample;
        std::memcpy(&samples_[0], static_cast<const void*>(&sample), sizeof samples_[0]);  // its table of functions
        samples_[1] = &std::generic_category();
        samples_[2] = reinterpret_cast<const void*>(&in_this_library);
#if defined(__linux__)
        ::dl_iterate_phdr(&add_library, this);
#elif defined(__APPLE__)
        for (std::size_t i = 0; i < samples_.size(); ++i) libraries_[i] = library_of(samples_[i]);
        libraries_.back() = ::_dyld_get_image_header(0);  // the program
#endif
    }

    [[nodiscard]] bool contains([[maybe_unused]] const void* address) const noexcept {
#if defined(__linux__)
        const auto at = reinterpret_cast<std::uintptr_t>(address);
        return std::any_of(ranges_.begin(), ranges_.end(), [&](const range& r) { return r.contains(at); });
#elif defined(__APPLE__)
        const void* const library = library_of(address);
        return library != nullptr && std::find(libraries_.begin(), libraries_.end(), library) != libraries_.end();
#else
        return false;
#endif
    }

private:
    static void in_this_library() noexcept {}

#if defined(__linux__)
    struct range {
        std::uintptr_t begin = 0, end = 0;
        [[nodiscard]] bool contains(std::uintptr_t at) const noexcept { return begin <= at && at < end; }
    };

    /// Adds what can be executed of a library, if it is one that lasts. The program comes first.
    static int add_library(dl_phdr_info* library, std::size_t, void* to) noexcept {
        auto& self = *static_cast<lasting_code*>(to);
        const auto each_part = [&](const auto& visit) {
            for (std::size_t i = 0; i < library->dlpi_phnum; ++i) {
                const auto& part = library->dlpi_phdr[i];
                if (part.p_type != PT_LOAD) continue;
                const auto begin = static_cast<std::uintptr_t>(library->dlpi_addr + part.p_vaddr);
                visit(range{begin, begin + static_cast<std::uintptr_t>(part.p_memsz)}, (part.p_flags & PF_X) != 0);
            }
        };
        bool lasts = !self.has_program_;
        self.has_program_ = true;
        each_part([&](const range& r, bool) {
            for (const void* sample : self.samples_)
                lasts = lasts || r.contains(reinterpret_cast<std::uintptr_t>(sample));
        });
        if (lasts)
            each_part([&](const range& r, bool is_code) {
                if (is_code && self.count_ < self.ranges_.size()) self.ranges_[self.count_++] = r;
            });
        return 0;
    }

    std::array<range, 8> ranges_{};  ///< a library has one, seldom two
    std::size_t count_ = 0;
    bool has_program_ = false;
#elif defined(__APPLE__)
    static const void* library_of(const void* address) noexcept {
        Dl_info found{};
        return ::dladdr(address, &found) == 0 ? nullptr : found.dli_fbase;
    }

    std::array<const void*, 4> libraries_{};
#endif
    std::array<const void*, 3> samples_{};
};

}  // namespace candor::detail

#endif
