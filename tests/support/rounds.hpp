#ifndef CANDOR_TESTS_SUPPORT_ROUNDS_HPP
#define CANDOR_TESTS_SUPPORT_ROUNDS_HPP

#include <cstdlib>

#include "sanitizer.hpp"

namespace candor::testing {

/// How many rounds a test with random input makes that has `all` of them to make: a sanitizer is an order slower, and
/// sees in a tenth of the rounds what there is for it to see. CANDOR_TEST_ROUNDS multiplies them.
inline int rounds(int all) {
    const char* const times = std::getenv("CANDOR_TEST_ROUNDS");
    if (times != nullptr) all *= std::atoi(times);
#if defined(CANDOR_TESTS_ADDRESS_SANITIZER) || defined(CANDOR_TESTS_THREAD_SANITIZER)
    all /= 10;
#endif
    return all;
}

}  // namespace candor::testing

#endif
