#include <candor/rudderstack/protocol.hpp>

#include <map>
#include <string>

#include <doctest/doctest.h>

namespace protocol_test {

using namespace std::chrono_literals;
using candor::configuration_error;
using candor::drop_reason;
using candor::rudderstack::detail::protocol;
using action = candor::detail::response_action::kind;

namespace {

const candor::wall_time now = std::chrono::sys_days{std::chrono::November / 6 / 1994} + 8h + 49min;

candor::detail::response_action classify(const candor::http_response& response) {
    return protocol{candor::rudderstack::detail::checked_data_plane_url("http://plane"), "key", nullptr}.classify(
        response, {{}, now});
}

candor::detail::response_action classify(int status, std::vector<candor::http_header> headers = {}) {
    return classify({.status = status, .headers = std::move(headers)});
}

}  // namespace

TEST_CASE("base64 is what RFC 4648 gives as examples") {
    const std::map<std::string, std::string> examples{{"", ""},
                                                      {"f", "Zg=="},
                                                      {"fo", "Zm8="},
                                                      {"foo", "Zm9v"},
                                                      {"foob", "Zm9vYg=="},
                                                      {"fooba", "Zm9vYmE="},
                                                      {"foobar", "Zm9vYmFy"},
                                                      {"\xff\xfe", "//4="}};
    for (const auto& [plain, encoded] : examples) CHECK(candor::rudderstack::detail::base64(plain) == encoded);
}

TEST_CASE("a request goes to /v1/batch below the URL's path with the key as user and the Go client's headers") {
    const auto request_to = [](std::string_view url) {
        return protocol{candor::rudderstack::detail::checked_data_plane_url(url), "key", nullptr}.request();
    };
    CHECK(request_to("http://plane").url == "http://plane/v1/batch");
    CHECK(request_to("https://Plane:8443/a/b/").url == "https://Plane:8443/a/b/v1/batch");
    CHECK(request_to("http://[::1]:81").url == "http://[::1]:81/v1/batch");
    const auto request = request_to("http://plane");
    CHECK(request.method == "POST");
    std::map<std::string, std::string> headers;
    for (const auto& h : request.headers) headers[h.name] = h.value;
    CHECK(headers == std::map<std::string, std::string>{{"Authorization", "Basic a2V5Og=="},
                                                        {"Content-Type", "application/json"},
                                                        {"RS-nodeCount", "1"},
                                                        {"RS-targetNode", "0"},
                                                        {"RS-userAgent", "serverSDK"}});
}

TEST_CASE("each status means what the gateway means by it") {
    for (const int status : {200, 201, 204, 299}) CHECK(classify(status).what == action::deliver);
    CHECK(classify(400).what == action::split);
    CHECK(classify(400).reason == drop_reason::rejected);
    CHECK(classify(413).what == action::split);
    CHECK(classify(413).reason == drop_reason::too_large);
    for (const int status : {401, 403, 404}) {
        CHECK(classify(status).what == action::drop);
        CHECK(classify(status).reason == drop_reason::unauthorized);
    }
    for (const int status : {301, 302, 307, 308, 408, 425, 429, 500, 502, 503, 504, 599}) {
        CAPTURE(status);
        CHECK(classify(status).what == action::retry);
        CHECK_FALSE(classify(status).wait);
        CHECK_FALSE(classify(status).diagnostic.empty());
    }
    for (const int status : {402, 405, 406, 410, 415, 422, 431, 451}) {
        CHECK(classify(status).what == action::drop);
        CHECK(classify(status).reason == drop_reason::rejected);
    }
}

TEST_CASE("a 404 is told apart by the text of its answer") {
    const auto says = [](const char* body) { return classify({.status = 404, .body = body}).diagnostic; };
    CHECK(says("source is disabled\n") == "the data plane answers 404: the source is disabled");
    CHECK(says("404 page not found\n") == "the data plane answers 404: the data plane is not at this URL");
    CHECK(says("<html>") == "the data plane answers 404: the source is disabled, or the data plane is not at this URL");
}

TEST_CASE("no answer is a reason to try again, and says which") {
    for (const auto error : {candor::transport_error::unreachable, candor::transport_error::tls,
                             candor::transport_error::timeout, candor::transport_error::broken}) {
        const auto found = classify({.error = error, .message = "why"});
        CHECK(found.what == action::retry);
        CHECK(found.diagnostic.ends_with("why"));
    }
}

TEST_CASE("Retry-After is kept on 429 and 5xx, clamped, and ignored where it is garbage or on a redirect") {
    CHECK(classify(429, {{"retry-after", "7"}}).wait == 7s);
    CHECK(classify(503, {{"Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"}}).wait == 37s);
    CHECK(classify(429, {{"Retry-After", "99999999"}}).wait == 24h);
    CHECK_FALSE(classify(429, {{"Retry-After", "-5"}}).wait);
    CHECK_FALSE(classify(429, {{"Retry-After", "soon"}}).wait);
    CHECK_FALSE(classify(302, {{"Retry-After", "7"}}).wait);
}

TEST_CASE("a URL or key that cannot work is refused with the field, the value and what is allowed") {
    using candor::rudderstack::detail::check_write_key;
    using candor::rudderstack::detail::checked_data_plane_url;
    const std::string nul{"http://pl\0ane", 13};
    for (const std::string& url :
         {std::string{}, std::string{"plane"}, std::string{"ftp://plane"}, std::string{"http://"},
          std::string{"http:///path"}, std::string{"http://:80"}, std::string{"http://plane:0"},
          std::string{"http://plane:65536"}, std::string{"http://plane?q"}, std::string{"http://plane#f"},
          std::string{"http://pla ne"}, std::string{"http://plane\r\nX: y"}, std::string{"http://plane\n"}, nul}) {
        CAPTURE(url);
        try {
            checked_data_plane_url(url);
            FAIL("accepted");
        } catch (const configuration_error& error) {
            const std::string what = error.what();
            CHECK(error.field() == "data_plane_url");
            CHECK(what.find("allowed: an http or https URL with a host") != what.npos);
            CHECK(what.find_first_of("\r\n") == what.npos);
            CHECK(what.find('\0') == what.npos);
        }
    }
    try {
        checked_data_plane_url("https://user:hunter2@plane");
        FAIL("accepted");
    } catch (const configuration_error& error) {
        CHECK(std::string{error.what()}.find("hunter2") == std::string::npos);
    }
    for (const std::string& key : {std::string{}, std::string{"a\r\nb"}, std::string{"a\nb"}, std::string{"a\0b", 3},
                                   std::string{"a b"}, std::string{"a:b"}, std::string{"\xc3\xa4"}}) {
        CHECK_THROWS_AS(check_write_key(key), configuration_error);
    }
    CHECK_NOTHROW(check_write_key("2h38sP5iH58EYKBTRsGByJDDr6r"));
}

}  // namespace protocol_test
