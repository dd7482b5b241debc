#include <candor/platform/inside.hpp>

#include <thread>

#include <doctest/doctest.h>

TEST_CASE("a thread is inside while one lives, but where a callback was made meanwhile, and no other thread is") {
    using candor::detail::inside;
    CHECK_FALSE(inside::is_this_thread());
    {
        const inside library;
        CHECK(inside::is_this_thread());
        {
            const inside callback{false};
            CHECK_FALSE(inside::is_this_thread());
            const inside again;
            CHECK(inside::is_this_thread());
        }
        CHECK(inside::is_this_thread());
        std::thread{[] { CHECK_FALSE(inside::is_this_thread()); }}.join();
    }
    CHECK_FALSE(inside::is_this_thread());
}
