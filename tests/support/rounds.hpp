#ifndef CANDOR_TESTS_SUPPORT_ROUNDS_HPP
#define CANDOR_TESTS_SUPPORT_ROUNDS_HPP

#include "sanitizer.hpp"

namespace candor::testing {

/// How many rounds a test with random input makes that has `all` of them to make: a sanitizer is an order slower, and
/// sees in a tenth of the rounds what there is for it to see.
constexpr int rounds(int all) {
#if defined(CANDOR_TESTS_ADDRESS_SANITIZER) || defined(CANDOR_TESTS_THREAD_SANITIZER)
    return all / 10;
#else
    return all;
#endif
}

}  // namespace candor::testing

#endif
