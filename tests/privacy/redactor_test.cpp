#include <candor/privacy/redactor.hpp>

#include <array>
#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <candor/testing.hpp>

#include <doctest/doctest.h>

namespace redactor_test {

namespace {

using candor::redactor;

struct rewrite {
    std::string_view text;
    std::string_view redacted;
};

std::string repeat(std::string_view text, std::size_t count) {
    std::string out;
    out.reserve(text.size() * count);
    while (count-- > 0) out += text;
    return out;
}

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
             {"HUNTER2", "HUNTER2"},
             {"hunter", "hunter"},
         })
        CHECK(r.redact(text) == redacted);
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
              "dial postgres://[redacted]@db:5432/x?sslmode=off failed"},
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
         {"https://host/a@b", "https://host:8080/@scope/package", "https://host?q=a@b", "https://host#a@b",
          "https://@host", "https://host/ x@y", "http://[::1]/a@b", "http://host:/a@b", "https:/u:p@h", "u@h", "@@@@",
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
        const auto text = repeat(part, mega / part.size());
        CHECK(r.redact(text) == text);
    }
    // The @ comes last, so that every URL before it looks for it.
    const auto late = r.redact(repeat("://a:b/", mega / 7) + "@");
    CHECK(late == "://[redacted]@");
    CHECK(r.redact(repeat("://b@", mega / 5)) == repeat("://[redacted]@", mega / 5));
    CHECK(r.redact(repeat("aaaab", mega / 5)) == repeat("[redacted]b", mega / 5));
    const redactor home{{}, "/a"};
    CHECK(home.redact(repeat("/a", mega / 2)) == repeat("~", mega / 2));
    CHECK(home.redact(repeat("/a.", mega / 3)) == repeat("~.", mega / 3));
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
