#ifndef CANDOR_TESTS_SUPPORT_BECOMES_TRUE_HPP
#define CANDOR_TESTS_SUPPORT_BECOMES_TRUE_HPP

#include <chrono>
#include <thread>

#include <candor/testing.hpp>

/// Waits for a condition that another thread brings about.
template <class Condition>
bool becomes_true(const Condition& condition) {
    const auto deadline = std::chrono::steady_clock::now() + candor::testing::patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::yield();
    }
    return true;
}

#endif
