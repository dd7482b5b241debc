#include <candor/privacy/assignments.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "marked.hpp"

#include <doctest/doctest.h>

namespace assignments_test {

namespace {

using namespace candor::detail::privacy;
using table = std::vector<std::pair<std::string_view, std::string_view>>;

std::string values_marked(std::string_view text) { return marked(text, find_assignments); }

}  // namespace

TEST_CASE("a name says what stands beside it by its end, whatever its case and separators") {
    using enum name_meaning;
    for (const auto& [name, meaning] :
         std::vector<std::pair<std::string_view, name_meaning>>{{"password", password},
                                                                {"DB_PASSWORD", password},
                                                                {"db.pwd", password},
                                                                {"db_pass", password},
                                                                {"passwd", password},
                                                                {"ssh-passphrase", password},
                                                                {"token", secret},
                                                                {"X-Auth-Token", secret},
                                                                {"refreshToken", secret},
                                                                {"client_secret", secret},
                                                                {"api-key", secret},
                                                                {"API_KEY", secret},
                                                                {"x-api-key", secret},
                                                                {"aws_secret_access_key", secret},
                                                                {"credentials", secret},
                                                                {"Authorization", authorization},
                                                                {"proxy-authorization", authorization},
                                                                {"Cookie", cookie},
                                                                {"Set-Cookie", cookie},
                                                                {"", nothing},
                                                                {"---", nothing},
                                                                {"PWD", nothing},
                                                                {"OLDPWD", nothing},
                                                                {"bypass", nothing},
                                                                {"pass", nothing},
                                                                {"monkey", nothing},
                                                                {"token_type", nothing},
                                                                {"key", nothing},
                                                                {"error", nothing},
                                                                {"passwords", nothing},
                                                                {"compass", nothing},
                                                                {"secretary", nothing}}) {
        const std::string shown{name};
        CAPTURE(shown);
        CHECK(meaning_of(name) == meaning);
    }
}

TEST_CASE("what is assigned to the name of a secret is found") {
    for (const auto& [text, expected] : table{
             {"password=hunter2", "password=#"},
             {"DB_PASSWORD=hunter2 DB_HOST=db", "DB_PASSWORD=# DB_HOST=db"},
             {"password = hunter2, host = db", "password = #, host = db"},
             {"(token=abc)", "(token=#)"},
             {"token: abc123.", "token: #."},
             {"api_key:abc123", "api_key:#"},
             {"token := abc1", "token := #"},
             {"secret => abc1", "secret => #"},
             {"token == abc1", "token == #"},
             {"password='two words' x", "password='#' x"},
             {"{\"password\":\"a\\\"b\",\"user\":\"u\"}", "{\"password\":\"#\",\"user\":\"u\"}"},
             {"{\\\"token\\\":\\\"abcd\\\",\\\"u\\\":1}", "{\\\"token\\\":\\\"#\\\",\\\"u\\\":1}"},
             {"{\"token\": \"sesame\"}", "{\"token\": \"#\"}"},
             {"{'token': 'sesame'}", "{'token': '#'}"},
             {"form[password]=hunter2&x=1", "form[password]=#&x=1"},
             {"password=\"cut off", "password=\"#"},
             {"password=\"cut off\nnext", "password=\"#\nnext"},
             {"password: sesame", "password: #"},
             {"password: x", "password: #"},
             {"a;token=abc;b", "a;token=#;b"},
             {"token=a=b", "token=#"},
         })
        CHECK(values_marked(text) == expected);
}

TEST_CASE("the credentials of an authorization are found behind its scheme") {
    for (const auto& [text, expected] : table{
             {"Authorization: Bearer abc", "Authorization: Bearer #"},
             {"authorization: basic abc\r\nHost: h", "authorization: basic #\r\nHost: h"},
             {"Authorization: abc123", "Authorization: #"},
             {"Authorization: Digest username=\"u\", response=\"r\"\nx", "Authorization: Digest #\nx"},
             {"{\"Authorization\": \"Token abc\"}", "{\"Authorization\": \"Token #\"}"},
             {"-H 'Authorization: token abc'", "-H 'Authorization: token #'"},
             {"Cookie: sid=abc; theme=dark\nHost: h", "Cookie: #\nHost: h"},
             {"Set-Cookie: sid=abc; Path=/", "Set-Cookie: #"},
             {"{\"cookie\": \"sid=abc; theme=dark\"}", "{\"cookie\": \"#\"}"},
             {"session_cookie=abcd", "session_cookie=#"},
         })
        CHECK(values_marked(text) == expected);
}

TEST_CASE("prose about secrets stays") {
    for (const std::string_view text : {"token expired",
                                        "invalid token: unexpected end of input",
                                        "unexpected token: '}'",
                                        "unexpected token: ;",
                                        "expected token: IDENTIFIER, got EOF",
                                        "token: not found",
                                        "token: Expired",
                                        "password: required",
                                        "wrong password: access denied",
                                        "bad password: must be longer",
                                        "Authorization: failed",
                                        "authorization: not allowed",
                                        "cookie: expired",
                                        "credentials: missing",
                                        "token:",
                                        "token=",
                                        "password = ",
                                        "password=true",
                                        "password: null",
                                        "password=****",
                                        "password=\"\"",
                                        "secret: none",
                                        "auth_token::refresh()",
                                        "std::token::next: fail",
                                        "token://x",
                                        "PWD=/srv",
                                        "bypass=yes1",
                                        "tests: pass=3 fail=1",
                                        "open /etc/acme.conf: permission denied (code 13)",
                                        "at 12:30:45: x = y",
                                        "::",
                                        "=",
                                        ":",
                                        "a=b"})
        CHECK(values_marked(text) == text);
}

TEST_CASE("a megabyte of almost assignments is read once") {
    for (const std::string_view part : {"=",
                                        ":",
                                        "=:",
                                        "a=",
                                        "'=",
                                        "\\=",
                                        " =",
                                        "token: ",
                                        "token:abc,",
                                        "password:not,",
                                        "cookie:x",
                                        "token:''",
                                        "token:\\",
                                        "password='",
                                        "password=\\'",
                                        "authorization:basic",
                                        "authorization: basic ",
                                        "authorization:digest ",
                                        "password=*",
                                        "token:abc:"}) {
        CAPTURE(part);
        const auto text = repeated(part, 1'000'000 / part.size());
        CHECK(values_marked(text).size() <= text.size());
    }
    CHECK(values_marked(repeated("token:abc,", 100'000)) == repeated("token:abc,", 100'000));
    CHECK(values_marked(repeated("password=", 100'000)) == "password=#");
}

}  // namespace assignments_test
