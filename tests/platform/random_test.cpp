#include <candor/platform/random.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include <doctest/doctest.h>

namespace random_test {

using candor::detail::fill_random;

TEST_CASE("every byte of a buffer is random, and none beside it is written") {
    std::array<std::uint8_t, 35> seen{};
    for (int i = 0; i < 64; ++i) {
        std::array<std::uint8_t, 35> buffer{};
        fill_random(buffer.data() + 1, buffer.size() - 2);
        for (std::size_t at = 0; at < buffer.size(); ++at) seen[at] |= buffer[at];
    }
    CHECK(seen.front() == 0);
    CHECK(seen.back() == 0);
    CHECK(std::all_of(seen.begin() + 1, seen.end() - 1, [](std::uint8_t bits) { return bits == 0xff; }));
}

TEST_CASE("more than the system gives at once is filled to its end") {
    std::array<std::uint8_t, 70'000> buffer{};  // getrandom() may give 256 bytes, a random device 64 KiB
    fill_random(buffer.data(), buffer.size());
    CHECK(std::any_of(buffer.end() - 64, buffer.end(), [](std::uint8_t byte) { return byte != 0; }));
}

}  // namespace random_test
