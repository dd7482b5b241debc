#include <candor/privacy/redactor.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <candor/testing.hpp>

#include "marked.hpp"

#include <support/base64.hpp>

#include <doctest/doctest.h>

namespace redactor_test {

namespace {

using candor::redactor;

struct rewrite {
    std::string_view text;
    std::string_view redacted;
};

/// `bytes` with those that `escapes` holds of in percent escapes.
template <class Predicate>
std::string percent_encoded(std::string_view bytes, std::string_view digits, Predicate escapes) {
    std::string out;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        if (escapes(c)) {
            out += {'%', digits[byte >> 4], digits[byte & 15]};
        } else {
            out += c;
        }
    }
    return out;
}

constexpr std::string_view upper_digits = "0123456789ABCDEF";
constexpr std::string_view lower_digits = "0123456789abcdef";

bool is_special(char c) { return !candor::detail::privacy::is_alphanumeric(c); }
bool is_any(char) { return true; }

template <class Change>
std::string changed(std::string_view text, Change change) {
    std::string out;
    for (const char c : text) out += static_cast<char>(change(static_cast<unsigned char>(c)));
    return out;
}

/// Secrets of several kinds: a word, one with all that a URL escapes, one in UTF-8, bytes.
const std::vector<std::string> of_each_kind{"hunter2", "p@ss/w:rd?&=+ #%\\\"'", "gehe\xc3\xafm1",
                                            "\x01\xff\xfe\xfb\xf0x"};

/// The definition of redacting secrets, byte by byte: what any occurrence covers is replaced, run by run.
std::string redact_slowly(std::string_view text, const std::vector<std::string>& secrets) {
    std::vector<bool> hidden(text.size(), false);
    for (const auto& secret : secrets)
        for (std::size_t at = 0; at + secret.size() <= text.size(); ++at)
            if (text.substr(at, secret.size()) == secret)
                for (std::size_t i = 0; i < secret.size(); ++i) hidden[at + i] = true;
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (!hidden[i]) out += text[i];
        if (hidden[i] && (i == 0 || !hidden[i - 1])) out += "[redacted]";
    }
    return out;
}

}  // namespace

TEST_CASE("text without anything to hide stays as it is, whatever its bytes") {
    const redactor strict{{"hunter2"}, "/home/ann"};
    std::string every_byte;
    for (int c = 0; c < 256; ++c) every_byte += static_cast<char>(c);
    for (const std::string_view text : {std::string_view{}, std::string_view{"disk full"}, std::string_view{every_byte},
                                        std::string_view{"\xff\xfe\0://\0@", 8}, std::string_view{"hunter"}}) {
        CHECK(strict.redact(text) == text);
        CHECK(redactor{}.redact(text) == text);
    }
}

TEST_CASE("registered secrets are taken out wherever they stand") {
    const redactor r{{"hunter2", "hunter2000", "s3cret", "2000-end"}};
    for (const auto& [text, redacted] : std::vector<rewrite>{
             {"hunter2", "[redacted]"},
             {"a hunter2 b", "a [redacted] b"},
             {"xhunter2x", "x[redacted]x"},
             {"hunter2000", "[redacted]"},      // the longest wins
             {"hunter2000-end", "[redacted]"},  // overlapping ones are one
             {"hunter2s3cret", "[redacted]"},   // so are neighbours
             {"hunter2 s3cret", "[redacted] [redacted]"},
             {"hunterhunter2", "hunter[redacted]"},
             {"HUNTER2 Hunter2", "[redacted] [redacted]"},
             {"hunter", "hunter"},
         })
        CHECK(r.redact(text) == redacted);
}

TEST_CASE("a secret with blanks is found in a form") {
    const redactor r{{"correct horse & battery"}};
    CHECK(r.redact("q=correct+horse+%26+battery") == "q=[redacted]");
    CHECK(r.redact("q=Correct+Horse+&+Battery") == "q=[redacted]");
    CHECK(r.redact("q=correct%20horse%20%26%20battery") == "q=[redacted]");
    CHECK(r.redact("correct+horse") == "correct+horse");
}

