#include <candor/policy/diagnostic.hpp>

#include <stdexcept>
#include <string>

#include <doctest/doctest.h>

namespace diagnostic_test {

TEST_CASE("a diagnostic reaches the sink as it is") {
    std::string heard;
    candor::detail::report([&](std::string_view text) { heard += text; }, "the plane is down");
    CHECK(heard == "the plane is down");
}

TEST_CASE("an empty sink hears nothing and does no harm") { CHECK_NOTHROW(candor::detail::report({}, "text")); }

TEST_CASE("what a sink throws is swallowed, whatever it is") {
    int calls = 0;
    const candor::diagnostic_sink error = [&](std::string_view) {
        ++calls;
        throw std::runtime_error{"sink"};
    };
    const candor::diagnostic_sink number = [&](std::string_view) {
        ++calls;
        throw 7;
    };
    candor::detail::report(error, "a");
    candor::detail::report(number, "b");
    CHECK(calls == 2);
    static_assert(noexcept(candor::detail::report(error, "a")));
}

}  // namespace diagnostic_test
