#include <candor/policy/policies.hpp>

#include <doctest/doctest.h>

namespace policies_test {

using candor::detail::policies;

TEST_CASE("policies are made where none are lent") {
    const policies<candor::null_transport, candor::system_clock> own;
    CHECK(own.transport().send({}).status == 200);
    CHECK(own.clock().now() > candor::steady_time{});
}

TEST_CASE("lent policies are used themselves, not copies of them") {
    candor::null_transport transport;
    candor::system_clock clock;
    const policies<candor::null_transport, candor::system_clock> lent{transport, clock};
    CHECK(&lent.transport() == &transport);
    CHECK(&lent.clock() == &clock);
}

}  // namespace policies_test
