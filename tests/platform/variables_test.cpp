#include <candor/platform/variables.hpp>

#include <stdlib.h>

#include <string_view>

#include <support/child_process.hpp>

#include <doctest/doctest.h>

namespace variables_test {

namespace {

int count(std::string_view variable) {
    int out = 0;
    for (auto next = candor::detail::environment_variables(); next != nullptr && *next != nullptr; ++next)
        out += *next == variable ? 1 : 0;
    return out;
}

}  // namespace

TEST_CASE("the variables of the process are there as they are now") {
    ::setenv("CANDOR_TEST_VARIABLES", "one", 1);
    CHECK(count("CANDOR_TEST_VARIABLES=one") == 1);
    ::setenv("CANDOR_TEST_VARIABLES", "two", 1);
    CHECK(count("CANDOR_TEST_VARIABLES=one") == 0);
    CHECK(count("CANDOR_TEST_VARIABLES=two") == 1);
    ::unsetenv("CANDOR_TEST_VARIABLES");
    CHECK(count("CANDOR_TEST_VARIABLES=two") == 0);
}

TEST_CASE("a program without any variable has none") {
    const auto end = run_in_child([](int) {
        ::clearenv();
        return count("");
    });
    CHECK(end.exit_code() == 0);
}

}  // namespace variables_test
