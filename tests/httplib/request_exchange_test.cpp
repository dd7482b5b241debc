#include <candor/httplib/request_exchange.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#ifdef CPPHTTPLIB_ZLIB_SUPPORT
#include "../support/deflate.hpp"
#endif

namespace request_exchange_test {

using candor::body_error;
using candor::http_request_head;
using candor::http_response;
using candor::detail::request_exchange;

namespace {

constexpr int refused = 1000;  ///< and why

/// Answers 404 to /early, and else with what it was asked.
class mirror final : public candor::http_service {
public:
    std::optional<http_response> begin(const http_request_head& head) noexcept override {
        if (head.target == "/early") return http_response{.status = 404};
        return std::nullopt;
    }
    http_response complete(const http_request_head& head, std::string_view body) noexcept override {
        return {.status = 200, .body = head.target + " " + std::string{body}};
    }
    http_response refuse(const http_request_head&, body_error why) noexcept override { return {.status = code(why)}; }

    static int code(body_error why) { return refused + static_cast<int>(why); }
};

struct requests {
    explicit requests(std::size_t limit) : around{service, limit} {}

    http_response exchange(std::initializer_list<std::string_view> pieces, std::string_view coding = "",
                           std::uint64_t length = 0) {
        http_request_head head{.method = "POST", .target = "/a"};
        if (!coding.empty()) head.headers.push_back({"Content-Encoding", std::string{coding}});
        request_exchange now{around, head};
        if (auto early = now.begin(length)) return *early;
        for (const auto piece : pieces) {
            if (auto early = now.take(piece)) return *early;
        }
        return now.end();
    }

    mirror service;
    request_exchange::environment around;
};

}  // namespace

TEST_CASE("a budget gives what it has, and has it again") {
    candor::detail::byte_budget all{10};
    CHECK(all.take(4));
    CHECK(all.take(6));
    CHECK_FALSE(all.take(1));
    CHECK(all.take(0));
    all.give_back(1);
    CHECK(all.take(1));
}

TEST_CASE("a body is put together, and the service asked once it is whole") {
    requests now{10};
    CHECK(now.exchange({}).body == "/a ");
    CHECK(now.exchange({"one", "", " two"}).body == "/a one two");
    CHECK(now.exchange({"x"}, "IDENTITY").body == "/a x");
    request_exchange early{now.around, {.method = "POST", .target = "/early"}};
    CHECK(early.begin(0)->status == 404);
}

TEST_CASE("a body over the limit is refused as soon as that is known") {
    requests now{4};
    CHECK(now.exchange({"ab", "cd"}, "", 4).body == "/a abcd");
    CHECK(now.exchange({}, "", 5).status == mirror::code(body_error::too_large));
    CHECK(now.exchange({"ab", "cde"}).status == mirror::code(body_error::too_large));
    CHECK(now.exchange({}, "br").status == mirror::code(body_error::encoding));
}

TEST_CASE("bodies that do not fit into memory's budget are refused, and what they had is given back") {
    requests now{4};
    for (int round = 0; round < 3; ++round) {
        request_exchange one{now.around, {}}, two{now.around, {}}, three{now.around, {}};
        CHECK_FALSE(one.take("abcd"));
        CHECK_FALSE(two.take("abc"));
        CHECK_FALSE(three.take("a"));
        CHECK(three.take("b")->status == mirror::code(body_error::overloaded));
        CHECK(one.end().status == 200);
    }
}

#ifdef CPPHTTPLIB_ZLIB_SUPPORT

TEST_CASE("a compressed body counts as it comes and decompressed, and is refused where it is cut") {
    requests now{100};
    const std::string text(100, 'a');
    const auto gzip = candor::testing::compressed(text);
    const std::string_view bytes = gzip;
    CHECK(now.exchange({bytes.substr(0, 7), bytes.substr(7)}, "gzip").body == "/a " + text);
    CHECK(now.exchange({candor::testing::compressed(text, 15)}, "deflate").body == "/a " + text);
    CHECK(now.exchange({candor::testing::compressed(text + "a")}, "gzip").status ==
          mirror::code(body_error::too_large));
    CHECK(now.exchange({bytes.substr(0, 7)}, "gzip").status == mirror::code(body_error::undecodable));
    CHECK(now.exchange({"x", "y"}, "gzip").status == mirror::code(body_error::undecodable));
    CHECK(now.exchange({}, "gzip").status == mirror::code(body_error::undecodable));
    std::string members;  // of nothing, again and again
    while (members.size() <= 100) members += candor::testing::compressed("");
    CHECK(now.exchange({members}, "gzip").status == mirror::code(body_error::too_large));
}

#endif

}  // namespace request_exchange_test
