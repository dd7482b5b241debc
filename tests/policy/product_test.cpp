#include <candor/policy/product.hpp>

#include <string>

#include <candor/consent/level.hpp>

#include <doctest/doctest.h>

namespace product_test {

using candor::product;

TEST_CASE("a product without a version, or named development, is a development build") {
    CHECK(product{.name = "acme"}.is_development());
    CHECK(product{.name = "acme", .version = ""}.is_development());
    CHECK(product{.name = "acme", .version = "development"}.is_development());
}

TEST_CASE("a product with any other version is released") {
    for (const char* version : {"1.4.0", "v0.0.1", "Development", "development-2", "dev", " "}) {
        INFO(std::string{version});
        CHECK_FALSE(product{.name = "acme", .version = version}.is_development());
    }
}

TEST_CASE("a variable's name is the prefix, an underscore and the suffix") {
    const product acme{.name = "acme", .version = "1.4.0", .env_prefix = "ACME"};
    CHECK(acme.variable("TELEMETRY_LEVEL") == "ACME_TELEMETRY_LEVEL");
    CHECK(product{.env_prefix = "A_B"}.variable("NO_TELEMETRY") == "A_B_NO_TELEMETRY");
}

TEST_CASE("a product says what may be sent in a CI system by the name of the level, and nothing where it does not") {
    CHECK(product{.name = "acme", .in_ci = candor::level::none}.in_ci == candor::level::none);
    CHECK_FALSE(product{.name = "acme"}.in_ci);
}

}  // namespace product_test
