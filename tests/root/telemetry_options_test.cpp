#include <candor/telemetry_options.hpp>

#include <filesystem>
#include <string>

#include <candor/testing.hpp>

#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace telemetry_options_test {

using candor::telemetry_options;
using candor::testing::fixed_environment;

TEST_CASE(
    "a variable goes before an option, an empty one counts as unset, and a development build has variables only") {
    telemetry_options options{.product = {.name = "acme", .version = "1.0.0", .env_prefix = "ACME"},
                              .data_plane_url = "https://option",
                              .sentry_dsn = "https://key@option/1"};
    const fixed_environment overridden{
        {{"ACME_RUDDERSTACK_DATA_PLANE_URL", "https://variable"}, {"ACME_SENTRY_DSN", "https://key@variable/1"}}};
    const fixed_environment empty{{{"ACME_RUDDERSTACK_DATA_PLANE_URL", ""}, {"ACME_SENTRY_DSN", ""}}};
    using candor::detail::data_plane_of, candor::detail::sentry_dsn_of;
    CHECK(data_plane_of(options, overridden).text == "https://variable");
    CHECK(data_plane_of(options, overridden).is_override);
    CHECK(sentry_dsn_of(options, overridden).text == "https://key@variable/1");
    CHECK(data_plane_of(options, empty).text == "https://option");
    CHECK_FALSE(data_plane_of(options, empty).is_override);
    CHECK(sentry_dsn_of(options, empty).text == "https://key@option/1");
    options.product.version = "development";
    CHECK(data_plane_of(options, empty).text.empty());
    CHECK(sentry_dsn_of(options, empty).text.empty());
    CHECK(data_plane_of(options, overridden).text == "https://variable");
    options.product.env_prefix = "";
    CHECK(data_plane_of(options, overridden).text.empty());
}

TEST_CASE("the spool is in the state directory unless the program says another, and no home is made for it") {
    const temporary_directory home;
    telemetry_options options{.product = {.name = "acme", .version = "1.0.0"}};
    using candor::detail::spool_of;
    CHECK(spool_of(options, fixed_environment{{{"HOME", home.string()}}}).directory ==
          home.path() / ".local/state/acme/telemetry");
    CHECK(spool_of(options, fixed_environment{{{"HOME", home.string() + "/nobody"}}}).directory.empty());
    CHECK(spool_of(options, fixed_environment{}).directory.empty());
    options.delivery.spool.directory = "/elsewhere";
    CHECK(spool_of(options, fixed_environment{{{"HOME", home.string()}}}).directory == "/elsewhere");
}

TEST_CASE("a name that is none of a directory, or of variables, is refused") {
    const auto refused = [](const std::string& name, const std::string& prefix) -> std::string {
        try {
            candor::detail::check(telemetry_options{.product = {.name = name, .env_prefix = prefix}});
        } catch (const candor::configuration_error& e) {
            return e.field();
        }
        return "";
    };
    for (const std::string& name : {std::string{}, std::string{"."}, std::string{".."}, std::string{"a/b"},
                                    std::string{"a\0b", 3}, std::string(201, 'a')})
        CHECK(refused(name, "ACME") == "product.name");
    for (const char* prefix : {"1A", "A-B", "A B", "A=", "\xc3\x84"})
        CHECK(refused("acme", prefix) == "product.env_prefix");
    for (const char* prefix : {"", "_", "acme_2"}) CHECK(refused(std::string(200, 'a'), prefix) == "");
}

}  // namespace telemetry_options_test
