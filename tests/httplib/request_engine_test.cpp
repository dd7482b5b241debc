#include <candor/httplib/request_engine.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <signal.h>
#include <sys/socket.h>

#include <doctest/doctest.h>

namespace request_engine_test {

using candor::body_error;
using candor::http_request_head;
using candor::http_response;
using candor::detail::byte_budget;
using candor::detail::owned_socket;
using candor::detail::request_engine;
using outcome = request_engine::outcome;
using namespace std::chrono_literals;

namespace {

/// Answers with what it was asked.
class mirror final : public candor::http_service {
public:
    std::optional<http_response> begin(const http_request_head& head) noexcept override {
        if (head.target == "/early") return http_response{.status = 404};
        return std::nullopt;
    }
    http_response complete(const http_request_head& head, std::string_view body) noexcept override {
        return {.status = 200, .body = head.method + " " + head.target + " " + std::string{body}};
    }
    http_response refuse(const http_request_head&, body_error why) noexcept override {
        return {.status = 400 + static_cast<int>(why)};
    }
};

struct result {
    outcome end;
    std::string answer;
};

/// Serves one request that is there as a whole.
result serve(request_engine& engine, std::string_view request, bool is_overloaded = false) {
    int both[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, both) == 0);
    const owned_socket client{both[1]};
    const candor::detail::stop_signal stop;
    candor::detail::server_stream stream{owned_socket{both[0]}, stop};
    REQUIRE(::send(client.get(), request.data(), request.size(), 0) == std::ssize(request));
    ::shutdown(client.get(), SHUT_WR);
    stream.begin_request(std::chrono::steady_clock::now() + 5s);
    const auto end = engine.serve(stream, is_overloaded);
    char buffer[4096];
    const auto got = ::recv(client.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    return {end, got > 0 ? std::string{buffer, static_cast<std::size_t>(got)} : std::string{}};
}

const std::string request = "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi";

}  // namespace

TEST_CASE("a budget gives what it has, and has it again") {
    byte_budget all{10};
    {
        candor::detail::budget_share one{all};
        candor::detail::budget_share two{all};
        CHECK(one.take(4));
        CHECK(two.take(6));
        CHECK_FALSE(one.take(1));
        CHECK(one.take(0));
    }
    CHECK(all.take(10));
    CHECK_FALSE(all.take(1));
    all.give_back(1);
    CHECK(all.take(1));
}

TEST_CASE("a request is answered, and says what becomes of its connection") {
    mirror service;
    request_engine engine{service, {}};
    const auto kept = serve(engine, request);
    CHECK(kept.end == outcome::kept);
    CHECK(kept.answer.starts_with("HTTP/1.1 200 "));
    CHECK(kept.answer.ends_with("\r\n\r\nPOST /a hi"));
    CHECK(kept.answer.find("Content-Length: 10\r\n") != std::string::npos);
    CHECK(serve(engine, "POST /a HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi").end == outcome::finished);
    CHECK(serve(engine, "POST /early HTTP/1.1\r\nHost: a\r\n\r\n").answer.starts_with("HTTP/1.1 404 "));
    CHECK(serve(engine, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").end == outcome::abandoned);
    CHECK(serve(engine, "").end == outcome::finished);
    CHECK(serve(engine, "").answer.empty());
    CHECK(serve(engine, "nonsense\r\n\r\n").end == outcome::abandoned);
}

TEST_CASE("an engine with too much to do refuses what comes") {
    mirror service;
    request_engine engine{service, {}};
    const auto refused = serve(engine, request, true);
    CHECK(refused.end == outcome::abandoned);
    CHECK(refused.answer.starts_with("HTTP/1.1 " + std::to_string(400 + static_cast<int>(body_error::overloaded))));
}

TEST_CASE("bodies that do not fit into memory's budget are refused, one that fits is not") {
    mirror service;
    request_engine engine{service, {.body_limit = 2}};
    CHECK(serve(engine, request).answer.starts_with("HTTP/1.1 200 "));
    const auto large = serve(engine, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    CHECK(large.answer.starts_with("HTTP/1.1 " + std::to_string(400 + static_cast<int>(body_error::too_large))));
}

TEST_CASE("several threads may serve at once") {
    mirror service;
    request_engine engine{service, {}};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&engine, i] {
            const auto text = std::to_string(i);
            for (int j = 0; j < 50; ++j) {
                const auto now =
                    serve(engine, "POST /" + text + " HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n" + text);
                REQUIRE(now.answer.ends_with("POST /" + text + " " + text));
            }
        });
    }
    for (auto& thread : threads) thread.join();
}

TEST_CASE("an engine does not change what the program does with SIGPIPE") {
    struct sigaction mine {};
    struct sigaction before {};
    struct sigaction after {};
    mine.sa_handler = [](int) {};
    ::sigaction(SIGPIPE, &mine, &before);
    mirror service;
    const request_engine engine{service, {}};
    ::sigaction(SIGPIPE, &before, &after);
    CHECK((after.sa_handler == mine.sa_handler));
}

}  // namespace request_engine_test
