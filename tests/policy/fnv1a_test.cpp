#include <candor/policy/fnv1a.hpp>

#include <doctest/doctest.h>

namespace fnv1a_test {

using candor::detail::fnv1a;

// The vectors of draft-eastlake-fnv.
static_assert(fnv1a("") == 0xcbf29ce484222325);
static_assert(fnv1a("a") == 0xaf63dc4c8601ec8c);
static_assert(fnv1a("foobar") == 0x85944171f73967e8);

TEST_CASE("bytes in two parts have the hash of the whole") {
    CHECK(fnv1a("bar", fnv1a("foo")) == fnv1a("foobar"));
    CHECK(fnv1a("\xff") != fnv1a("\x7f"));
}

}  // namespace fnv1a_test
