#ifndef CANDOR_TESTS_SUPPORT_STOPWATCH_HPP
#define CANDOR_TESTS_SUPPORT_STOPWATCH_HPP

#include <chrono>

namespace candor::testing {

class stopwatch {
public:
    [[nodiscard]] std::chrono::milliseconds elapsed() const {
        return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start_);
    }

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// What a busy machine may add to the time of anything, sanitizers included. What a test tells a kept deadline from
/// takes far longer, or has no end; how exact a deadline is, the tests with a manual clock and the benchmarks say.
inline constexpr std::chrono::seconds slack{5};

}  // namespace candor::testing

#endif