TEST_CASE("a secret is found in either case and in percent escapes, some or all of it, escaped once or more") {
    for (const auto& secret : of_each_kind) {
        CAPTURE(secret);
        const redactor r{{secret}};
        const auto upper = changed(secret, [](int c) { return c < 0x80 ? std::toupper(c) : c; });
        std::vector<std::string> forms{secret, upper};
        for (const auto digits : {upper_digits, lower_digits}) {
            forms.push_back(percent_encoded(secret, digits, is_any));
            forms.push_back(percent_encoded(secret, digits, is_special));
            forms.push_back(percent_encoded(upper, digits, is_special));
            const auto twice = percent_encoded(forms.back(), digits, is_special);
            forms.push_back(twice);
            forms.push_back(percent_encoded(twice, digits, is_special));
        }
        for (const auto& form : forms) {
            CAPTURE(form);
            CHECK(r.redact(form) == "[redacted]");
            CHECK(r.redact("say " + form + " %41") == "say [redacted] %41");
            CHECK(r.redact("x" + form + form + "x") == "x[redacted]x");
        }
    }
}

TEST_CASE("a secret is found in base64, wherever it stands in it, in either alphabet, padded or not") {
    for (const auto& secret : of_each_kind) {
        CAPTURE(secret);
        const redactor r{{secret}};
        for (const std::string_view last : {"+/", "-_"}) {
            for (const std::string_view before : {"", "a", "ab", "abc", "user:"}) {
                for (const std::string_view after : {"", "z", "yz", "xyz"}) {
                    const auto text = base64(std::string{before} + secret + std::string{after}, last);
                    CAPTURE(text);
                    // What has bits of the secret, and no more.
                    const auto begin = 8 * before.size() / 6;
                    const auto end = (8 * (before.size() + secret.size()) + 5) / 6;
                    auto expected = text.substr(0, begin) + "[redacted]" + text.substr(end);
                    for (const std::string_view padding : {"", "=", "=="}) {
                        const std::string tail{padding};
                        CHECK(r.redact("say " + text + tail + " to") == "say " + expected + tail + " to");
                    }
                    CHECK(r.redact(percent_encoded(text, lower_digits, is_special)) ==
                          percent_encoded(text.substr(0, begin), lower_digits, is_special) + "[redacted]" +
                              percent_encoded(text.substr(end), lower_digits, is_special));
                }
            }
        }
    }
}

TEST_CASE("a secret that has escapes itself is found decoded and escaped once more") {
    const redactor r{{"p%40ss%2Fword"}};
    for (const char* form : {"p%40ss%2Fword", "p@ss/word", "p%2540ss%252Fword", "p%40ss/word"})
        CHECK(r.redact(form) == "[redacted]");
}

TEST_CASE("a secret shorter than four bytes is not looked for") {
    CHECK(redactor{{"", "a", "abc"}}.redact("abc a") == "abc a");
    CHECK(redactor{{"abcd"}}.redact("abcd") == "[redacted]");
}

TEST_CASE("a secret may hold any bytes and be longer than the text") {
    const std::string binary{"\0\xff\n\0", 4};
    CHECK(redactor{{binary}}.redact("a" + binary + "b") == "a[redacted]b");
    CHECK(redactor{{std::string(5000, 'k')}}.redact("kkkk") == "kkkk");
}

TEST_CASE("secrets are found exactly where a byte-by-byte search finds them") {
    std::mt19937 random{20261122};
    const auto word = [&](std::size_t size) {
        std::string out;
        while (out.size() < size) out += static_cast<char>('a' + random() % 2);
        return out;
    };
    for (int i = 0; i < 3000; ++i) {
        const std::vector<std::string> secrets{word(4 + random() % 5), word(4 + random() % 3), word(5)};
        const auto text = word(random() % 60);
        CAPTURE(text);
        REQUIRE(redactor{secrets}.redact(text) == redact_slowly(text, secrets));
    }
}

