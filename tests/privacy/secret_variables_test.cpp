#include <candor/privacy/secret_variables.hpp>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <candor/testing.hpp>

#include <doctest/doctest.h>

namespace secret_variables_test {

namespace {

using namespace candor::detail::privacy;
using candor::testing::fixed_environment;
using texts = std::vector<std::string>;

/// An environment that does not say what it has.
struct closed {
    static std::optional<std::string> get(const char* name) {
        return std::string_view{name} == "USER" ? std::optional<std::string>{"annabel"} : std::nullopt;
    }
};

}  // namespace

TEST_CASE("a variable holds a secret where its name has the words") {
    for (const std::string_view name : {"DB_PASSWORD",
                                        "db_password",
                                        "DB_PASS",
                                        "PGPASSWORD",
                                        "GITHUB_TOKEN",
                                        "MYTOKEN",
                                        "CLOUDQUERY_API_KEY",
                                        "APIKEY",
                                        "AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "SECRET",
                                        "CLIENT-SECRET",
                                        "KEY",
                                        "ACME.KEY",
                                        "DB_PWD",
                                        "HTTP_AUTH",
                                        "DATABASE_DSN",
                                        "PRIVATEKEY",
                                        "SSH_PASSPHRASE",
                                        "JWT",
                                        "GH_PAT",
                                        "CREDENTIALS",
                                        "SESSION_COOKIE",
                                        "__SOURCE_TEST__KEY"})
        CHECK_MESSAGE(is_secret_variable(name), name);
    for (const std::string_view name :
         {"", "_", "HOME", "PWD", "OLDPWD", "PATH", "USER", "KEYBOARD", "MONKEY_ISLAND", "PASSAGE", "COMPASS", "AUTHOR",
          "XAUTHORITY", "PATIENT", "SSH_AUTH_SOCK", "GIT_ASKPASS", "TOKEN_FILE", "DB_PASSWORD_FILE", "KEY_PATH",
          "SECRET_NAME", "SENTRY_DSN", "ACME_SENTRY_DSN", "GOOGLE_APPLICATION_CREDENTIALS",
          // those that the Go original lets pass
          "_CQ_TEAM_NAME", "AWS_STS_REGIONAL_ENDPOINTS", "AWS_DEFAULT_REGION", "AWS_REGION",
          "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"})
        CHECK_MESSAGE(!is_secret_variable(name), name);
}

TEST_CASE("a value that is short, a switch, a small number or a common word is no secret") {
    for (const std::string_view value : {"", "1", "123", "abc", "true", "FALSE", "none", "12345", "postgres", "admin",
                                         "Password", "secret", "localhost", "    ", "\t\n\t\n"})
        CHECK_MESSAGE(!is_secret_value(value), value);
    for (const std::string_view value : {"abcd", "hunter2", "123456", "true1", "s3cr", "foobar123"})
        CHECK_MESSAGE(is_secret_value(value), value);
}

TEST_CASE("a user's name is one that is no role, no word and not too short") {
    for (const std::string_view name : {"", "root", "Root", "user", "admin", "build", "runner", "bob", "al", "12345",
                                        "ubuntu", "ec2-user", "a/bc", "two words", "error", "test"})
        CHECK_MESSAGE(!is_personal_name(name), name);
    for (const std::string_view name : {"annabel", "anna", "j.doe", "x1234567", "o'neill", "M\xc3\xbcller"})
        CHECK_MESSAGE(is_personal_name(name), name);
}

TEST_CASE("the secrets of an environment are the values of such variables") {
    const fixed_environment of{{{"DB_PASSWORD", "hunter2"},
                                {"API_KEY", "true"},
                                {"TOKEN", "1"},
                                {"PATH", "/usr/bin"},
                                {"TOKEN_FILE", "/run/token"},
                                {"Z_TOKEN", "a=b=c"}}};
    CHECK(secrets_of(of) == texts{"hunter2", "a=b=c"});
    CHECK(secrets_of(fixed_environment{}).empty());
    CHECK(secrets_of(closed{}).empty());
}

#ifndef _WIN32
TEST_CASE("the secrets of the process are found") {
    REQUIRE(::setenv("CANDOR_TEST_TOKEN", "of the process", 1) == 0);
    auto found = secrets_of(candor::process_environment{});
    CHECK(std::count(found.begin(), found.end(), "of the process") == 1);
    REQUIRE(::unsetenv("CANDOR_TEST_TOKEN") == 0);
    found = secrets_of(candor::process_environment{});
    CHECK(std::count(found.begin(), found.end(), "of the process") == 0);
}
#endif

TEST_CASE("the user is called as the variables and the home directory say, each name once") {
    CHECK(user_names(fixed_environment{{{"USER", "annabel"}, {"LOGNAME", "annabel"}, {"HOME", "/home/alee/"}}}, "") ==
          texts{"annabel", "alee"});
    CHECK(user_names(fixed_environment{{{"USER", "root"}, {"HOME", "/root"}}}, "").empty());
    CHECK(user_names(fixed_environment{}, "").empty());
    CHECK(user_names(closed{}, "") == texts{"annabel"});
    // A service runs as a user of its own name.
    CHECK(user_names(fixed_environment{{{"USER", "acmed"}, {"HOME", "/var/lib/acmed"}}}, "Acmed").empty());
}

}  // namespace secret_variables_test
