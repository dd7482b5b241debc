#ifndef CANDOR_DELIVERY_BACKOFF_HPP
#define CANDOR_DELIVERY_BACKOFF_HPP

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace candor::detail {

/// The waits between attempts: the n-th is random between 100 ms * 2^n and three times that, and never above 30 s.
/// So clients that failed together do not come back together. One thread at a time.
class backoff {
public:
    static constexpr std::chrono::milliseconds shortest{100};
    static constexpr std::chrono::milliseconds longest{30'000};

    explicit backoff(std::uint32_t seed) : random_{seed} {}

    std::chrono::milliseconds next() {
        std::uniform_int_distribution<std::chrono::milliseconds::rep> choose{least_.count(),
                                                                             std::min(3 * least_, longest).count()};
        least_ = std::min(2 * least_, longest / 2);
        return std::chrono::milliseconds{choose(random_)};
    }

    /// After a success.
    void reset() noexcept { least_ = shortest; }

private:
    std::minstd_rand random_;
    std::chrono::milliseconds least_ = shortest;
};

}  // namespace candor::detail

#endif
