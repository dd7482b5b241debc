#include <candor/policy/url.hpp>

#include <cstdint>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

namespace url_test {

using candor::detail::parse_url;
using namespace std::string_view_literals;

TEST_CASE("a URL is taken apart") {
    const auto u = parse_url("https://key:secret@events.acme.example:8443/a/b");
    REQUIRE(u.has_value());
    CHECK(u->scheme == "https");
    CHECK(u->userinfo == "key:secret");
    CHECK(u->host == "events.acme.example");
    CHECK(u->port == 8443);
    CHECK(u->path == "/a/b");
    CHECK(u->origin() == "https://events.acme.example:8443");
}

TEST_CASE("what a URL leaves out has a default, and the origin leaves it out again") {
    struct {
        const char* text;
        std::uint16_t port;
        const char* path;
        const char* origin;
    } const cases[] = {
        {"http://plane", 80, "", "http://plane"},
        {"https://plane", 443, "", "https://plane"},
        {"http://plane:80", 80, "", "http://plane"},
        {"https://plane:443/", 443, "", "https://plane"},
        {"http://plane:443", 443, "", "http://plane:443"},
        {"https://plane:80", 80, "", "https://plane:80"},
        {"http://plane:65535/x", 65535, "/x", "http://plane:65535"},
        {"http://plane:1", 1, "", "http://plane:1"},
        {"HTTP://plane", 80, "", "http://plane"},
        {"hTTps://Plane/A", 443, "/A", "https://Plane"},
    };
    for (const auto& c : cases) {
        INFO(std::string{c.text});
        const auto u = parse_url(c.text);
        REQUIRE(u.has_value());
        CHECK(u->port == c.port);
        CHECK(u->path == c.path);
        CHECK(u->origin() == c.origin);
        CHECK(u->userinfo == "");
    }
}

TEST_CASE("slashes at the end of a path are dropped and others kept") {
    CHECK(parse_url("http://h/")->path == "");
    CHECK(parse_url("http://h///")->path == "");
    CHECK(parse_url("http://h/a/")->path == "/a");
    CHECK(parse_url("http://h//a//b")->path == "//a//b");
}

TEST_CASE("an IPv6 address is kept without its brackets and gets them back") {
    const auto u = parse_url("http://[::1]:9000/x");
    REQUIRE(u.has_value());
    CHECK(u->host == "::1");
    CHECK(u->port == 9000);
    CHECK(u->origin() == "http://[::1]:9000");
    CHECK(parse_url("http://[fe80::1]")->port == 80);
}

TEST_CASE("userinfo ends at the last at-sign, so that a host cannot be forged") {
    const auto u = parse_url("http://good.example@evil.example@real.example");
    REQUIRE(u.has_value());
    CHECK(u->userinfo == "good.example@evil.example");
    CHECK(u->host == "real.example");
    CHECK(parse_url("http://h/a@b")->host == "h");
    CHECK(parse_url("http://@h")->userinfo == "");
}

TEST_CASE("what is no http or https URL with a host is refused") {
    for (const char* text : {
             "",
             "plane",
             "plane:80",
             "//plane",
             "http:/plane",
             "://plane",
             "ftp://plane",
             "httpx://plane",
             "file:///etc/passwd",
             "http://",
             "http:///path",
             "http://:80",
             "http://user@",
             "http://user@:80",
             "http://[]",
             "http://[::1",
             "http://[plane]",
             "http://[::1]80",
             "http://::1",
             "http://plane?x=1",
             "http://plane/a#b",
             "http://plane\\a",
         }) {
        INFO(std::string{text});
        CHECK_FALSE(parse_url(text).has_value());
    }
}

TEST_CASE("a port is a number from 1 to 65535 and nothing else") {
    for (const char* port : {"", "0", "00", "65536", "99999999999", "-1", "+80", "8 0", "80a", "0x50", ":80", "80:"}) {
        INFO(std::string{port});
        CHECK_FALSE(parse_url(std::string{"http://plane:"} + port).has_value());
        CHECK_FALSE(parse_url(std::string{"http://[::1]:"} + port).has_value());
    }
    CHECK(parse_url("http://plane:0080")->port == 80);
}

TEST_CASE("row 41: a space, a control character or a NUL anywhere in a URL is refused") {
    for (const auto text :
         {" http://plane"sv, "http://plane "sv, "http://pl ane"sv, "http://plane/a\r\nX: y"sv, "http://plane\n"sv,
          "http://pl\tane"sv, "http://plane/\x7f"sv, "http://plane\0"sv, "ht\0tp://plane"sv}) {
        INFO(std::string{text});
        CHECK_FALSE(parse_url(text).has_value());
    }
    CHECK(parse_url("http://pl\xc3\xa4ne").has_value());
}

}  // namespace url_test
