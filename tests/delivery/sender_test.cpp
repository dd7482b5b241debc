#include <candor/delivery/sender.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/testing.hpp>

#include "line_protocol.hpp"

#include <doctest/doctest.h>

namespace sender_test {

using namespace std::chrono_literals;

namespace {

using candor::transport_error;
using candor::testing::recording_transport;
using candor::tests::line_protocol;
using action = candor::detail::response_action::kind;

struct throwing_transport : recording_transport {
    candor::http_response send(const candor::http_request&) { throw std::runtime_error{"no"}; }
};

/// Tells the head of its answer, and what became of the exchange then.
struct telling_transport : recording_transport {
    candor::http_response send(const candor::http_request& request) {
        auto answer = recording_transport::send(request);
        if (answer.error == transport_error::none)
            request.on_head({.status = answer.status, .headers = answer.headers});
        if (at_head) at_head();
        if (throws) throw std::runtime_error{"no"};
        if (then) return *std::exchange(then, std::nullopt);
        return answer;
    }
    std::function<void()> at_head{};
    bool throws = false;
    std::optional<candor::http_response> then{};
};

template <class Transport>
struct bench {
    explicit bench(candor::delivery_options options = {}, const std::string& url = "http://plane")
        : sender{"lines", options, [this](std::string_view text) { said.emplace_back(text); },
                 std::make_unique<line_protocol>(url), lent} {}

    /// One attempt, from the request to the callbacks.
    action attempt() {
        const auto answer = sender.send({"a", one}, {});
        const auto found = sender.back_end().classify(answer, {});
        sender.tell(answer, found.diagnostic);
        return found.what;
    }

