#include <candor/privacy/key_shapes.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "marked.hpp"

#include <doctest/doctest.h>

namespace key_shapes_test {

namespace {

using namespace candor::detail::privacy;

std::string keys_marked(std::string_view text) { return marked(text, find_keys); }
std::string private_keys_marked(std::string_view text) { return marked(text, find_private_keys); }

const std::string long_text = "0123456789abcdefghijABCDEFGHIJ0123456789";

}  // namespace

TEST_CASE("a key that begins with its maker's mark is found, with all of it") {
    for (const auto& shape : key_shapes) {
        CAPTURE(shape.mark);
        std::string key{shape.mark};
        for (std::size_t i = 0; i < shape.least; ++i) key += i % 2 == 0 ? 'X' : '7';
        CHECK(keys_marked(key) == "#");
        CHECK(keys_marked("key=" + key + "7, next") == "key=#, next");
        CHECK(keys_marked("(" + key + ")") == "(#)");
        CHECK(keys_marked(key.substr(0, key.size() - 1)) == key.substr(0, key.size() - 1));  // too short
        CHECK(keys_marked("x" + key) == "x" + key);                                          // within a word
    }
}

TEST_CASE("what begins like a key and is words stays") {
    for (const std::string_view text :
         {"sk-this-is-a-name-made-of-words-only", "xoxo-hugs-and-kisses", "AKIAlowercase", "AKIA", "AIza", "npm_config",
          "ghp_short", "the sk- prefix", "pypi-server is down", "hvs.example", "task-0123456789abcdefghijklm",
          "risk-0123456789abcdefghijklm"})
        CHECK(keys_marked(text) == text);
}

TEST_CASE("a secret access key is found beside its id, and only there") {
    const std::string id =
        "AKIA"
        "IOSFODNN7EXAMPLE";
    const std::string secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    CHECK(keys_marked(secret) == secret);
    CHECK(keys_marked(id + " " + secret) == "# #");
    CHECK(keys_marked("(" + secret + "," + id + ")") == "(#,#)");
    CHECK(keys_marked(id + " " + secret + "x") == "# " + secret + "x");
    CHECK(keys_marked(id + " " + std::string(40, 'a')) == "# " + std::string(40, 'a'));
}

TEST_CASE("JSON Web Tokens are found, cut off and encrypted ones too") {
    for (const auto& [text, expected] : std::vector<std::pair<std::string_view, std::string_view>>{
             {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "#"},
             {"got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl.", "got #."},
             {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0", "#"},
             {"eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "#."},
             {"eyJhbGciOiJSU0EifQ.a.b.c.d", "#"},
             {"eyJhbGciOiJSU0EifQ.a.b.c.d.e", "#.e"},
             {"eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9"},
             {"eyJhbGciOiJIUzI1NiJ9.txt", "eyJhbGciOiJIUzI1NiJ9.txt"},
             {"keyJava.lang.String", "keyJava.lang.String"},
         })
        CHECK(keys_marked(text) == expected);
}

TEST_CASE("credentials are found behind Bearer and Basic, words stay") {
    for (const auto& [text, expected] : std::vector<std::pair<std::string_view, std::string_view>>{
             {"Bearer abc123def", "Bearer #"},
             {"bearer\tABC.def~ghi+jkl/mno==, next", "bearer\t#, next"},
             {"BEARER  aVeryLongOne", "BEARER  #"},
             {"Bearer abcdefghijklmnopqrstuvwxyz", "Bearer #"},
             {"Basic dXNlcjpwYXNzd29yZA==", "Basic #"},
             {"basic YTpi", "basic #"},
             {"Basic Ojpwdw", "Basic #"},
             {"\"Basic dXNlcjpwYXNzd29yZA==\"", "\"Basic #\""},
             {"basic auth failed", "basic auth failed"},
             {"basic authentication required", "basic authentication required"},
             {"Basic usage/example", "Basic usage/example"},
             {"Basic BlockManager failed", "Basic BlockManager failed"},
             {"Basic HTTP/1.1 200", "Basic HTTP/1.1 200"},
             {"std::basic_string<char>", "std::basic_string<char>"},
             {"bearer token expired", "bearer token expired"},
             {"Bearer authentication", "Bearer authentication"},
             {"the bearer of news", "the bearer of news"},
             {"Bearer token_type", "Bearer token_type"},
             {"forbearer abc123def", "forbearer abc123def"},
             {"Bearer", "Bearer"},
             {"Basic ", "Basic "},
         })
        CHECK(keys_marked(text) == expected);
}

TEST_CASE("a private key is found with all that stands between its lines") {
    for (const std::string_view kind : {"", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "}) {
        const std::string label = std::string{kind} + "PRIVATE KEY-----";
        const std::string key = "-----BEGIN " + label + "\nMIIEpAIBAAKCAQEA\\n7bq==\n-----END " + label;
        CHECK(private_keys_marked(key) == "#");
        CHECK(private_keys_marked("a " + key + " b " + key + "c") == "a # b #c");
        CHECK(private_keys_marked("a " + key.substr(0, 60)) == "a #");  // cut off
        CHECK(private_keys_marked("a " + key.substr(0, key.size() - 2)) == "a #");
    }
    CHECK(private_keys_marked("-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n-----END PGP PRIVATE KEY BLOCK-----") == "#");
    for (const std::string_view text :
         {"-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----", "-----BEGIN ",
          "-----", "BEGIN PRIVATE KEY", "-----BEGIN CERTIFICATE----- PRIVATE KEY-----"})
        CHECK(private_keys_marked(text) == text);
}

// Each of these takes minutes where the time grows with the square of the length.
TEST_CASE("a megabyte of almost keys is read once") {
    for (const std::string_view part : {"eyJ-", "eyJa.b ", "eyJ.", "sk-", "basic ", "basic+b-", "basic a-", "Bearer ",
                                        "Bearer a.", "AKIA", "-----BEGIN ", "-----BEGIN CERTIFICATE-----"}) {
        CAPTURE(part);
        const auto text = repeated(part, 1'000'000 / part.size());
        if (part != "eyJ." && part != "AKIA") CHECK(private_keys_marked(text) == text);
        CHECK(keys_marked(text).size() <= text.size());
    }
    CHECK(private_keys_marked(repeated("-----BEGIN PRIVATE KEY", 40'000)) == "#");
    CHECK(keys_marked(repeated("eyJ-", 250'000)) == repeated("eyJ-", 250'000));
}

}  // namespace key_shapes_test