TEST_CASE("the user part of a URL is taken out") {
    const redactor r;
    for (const auto& [text, redacted] : std::vector<rewrite>{
             {"https://user:pass@host/path", "https://[redacted]@host/path"},
             {"https://token@host", "https://[redacted]@host"},
             {"dial postgres://u:p@db:5432/x?sslmode=off failed",
              "dial postgres://[redacted]@db:5432/x?sslmode=[redacted] failed"},
             {"(https://u:p@h)", "(https://[redacted]@h)"},
             {"\"https://u:p@h\",\"https://v:q@h\"", "\"https://[redacted]@h\",\"https://[redacted]@h\""},
             {"a://b@c d://e@f", "a://[redacted]@c d://[redacted]@f"},
             {"jdbc:mysql://u:p@h", "jdbc:mysql://[redacted]@h"},
             {"https://u:p%40x@[::1]:80/", "https://[redacted]@[::1]:80/"},
             {"https://u:p@q@host", "https://[redacted]@host"},  // the last @ of the authority
             {"smb://DOMAIN\\u:p@host", "smb://[redacted]@host"},
             {"://u:p@h", "://[redacted]@h"},
             {"https://[redacted]@host", "https://[redacted]@host"},  // twice is once
             {"http://a@b/http://c:d", "http://[redacted]@b/http://c:d"},
             {"http://a@b/http://c@d", "http://[redacted]@b/http://[redacted]@d"},
         })
        CHECK(r.redact(text) == redacted);
}

TEST_CASE("an @ that ends no user part stays") {
    const redactor r;
    for (const std::string_view text :
         {"https://host/a@b", "https://host:8080/@scope/package", "https://host#a@b", "https://@host",
          "https://host/ x@y", "http://[::1]/a@b", "http://host:/a@b", "https:/u:p@h", "u@h", "@@@@",
          "https://host\nx@y", "https://host\" @", "://", "://@", "a://"}) {
        CAPTURE(text);
        CHECK(r.redact(text) == text);
    }
}

TEST_CASE("a password with an unescaped delimiter is taken out with all of it") {
    const redactor r;
    CHECK(r.redact("parse postgres://u:pa/ss@db/x: bad port") == "parse postgres://[redacted]@db/x: bad port");
    CHECK(r.redact("amqp://u:p#w?x@mq") == "amqp://[redacted]@mq");
    CHECK(r.redact("a://u:p/b://v:q@h") == "a://[redacted]@h");
    CHECK(r.redact("amqp://u:p/w@d@mq/ then a@b") == "amqp://[redacted]@mq/ then a@b");
}

TEST_CASE("the home directory becomes a tilde where a path begins with it") {
    const redactor r{{}, "/home/ann"};
    for (const auto& [text, redacted] : std::vector<rewrite>{
             {"/home/ann", "~"},
             {"/home/ann/x", "~/x"},
             {"open /home/ann/.config: denied", "open ~/.config: denied"},
             {"file:///home/ann/x", "file://~/x"},
             {"PATH=/home/ann/bin:/home/ann/sbin", "PATH=~/bin:~/sbin"},
             {"cannot read /home/ann.", "cannot read ~."},
             {"cannot read /home/ann...", "cannot read ~..."},
             {"'/home/ann'", "'~'"},
             {"\xe2\x80\x98/home/ann\xe2\x80\x99", "\xe2\x80\x98~\xe2\x80\x99"},
             {"\\home\\ann\\x", "~\\x"},
             {"/home/anna", "/home/anna"},
             {"/home/ann.old/x", "/home/ann.old/x"},
             {"/home/ann-2", "/home/ann-2"},
             {"/home/ann_", "/home/ann_"},
             {"/HOME/ANN", "/HOME/ANN"},
             {"/home/an", "/home/an"},
             {"/home/ann/home/ann", "~~"},
         })
        CHECK(r.redact(text) == redacted);
}

