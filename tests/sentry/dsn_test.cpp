#include <candor/sentry/dsn.hpp>

#include <string>
#include <string_view>

#include <doctest/doctest.h>

namespace dsn_test {

using candor::configuration_error;
using candor::sentry::parse_dsn;

TEST_CASE("a DSN says where envelopes go and on whose behalf") {
    struct sample {
        std::string_view text;
        std::string_view key;
        std::string_view project;
        std::string_view envelopes;
    };
    for (const auto& expected : {
             sample{"https://abc@o1.errors.example/42", "abc", "42", "https://o1.errors.example/api/42/envelope/"},
             sample{"https://abc:secret@errors.example/42", "abc", "42", "https://errors.example/api/42/envelope/"},
             sample{"http://abc@127.0.0.1:9000/7", "abc", "7", "http://127.0.0.1:9000/api/7/envelope/"},
             sample{"http://abc@[::1]:9000/7", "abc", "7", "http://[::1]:9000/api/7/envelope/"},
             sample{"https://abc@errors.example/a/b/42", "abc", "42", "https://errors.example/a/b/api/42/envelope/"},
             sample{"https://abc@errors.example/42/", "abc", "42", "https://errors.example/api/42/envelope/"},
             sample{"HTTPS://abc@errors.example/name-of.project_1", "abc", "name-of.project_1",
                    "https://errors.example/api/name-of.project_1/envelope/"},
             sample{"https://abc:@errors.example/42", "abc", "42", "https://errors.example/api/42/envelope/"},
         }) {
        CAPTURE(expected.text);
        const auto read = parse_dsn(expected.text);
        REQUIRE(read);
        CHECK(read->public_key == expected.key);
        CHECK(read->project == expected.project);
        CHECK(read->envelope_url() == expected.envelopes);
        CHECK(read->server.userinfo.empty());
    }
}

TEST_CASE("what is no DSN is refused") {
    using namespace std::string_view_literals;
    for (const auto text : {
             ""sv,
             "errors.example/42"sv,
             "ftp://abc@errors.example/42"sv,
             "https://errors.example/42"sv,   // no key
             "https://@errors.example/42"sv,  // an empty one
             "https://:secret@errors.example/42"sv,
             "https://abc@/42"sv,             // no host
             "https://abc@errors.example"sv,  // no project
             "https://abc@errors.example/"sv,
             "https://abc@errors.example//"sv,
             "https://abc@errors.example:0/42"sv,
             "https://abc@errors.example:70000/42"sv,
             "https://abc@errors.example/42?x=1"sv,
             "https://abc@errors.example/42#x"sv,
             "https://a bc@errors.example/42"sv,
             "https://a,b=c@errors.example/42"sv,  // would end a part of the header it goes into
             "https://abc@errors.example/4\r\n2"sv,
             "https://abc@errors.example/42\0"sv,
             "https://abc@errors.example/4%2f2"sv,
         }) {
        CAPTURE(text);
        CHECK_FALSE(parse_dsn(text));
    }
}

TEST_CASE("row 42: the error for a bad DSN names the field and what is allowed, and keeps the keys to itself") {
    try {
        candor::sentry::detail::checked_dsn("sentry_dsn", "https://topsecret:hidden@errors.example/");
        FAIL("accepted");
    } catch (const configuration_error& error) {
        const std::string what = error.what();
        CAPTURE(what);
        CHECK(error.field() == "sentry_dsn");
        CHECK(what.find("https://***@errors.example/") != std::string::npos);
        CHECK(what.find("PUBLIC_KEY@HOST/PROJECT") != std::string::npos);
        CHECK(what.find("topsecret") == std::string::npos);
        CHECK(what.find("hidden") == std::string::npos);
    }
}

}  // namespace dsn_test
