#include <candor/httplib/request_reader.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

namespace request_reader_test {

using candor::detail::request_part;
using candor::detail::request_reader;

namespace {

/// All that a reader says of some bytes, which come in pieces of `size`: a request is `METHOD target [headers] "body"`
/// and whether it is the last one; then the status of what is malformed, or `...` where more is expected.
std::string read(std::string_view bytes, std::size_t size) {
    request_reader reader;
    std::string out;
    while (!bytes.empty()) {
        // A copy without room around it, so that a sanitizer sees a byte read too far.
        const std::vector<char> piece{bytes.begin(), bytes.begin() + std::ptrdiff_t(std::min(size, bytes.size()))};
        bytes.remove_prefix(piece.size());
        std::string_view left{piece.data(), piece.size()};
        for (auto part = reader.next(left); part != request_part::nothing; part = reader.next(left)) {
            if (part == request_part::malformed) return out + std::to_string(reader.status());
            if (part == request_part::end) out += reader.is_last() ? "\" last\n" : "\"\n";
            if (part == request_part::body) out += reader.piece();
            if (part != request_part::head) continue;
            const auto head = reader.take_head();
            out += head.method + " " + head.target + " [";
            for (const auto& [name, value] : head.headers) out += name + "=" + value + ";";
            out += reader.asks_to_continue() ? "] asks \"" : "] \"";
        }
        CHECK(left.empty());
    }
    return out + (reader.is_in_request() ? "..." : "");
}

std::string read(std::string_view bytes) {
    const auto whole = read(bytes, bytes.size());
    for (const std::size_t size : {1UL, 2UL, 7UL}) CHECK(read(bytes, size) == whole);
    return whole;
}

const std::string host = "Host: a\r\n";

std::string post(const std::string& lines, const std::string& rest) {
    return "POST / HTTP/1.1\r\n" + host + lines + "\r\n" + rest;
}

/// The same without the part that is always there.
std::string read_post(const std::string& lines, const std::string& rest = "") {
    auto out = read(post(lines, rest));
    const std::string usual = "POST / [Host=a;";
    return out.starts_with(usual) ? out.substr(usual.size()) : out;
}

const std::string chunked = "Transfer-Encoding: chunked\r\n";

}  // namespace

TEST_CASE("request lines, and what becomes of their targets") {
    const struct {
        std::string line;
        std::string expected;
    } cases[] = {
        {"POST /v1/metrics HTTP/1.1", "POST /v1/metrics [Host=a;] \"\"\n"},
        {"POST //v1/metrics/ HTTP/1.1", "POST //v1/metrics/ [Host=a;] \"\"\n"},
        {"GET /a%20b?c=d&e HTTP/1.1", "GET /a%20b?c=d&e [Host=a;] \"\"\n"},
        {"FROB /a HTTP/1.1", "FROB /a [Host=a;] \"\"\n"},
        {"a!#$%&'*+-.^_`|~9 /a HTTP/1.1", "a!#$%&'*+-.^_`|~9 /a [Host=a;] \"\"\n"},
        {"OPTIONS * HTTP/1.1", "OPTIONS * [Host=a;] \"\"\n"},
        {"CONNECT b:80 HTTP/1.1", "CONNECT b:80 [Host=a;] \"\"\n"},
        {"GET / HTTP/1.0", "GET / [Host=a;] \"\" last\n"},
        {"GET / HTTP/1.9", "GET / [Host=a;] \"\"\n"},
        // The absolute form says what the host is.
        {"GET http://b:80/c?d HTTP/1.1", "GET /c?d [Host=b:80;] \"\"\n"},
        {"GET HTTPS://b HTTP/1.1", "GET / [Host=b;] \"\"\n"},
        {"GET http://b?c HTTP/1.1", "GET /?c [Host=b;] \"\"\n"},
        {"GET http:///c HTTP/1.1", "400"},
        {"GET http:// HTTP/1.1", "400"},
        {"GET http HTTP/1.1", "400"},
        {"GET /?u=http://b/c HTTP/1.1", "GET /?u=http://b/c [Host=a;] \"\"\n"},
        {"GET ftp://b/c HTTP/1.1", "GET ftp://b/c [Host=a;] \"\"\n"},
        // No request lines.
        {"nonsense", "400"},
        {"GET /", "400"},
        {"GET  HTTP/1.1", "400"},
        {"GET / ", "400"},
        {" GET / HTTP/1.1", "400"},
        {"GET  / HTTP/1.1", "400"},
        {"GET / / HTTP/1.1", "400"},
        {"GET /\tHTTP/1.1", "400"},
        {"GET / HTTP/1.1 ", "400"},
        {"G(T / HTTP/1.1", "400"},
        {"GET /\xc3\xa4 HTTP/1.1", "400"},
        {std::string{"GET /a\0b HTTP/1.1", 17}, "400"},
        {"GET /a\rb HTTP/1.1", "400"},
        {"GET / http/1.1", "400"},
        {"GET / HTTP/1", "400"},
        {"GET / HTTP/1.1.1", "400"},
        {"GET / HTTP/x.1", "400"},
        {"GET / HTTP/1,1", "400"},
        // Those of other versions.
        {"GET / HTTP/2.0", "505"},
        {"GET / HTTP/0.9", "505"},
        {"PRI * HTTP/2.0", "505"},
    };
    for (const auto& one : cases) {
        CAPTURE(one.line);
        CHECK(read(one.line + "\r\n" + host + "\r\n") == one.expected);
    }
}

TEST_CASE("fields of a head") {
    const struct {
        std::string lines;
        std::string expected;
    } cases[] = {
        {"", "] \"\"\n"},
        {"X:y\r\n", "X=y;] \"\"\n"},
        {"x: \t y z\t \r\n", "x=y z;] \"\"\n"},
        {"X:\r\nX: \r\n", "X=;X=;] \"\"\n"},
        {"X: a:b\r\nX: \xc3\xa4\r\n", "X=a:b;X=\xc3\xa4;] \"\"\n"},
        {"Range: bytes=0-1\r\n", "Range=bytes=0-1;] \"\"\n"},
        {"Connection: Upgrade\r\nUpgrade: h2c\r\n", "Connection=Upgrade;Upgrade=h2c;] \"\"\n"},
        {"Connection: a,Close \r\n", "Connection=a,Close;] \"\" last\n"},
        {"Connection: closed, keep-alive\r\n", "Connection=closed, keep-alive;] \"\"\n"},
        {"Expect: 100-continue\r\n", "Expect=100-continue;] \"\"\n"},  // nothing to continue with
        {"X : y\r\n", "400"},
        {"X\t: y\r\n", "400"},
        {": y\r\n", "400"},
        {"X\r\n", "400"},
        {"X y: z\r\n", "400"},
        {"X: y\r\n z\r\n", "400"},
        {" X: y\r\n", "400"},
        {std::string{"X: a\0b\r\n", 8}, "400"},
        {"X: a\rb\r\n", "400"},
        {"X: a\x01"
         "b\r\n",
         "400"},
        {"X: y\n", "400"},
        {"X: y\n\r\n", "400"},
        {"Host: a\r\n", "400"},
        {"hOST: b\r\n", "400"},
    };
    for (const auto& one : cases) {
        CAPTURE(one.lines);
        CHECK(read_post(one.lines) == one.expected);
    }
    CHECK(read("GET / HTTP/1.1\r\n\r\n") == "400");
    CHECK(read("GET / HTTP/1.0\r\n\r\n") == "GET / [] \"\" last\n");
    CHECK(read("GET http://b/ HTTP/1.0\r\n\r\n") == "GET / [Host=b;] \"\" last\n");
    CHECK(read("GET http://b/ HTTP/1.1\r\n\r\n") == "400");
    CHECK(read("GET / HTTP/1.1\n" + host + "\r\n") == "400");
}

TEST_CASE("row 37: where a body ends") {
    const struct {
        std::string lines;
        std::string rest;
        std::string expected;
    } cases[] = {
        {"Content-Length: 2\r\n", "hi", "Content-Length=2;] \"hi\"\n"},
        {"Content-Length: 0\r\n", "", "Content-Length=0;] \"\"\n"},
        {"Content-Length: 002\r\n", "hi", "Content-Length=002;] \"hi\"\n"},
        {"Content-Length: 2\r\nCONTENT-LENGTH: 2\r\n", "hi", "Content-Length=2;CONTENT-LENGTH=2;] \"hi\"\n"},
        {"Content-Length: 3\r\n", "hi", "Content-Length=3;] \"hi..."},
        {"Content-Length: 2\r\nExpect: 100-Continue\r\n", "hi", "Content-Length=2;Expect=100-Continue;] asks \"hi\"\n"},
        {"Content-Length: 5\r\nContent-Length: 6\r\n", "", "400"},
        {"Content-Length: 5, 6\r\n", "", "400"},
        {"Content-Length: 5, 5\r\n", "", "400"},
        {"Content-Length: 5x\r\n", "", "400"},
        {"Content-Length: -1\r\n", "", "400"},
        {"Content-Length: +5\r\n", "", "400"},
        {"Content-Length: 0x5\r\n", "", "400"},
        {"Content-Length: 5 5\r\n", "", "400"},
        {"Content-Length:\r\n", "", "400"},
        {"Content-Length: 18446744073709551616\r\n", "", "400"},
        {"Content-Length: 18446744073709551615\r\n", "hi", "Content-Length=18446744073709551615;] \"hi..."},
        {"Content-Length: 5\r\n" + chunked, "", "400"},
        {"Content-Length: 0\r\n" + chunked, "", "400"},
        {chunked + "Content-Length: 5\r\n", "", "400"},
        {chunked + chunked, "", "400"},
        {"Transfer-Encoding: chunked, chunked\r\n", "", "400"},
        {"Transfer-Encoding: gzip\r\n", "", "400"},
        {"Transfer-Encoding: identity\r\n", "", "400"},
        {"Transfer-Encoding: chunked, gzip\r\n", "", "400"},
        {"Transfer-Encoding: chunked;a=b\r\n", "", "400"},
        {"Transfer-Encoding: xchunked\r\n", "", "400"},
        {"Transfer-Encoding:\r\n", "", "400"},
        {"Transfer-Encoding: ,\r\n", "", "400"},
        {"Transfer-Encoding: gzip, chunked\r\n", "", "501"},
        {"Transfer-Encoding: gzip\r\n" + chunked, "", "501"},
        {"Transfer-Encoding: ,Chunked ,\r\n", "2\r\nhi\r\n0\r\n\r\n", "Transfer-Encoding=,Chunked ,;] \"hi\"\n"},
    };
    for (const auto& one : cases) {
        CAPTURE(one.lines);
        CHECK(read_post(one.lines, one.rest) == one.expected);
    }
    CHECK(read("POST / HTTP/1.0\r\n" + chunked + "\r\n") == "400");
    CHECK(read("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx") ==
          "POST / [Expect=100-continue;Content-Length=1;] \"x\" last\n");
}

TEST_CASE("bodies in chunks") {
    const struct {
        std::string body;
        std::string expected;
    } cases[] = {
        {"0\r\n\r\n", "\"\n"},
        {"5\r\nhello\r\n0\r\n\r\n", "hello\"\n"},
        {"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n", "hello\"\n"},
        {"00A\r\n\r\n\r\n\r\n\r\n\r\n\r\n000\r\n\r\n", "\r\n\r\n\r\n\r\n\r\n\"\n"},
        {"a\r\n0123456789\r\n0\r\n\r\n", "0123456789\"\n"},
        {"2;a=b\r\nhi\r\n0;c=\"d;e\"\r\n\r\n", "hi\"\n"},
        {"2 ; a\r\nhi\r\n0\t\r\n\r\n", "hi\"\n"},
        {"2\r\nhi\r\n0\r\nX: y\r\nZ:\r\n\r\n", "hi\"\n"},
        {"2\r\nhi\r\n0\r\n", "hi..."},
        {"ffffffffffffffff\r\nhi", "hi..."},
        {"10000000000000000\r\nhi", "400"},
        {"\r\nhi", "400"},
        {";a\r\nhi", "400"},
        {"x\r\n", "400"},
        {"0x2\r\n", "400"},
        {"-2\r\n", "400"},
        {"2g\r\n", "400"},
        {" 2\r\n", "400"},
        {"2\nhi\r\n", "400"},
        {"2;\r\r\nhi", "400"},
        {std::string{"2;\0\r\n", 5}, "400"},
        {"2\r\nhi0\r\n\r\n", "hi400"},
        {"2\r\nhi\n0\r\n\r\n", "hi400"},
        {"2\r\nhiXX\r\n", "hi400"},
        {"0\r\nX\r\n\r\n", "400"},
        {"0\r\n X: y\r\n\r\n", "400"},
        {"0\r\n\n", "400"},
    };
    for (const auto& one : cases) {
        CAPTURE(one.body);
        CHECK(read_post(chunked, one.body) == "Transfer-Encoding=chunked;] \"" + one.expected);
    }
}

TEST_CASE("requests come one after the other, empty lines between them aside") {
    CHECK(read("\r\n\r\n") == "");
    CHECK(read("\r\n" + post("Content-Length: 1\r\n", "x") + "\r\n" + post(chunked, "1\r\ny\r\n0\r\n\r\n") + "GET") ==
          "POST / [Host=a;Content-Length=1;] \"x\"\nPOST / [Host=a;Transfer-Encoding=chunked;] \"y\"\n...");
    CHECK(read(post("", "") + "nonsense\r\n\r\n" + post("", "")) == "POST / [Host=a;] \"\"\n400");
}

TEST_CASE("a head, its lines and what stands around chunks are bounded") {
    const auto target = [](std::size_t size) {  // of a whole line
        return "GET /" + std::string(size - std::string_view{"GET / HTTP/1.1\r\n"}.size(), 'a') + " HTTP/1.1\r\n";
    };
    CHECK(read(target(request_reader::longest_request_line) + host + "\r\n", 100).ends_with("\n"));
    CHECK(read(target(request_reader::longest_request_line + 1)) == "414");
    CHECK(read(std::string(request_reader::longest_request_line + 1, 'a')) == "414");

    const auto fields = [](std::size_t size) { return "X: " + std::string(size - 5, 'a') + "\r\n"; };
    const auto most = request_reader::most_head_bytes - host.size() - 2;
    CHECK(read(post(fields(most), ""), 1000).ends_with("\n"));
    CHECK(read_post(fields(most + 1)) == "431");
    CHECK(read_post(std::string(most + 1, 'a')) == "431");

    std::string many;
    for (std::size_t i = 1; i < request_reader::most_fields; ++i) many += "A:\r\n";
    CHECK(read_post(many).ends_with("\n"));
    CHECK(read_post(many + "A:\r\n") == "431");

    const auto chunk = [](std::size_t size) { return "1;" + std::string(size - 4, 'a') + "\r\nx\r\n0\r\n"; };
    CHECK(read_post(chunked, chunk(request_reader::longest_chunk_line) + "\r\n").ends_with("\"x\"\n"));
    CHECK(read_post(chunked, chunk(request_reader::longest_chunk_line + 1)).ends_with("\"400"));
    CHECK(read_post(chunked, chunk(10) + fields(request_reader::most_head_bytes - 2) + "\r\n").ends_with("\"x\"\n"));
    CHECK(read_post(chunked, chunk(10) + fields(request_reader::most_head_bytes + 1)).ends_with("\"x431"));
}

TEST_CASE("what there is of a malformed head is told") {
    request_reader reader;
    const std::string text = "POST /a HTTP/1.1\r\nContent-Type: b\r\nX y\r\n";
    std::string_view bytes = text;
    CHECK(reader.next(bytes) == request_part::malformed);
    CHECK(reader.next(bytes) == request_part::malformed);
    const auto head = reader.take_head();
    CHECK(head.target == "/a");
    REQUIRE(head.header("Content-Type") != nullptr);
    CHECK(*head.header("Content-Type") == "b");
}

TEST_CASE("a head says how long its body will be") {
    request_reader reader;
    const std::string text = post("Content-Length: 7\r\n", "");
    std::string_view bytes = text;
    CHECK_FALSE(reader.is_in_request());
    CHECK(reader.next(bytes) == request_part::head);
    CHECK(reader.has_body());
    CHECK(reader.length() == 7);
    CHECK(reader.is_in_request());
}

}  // namespace request_reader_test
