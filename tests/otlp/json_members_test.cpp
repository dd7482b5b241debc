#include <candor/otlp/json_members.hpp>

#include <cstddef>
#include <iterator>
#include <set>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

namespace json_members_test {

namespace {

using candor::detail::otlp_members;

}  // namespace

TEST_CASE("Each kind of object has its members once, with numbers that fit a byte's tag") {
    CHECK(std::size(otlp_members) == static_cast<std::size_t>(candor::detail::otlp_object::map) + 1);
    for (const auto members : otlp_members) {
        std::set<std::string_view> names;
        std::set<int> numbers;
        for (const auto& m : members) {
            CAPTURE(m.name);
            CHECK(names.insert(m.name).second);
            CHECK(numbers.insert(m.field).second);
            CHECK(m.field >= 1);
            CHECK(m.field < 15);  // 15 is the writer's own
            CHECK(m.slot < 2);
        }
    }
}

TEST_CASE("What is wrong with a member is said with its name") {
    for (const auto members : otlp_members) {
        for (const auto& m : members)
            CHECK(std::string_view{m.problem}.substr(0, m.name.size() + 8) == std::string{m.name} + " is not ");
    }
}

}  // namespace json_members_test
