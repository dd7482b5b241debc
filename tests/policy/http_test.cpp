#include <candor/policy/http.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

namespace http_test {

using candor::http_header;
using candor::http_request;
using candor::http_response;
using candor::transport_error;

TEST_CASE("a request is a plain POST with deadlines unless told otherwise") {
    const http_request request;
    CHECK(request.method == "POST");
    CHECK_FALSE(request.compress);
    CHECK(request.connect_timeout == std::chrono::seconds{3});
    CHECK(request.timeout == std::chrono::seconds{10});
    CHECK(request.connect_timeout < request.timeout);
}

TEST_CASE("a response is neither a success nor a failure before it is filled") {
    const http_response response;
    CHECK(response.status == 0);
    CHECK(response.error == transport_error::none);
}

TEST_CASE("a header is found by its name in letters of either case") {
    const http_response response{.status = 429, .headers = {{"Retry-After", "7"}, {"X-a", "1"}}};
    for (const char* name : {"Retry-After", "retry-after", "RETRY-AFTER", "rEtRy-aFtEr"}) {
        INFO(std::string{name});
        const std::string* value = response.header(name);
        REQUIRE(value != nullptr);
        CHECK(*value == "7");
    }
}

TEST_CASE("a header that is not there is null, however near its name is") {
    const http_response response{.status = 200, .headers = {{"Retry-After", "7"}}};
    for (const char* name : {"", "Retry", "Retry-Afte", "Retry-After2", "Retry_After", "Retry\rAfter"}) {
        INFO(std::string{name});
        CHECK(response.header(name) == nullptr);
    }
    CHECK(http_response{}.header("Retry-After") == nullptr);
}

TEST_CASE("only letters have two cases") {
    // '@' and '`', '[' and '{' differ by the same bit as 'A' and 'a' do
    const http_response response{.status = 200, .headers = {{"a@[", "1"}}};
    CHECK(response.header("A@[") != nullptr);
    CHECK(response.header("a`[") == nullptr);
    CHECK(response.header("a@{") == nullptr);
}

TEST_CASE("of two headers of one name the first counts") {
    const http_response response{.status = 200, .headers = {{"A", "first"}, {"a", "second"}}};
    REQUIRE(response.header("a") != nullptr);
    CHECK(*response.header("a") == "first");
}

TEST_CASE("a header is found in any list of headers") {
    const std::vector<http_header> headers{{"Host", "a"}, {"host", "b"}};
    REQUIRE(candor::detail::find_header(headers, "HOST") != nullptr);
    CHECK(candor::detail::find_header(headers, "HOST") == &headers[0].value);
    CHECK(candor::detail::find_header(headers, "Hosts") == nullptr);
    CHECK(candor::detail::find_header({}, "Host") == nullptr);
}

}  // namespace http_test
