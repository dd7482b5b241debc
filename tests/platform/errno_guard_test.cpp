#include <candor/platform/errno_guard.hpp>

#include <cerrno>

#include <doctest/doctest.h>

namespace errno_guard_test {

TEST_CASE("a call leaves errno as it was") {
    errno = ENOENT;
    {
        const candor::detail::errno_guard guard;
        errno = EIO;
    }
    CHECK(errno == ENOENT);
}

TEST_CASE("so do the construction and the destruction of an object, whatever its members do") {
    struct failing {
        failing() { errno = EIO; }
        ~failing() { errno = EIO; }
    };
    struct object {
        object() { guard.restore(); }
        ~object() { guard.renew(); }
        candor::detail::object_errno_guard guard{};
        failing member{};
    };
    errno = ENOENT;
    {
        const object made;
        CHECK(errno == ENOENT);
        errno = EACCES;
    }
    CHECK(errno == EACCES);
}

}  // namespace errno_guard_test