TEST_CASE("a trailing separator of the home directory does not matter, and the root is no home") {
    CHECK(redactor{{}, "/home/ann/"}.redact("/home/ann/x") == "~/x");
    CHECK(redactor{{}, "/root//"}.redact("/root") == "~");
    for (const auto* home : {"", "/", "//", "C:\\", "C:"}) {
        CAPTURE(home);
        CHECK(redactor{{}, home}.redact("/usr/C:\\x") == "/usr/C:\\x");
    }
}

TEST_CASE("a Windows home directory is found with either separator and in either case") {
    const redactor r{{}, "C:\\Users\\Ann"};
    CHECK(r.redact("C:\\Users\\Ann\\x and c:/users/ann/y") == "~\\x and ~/y");
    CHECK(r.redact("C:\\Users\\Anna") == "C:\\Users\\Anna");
}

TEST_CASE("a secret wins over the home directory and over the user part that it overlaps") {
    CHECK(redactor{{"/ann/token"}, "/home/ann"}.redact("/home/ann/token/x") == "[redacted]/x");
    CHECK(redactor{{"home"}, "/home/ann"}.redact("/home/ann/x") == "[redacted]/x");
    CHECK(redactor{{"pass@host"}}.redact("https://u:pass@host/x") == "https://[redacted]/x");
    CHECK(redactor{{"/token"}, "/home/ann"}.redact("/home/ann/token") == "~[redacted]");
}

TEST_CASE("what has been redacted is not redacted again") {
    const redactor r{{"redacted", "x[redacted]y", "[red"}};
    for (const char* text : {"[redacted]", "a [redacted] b", "https://[redacted]@h", "token=[redacted]",
                             "{\"token\":\"[redacted]\"}", "Authorization: Bearer [redacted]"})
        CHECK(r.redact(text) == text);
    CHECK(r.redact("x[redacted]y") == "[redacted]");
}

TEST_CASE("a name is taken out as a whole word, in either case, and goes with the home directory") {
    const redactor r{{}, "/home/annabel", {"annabel", "a.lee"}};
    for (const auto& [text, redacted] : std::vector<rewrite>{
             {"annabel", "[redacted]"},
             {"user Annabel's file", "user [redacted]'s file"},
             {"no entry for annabel:x", "no entry for [redacted]:x"},
             {"/home/annabel/x", "~/x"},
             {"/srv/annabel/x", "/srv/[redacted]/x"},
             {"annabel%2Fx", "[redacted]%2Fx"},
             {"%61nnabel", "[redacted]"},
             {"by A.LEE", "by [redacted]"},
             {"annabella", "annabella"},
             {"_annabel", "_annabel"},
             {"joannabel", "joannabel"},
         })
        CHECK(r.redact(text) == redacted);
}

TEST_CASE("each class is taken out, several in one text too") {
    const redactor r{{"hunter2"}, "/home/annabel", {"annabel"}};
    CHECK(r.redact("annabel: open /home/annabel/x: hunter2 https://u:p@h/?q=1 ann@example.org Bearer abc123def "
                   "token=abc eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln -----BEGIN PRIVATE KEY-----\nx") ==
          "[redacted]: open ~/x: [redacted] https://[redacted]@h/?q=[redacted] [redacted] Bearer [redacted] "
          "token=[redacted] [redacted] [redacted]");
    // Those that overlap are one.
    CHECK(r.redact("token=https://hunter2:p@h/?hunter2=hunter2") == "token=[redacted]");
    CHECK(r.redact("hunter2@example.org") == "[redacted]");
    CHECK(r.redact("password=hunter2hunter2,ann@example.org") == "password=[redacted]");
}

