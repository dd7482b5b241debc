#include <candor/policy/environment.hpp>

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include <doctest/doctest.h>

namespace environment_test {

namespace {

struct minimal {
    std::optional<std::string> get(const char*) const { return {}; }
};
static_assert(candor::environment<minimal>);
static_assert(candor::environment<candor::process_environment>);

struct without_get {};
static_assert(!candor::environment<without_get>);

struct get_changes_it {
    std::optional<std::string> get(const char*) { return {}; }
};
static_assert(!candor::environment<get_changes_it>);

struct get_gives_a_pointer {
    const char* get(const char*) const { return nullptr; }
};
static_assert(!candor::environment<get_gives_a_pointer>);

struct get_gives_a_string {
    std::string get(const char*) const { return {}; }
};
static_assert(!candor::environment<get_gives_a_string>);

struct get_gives_a_view {
    std::optional<std::string_view> get(const char*) const { return {}; }
};
static_assert(!candor::environment<get_gives_a_view>);

struct get_by_number {
    std::optional<std::string> get(int) const { return {}; }
};
static_assert(!candor::environment<get_by_number>);

void set_variable(const char* name, const char* value) {
#ifdef _WIN32
    _putenv_s(name, value);
#else
    setenv(name, value, 1);
#endif
}

struct one_variable {
    std::string value;
    std::optional<std::string> get(const char* name) const {
        if (std::string_view{name} == "ACME_KEY") return value;
        return std::nullopt;
    }
};

}  // namespace

TEST_CASE("the process environment is stateless") { CHECK(std::is_empty_v<candor::process_environment>); }

TEST_CASE("the process environment gives what is set, as it is now") {
    const candor::process_environment environment;
    set_variable("CANDOR_TEST_VARIABLE", "one");
    CHECK(environment.get("CANDOR_TEST_VARIABLE") == "one");
    set_variable("CANDOR_TEST_VARIABLE", " two=2 ");
    CHECK(environment.get("CANDOR_TEST_VARIABLE") == " two=2 ");
}

TEST_CASE("the process environment gives nothing for a variable that is not set") {
    CHECK(candor::process_environment{}.get("CANDOR_TEST_VARIABLE_THAT_NOBODY_SETS") == std::nullopt);
}

#ifndef _WIN32  // where an empty variable is an unset one
TEST_CASE("the process environment tells an empty variable from an unset one") {
    set_variable("CANDOR_TEST_EMPTY", "");
    CHECK(candor::process_environment{}.get("CANDOR_TEST_EMPTY") == "");
}
#endif

TEST_CASE("the process environment says all that it has") {
    set_variable("CANDOR_TEST_EACH", "a=b=c");
    int found = 0;
    candor::process_environment{}.each([&](std::string_view name, std::string_view value) {
        CHECK_FALSE(name.empty());
        if (name != "CANDOR_TEST_EACH") return;
        CHECK(value == "a=b=c");
        ++found;
    });
    CHECK(found == 1);
}

TEST_CASE("an empty variable counts as unset where candor reads it") {
    CHECK(candor::detail::non_empty(one_variable{"k"}, "ACME_KEY") == "k");
    CHECK(candor::detail::non_empty(one_variable{" "}, "ACME_KEY") == " ");
    CHECK(candor::detail::non_empty(one_variable{""}, "ACME_KEY") == std::nullopt);
    CHECK(candor::detail::non_empty(one_variable{"k"}, "ACME_OTHER") == std::nullopt);
}

}  // namespace environment_test
