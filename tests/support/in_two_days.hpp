#ifndef CANDOR_TESTS_SUPPORT_IN_TWO_DAYS_HPP
#define CANDOR_TESTS_SUPPORT_IN_TWO_DAYS_HPP

#include <chrono>

#include <candor/policy/clock.hpp>

namespace candor::testing {

/// The system's clock, two days later: however many runs could not reach a server, it has been long enough for the next
/// one to try.
struct in_two_days : system_clock {
    [[nodiscard]] wall_time wall_now() const noexcept { return system_clock::wall_now() + std::chrono::hours{48}; }
};

}  // namespace candor::testing

#endif
