#include <candor/version.hpp>

#include <string>
#include <string_view>

#include <doctest/doctest.h>

namespace version_test {

TEST_CASE("the version's text is made of its numbers") {
    const auto numbers = std::to_string(CANDOR_VERSION_MAJOR) + "." + std::to_string(CANDOR_VERSION_MINOR) + "." +
                         std::to_string(CANDOR_VERSION_PATCH);
    CHECK(std::string_view{CANDOR_VERSION_STRING} == numbers);
}

}  // namespace version_test