TEST_CASE("ordinary messages stay byte for byte") {
    const auto r = redactor::make(candor::testing::fixed_environment{{{"HOME", "/home/user"},
                                                                      {"USER", "user"},
                                                                      {"LOGNAME", "al"},
                                                                      {"TOKEN", "1"},
                                                                      {"API_KEY", "true"},
                                                                      {"DB_PASSWORD", "postgres"},
                                                                      {"PWD", "/srv"}}},
                                  {"", "a", "abc"});
    for (const std::string_view text :
         {"open /etc/acme.conf: permission denied (code 13)",
          "token expired",
          "basic auth failed",
          "std::vector<int>::at",
          "acme 1.4.0-rc.1+build.7 (2026-01-02)",
          "user@",
          "operator@(user, abc)",
          "dial tcp 127.0.0.1:5432: connect: connection refused",
          "[json.exception.parse_error.101] parse error at "
          "line 1, column 2: syntax error while parsing value - invalid literal; last read: 'x'",
          "basic_string::_M_construct null not valid",
          "vector::_M_range_check: __n (which is 3) >= this->size() "
          "(which is 3)",
          "SELECT a FROM b WHERE c = 'd' AND e <> 7",
          "100% of 3% done",
          "what? yes: no",
          "no route to host: https://example.org:8443/v1/batch",
          "stoi: no conversion",
          "true 1 postgres user al",
          "a::b<c>::operator()(d&&) const [with e = f; g = h]",
          "map::at: key not found",
          "x = y ? z : w;",
          "git: 'foo' is not a git command. See 'git --help'.",
          "memcpy@@GLIBC_2.14",
          "pkg@1.2.3",
          "50%25",
          "Bearer authentication is not supported",
          "password: must not be empty",
          "C:\\Program Files\\acme\\x.dll"}) {
        CAPTURE(text);
        CHECK(r.redact(text) == text);
    }
}

TEST_CASE("redacting twice is redacting once, whatever the text") {
    std::mt19937 random{20261124};
    const std::vector<std::string_view> parts{"hunter2",
                                              "HUNTER",
                                              "2",
                                              "%68unter2",
                                              "aHVudGVyMg",
                                              "[redacted]",
                                              "[red",
                                              "acted]",
                                              "/home/ann",
                                              "/",
                                              "://",
                                              "@",
                                              ":",
                                              "=",
                                              "?",
                                              "&",
                                              "a",
                                              "b.cc",
                                              "token",
                                              "password",
                                              "Authorization: ",
                                              "Bearer ",
                                              "Basic ",
                                              "dXNlcjpw",
                                              "eyJ",
                                              ".",
                                              "sk-",
                                              "AKIA",
                                              "0123456789ABCDEF",
                                              "-----BEGIN ",
                                              "PRIVATE KEY",
                                              "-----END ",
                                              "-----",
                                              " ",
                                              "\n",
                                              "\"",
                                              "\\",
                                              "'",
                                              "annabel",
                                              "%",
                                              "25",
                                              "40",
                                              "x@y.zz",
                                              "Cookie: ",
                                              ";",
                                              ",",
                                              "\xc3\xa4",
                                              "é",
                                              "true",
                                              "abc"};
    const redactor r{{"hunter2", "2a://", "acted]a"}, "/home/ann", {"annabel"}};
    for (int i = 0; i < 20'000; ++i) {
        std::string text;
        for (auto count = random() % 12; count > 0; --count) text += parts[random() % parts.size()];
        CAPTURE(text);
        const auto once = r.redact(text);
        REQUIRE(r.redact(once) == once);
    }
}

TEST_CASE("the environment says which secrets there are and who the user is") {
    const candor::testing::fixed_environment variables{
        {{"HOME", "/home/annabel"}, {"USER", "alee"}, {"GITHUB_TOKEN", "s3cret"}, {"GREETING", "hello"}}};
    const auto r = redactor::make(variables, {"hunter2"});
    CHECK(r.redact("hello alee, annabel, s3cret, hunter2 in /home/annabel") ==
          "hello [redacted], [redacted], [redacted], [redacted] in ~");
    CHECK(redactor::make(variables, {}, "alee").redact("alee, annabel") == "alee, [redacted]");
}

