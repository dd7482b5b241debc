#include <candor/httplib/server.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <candor/otlp/receiver.hpp>

#include "../support/becomes_idle.hpp"
#include "../support/exchange.hpp"
#include "../support/otlp_writer.hpp"
#include "../support/raw_client.hpp"
#include "../support/temporary_directory.hpp"

#include <doctest/doctest.h>

#ifdef CPPHTTPLIB_ZLIB_SUPPORT
#include "../support/deflate.hpp"
#endif

namespace server_test {

using candor::body_error;
using candor::http_request_head;
using candor::http_response;
using candor::http_service;
using candor::httplib_server;
using candor::server_options;
using candor::testing::post_request;
using candor::testing::raw_client;
using candor::testing::slack;
using candor::testing::stopwatch;
using namespace std::chrono_literals;

static_assert(candor::server<httplib_server>);
static_assert(!std::is_copy_constructible_v<httplib_server>);
static_assert(!std::is_move_constructible_v<httplib_server>);

namespace {

/// Gives a body back, answers 404 for paths that start with /no, and keeps what it was asked.
class echo final : public http_service {
public:
    std::optional<http_response> begin(const http_request_head& head) noexcept override {
        const std::lock_guard guard{mutex_};
        heads_.push_back(head);
        if (!head.target.starts_with("/no")) return std::nullopt;
        return http_response{.status = 404, .body = "no such thing"};
    }

    http_response complete(const http_request_head& head, std::string_view body) noexcept override {
        std::unique_lock lock{mutex_};
        bodies_.emplace_back(body);
        changed_.notify_all();
        if (head.target == "/wait") changed_.wait(lock, [&] { return is_open_; });
        return {.status = 200, .headers = {{"Content-Type", "text/x-echo"}}, .body = std::string{body}};
    }

    http_response refuse(const http_request_head&, body_error why) noexcept override {
        const std::lock_guard guard{mutex_};
        refused_.push_back(why);
        switch (why) {
            case body_error::too_large:
                return {.status = 413};
            case body_error::undecodable:
                return {.status = 400, .headers = {{"Content-Type", "text/x-sorry"}}, .body = "cannot be read"};
            case body_error::encoding:
                return {.status = 415};
            case body_error::overloaded:
                break;
        }
        return {.status = 503, .headers = {{"Retry-After", "1"}}};
    }

    [[nodiscard]] std::vector<http_request_head> heads() const {
        const std::lock_guard guard{mutex_};
        return heads_;
    }
    [[nodiscard]] std::vector<std::string> bodies() const {
        const std::lock_guard guard{mutex_};
        return bodies_;
    }
    [[nodiscard]] std::vector<body_error> refused() const {
        const std::lock_guard guard{mutex_};
        return refused_;
    }

    bool wait_for_bodies(std::size_t number) {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, candor::testing::patience, [&] { return bodies_.size() >= number; });
    }

    /// Lets requests for /wait go on.
    void open() {
        const std::lock_guard guard{mutex_};
        is_open_ = true;
        changed_.notify_all();
    }

private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<http_request_head> heads_;
    std::vector<std::string> bodies_;
    std::vector<body_error> refused_;
    bool is_open_ = false;
};

struct running {
    explicit running(const server_options& options = {}) : server{options, service} {}
    [[nodiscard]] raw_client connect() const { return raw_client{server.port()}; }

    echo service;
    httplib_server server;
};

std::string header(const http_response& answer, std::string_view name) {
    const auto* value = answer.header(name);
    return value == nullptr ? "(none)" : *value;
}

std::ptrdiff_t entries(const char* directory) {
    return std::distance(std::filesystem::directory_iterator{directory}, std::filesystem::directory_iterator{});
}

bool comes_down_to(std::ptrdiff_t number, const char* directory) {
    const stopwatch watch;
    while (entries(directory) > number && watch.elapsed() < candor::testing::patience) std::this_thread::yield();
    return entries(directory) <= number;
}

std::string field_of(const server_options& options) {
    echo service;
    try {
        const httplib_server server{options, service};
    } catch (const candor::configuration_error& e) {
        return e.field();
    }
    return "";
}

std::string chunk(std::string_view bytes) {
    char size[32];
    std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
    return size + std::string{bytes} + "\r\n";
}

const std::string chunked_head = "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n";

}  // namespace

TEST_CASE("a request reaches the service as it was sent, and the answer comes back") {
    running now;
    auto client = now.connect();
    const auto answer = client.exchange(
        post_request("/a/b%20c?d=e%20f", "hello",
                     "Content-Type: application/json\r\nX-Twice: 1\r\nx-twice: 2\r\nAccept-Encoding: gzip\r\n"));
    CHECK(answer.status == 200);
    CHECK(answer.body == "hello");
    CHECK(header(answer, "Content-Type") == "text/x-echo");
    CHECK(header(answer, "Content-Length") == "5");
    CHECK(header(answer, "Content-Encoding") == "(none)");
    const auto heads = now.service.heads();
    REQUIRE(heads.size() == 1);
    CHECK(heads[0].method == "POST");
    CHECK(heads[0].target == "/a/b%20c?d=e%20f");
    REQUIRE(heads[0].header("content-type") != nullptr);
    CHECK(*heads[0].header("content-type") == "application/json");
    std::vector<std::string> twice;
    for (const auto& [name, value] : heads[0].headers) {
        if (candor::detail::equal_ignoring_case(name, "X-Twice")) twice.push_back(value);
    }
    CHECK(twice == std::vector<std::string>{"1", "2"});
}

