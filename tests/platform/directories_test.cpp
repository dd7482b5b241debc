#include <candor/platform/directories.hpp>

#include <string>

#include <candor/testing.hpp>

#include <doctest/doctest.h>

namespace directories_test {

namespace {

using candor::testing::fixed_environment;

}  // namespace

TEST_CASE("the configuration directory is below XDG_CONFIG_HOME, else below ~/.config") {
    CHECK(candor::config_directory(fixed_environment{{{"XDG_CONFIG_HOME", "/x"}, {"HOME", "/h"}}}, "acme") ==
          "/x/acme");
    CHECK(candor::config_directory(fixed_environment{{{"HOME", "/h"}}}, "acme") == "/h/.config/acme");
    CHECK(candor::config_directory(fixed_environment{{{"XDG_CONFIG_HOME", ""}, {"HOME", "/h"}}}, "acme") ==
          "/h/.config/acme");
}

TEST_CASE("a relative XDG_CONFIG_HOME is ignored, and a relative home is none") {
    CHECK(candor::config_directory(fixed_environment{{{"XDG_CONFIG_HOME", "x"}, {"HOME", "/h"}}}, "acme") ==
          "/h/.config/acme");
    CHECK_FALSE(candor::config_directory(fixed_environment{{{"XDG_CONFIG_HOME", "./x"}}}, "acme"));
    CHECK_FALSE(candor::config_directory(fixed_environment{{{"HOME", "h"}}}, "acme"));
    CHECK_FALSE(candor::home_directory(fixed_environment{{{"HOME", "h"}}}));
}

TEST_CASE("without variables there is neither a home nor a configuration directory") {
    CHECK_FALSE(candor::home_directory(fixed_environment{}));
    CHECK_FALSE(candor::home_directory(fixed_environment{{{"HOME", ""}}}));
    CHECK_FALSE(candor::config_directory(fixed_environment{}, "acme"));
    CHECK(candor::home_directory(fixed_environment{{{"HOME", "/h"}}}) == "/h");
}

TEST_CASE("the state directory is below XDG_STATE_HOME, else below ~/.local/state") {
    CHECK(candor::state_directory(fixed_environment{{{"XDG_STATE_HOME", "/x"}, {"HOME", "/h"}}}, "acme") == "/x/acme");
    CHECK(candor::state_directory(fixed_environment{{{"HOME", "/h"}}}, "acme") == "/h/.local/state/acme");
    CHECK_FALSE(candor::state_directory(fixed_environment{}, "acme"));
    CHECK_FALSE(candor::state_directory(fixed_environment{{{"HOME", "/h"}}}, ".."));
    // It may be made anywhere but in a home directory that is not there.
    using candor::detail::makeable_state_directory;
    CHECK_FALSE(makeable_state_directory(fixed_environment{{{"HOME", "/no/such/home"}}}, "acme"));
    CHECK(makeable_state_directory(fixed_environment{{{"HOME", "/"}}}, "acme") == "/.local/state/acme");
    CHECK(makeable_state_directory(fixed_environment{{{"HOME", "/no/such/home"}, {"XDG_STATE_HOME", "/x"}}}, "acme") ==
          "/x/acme");
}

TEST_CASE("a product name that is no plain file name has no configuration directory") {
    const fixed_environment home{{{"HOME", "/h"}}};
    for (const std::string_view name :
         {std::string_view{""}, std::string_view{"."}, std::string_view{".."}, std::string_view{"a/b"},
          std::string_view{"../b"}, std::string_view{"a\\b"}, std::string_view{"C:b"}, std::string_view{"a\0b", 3}}) {
        CAPTURE(name);
        CHECK_FALSE(candor::config_directory(home, name));
    }
    CHECK(candor::config_directory(home, "..a"));
}

TEST_CASE("a directory with a NUL in it is none, and not a shorter one") {
    CHECK_FALSE(candor::config_directory(fixed_environment{{{"HOME", std::string{"/h\0/x", 5}}}}, "acme"));
}

}  // namespace directories_test
