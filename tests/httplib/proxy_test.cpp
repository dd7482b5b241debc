#include <candor/httplib/proxy.hpp>

#include <map>
#include <string>

#include <candor/testing.hpp>

#include <doctest/doctest.h>

namespace proxy_test {

using candor::detail::proxy_route;

namespace {

proxy_route route(std::map<std::string, std::string> variables, const std::string& to) {
    const auto server = candor::detail::parse_url(to);
    REQUIRE(server);
    return candor::detail::proxy_settings{candor::testing::fixed_environment{std::move(variables)}}.route_to(*server);
}

bool is_direct(const proxy_route& r) { return r.host.empty() && r.error.empty(); }

}  // namespace

TEST_CASE("without variables, or with empty ones, there is no proxy") {
    CHECK(is_direct(route({}, "http://a.example")));
    CHECK(is_direct(route({{"http_proxy", ""}, {"all_proxy", ""}}, "http://a.example")));
}

TEST_CASE("each scheme has its variables, in curl's order") {
    const std::string plain = "http://a.example";
    const std::string secure = "https://a.example";
    CHECK(route({{"http_proxy", "http://p:1"}, {"all_proxy", "http://q:1"}}, plain).host == "p");
    CHECK(route({{"all_proxy", "http://p:1"}, {"ALL_PROXY", "http://q:1"}}, plain).host == "p");
    CHECK(route({{"ALL_PROXY", "http://p:1"}}, plain).host == "p");
    CHECK(route({{"https_proxy", "http://p:1"}, {"HTTPS_PROXY", "http://q:1"}}, secure).host == "p");
    CHECK(route({{"HTTPS_PROXY", "http://p:1"}, {"all_proxy", "http://q:1"}}, secure).host == "p");
    CHECK(route({{"ALL_PROXY", "http://p:1"}}, secure).host == "p");
    CHECK(is_direct(route({{"http_proxy", "http://p:1"}}, secure)));
    CHECK(is_direct(route({{"https_proxy", "http://p:1"}}, plain)));
}

TEST_CASE("HTTP_PROXY is ignored: a CGI program gets it from its client") {
    CHECK(is_direct(route({{"HTTP_PROXY", "http://evil:1"}}, "http://a.example")));
}

TEST_CASE("a proxy is given as a URL or as a host, and listens on 1080 unless told otherwise") {
    struct example {
        std::string value;
        std::string host;
        int port;
    };
    for (const auto& e :
         {example{"http://p.example:3128", "p.example", 3128}, example{"p.example:3128", "p.example", 3128},
          example{"p.example", "p.example", 1080}, example{"http://p.example/", "p.example", 1080},
          example{"http://p.example:80/", "p.example", 80}, example{"http://p.example:443", "p.example", 443},
          example{"HTTP://[::1]:8080", "::1", 8080}}) {
        CAPTURE(e.value);
        const auto r = route({{"http_proxy", e.value}}, "http://a.example");
        CHECK(r.error == "");
        CHECK(r.host == e.host);
        CHECK(r.port == e.port);
    }
}

TEST_CASE("the proxy's user and password are decoded") {
    auto r = route({{"http_proxy", "http://us%65r:p%40ss%3A@p.example:1"}}, "http://a.example");
    CHECK(r.user == "user");
    CHECK(r.password == "p@ss:");
    r = route({{"http_proxy", "user@p.example:1"}}, "http://a.example");
    CHECK(r.user == "user");
    CHECK(r.password == "");
}

TEST_CASE("a proxy that cannot be used is an error that names the variable and hides the value, never a direct way") {
    for (const char* value :
         {"socks5://secret@p:1", "https://secret@p:1", "http://", "http://secret@p:0", "http://secret:pass%0d%0a@p:1",
          "http://secret%zz@p:1", "http://secret%4@p:1", "http://secret@p:1?q", "ftp://secret", "http://secret p:1"}) {
        CAPTURE(value);
        const auto r = route({{"HTTPS_PROXY", value}}, "https://a.example");
        CHECK(r.host.empty());
        CHECK(r.error.find("HTTPS_PROXY") != std::string::npos);
        CHECK(r.error.find("secret") == std::string::npos);
    }
}

TEST_CASE("no_proxy exempts names with all below them, addresses and networks") {
    struct example {
        std::string list;
        std::string host;
        bool exempt;
    };
    for (const auto& e : {example{"*", "a.example", true},
                          example{"a.example", "a.example", true},
                          example{".a.example", "a.example", true},
                          example{"A.Example", "b.a.eXample", true},
                          example{"a.example.", "a.example", true},
                          example{"x, a.example", "a.example", true},
                          example{"x a.example", "a.example", true},
                          example{"a.example", "bada.example", false},
                          example{"b.a.example", "a.example", false},
                          example{",,", "a.example", false},
                          example{"127.0.0.1", "127.0.0.1", true},
                          example{"0.0.1", "127.0.0.1", false},
                          example{"10.0.0.0/8", "10.1.2.3", true},
                          example{"10.0.0.0/8", "11.1.2.3", false},
                          example{"10.0.0.0/33", "10.0.0.0", false},
                          example{"10.0.0.0/x", "10.0.0.0", false},
                          example{"0.0.0.0/0", "10.0.0.0", true},
                          example{"192.168.4.0/22", "192.168.7.255", true},
                          example{"192.168.4.0/22", "192.168.8.0", false},
                          example{"::1", "[::1]", true},
                          example{"[::1]", "[::1]", true},
                          example{"fd00::/8", "[fd12::1]", true},
                          example{"fd00::/8", "[fe80::1]", false},
                          example{"10.0.0.0/8", "[fd12::1]", false}}) {
        CAPTURE(e.list);
        CAPTURE(e.host);
        const auto r = route({{"http_proxy", "http://p:1"}, {"no_proxy", e.list}}, "http://" + e.host);
        CHECK(is_direct(r) == e.exempt);
    }
}

TEST_CASE("no_proxy goes before NO_PROXY, and loopback is not exempt by itself") {
    const std::string to = "http://127.0.0.1:8080";
    CHECK(is_direct(route({{"http_proxy", "p:1"}, {"NO_PROXY", "127.0.0.1"}}, to)));
    CHECK(route({{"http_proxy", "p:1"}, {"no_proxy", "x"}, {"NO_PROXY", "127.0.0.1"}}, to).host == "p");
    CHECK(route({{"http_proxy", "p:1"}}, to).host == "p");
}

}  // namespace proxy_test