TEST_CASE("a connection is kept for any number of requests, also without a pause between them") {
    running now;
    auto client = now.connect();
    for (int i = 0; i < 200; ++i) {
        const auto text = std::to_string(i);
        const auto answer = client.exchange(post_request("/a", text));
        REQUIRE(answer.body == text);
        REQUIRE(header(answer, "Connection") == "(none)");
        REQUIRE(header(answer, "Keep-Alive") == "timeout=360");
    }
    std::string all;
    for (int i = 0; i < 50; ++i)
        all += i % 2 == 0 ? post_request("/a", std::to_string(i))
                          : chunked_head + "\r\n" + chunk(std::to_string(i)) + "0\r\n\r\n";
    REQUIRE(client.send(all));
    for (int i = 0; i < 50; ++i) REQUIRE(client.read_answer().body == std::to_string(i));
    CHECK(now.service.bodies().size() == 250);
}

TEST_CASE("an empty body, with a length or without, and one with any bytes") {
    running now;
    auto client = now.connect();
    CHECK(client.exchange(post_request("/a", "")).status == 200);
    CHECK(client.exchange("POST /a HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200);
    CHECK(client.exchange(chunked_head + "\r\n0\r\n\r\n").status == 200);
    std::string all;
    for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
    CHECK(client.exchange(post_request("/a", all)).body == all);
    CHECK(now.service.bodies() == std::vector<std::string>{"", "", "", all});
}

TEST_CASE("no type, no path and no upgrade makes a body anything but bytes") {
    running now;
    auto client = now.connect();
    const std::string form = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n";
    for (const char* lines :
         {"Content-Type: multipart/form-data; boundary=x\r\n", "Content-Type: application/x-www-form-urlencoded\r\n",
          "Content-Type: multipart/form-data\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\n",
          "Range: bytes=0-1\r\n", "Range: nonsense\r\n", "If-None-Match: *\r\nIf-Modified-Since: x\r\n"}) {
        CAPTURE(std::string{lines});
        const auto answer = client.exchange(post_request("/a", form, lines));
        CHECK(answer.status == 200);
        CHECK(answer.body == form);
    }
    const std::string big(20'000, 'a');
    CHECK(
        (client.exchange(post_request("/a", big, "Content-Type: application/x-www-form-urlencoded\r\n")).body == big));
    CHECK(client.exchange(post_request("/" + std::string(7000, 'a'), "x")).body == "x");
    CHECK(client.exchange(post_request("/../..//%2e%2e/", "x")).body == "x");
}

TEST_CASE("an answer to the head alone comes before the body, which is then not read") {
    running now;
    auto client = now.connect();
    REQUIRE(client.send("POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"));
    const auto answer = client.read_answer();
    CHECK(answer.status == 404);
    CHECK(answer.body == "no such thing");
    CHECK(header(answer, "Connection") == "close");
    CHECK(header(answer, "Keep-Alive") == "(none)");
    client.send("hello");
    CHECK(client.is_closed());

    auto without_body = now.connect();
    CHECK(without_body.exchange("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 404);
    CHECK(now.service.bodies().empty());
}

TEST_CASE("a method is the service's business, and HEAD gets no body") {
    running now;
    for (const char* method : {"GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}) {
        CAPTURE(std::string{method});
        auto client = now.connect();
        const auto answer =
            client.exchange(method + std::string{" /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi"});
        CHECK(answer.body == "hi");
        CHECK(now.service.heads().back().method == method);
    }
    auto client = now.connect();
    REQUIRE(client.send("HEAD /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    client.finish();
    std::string all;
    char buffer[1024];
    for (ssize_t got = 0; (got = ::recv(client.socket(), buffer, sizeof buffer, 0)) > 0;)
        all.append(buffer, static_cast<std::size_t>(got));
    CHECK(all.starts_with("HTTP/1.1 404 "));
    CHECK(all.ends_with("\r\n\r\n"));
    CHECK(now.service.heads().back().method == "HEAD");
}

TEST_CASE("HTTP/1.0 and Connection: close end the connection after the answer") {
    running now;
    auto old = now.connect();
    CHECK(old.exchange("POST /a HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi").body == "hi");
    CHECK(old.is_closed());
    auto polite = now.connect();
    const auto answer = polite.exchange(post_request("/a", "hi", "Connection: close\r\n"));
    CHECK(answer.body == "hi");
    CHECK(header(answer, "Connection") == "close");
    CHECK(polite.is_closed());
}

TEST_CASE("a body in chunks is put together, whatever the chunks") {
    running now;
    auto client = now.connect();
    std::string body, text;
    for (std::size_t size : {1UL, 2UL, 15UL, 16UL, 17UL, 4096UL, 100'000UL}) {
        body += chunk(std::string(size, 'a'));
        text += std::string(size, 'a');
    }
    CHECK(client.exchange(chunked_head + "\r\n" + body + "0\r\n\r\n").body == text);
    CHECK(client.exchange(chunked_head + "\r\n5;name=value\r\nhello\r\n0\r\n\r\n").body == "hello");
    // Byte by byte, as a slow network gives it.
    for (const char c : chunked_head + "\r\n" + chunk("hello") + chunk("\r\n\r\n") + "0\r\n\r\n")
        REQUIRE(client.send({&c, 1}));
    CHECK(client.read_answer().body == "hello\r\n\r\n");
}

TEST_CASE("a client that asks for leave to send its body gets it, in both framings") {
    running now;
    auto client = now.connect();
    for (const bool is_chunked : {false, true}) {
        REQUIRE(
            client.send((is_chunked ? chunked_head : "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n") +
                        "Expect: 100-continue\r\n\r\n"));
        CHECK(client.read_answer().status == 100);
        CHECK(client.exchange(is_chunked ? chunk("hello") + "0\r\n\r\n" : "hello").body == "hello");
    }
    REQUIRE(
        client.send("POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"));
    CHECK(client.read_answer().status == 404);  // and no leave
    CHECK(client.is_closed());
}

TEST_CASE("row 37: framing that is not clear is answered 400, and the connection is closed") {
    running now;
    for (const char* lines :
         {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n"}) {
        CAPTURE(std::string{lines});
        auto client = now.connect();
        const auto answer =
            client.exchange("POST /a HTTP/1.1\r\nHost: localhost\r\n" + std::string{lines} + "\r\nhello");
        CHECK(answer.status == 400);
        CHECK(answer.body == "cannot be read");
        CHECK(header(answer, "Content-Type") == "text/x-sorry");
        CHECK(header(answer, "Connection") == "close");
        client.finish();
        CHECK(client.is_closed());
    }
    CHECK(now.service.bodies().empty());
}

TEST_CASE("what is malformed is answered with the service's words, also behind requests that are not") {
    const struct {
        std::string text;
        int status;
    } cases[] = {
        {"POST /a\r\n", 400},
        {"\x16\x03\x01\x02\n", 400},
        {"PRI * HTTP/2.0\r\n", 505},
        {"POST /" + std::string(9000, 'a'), 414},
        {"POST /a HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(70'000, 'a'), 431},
        {"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {chunked_head + "\r\n5\r\nhelloXX\r\n", 400},
        {chunked_head + "\r\n" + std::string(70'000, '1'), 400},
    };
    running now;
    for (const auto& sent : cases) {
        for (const bool is_first : {true, false}) {
            CAPTURE(sent.text.substr(0, 40));
            auto client = now.connect();
            client.send((is_first ? "" : post_request("/a", "good")) + sent.text);
            if (!is_first) CHECK(client.read_answer().body == "good");
            const auto answer = client.read_answer();
            CHECK(answer.status == sent.status);
            CHECK(answer.body == "cannot be read");
            client.finish();
            CHECK(client.is_closed());
        }
    }
    CHECK(now.service.bodies() == std::vector<std::string>(std::size(cases), "good"));
}

TEST_CASE("row 62: requests that are odd and valid are taken") {
    running now;
    auto client = now.connect();
    const std::string rest = "Host: localhost\r\nContent-Length: 2\r\n";
    for (const std::string& request :
         {"POST http://localhost/a?b HTTP/1.1\r\n" + rest + "\r\nhi", "POST //a HTTP/1.1\r\n" + rest + "\r\nhi",
          "\r\nPOST /a/ HTTP/1.1\r\n" + rest + "\r\nhi", "FROB /a HTTP/1.1\r\n" + rest + "\r\nhi",
          "POST /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n" +
              rest + "\r\nhi",
          "POST /a HTTP/1.1\r\nX:" + std::string(60'000, 'x') + "\r\n" + rest + "\r\nhi",
          chunked_head + "Trailer: X\r\n\r\n1 ; a=\"b\"\r\nh\r\n01\r\ni\r\n000\r\nX: y\r\n\r\n"}) {
        CAPTURE(request.substr(0, 60));
        CHECK(client.exchange(request).body == "hi");
    }
    CHECK(now.service.heads().front().target == "/a?b");
}

TEST_CASE("row 35: a body of just the limit is taken, a larger one is answered 413, in either framing") {
    running now{{.body_limit = 10'000}};
    const std::string most(10'000, 'a');
    auto client = now.connect();
    CHECK(client.exchange(post_request("/a", most)).body.size() == most.size());
    CHECK(client.exchange(chunked_head + "\r\n" + chunk(most) + "0\r\n\r\n").body.size() == most.size());
    {
        // The length says it: no byte of the body need come.
        auto announced = now.connect();
        CHECK(announced.exchange("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10001\r\n\r\n").status == 413);
    }
    {
        auto huge = now.connect();
        CHECK(
            huge.exchange("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999999999\r\n\r\n").status ==
            413);
    }
    auto in_chunks = now.connect();
    CHECK(in_chunks.exchange(chunked_head + "\r\n" + chunk(most) + chunk("a") + "0\r\n\r\n").status == 413);
    CHECK(now.service.bodies().size() == 2);
}

TEST_CASE("a client that sends all of a large body before it reads gets its answer, not a reset") {
    running now{{.body_limit = 1000}};
    const std::string large(20'000'000, 'a');
    for (const auto& request : {post_request("/a", large), post_request("/nothing", large),
                                chunked_head + "\r\n" + chunk(large) + "0\r\n\r\n"}) {
        auto client = now.connect();
        REQUIRE(client.send(request));
        CHECK(client.read_answer().status / 100 == 4);
        CHECK(client.is_closed());
    }
}

TEST_CASE("a Content-Encoding that is not known is answered 415") {
    running now;
    for (const char* coding : {"br", "zstd", "gzip, gzip"}) {
        auto client = now.connect();
        CHECK(client.exchange(post_request("/a", "x", "Content-Encoding: " + std::string{coding} + "\r\n")).status ==
              415);
    }
    auto client = now.connect();
    CHECK(client.exchange(post_request("/a", "x", "Content-Encoding: Identity\r\n")).body == "x");
#ifndef CPPHTTPLIB_ZLIB_SUPPORT
    CHECK(client.exchange(post_request("/a", "x", "Content-Encoding: gzip\r\n")).status == 415);
#endif
}

#ifdef CPPHTTPLIB_ZLIB_SUPPORT

TEST_CASE("a compressed body reaches the service plain") {
    running now;
    auto client = now.connect();
    const std::string text(100'000, 'a');
    const auto gzip = candor::testing::compressed(text);
    CHECK(client.exchange(post_request("/a", gzip, "Content-Encoding: gzip\r\n")).body == text);
    CHECK(client.exchange(post_request("/a", gzip, "Content-Encoding: GZIP\r\n")).body == text);
    CHECK(client.exchange(chunked_head + "Content-Encoding: gzip\r\n\r\n" + chunk(gzip) + "0\r\n\r\n").body == text);
    const auto zlib = candor::testing::compressed(text, 15);
    CHECK(client.exchange(post_request("/a", zlib, "Content-Encoding: deflate\r\n")).body == text);
    CHECK(client.exchange(post_request("/a", gzip.substr(0, 50), "Content-Encoding: gzip\r\n")).status == 400);
}

namespace {

/// A number of the process's own status, in bytes.
std::size_t status_of_memory(const std::string& name) {
    std::ifstream status{"/proc/self/status"};
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with(name + ":")) return std::stoul(line.substr(name.size() + 1)) * 1024;
    }
    return 0;
}

}  // namespace

TEST_CASE("row 35: a gigabyte in a megabyte is answered 413, and never is there") {
    running now{{.body_limit = 4 << 20}};
    std::string bombs[2];
    bombs[0] = candor::testing::compressed_zeros(1UL << 30);
    for (const auto member = candor::testing::compressed_zeros(1UL << 20); bombs[1].size() < 1'000'000;)
        bombs[1] += member;
    for (const auto& bomb : bombs) {
        CHECK(bomb.size() < 1'200'000);
        auto client = now.connect();
        const auto request = post_request("/a", bomb, "Content-Encoding: gzip\r\n");
        std::ofstream{"/proc/self/clear_refs"} << "5";  // the high-water mark starts anew
        const auto before = status_of_memory("VmRSS");
        CHECK(client.exchange(request).status == 413);
        // The system counts a few pages a thread late, so that the mark may lie a little below what was there before.
        const auto peak = status_of_memory("VmHWM");
        CHECK(peak < before + (16UL << 20));
        CHECK(peak + (1UL << 20) > before);
    }
    CHECK(now.service.bodies().empty());
}

TEST_CASE("a body counts as large as it is when decompressed") {
    running now{{.body_limit = 10'000}};
    auto client = now.connect();
    const auto most = candor::testing::compressed(std::string(10'000, 'a'));
    const auto more = candor::testing::compressed(std::string(10'001, 'a'));
    CHECK(client.exchange(post_request("/a", most, "Content-Encoding: gzip\r\n")).status == 200);
    CHECK(client.exchange(post_request("/a", more, "Content-Encoding: gzip\r\n")).status == 413);
}

#endif

TEST_CASE("a client that dies in mid-body changes nothing") {
    running now;
    for (const bool gracefully : {true, false}) {
        auto client = now.connect();
        REQUIRE(client.send("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhell"));
        auto in_chunks = now.connect();
        REQUIRE(in_chunks.send(chunked_head + "\r\n" + chunk("hello") + "5\r\nhel"));
        if (gracefully) {
            client.finish();
            in_chunks.finish();
            CHECK(client.read_answer().status == 400);
            CHECK(in_chunks.read_answer().status == 400);
        } else {
            client.reset();
            in_chunks.reset();
        }
    }
    auto client = now.connect();
    CHECK(client.exchange(post_request("/a", "x")).status == 200);
    now.server.stop();
    CHECK(now.service.bodies() == std::vector<std::string>{"x"});
}

TEST_CASE("row 36: a request that trickles in is ended when its time is over, in its head and in its body") {
    running now{{.request_timeout = 200ms}};
    for (const std::string start :
         {"P", "POST /a HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
          "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
          "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n"}) {
        CAPTURE(start);
        auto client = now.connect();
        const stopwatch watch;
        REQUIRE(client.send(start));
        pollfd wait{client.socket(), POLLIN, 0};
        while (::poll(&wait, 1, 10) == 0 && watch.elapsed() < candor::testing::patience) client.send("a");
        CHECK(watch.elapsed() >= 190ms);
        CHECK(watch.elapsed() < slack);
        CHECK(client.is_closed());  // nobody waits for an answer
    }
    CHECK(now.service.bodies().empty());
}

TEST_CASE("a connection without a request is ended after a while, between requests too") {
    running now{{.idle_timeout = 1s}};  // a busy machine may take long until the other client has sent its request
    auto client = now.connect();
    const stopwatch watch;
    CHECK(client.is_closed());
    CHECK(watch.elapsed() >= 990ms);
    auto other = now.connect();
    CHECK(other.exchange(post_request("/a", "x")).status == 200);
    CHECK(other.is_closed());
}

TEST_CASE("a client that does not read its answers is ended when its time is over") {
    running now{{.request_timeout = 2s, .stop_timeout = 1min}};
    auto client = now.connect();
    const std::string large(8'000'000, 'a');
    REQUIRE(client.send(post_request("/a", large)));
    REQUIRE(now.service.wait_for_bodies(1));
    auto other = now.connect();
    CHECK(other.exchange(post_request("/a", "x")).status == 200);
    const stopwatch watch;
    now.server.stop();
    CHECK(watch.elapsed() < 2s + slack);
}

TEST_CASE("row 36: two hundred slow clients do not hold a fast one up") {
    running now{{.request_timeout = 60s}};
    std::vector<raw_client> slow;
    for (int i = 0; i < 200; ++i) {
        slow.push_back(now.connect());
        REQUIRE(slow.back().send(i % 2 == 0 ? "POST /a HT"
                                            : "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc"));
    }
    auto fast = now.connect();
    const stopwatch watch;
    for (int i = 0; i < 100; ++i) {
        for (int j = 0; j < 200; j += 40) REQUIRE(slow[static_cast<std::size_t>(j)].send("T"));
        REQUIRE(fast.exchange(post_request("/a", "x")).status == 200);
    }
    CHECK(watch.elapsed() < slack);
    CHECK(now.service.bodies().size() == 100);
    for (std::size_t i = 1; i < 200; i += 2) REQUIRE(slow[i].send("defghij"));
    for (std::size_t i = 1; i < 200; i += 2) CHECK(slow[i].read_answer().body == "abcdefghij");
}

TEST_CASE("where all connections are taken, the one that is idle longest makes room") {
    running now{{.max_connections = 3}};
    auto first = now.connect();
    auto second = now.connect();
    auto third = now.connect();
    for (auto* client : {&first, &second, &third, &first})
        REQUIRE(client->exchange(post_request("/a", "x")).status == 200);
    REQUIRE(becomes_idle());  // when an answer has come, its thread may not be done with the request
    auto fourth = now.connect();
    CHECK(fourth.exchange(post_request("/a", "x")).status == 200);
    // The second one, but a thread that was slow to see the end of its request makes it the third one.
    CHECK(second.is_open() != third.is_open());
    CHECK(first.exchange(post_request("/a", "x")).status == 200);
    CHECK((second.is_open() ? second : third).exchange(post_request("/a", "x")).status == 200);
}

TEST_CASE("where all connections have a request under way, a further one is answered 503") {
    running now{{.max_connections = 2}};
    auto first = now.connect();
    auto second = now.connect();
    REQUIRE(first.send(post_request("/wait", "x")));
    REQUIRE(second.send(post_request("/wait", "x")));
    REQUIRE(now.service.wait_for_bodies(2));
    auto third = now.connect();
    const auto answer = third.exchange(post_request("/a", "y"));
    CHECK(answer.status == 503);
    CHECK(header(answer, "Retry-After") == "1");
    CHECK(header(answer, "Connection") == "close");
    now.service.open();
    CHECK(first.read_answer().status == 200);
    CHECK(second.read_answer().status == 200);
    CHECK((now.service.refused() == std::vector{body_error::overloaded}));
    const stopwatch watch;  // a further one takes the place of one that is idle, soon
    while (now.connect().exchange(post_request("/a", "z")).status != 200)
        REQUIRE(watch.elapsed() < candor::testing::patience);
}

TEST_CASE("row 36: a flood of connections opens no more than there are to be") {
    running now{{.max_connections = 4}};
    const auto threads = entries("/proc/self/task");
    std::vector<raw_client> flood;
    for (int i = 0; i < 300; ++i) {
        flood.push_back(now.connect());
        flood.back().send("P");
    }
    auto client = now.connect();
    client.exchange(post_request("/a", "x"));  // taken or not: the others were dealt with before
    CHECK(entries("/proc/self/task") == threads);
    flood.clear();
    const stopwatch watch;  // until the server has seen that they have gone
    while (now.connect().exchange(post_request("/a", "x")).status != 200)
        REQUIRE(watch.elapsed() < candor::testing::patience);
}

TEST_CASE("of clients that all have begun a request, only so many are heard") {
    running now{{.max_connections = 4, .request_timeout = 60s}};
    std::vector<raw_client> clients;
    for (int i = 0; i < 40; ++i) {
        clients.push_back(now.connect());
        clients.back().send("P");
        pollfd taken{clients.back().socket(), POLLIN, 0};
        ::poll(&taken, 1, 5);  // so that the server sees it, or has closed
    }
    const auto open = std::count_if(clients.begin(), clients.end(), [](raw_client& c) { return c.is_open(); });
    CHECK(open >= 4);
    CHECK(open <= 4 + 16);
}

TEST_CASE("more bodies than memory is meant for are answered 503, and the memory comes back") {
    running now{{.body_limit = 1000}};
    const std::string body(1000, 'a');
    const std::string head = "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    for (int round = 0; round < 3; ++round) {
        auto first = now.connect();
        auto second = now.connect();
        REQUIRE(first.send(post_request("/wait", body)));
        REQUIRE(second.send(post_request("/wait", body)));
        REQUIRE(now.service.wait_for_bodies(static_cast<std::size_t>(2 + 2 * round)));
        if (round == 0) {
            auto third = now.connect();
            const auto answer = third.exchange(post_request("/a", body));
            CHECK(answer.status == 503);
            CHECK(header(answer, "Retry-After") == "1");
            now.service.open();
        }
        CHECK(first.read_answer().status == 200);
        CHECK(second.read_answer().status == 200);
    }
}

TEST_CASE("what has been received whole when the server stops is still answered, also on connections that wait") {
    running now{{.stop_timeout = 1min}};
    auto busy = now.connect();
    REQUIRE(busy.deliver(post_request("/wait", "first") + post_request("/a", "second")));
    REQUIRE(now.service.wait_for_bodies(1));
    auto idle = now.connect();
    REQUIRE(idle.exchange(post_request("/a", "x")).status == 200);
    auto half = now.connect();
    REQUIRE(half.deliver("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhell"));
    std::vector<raw_client> more;
    for (int i = 0; i < 20; ++i) {
        more.push_back(now.connect());
        REQUIRE(more.back().deliver(post_request("/a", "late")));
    }
    std::thread stopping{[&] { now.server.stop(); }};
    now.service.open();
    const stopwatch watch;
    stopping.join();
    CHECK(watch.elapsed() < slack);
    CHECK(busy.read_answer().body == "first");
    CHECK(busy.read_answer().body == "second");
    for (auto& client : more) CHECK(client.read_answer().body == "late");
    CHECK(half.is_closed());
    CHECK(idle.is_closed());
    const auto count = now.service.bodies().size();
    CHECK(count == 23);
    now.server.stop();  // again
}

TEST_CASE("a server with connections that do nothing stops at once, and then its port is closed") {
    std::optional<running> now{std::in_place, candor::server_options{.stop_timeout = 1min}};
    const auto port = now->server.port();
    auto idle = now->connect();
    REQUIRE(idle.exchange(post_request("/a", "x")).status == 200);
    auto silent = now->connect();
    const stopwatch watch;
    now->server.stop();
    CHECK(watch.elapsed() < slack);
    CHECK(now->server.port() == port);
    now.reset();
    CHECK_THROWS(raw_client{port});
}

TEST_CASE("a client that never stops sending does not keep the server from stopping") {
    running now{{.request_timeout = 60s}};
    auto client = now.connect();
    REQUIRE(client.exchange(post_request("/a", "x")).status == 200);
    std::thread sender{[&] {
        std::string requests;
        for (int i = 0; i < 1000; ++i) requests += post_request("/a", "");
        const std::string drain(1 << 16, ' ');
        char buffer[1 << 16];
        while (client.send(requests)) {
            while (::recv(client.socket(), buffer, sizeof buffer, MSG_DONTWAIT) > 0) {
            }
        }
    }};
    REQUIRE(now.service.wait_for_bodies(100));
    const stopwatch watch;
    now.server.stop();
    CHECK(watch.elapsed() < slack);
    sender.join();
}

TEST_CASE("a server leaves no thread and no descriptor behind") {
    std::thread{[] {}}.join();  // a sanitizer starts a thread of its own with the first
    const auto threads = entries("/proc/self/task");
    const auto descriptors = entries("/proc/self/fd");
    {
        running now;
        std::vector<raw_client> clients;
        for (int i = 0; i < 20; ++i) {
            clients.push_back(now.connect());
            CHECK(clients.back().exchange(post_request("/a", "x")).status == 200);
        }
    }
    CHECK(comes_down_to(threads, "/proc/self/task"));
    CHECK(entries("/proc/self/fd") == descriptors);
}

TEST_CASE("connections that have ended take no descriptor, and none takes a thread") {
    running now;
    const auto threads = entries("/proc/self/task");
    const auto descriptors = entries("/proc/self/fd");
    for (int i = 0; i < 100; ++i) {
        auto client = now.connect();
        CHECK(client.exchange(post_request("/a", "x", "Connection: close\r\n")).status == 200);
    }
    CHECK(entries("/proc/self/task") == threads);
    CHECK(comes_down_to(descriptors, "/proc/self/fd"));
}

TEST_CASE("row 62: hundreds of idle connections take no thread, are not run for, and go on when they like") {
    const server_options usual;
    CHECK(usual.idle_timeout >= 5min);
    CHECK(usual.max_connections >= 1000);
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    const rlimit enough{before.rlim_max, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &enough);
    {
        running now;
        const auto threads = entries("/proc/self/task");
        std::vector<raw_client> workers;
        for (int i = 0; i < 600; ++i) workers.push_back(now.connect());
        for (auto& worker : workers) REQUIRE(worker.exchange(post_request("/a", "x")).status == 200);
        CHECK(entries("/proc/self/task") == threads);
        for (auto& worker : workers) REQUIRE(worker.is_open());
        for (auto& worker : workers) REQUIRE(worker.exchange(post_request("/a", "y")).status == 200);
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
}

namespace {

std::set<std::string> thread_ids() {
    std::set<std::string> out;
    for (const auto& task : std::filesystem::directory_iterator{"/proc/self/task"}) out.insert(task.path().filename());
    return out;
}

/// How often the threads of this process have waited for something, these aside.
long waits_of_others(const std::set<std::string>& known) {
    long out = 0;
    for (const auto& id : thread_ids()) {
        if (known.contains(id)) continue;
        std::ifstream status{"/proc/self/task/" + id + "/status"};
        for (std::string line; std::getline(status, line);) {
            if (line.starts_with("voluntary_ctxt_switches:")) out += std::stol(line.substr(24));
        }
    }
    return out;
}

}  // namespace

TEST_CASE("a server without requests does not run") {
    std::thread{[] {}}.join();  // a sanitizer starts a thread of its own with the first
    const auto known = thread_ids();
    running now;
    auto client = now.connect();
    REQUIRE(client.exchange(post_request("/a", "x")).status == 200);
    const stopwatch watch;  // its threads come to wait, sooner or later
    long before = -1, after = waits_of_others(known);
    for (pollfd nothing{-1, 0, 0}; before != after && watch.elapsed() < candor::testing::patience;) {
        ::poll(&nothing, 1, 300);
        before = std::exchange(after, waits_of_others(known));
    }
    CHECK(before == after);
    CHECK(after > 0);
}

TEST_CASE("row 49: nothing of a server is a standard stream") {
    std::vector<int> kept;
    for (int fd = 0; fd < 3; ++fd) kept.push_back(::fcntl(fd, F_DUPFD_CLOEXEC, 20));
    for (int fd = 0; fd < 3; ++fd) ::close(fd);
    bool is_answered = false, is_taken = false;
    {
        running now;
        const int spare = ::open("/dev/null", O_RDWR | O_CLOEXEC);  // so that the client's socket is above them too
        const int other = ::dup(spare);
        const int third = ::dup(spare);
        is_taken = spare != 0 || other != 1 || third != 2;
        auto client = now.connect();
        for (const int fd : {spare, other, third}) ::close(fd);
        is_answered = client.exchange(post_request("/a", "x")).status == 200;
        for (int fd = 0; fd < 3; ++fd) is_taken = is_taken || ::fcntl(fd, F_GETFD) >= 0;
    }
    for (int fd = 0; fd < 3; ++fd) {
        ::dup2(kept[static_cast<std::size_t>(fd)], fd);
        ::close(kept[static_cast<std::size_t>(fd)]);
    }
    CHECK(is_answered);
    CHECK_FALSE(is_taken);
}

TEST_CASE("row 50: a server whose descriptors the program closes stops, and touches none that come after") {
    const auto open_ones = [] {
        std::set<int> out;
        for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"})
            out.insert(std::stoi(entry.path().filename()));
        std::erase_if(out, [](int fd) { return ::fcntl(fd, F_GETFD) < 0; });  // what read the directory
        return out;
    };
    for (const bool is_serving : {false, true}) {
        CAPTURE(is_serving);
        int pipe[2];
        REQUIRE(::pipe2(pipe, O_CLOEXEC | O_NONBLOCK) == 0);
        const auto before = open_ones();
        std::optional<running> now{std::in_place};
        std::optional<raw_client> client{now->connect()};
        REQUIRE(client->exchange(post_request("/a", "x")).status == 200);
        if (is_serving) {
            REQUIRE(client->send(post_request("/wait", "x")));
            REQUIRE(now->service.wait_for_bodies(2));
        }
        REQUIRE(becomes_idle());  // what is closed between a look at it and its use is beyond anybody's help
        std::vector<int> others;
        for (const int fd : open_ones()) {
            if (before.contains(fd) || fd == client->socket()) continue;
            ::syscall(SYS_close, fd);  // ThreadSanitizer would take close() for a race with the server, which it is
            others.push_back(fd);
        }
        CHECK(others.size() == 3);  // what wakes, what listens, and a connection
        for (const int fd : others) ::syscall(SYS_dup3, pipe[1], fd, O_CLOEXEC);
        const stopwatch watch;
        auto stopping = std::async(std::launch::async, [&] { now->server.stop(); });
        if (is_serving) CHECK(stopping.wait_for(50ms) == std::future_status::timeout);
        now->service.open();
        stopping.get();
        CHECK(watch.elapsed() < slack);
        now.reset();
        for (const int fd : others) CHECK(::fcntl(fd, F_GETFD) >= 0);
        char byte = 0;
        CHECK(::read(pipe[0], &byte, 1) == -1);  // nothing was written there
        for (const int fd : others) ::close(fd);
        for (const int fd : pipe) ::close(fd);
    }
}

TEST_CASE("with no descriptors left the server neither spins nor gives up") {
    running now;
    auto idle = now.connect();
    REQUIRE(idle.exchange(post_request("/a", "x")).status == 200);
    auto waiting = now.connect();
    REQUIRE(waiting.exchange(post_request("/a", "x")).status == 200);
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    const int spare = ::fcntl(idle.socket(), F_DUPFD_CLOEXEC, 0);  // the lowest number that is free
    const rlimit none{static_cast<rlim_t>(spare) + 1, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
    std::vector<int> taken;
    for (int fd = 0; (fd = ::fcntl(idle.socket(), F_DUPFD_CLOEXEC, 0)) >= 0;) taken.push_back(fd);
    ::close(spare);  // one, for the client; the server gets none
    std::optional<raw_client> client{now.server.port()};
    const bool is_sent = client->send(post_request("/a", "late"));
    // The idle connections are given up for it.
    const auto answer = client->read_answer();
    ::setrlimit(RLIMIT_NOFILE, &before);
    for (const int fd : taken) ::close(fd);
    CHECK(is_sent);
    CHECK(answer.body == "late");
    CHECK(idle.is_open() != waiting.is_open());
}

TEST_CASE("where the program lowers its limit of descriptors, idle connections make room") {
    running now;
    std::vector<raw_client> clients;
    for (int i = 0; i < 40; ++i) {
        clients.push_back(now.connect());
        REQUIRE(clients.back().exchange(post_request("/a", "x")).status == 200);
    }
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    const rlimit few{16, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
    const auto answer = clients.back().exchange(post_request("/a", "y"));
    const stopwatch watch;
    const auto open = [&] {
        return std::count_if(clients.begin(), clients.end(), [](raw_client& c) { return c.is_open(); });
    };
    while (open() > 14 && watch.elapsed() < candor::testing::patience) std::this_thread::yield();
    const auto left = open();
    const auto again = clients.back().exchange(post_request("/a", "z"));
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK(answer.status == 200);
    CHECK(left <= 14);
    CHECK(left > 0);
    CHECK(again.body == "z");
}

TEST_CASE("two servers have two ports, and a port that is taken is said so") {
    running one;
    running two;
    CHECK(one.server.port() != two.server.port());
    CHECK(one.connect().exchange(post_request("/a", "1")).body == "1");
    CHECK(two.connect().exchange(post_request("/a", "2")).body == "2");
    CHECK(one.service.bodies().size() == 1);
    CHECK(field_of({.port = one.server.port()}) == "port");
    try {
        echo service;
        const httplib_server server{{.port = one.server.port()}, service};
        FAIL("two servers on one port");
    } catch (const candor::configuration_error& e) {
        const std::string text = e.what();
        CHECK(text.find(std::to_string(one.server.port())) != text.npos);
        CHECK(text.find("in use") != text.npos);
    }
}

TEST_CASE("a port that was given up can be had again at once") {
    std::uint16_t port = 0;
    {
        running now;
        port = now.server.port();
        auto client = now.connect();
        CHECK(client.exchange(post_request("/a", "x", "Connection: close\r\n")).status == 200);
        CHECK(client.is_closed());  // the server's side closed first, and remembers the connection for a while
    }
    running again{{.port = port}};
    CHECK(again.server.port() == port);
    CHECK(again.connect().exchange(post_request("/a", "x")).status == 200);
}

TEST_CASE("options that cannot work are refused by their names") {
    CHECK(field_of({}).empty());
    CHECK(field_of({.address = "localhost"}).empty());
    for (const char* address :
         {"", "example.com", "127.0.0.1:80", "http://127.0.0.1", "[::1]", "127.0.0.1 ", "256.1.1.1"}) {
        CAPTURE(std::string{address});
        CHECK(field_of({.address = address}) == "address");
    }
    CHECK(field_of({.address = std::string{"127.0.0.1\0x", 11}}) == "address");
    CHECK(field_of({.address = "192.0.2.1"}) == "address");  // not of this machine (RFC 5737)
    CHECK(field_of({.body_limit = 0}) == "body_limit");
    CHECK(field_of({.max_connections = 0}) == "max_connections");
    CHECK(field_of({.request_timeout = 0ms}) == "request_timeout");
    CHECK(field_of({.idle_timeout = -1ms}) == "idle_timeout");
    CHECK(field_of({.stop_timeout = 0ms}) == "stop_timeout");
}

TEST_CASE("row 38: only the address that was asked for listens") {
    running now{{.address = "127.0.0.2"}};
    CHECK_THROWS(static_cast<void>(now.connect()));  // to 127.0.0.1
}

TEST_CASE("a program that the host starts inherits no socket") {
    running now;
    auto client = now.connect();
    REQUIRE(client.exchange(post_request("/a", "x")).status == 200);
    // The clients' sockets here are marked too, so what the child has is what was inherited.
    pid_t child = 0;
    const char* const argv[] = {"sh", "-c",
                                "for f in /proc/self/fd/*; do readlink \"$f\"; done | grep -q socket:", nullptr};
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    for (int fd = 0; fd < 3; ++fd) ::posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    REQUIRE(::posix_spawn(&child, "/bin/sh", &actions, nullptr, const_cast<char* const*>(argv), environ) == 0);
    ::posix_spawn_file_actions_destroy(&actions);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 1);  // grep found none
}

TEST_CASE("what the program does with SIGPIPE stays as it is, and a client that has gone raises none") {
    const candor::testing::deadly_sigpipe deadly;
    running now;
    struct sigaction found {};
    ::sigaction(SIGPIPE, nullptr, &found);
    CHECK((found.sa_handler == SIG_DFL));
    for (int i = 0; i < 20; ++i) {
        auto client = now.connect();
        REQUIRE(client.send(post_request("/a", "x") + post_request("/a", "x")));
        client.reset();
    }
    CHECK(now.connect().exchange(post_request("/a", "x")).status == 200);
}

namespace {

using receiver = candor::otlp::basic_receiver<httplib_server, candor::system_clock>;

std::uint16_t port_of(const receiver& of) {
    const auto endpoint = of.endpoint();
    REQUIRE(endpoint.starts_with("127.0.0.1:"));
    return static_cast<std::uint16_t>(std::stoi(endpoint.substr(10)));
}

std::string report(const std::string& table, std::int64_t count) {
    otlp_writer::metric resources{.name = "sync.table.resources"};
    resources.points.push_back({.attributes = {{"sync.table.name", table}}, .start = 1, .time = 2, .value = count});
    return otlp_writer::to_protobuf(otlp_writer::request{.resources = {{.scopes = {{.metrics = {resources}}}}}});
}

const std::string protobuf = "Content-Type: application/x-protobuf\r\n";

}  // namespace

TEST_CASE("a receiver answers with each status that OTLP has, over a socket") {
    receiver now{{.body_limit = 10'000}};
    const auto status = [&](const std::string& request) {
        raw_client client{port_of(now)};
        const auto answer = client.exchange(request);
        for (const auto& [name, value] : answer.headers) CHECK_FALSE(name.starts_with("Access-Control"));
        return answer.status;
    };
    const std::string metrics = "/v1/metrics";
    CHECK(status(post_request(metrics, report("users", 3), protobuf)) == 200);
    CHECK(status(post_request("/v1/traces", "x", protobuf)) == 200);
    CHECK(status(post_request(metrics, "\xff", protobuf)) == 400);
    CHECK(status("POST /v1/metrics HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n" + protobuf + "\r\n") ==
          403);
    CHECK(status(post_request(metrics, "", protobuf + "Origin: http://evil.example\r\n")) == 403);
    CHECK(status(post_request("/", "", protobuf)) == 404);
    CHECK(status("GET /v1/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n") == 405);
    CHECK(status("OPTIONS /v1/metrics HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a\r\n\r\n") == 405);
    CHECK(status(post_request(metrics, std::string(10'001, ' '), protobuf)) == 413);
    CHECK(status(post_request(metrics, "", "Content-Type: text/plain\r\n")) == 415);
    CHECK(status(post_request(metrics, "", protobuf + "Content-Encoding: br\r\n")) == 415);
#ifdef CPPHTTPLIB_ZLIB_SUPPORT
    const auto gzip = candor::testing::compressed(report("groups", 4));
    CHECK(status(post_request(metrics, gzip, protobuf + "Content-Encoding: gzip\r\n")) == 200);
    CHECK(now.table().rows().size() == 2);
#endif
    CHECK(now.table().rows()[0].resources == 3);
    CHECK(now.statistics().requests.dropped == 1);
}

TEST_CASE("two receivers have a table each, and write what came last before they end") {
    const temporary_directory directory;
    const auto path = directory.path() / "metrics.txt";
    std::optional<receiver> one{std::in_place, candor::otlp::receiver_options{.metrics_file = path}};
    receiver two{{}};
    raw_client first{port_of(*one)};
    raw_client second{port_of(two)};
    CHECK(first.exchange(post_request("/v1/metrics", report("users", 3), protobuf)).status == 200);
    CHECK(second.exchange(post_request("/v1/metrics", report("groups", 4), protobuf)).status == 200);
    REQUIRE(first.deliver(post_request("/v1/metrics", report("late", 5), protobuf)));  // read or not
    one.reset();
    std::ifstream file{path};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    CHECK(text.find("users") != text.npos);
    CHECK(text.find("late") != text.npos);
    CHECK(first.read_answer().status == 200);
    REQUIRE(two.table().rows().size() == 1);
    CHECK(two.table().rows()[0].table == "groups");
}

}  // namespace server_test
