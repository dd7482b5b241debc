#ifndef CANDOR_TESTS_FUZZ_REQUIRE_HPP
#define CANDOR_TESTS_FUZZ_REQUIRE_HPP

#include <cstdio>
#include <cstdlib>

/// Ends the program, as a fuzzer wants it, where something does not hold.
inline void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

#endif
