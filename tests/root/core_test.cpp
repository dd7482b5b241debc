#include <candor/core.hpp>

#include <doctest/doctest.h>

namespace core_test {

TEST_CASE("core.hpp has everything but the HTTP transport") {
    candor::basic_telemetry<candor::null_transport, candor::system_clock> telemetry{
        {.product = {.name = "acme", .version = "1.0", .env_prefix = "CANDOR_TEST_UNSET"},
         .level = candor::level::none}};
    CHECK(telemetry.track(candor::login_succeeded{}) == candor::admission::disabled);
    CHECK(candor::parse_level("stats") == candor::level::stats);
    CHECK_FALSE(candor::uuid::random().is_nil());
}

}  // namespace core_test
