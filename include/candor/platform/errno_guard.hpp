#ifndef CANDOR_PLATFORM_ERRNO_GUARD_HPP
#define CANDOR_PLATFORM_ERRNO_GUARD_HPP

#include <cerrno>

#include <candor/platform/windows.hpp>

namespace candor::detail {

/// What the last failed call of this thread said: `errno`, and on Windows `GetLastError` too.
class last_error {
public:
    [[nodiscard]] static last_error now() noexcept {
        last_error out;
        out.errno_ = errno;
#ifdef _WIN32
        out.windows_ = ::GetLastError();
#endif
        return out;
    }

    void restore() const noexcept {
        errno = errno_;
#ifdef _WIN32
        ::SetLastError(windows_);
#endif
    }

private:
    int errno_ = 0;
#ifdef _WIN32
    unsigned long windows_ = 0;
#endif
};

/// Keeps the last error as it was before a call into candor: the program may be about to report it.
class errno_guard {
public:
    errno_guard() = default;
    errno_guard(const errno_guard&) = delete;
    errno_guard& operator=(const errno_guard&) = delete;
    ~errno_guard() { kept_.restore(); }

private:
    const last_error kept_ = last_error::now();
};

/// The same for an object's construction and destruction, as its first member: the body of its constructor ends with
/// `restore`, that of its destructor begins with `renew`.
class object_errno_guard {
public:
    object_errno_guard() = default;
    object_errno_guard(const object_errno_guard&) = delete;
    object_errno_guard& operator=(const object_errno_guard&) = delete;
    ~object_errno_guard() { kept_.restore(); }

    void restore() const noexcept { kept_.restore(); }
    void renew() noexcept { kept_ = last_error::now(); }

private:
    last_error kept_ = last_error::now();
};

}  // namespace candor::detail

#endif
