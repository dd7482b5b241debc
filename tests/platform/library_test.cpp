#include <candor/platform/library.hpp>

#include <doctest/doctest.h>

// What these promise of a library is proven by `root/unload.sh`, which unloads one.
TEST_CASE("in a program, which cannot be unloaded, nothing changes") {
    const auto function = [] {};
    candor::detail::stay_loaded(+function);
}

TEST_CASE("the program's own code lasts, and what is no code of anybody's does not") {
    const auto function = [] {};
    const candor::detail::lasting_code code;
    CHECK(code.contains(reinterpret_cast<const void*>(+function)));
    CHECK_FALSE(code.contains(&code));
    CHECK_FALSE(code.contains(nullptr));
}