    std::vector<std::string> said{};
    Transport transport{};
    candor::detail::transport_adapter<Transport> lent{transport};
    candor::detail::sender sender;
    std::vector<candor::detail::message> one{{.offset = 0, .size = 1}};
};

}  // namespace

TEST_CASE("each kind of failure is said once") {
    bench<recording_transport> b;
    for (const int status : {500, 500, 502}) b.transport.respond(status);
    b.transport.fail(transport_error::timeout);
    for (int i = 0; i < 4; ++i) CHECK(b.attempt() == action::retry);
    CHECK(b.attempt() == action::deliver);
    CHECK(b.said == std::vector<std::string>{"lines: 500", "lines: 502", "lines: unreachable"});
    CHECK(b.transport.requests().back().body == "a\n");
    b.sender.say("text");
    CHECK(b.said.back() == "lines: text");
    b.sender.cancel();
    CHECK(b.sender.send({"a", b.one}, {}).error == transport_error::cancelled);
}

TEST_CASE("each attempt is seen with its answer, and a dry run is nothing else") {
    std::vector<std::pair<std::string, int>> seen;
    candor::delivery_options options;
    options.on_attempt = [&](const candor::http_request& request, const candor::http_response& answer) {
        seen.emplace_back(request.body, answer.status);
        throw std::runtime_error{"a callback's failure is its own"};
    };
    bench<recording_transport> b{options};
    b.transport.respond(503);
    CHECK(b.attempt() == action::retry);
    CHECK(b.attempt() == action::deliver);
    CHECK(seen == std::vector<std::pair<std::string, int>>{{"a\n", 503}, {"a\n", 200}});
    CHECK(b.transport.requests().size() == 2);
    options.dry_run = true;
    bench<recording_transport> dry{options};
    CHECK(dry.attempt() == action::deliver);
    CHECK(seen.size() == 3);
    CHECK(dry.transport.requests().empty());
}

TEST_CASE("row 43: a web page over plain http is no answer of the server, and everything else is") {
    struct example {
        const char* url;
        candor::http_response answer;
        bool is_answer;
    };
    const auto page = [](int status, const char* type) {
        return candor::http_response{.status = status, .headers = {{"content-type", type}}, .body = "<html>"};
    };
    for (const auto& e : {example{"http://lines/", page(200, "text/html"), false},
                          example{"http://lines/", page(202, "Text/HTML; charset=utf-8"), false},
                          example{"https://lines/", page(200, "text/html"), true},
                          example{"http://lines/", page(404, "text/html"), true},
                          example{"http://lines/", page(200, "text/plain; charset=utf-8"), true},
                          example{"http://lines/", page(200, "text"), true},
                          example{"http://lines/", {.status = 200, .body = "<html>"}, true}}) {
        bench<recording_transport> b{{}, e.url};
        b.transport.respond(e.answer);
        const auto got = b.sender.send({"a", b.one}, {});
        CAPTURE(e.url);
        CAPTURE(e.answer.status);
        CHECK(got.status == (e.is_answer ? e.answer.status : 0));
        CHECK(got.error == (e.is_answer ? transport_error::none : transport_error::unreachable));
    }
}

TEST_CASE("row 44: a server that has taken nothing compressed yet is asked once more without before it is believed") {
    const auto compressed = [](int status) { return candor::http_response{.status = status, .was_compressed = true}; };
    for (const int refusal : {400, 415}) {
        CAPTURE(refusal);
        bench<recording_transport> b;
        b.transport.respond(compressed(503));  // says nothing of gzip
        b.transport.respond(compressed(refusal));
        b.transport.respond(200);
        b.transport.respond(400);
        std::vector<int> statuses;
        for (int i = 0; i < 3; ++i) statuses.push_back(b.sender.send({"a", b.one}, {}).status);
        CHECK(statuses == std::vector<int>{503, 200, 400});
        std::vector<bool> asked;
        for (const auto& request : b.transport.requests()) {
            asked.push_back(request.compress);
            CHECK(request.body == "a\n");
        }
        CHECK(asked == std::vector<bool>{true, true, false, false});

        bench<recording_transport> knowing;
        for (const int status : {200, refusal, refusal}) knowing.transport.respond(compressed(status));
        for (const int status : {200, refusal, refusal})
            CHECK(knowing.sender.send({"a", knowing.one}, {}).status == status);
        CHECK(knowing.transport.requests().size() == 3);
        CHECK(knowing.transport.requests().back().compress);
    }
    bench<recording_transport> plain;
    plain.transport.respond(400);
    CHECK(plain.sender.send({"a", plain.one}, {}).status == 400);
    CHECK(plain.transport.requests().size() == 1);
}

TEST_CASE("what the server has is told once, when the head of its answer says so or the answer has come") {
    const candor::http_response page{.status = 200, .headers = {{"Content-Type", "text/html"}}};
    struct example {
        candor::http_response answer;
        int told;
    };
    for (const auto& e :
         {example{{.status = 200}, 1}, example{{.status = 204}, 1}, example{page, 0}, example{{.status = 302}, 0},
          example{{.status = 400}, 0}, example{{.status = 503}, 0}, example{{.error = transport_error::broken}, 0}}) {
        CAPTURE(e.answer.status);
        int told = 0;
        const auto tell = [&] { ++told; };
        bench<recording_transport> silent;
        silent.transport.respond(e.answer);
        CHECK((silent.sender.send({"a", silent.one}, {}, tell).error == transport_error::none) ==
              (e.answer.status != 0 && e.answer.headers.empty()));
        CHECK(told == e.told);

        bench<telling_transport> b;
        b.transport.respond(e.answer);
        b.transport.at_head = [&] { CHECK(told == 2 * e.told); };
        static_cast<void>(b.sender.send({"a", b.one}, {}, tell));
        CHECK(told == 2 * e.told);
        b.transport.at_head = nullptr;
        b.transport.respond(200);
        static_cast<void>(b.sender.send({"a", b.one}, {}));  // nobody asks
        CHECK(told == 2 * e.told);
    }
    candor::delivery_options options;
    options.dry_run = true;
    bench<recording_transport> dry{options};
    int told = 0;
    static_cast<void>(dry.sender.send({"a", dry.one}, {}, [&] { ++told; }));
    CHECK(told == 1);
}

TEST_CASE("what a head took is delivered, whatever the transport says afterwards") {
    for (const bool throws : {true, false}) {
        bench<telling_transport> b;
        b.transport.respond(202);
        b.transport.throws = throws;
        b.transport.then = {.error = transport_error::cancelled};
        int told = 0;
        const auto answer = b.sender.send({"a", b.one}, {}, [&] { ++told; });
        CHECK(answer.error == transport_error::none);
        CHECK(answer.status == 202);
        CHECK(told == 1);
    }
}

TEST_CASE("the head of a refusal of gzip takes nothing, the one of the same messages without it does") {
    bench<telling_transport> b;
    b.transport.respond({.status = 415, .was_compressed = true});
    b.transport.respond(200);
    int told = 0;
    b.transport.at_head = [&] { CHECK(told == (b.transport.requests().size() == 2 ? 1 : 0)); };
    CHECK(b.sender.send({"a", b.one}, {}, [&] { ++told; }).status == 200);
    CHECK(told == 1);
    CHECK(b.transport.requests().size() == 2);
}

TEST_CASE("what a transport throws is a broken connection, what the protocol throws goes on") {
    bench<throwing_transport> b;
    CHECK(b.sender.send({"a", b.one}, {}).error == transport_error::broken);
    const std::vector<candor::detail::message> poison{{.offset = 0, .size = 6}};
    CHECK_THROWS_AS(b.sender.send({"poison", poison}, {}), std::runtime_error);
}

TEST_CASE("what has to be asked is asked with the times of every request, and is no attempt to send") {
    int attempts = 0;
    candor::delivery_options options{.connect_timeout = 7ms, .request_timeout = 8ms};
    options.on_attempt = [&](const candor::http_request&, const candor::http_response&) { ++attempts; };
    bench<recording_transport> b{options};
    b.transport.respond(451);
    b.transport.respond({.status = 200, .headers = {{"Content-Type", "text/html"}}, .body = "<html>"});
    b.transport.respond({.status = 200, .body = "2"});
    CHECK(b.attempt() == action::retry);
    CHECK(attempts == 1);

    auto& back_end = b.sender.back_end();
    REQUIRE(back_end.inquiry() != nullptr);
    const auto page = b.sender.inquire();
    CHECK(page.error == transport_error::unreachable);
    b.sender.say_once(page, back_end.answered(page, {}).diagnostic);
    b.sender.say_once(page, "no answer");
    CHECK(b.said == std::vector<std::string>{"lines: no answer"});
    CHECK(back_end.answered(b.sender.inquire(), {}).what == action::deliver);
    CHECK(back_end.inquiry() == nullptr);
    const auto asked = b.transport.requests().back();
    CHECK(asked.method == "GET");
    CHECK(asked.url == "http://plane/places");
    CHECK(asked.body.empty());
    CHECK_FALSE(asked.compress);
    CHECK(asked.connect_timeout == 7ms);
    CHECK(asked.timeout == 8ms);
    CHECK(attempts == 1);

    CHECK(b.attempt() == action::deliver);
    CHECK(*candor::detail::find_header(b.transport.requests().back().headers, "place") == "1");  // 'a' is odd
    bench<throwing_transport> broken;
    static_cast<void>(broken.sender.back_end().classify({.status = 451}, {}));
    CHECK(broken.sender.inquire().error == transport_error::broken);
}

}  // namespace sender_test
