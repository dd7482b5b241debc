#include <candor/delivery/backoff.hpp>

#include <set>

#include <doctest/doctest.h>

namespace backoff_test {

using namespace std::chrono_literals;
using candor::detail::backoff;

TEST_CASE("each wait lies between 100 ms times a power of two and three times that, and ends at 15 to 30 s") {
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        backoff b{seed};
        auto least = 100ms;
        for (int i = 0; i < 20; ++i) {
            const auto wait = b.next();
            CHECK(wait >= least);
            CHECK(wait <= std::min<std::chrono::milliseconds>(3 * least, 30s));
            least = std::min<std::chrono::milliseconds>(2 * least, 15s);
        }
    }
}

TEST_CASE("a success starts again from the shortest wait") {
    backoff b{7};
    for (int i = 0; i < 10; ++i) b.next();
    b.reset();
    CHECK(b.next() <= 300ms);
}

TEST_CASE("clients with different seeds wait differently") {
    std::set<std::chrono::milliseconds> waits;
    for (std::uint32_t seed = 1; seed <= 50; ++seed) {
        backoff b{seed * 0x9e3779b9u};
        waits.insert(b.next());
    }
    CHECK(waits.size() > 20);
}

}  // namespace backoff_test