TEST_CASE("a sink is told redacted texts") {
    std::string said;
    const auto sink = candor::detail::redacting([&](std::string_view text) { said = text; }, redactor{{"hunter2"}});
    sink("got hunter2");
    CHECK(said == "got [redacted]");
    CHECK_FALSE(candor::detail::redacting({}, redactor{}));
}

TEST_CASE("the home directory is the one that the environment names") {
    const auto r = redactor::make(candor::testing::fixed_environment{{{"HOME", "/home/ann"}}}, {"hunter2"});
    CHECK(r.redact("/home/ann/hunter2") == "~/[redacted]");
    CHECK(redactor::make(candor::testing::fixed_environment{}).redact("/home/ann") == "/home/ann");
}

TEST_CASE("appending keeps what was there") {
    std::string out = "error: ";
    redactor{{"hunter2"}}.append_redacted("got hunter2", out);
    CHECK(out == "error: got [redacted]");
}

// Each of these takes hours where the time grows with the square of the length.
TEST_CASE("a megabyte that is made to be slow is redacted at once") {
    constexpr std::size_t mega = 1'000'000;
    const std::string needle = std::string(2000, 'a') + "b";
    const redactor r{{needle, std::string(1000, 'a') + "c", "aaaa"}, "/" + std::string(1000, 'a')};
    CHECK(r.redact(std::string(mega, 'a')) == "[redacted]");
    CHECK(r.redact(std::string(mega, '/')) == std::string(mega, '/'));
    CHECK(r.redact(std::string(mega, '@')) == std::string(mega, '@'));
    CHECK(r.redact(std::string(mega, ':')) == std::string(mega, ':'));
    for (const std::string_view part : {"://", "://a", "://a:b", "://a ", "a://b:c/", "://[:", "://a?", "://\x01", "a@",
                                        "://@", "@://", "/.", "\\"}) {
        CAPTURE(part);
        const auto text = repeated(part, mega / part.size());
        CHECK(r.redact(text) == text);
    }
    // The @ comes last, so that every URL before it looks for it.
    const auto late = r.redact(repeated("://a:b/", mega / 7) + "@");
    CHECK(late == "://[redacted]@");
    CHECK(r.redact(repeated("://b@", mega / 5)) == repeated("://[redacted]@", mega / 5));
    CHECK(r.redact(repeated("aaaab", mega / 5)) == repeated("[redacted]b", mega / 5));
    std::vector<std::string> many;
    for (int i = 0; i < 100; ++i) many.push_back("secret-number-" + std::to_string(i) + "-of-a-hundred");
    const redactor hundred{many};
    for (const std::string_view part : {"secret-number-", "secret-number-7-of-a-", "%73ecret-number-", "%25", "%2525x",
                                        "c2VjcmV0LW51bWJlci0", "[redacted", "eyJ", "password=(", "-----BEGIN "}) {
        CAPTURE(part);
        const auto text = repeated(part, mega / part.size());
        CHECK(hundred.redact(text) == (part == "password=(" ? "password=[redacted]" : text));
    }
    const redactor home{{}, "/a"};
    CHECK(home.redact(repeated("/a", mega / 2)) == repeated("~", mega / 2));
    CHECK(home.redact(repeated("/a.", mega / 3)) == repeated("~.", mega / 3));
    CHECK(home.redact("/a" + std::string(mega, '.')) == "~" + std::string(mega, '.'));
}

TEST_CASE("many threads may use one redactor") {
    const redactor r{{"hunter2"}, "/home/ann"};
    std::array<std::string, 4> results;
    std::vector<std::thread> threads;
    for (auto& result : results)
        threads.emplace_back([&] {
            for (int i = 0; i < 1000; ++i) result = r.redact("https://u:p@h/home/ann/hunter2");
        });
    for (auto& thread : threads) thread.join();
    for (const auto& result : results) CHECK(result == "https://[redacted]@h~/[redacted]");
}

}  // namespace redactor_test
