#include <candor/privacy/addresses.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "marked.hpp"

#include <doctest/doctest.h>

namespace addresses_test {

namespace {

using namespace candor::detail::privacy;
using table = std::vector<std::pair<std::string_view, std::string_view>>;

std::string queries_marked(std::string_view text) { return marked(text, find_query_values); }

/// User parts and e-mail addresses: which is which can only be told together.
std::string addresses_marked(std::string_view text) {
    return marked(text, [](std::string_view in, text_ranges& out) {
        std::vector<std::size_t> userinfo_ends;
        find_userinfo(in, out, userinfo_ends);
        find_mail_addresses(in, userinfo_ends, out);
    });
}

}  // namespace

TEST_CASE("the places where user parts end are told, in order") {
    text_ranges out;
    std::vector<std::size_t> ends;
    find_userinfo("a://b@c d://e:f/g@h i://j", out, ends);
    CHECK(ends == std::vector<std::size_t>{5, 17});
}

TEST_CASE("the user parts of a database driver's addresses are found") {
    for (const auto& [text, expected] : table{
             {"user:pass@tcp(127.0.0.1:3306)/shop", "#@tcp(127.0.0.1:3306)/shop"},
             {"dial user:p@ss@x/w?rd@tcp6([::1]:3306)/: refused", "dial #@tcp6([::1]:3306)/: refused"},
             {"root@unix(/run/mysqld.sock)/shop", "#@unix(/run/mysqld.sock)/shop"},
             {"--dsn=user:a=b@cloudsql(project:db)/", "--dsn=#@cloudsql(project:db)/"},
             {"\"u:p@tcp4(h)/\", \"v:q@tcp(h)/\"", "\"#@tcp4(h)/\", \"#@tcp(h)/\""},
             {"u:p@tcp(a)/,v:q@tcp(b)/", "#@#@tcp(b)/"},
         })
        CHECK(marked(text, find_driver_userinfo) == expected);
    for (const std::string_view text :
         {"mysql://user:pass@tcp(h)/", "f@call(x)", "a@tcp", "@tcp(", "a@tcp7(x)", "@", ""})
        CHECK(marked(text, find_driver_userinfo) == text);
}

TEST_CASE("the values of a URL's query are found, not its names") {
    for (const auto& [text, expected] : table{
             {"https://h/?a=b", "https://h/?a=#"},
             {"https://h?token=abc&page=2#top", "https://h?token=#&page=##top"},
             {"GET /v1/items?key=abc HTTP/1.1", "GET /v1/items?key=# HTTP/1.1"},
             {"\"https://h/p?a=b\"", "\"https://h/p?a=#\""},
             {"https://h/?a=b=c&d==e", "https://h/?a=#&d=#"},
             {"https://h/?a&b=c&=d&e=", "https://h/?a&b=#&=d&e="},
             {"https://h/?a=b?c=d", "https://h/?a=#"},
             {"https://h/?a=b https://h/?c=d", "https://h/?a=# https://h/?c=#"},
         })
        CHECK(queries_marked(text) == expected);
    for (const std::string_view text : {"what? a=b", "x?y=z", "(a == b) ? c=d : e", "https://h/", "?a=b", "?", "/?",
                                        "https://h/?", "https://h/?token", "really? yes"})
        CHECK(queries_marked(text) == text);
}

TEST_CASE("e-mail addresses are found") {
    for (const auto& [text, expected] : table{
             {"ann@example.org", "#"},
             {"mail to ann.lee+tag@mail.example.co.uk.", "mail to #."},
             {"<ann@example.org>, (bob@example.org)", "<#>, (#)"},
             {"'ann@example.org'", "'#'"},
             {"mailto:ann@example.org", "mailto:#"},
             {"ann%40example.org", "#"},
             {"\xc3\xa4nn@\xc3\xb6"
              "bb.example",
              "#"},
             {"ann@163.com", "#"},
             {"a@b.cc,c@d.ee", "#,#"},
             {"https://h/users/ann@example.org/x", "https://h/users/#/x"},
             {"https://u@h.example/ann@example.org", "https://#@h.example/#"},
         })
        CHECK(addresses_marked(text) == expected);
}

TEST_CASE("an @ that is of no address stays") {
    for (const std::string_view text : {"@",
                                        "a@",
                                        "@b.cc",
                                        "user@",
                                        "user@localhost",
                                        "a@b",
                                        "a@.cc",
                                        "a@b.",
                                        "a@b.c",
                                        "a@b.1",
                                        "pkg@1.2.3",
                                        "pkg@v1.2.3-rc.alpha",
                                        "pkg@12.final",
                                        "@scope/pkg",
                                        "memcpy@GLIBC_2.14",
                                        "memcpy@@GLIBC_2.2.5",
                                        "auto operator@(int)",
                                        "std::vector<int>::at",
                                        "a @ b.cc",
                                        "...@b.cc",
                                        "'@b.cc",
                                        "foo@plt+0x10"})
        CHECK(addresses_marked(text) == text);
}

TEST_CASE("a megabyte of almost addresses is read once") {
    for (const std::string_view part :
         {"@", "a@", "%40", "@a.", "://", "://a:b/", "://a?", "/?", "?", "?&", "/?&=", "a.a@1.", ".a"}) {
        CAPTURE(part);
        const auto text = repeated(part, 1'000'000 / part.size());
        CHECK(addresses_marked(text) == text);
        CHECK(queries_marked(text) == text);
    }
}

}  // namespace addresses_test
