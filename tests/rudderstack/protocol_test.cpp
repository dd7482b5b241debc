#include <candor/rudderstack/protocol.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "event_records.hpp"

namespace protocol_test {

using namespace std::chrono_literals;
using candor::configuration_error;
using candor::drop_reason;
using candor::rudderstack::detail::protocol;
using action = candor::detail::response_action::kind;
using candor::account;
using candor::tests::event_records;
using candor::tests::signed_in;
using candor::tests::step_billed;
using candor::tests::step_done;
using nlohmann::json;

namespace {

using made = std::pair<std::string, candor::detail::preparation>;

made prepare(protocol& by, const std::string& record) {
    std::string out;
    const auto result = by.prepare(record, {}, out);
    return {std::move(out), result};
}

made draft(protocol& by, const std::string& record) {
    std::string out;
    const auto result = by.draft(record, out);
    REQUIRE(result);
    return {std::move(out), *result};
}

made settle(protocol& by, std::string_view text, std::uint64_t named = 0) {
    std::string out;
    const auto result = by.settle(text, named, out);
    return {std::move(out), result};
}

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
    for (const int status : {402, 405, 406, 410, 415, 422, 431}) {
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

TEST_CASE("a draft, settled, is the message that the record would have become, byte for byte") {
    for (const bool in_cloud : {false, true}) {
        for (const auto& who : {std::optional<account>{}, std::optional{account{.user_id = "u\"1\n"}},
                                std::optional{account{.user_id = "u1", .team_id = "t\xc3\xa9"}}}) {
            event_records run{who, in_cloud};
            event_records elsewhere{who, !in_cloud};
            const std::vector<std::string> records{run.record(step_done{.name = "a\nb\r", .error = "hunter2"}),
                                                   run.record(step_done{}), run.record(step_billed{}),
                                                   run.record(signed_in{})};
            std::vector<made> drafts;
            for (const auto& record : records) drafts.push_back(draft(run.protocol, record));
            CHECK(run.asked == 0);
            for (std::size_t i = 0; i < records.size(); ++i) {
                CHECK(drafts[i].second.is_draft);
                CHECK_FALSE(drafts[i].second.dropped);
                CHECK(drafts[i].first.find_first_of("\r\n") == std::string::npos);
                CHECK(drafts[i].first.find("hunter2") == std::string::npos);

                const auto expected = prepare(run.protocol, records[i]);
                CHECK(expected.second.dropped.has_value() == (i >= 2 && !who));
                for (const auto& [text, result] :
                     {settle(elsewhere.protocol, drafts[i].first), draft(run.protocol, records[i])}) {
                    CHECK(text == expected.first);
                    CHECK_FALSE(result.is_draft);
                    CHECK(result.sent_at == expected.second.sent_at);
                    CHECK(result.dropped == expected.second.dropped);
                }
            }
        }
    }
}

TEST_CASE("a text is a message at once, for whoever stores it and for whoever sends it") {
    candor::rudderstack::detail::record_header header{.original_timestamp = 0, .head_size = 10};
    const std::string record = std::string{header.bytes()} + R"({"type":"a","context":{}})";
    protocol alone{candor::rudderstack::detail::checked_data_plane_url("http://plane"), "key", nullptr};
    const auto sent = prepare(alone, record), stored = draft(alone, record);
    CHECK(stored.first == R"({"type":"a,"originalTimestamp":"1970-01-01T00:00:00Z"","context":{}})");
    CHECK(stored.first == sent.first);
    CHECK(stored.second.sent_at == sent.second.sent_at);
    CHECK_FALSE(stored.second.is_draft);
    CHECK(alone.named_user() == 0);
}

TEST_CASE("from a login on, what is stored is a draft until the worker has asked again") {
    event_records run{account{.user_id = "u1"}};
    const auto first = run.record(step_done{});
    CHECK(draft(run.protocol, first).second.is_draft);
    prepare(run.protocol, first);
    CHECK_FALSE(draft(run.protocol, first).second.is_draft);
    const auto named = run.protocol.named_user();
    CHECK(named != 0);

    const auto before = run.record(step_done{});
    const auto login = run.record(signed_in{});
    const auto after = run.record(step_done{});
    run.who = account{.user_id = "u2"};
    CHECK(run.protocol.named_user() == 0);
    const auto stored = draft(run.protocol, before);
    CHECK_FALSE(stored.second.is_draft);
    CHECK(json::parse(stored.first)["userId"] == "u1");
    CHECK(draft(run.protocol, login).second.is_draft);
    CHECK(draft(run.protocol, after).second.is_draft);

    prepare(run.protocol, before);
    CHECK(run.asked == 1);
    prepare(run.protocol, login);
    CHECK(run.asked == 2);
    CHECK(json::parse(draft(run.protocol, login).first)["userId"] == "u2");
    CHECK(json::parse(draft(run.protocol, after).first)["userId"] == "u2");
    prepare(run.protocol, after);
    CHECK(run.asked == 2);
    CHECK(run.protocol.named_user() != 0);
    CHECK(run.protocol.named_user() != named);
}

TEST_CASE("whoever stores: nothing is stored for an internal team, nor what requires an account that is not there") {
    event_records run{std::nullopt};
    const auto billed = run.record(step_billed{}), done = run.record(step_done{});
    prepare(run.protocol, done);
    CHECK(draft(run.protocol, billed).second.dropped == drop_reason::no_account);
    CHECK_FALSE(draft(run.protocol, done).second.dropped);
    CHECK(run.protocol.named_user() == 0);

    event_records own{account{.user_id = "u1"}};
    own.is_internal = true;
    prepare(own.protocol, own.record(step_done{}));
    const auto refused = draft(own.protocol, own.record(step_done{}));
    CHECK(refused.first.empty());
    CHECK(refused.second.dropped == drop_reason::internal);
}

TEST_CASE("whoever sends: its own team, account and user decide about a draft") {
    event_records run{account{.user_id = "u1"}};
    const auto done = draft(run.protocol, run.record(step_done{})).first;
    const auto billed = draft(run.protocol, run.record(step_billed{})).first;
    prepare(run.protocol, run.record(step_done{}));
    const auto named = run.protocol.named_user();

    event_records same{account{.user_id = "u1", .team_id = "t1"}};
    CHECK_FALSE(settle(same.protocol, done, named).second.dropped);
    CHECK_FALSE(settle(same.protocol, billed, named).second.dropped);
    CHECK(same.asked == 1);

    event_records other{account{.user_id = "u2"}};
    CHECK_FALSE(settle(other.protocol, done, 0).second.dropped);
    CHECK(settle(other.protocol, done, named).second.dropped == drop_reason::no_account);
    CHECK(settle(other.protocol, done, named).first.empty());

    event_records nobody{std::nullopt};  // is not another user
    CHECK_FALSE(json::parse(settle(nobody.protocol, done, named).first).contains("userId"));
    CHECK(settle(nobody.protocol, billed, named).second.dropped == drop_reason::no_account);

    event_records own{account{.user_id = "u1"}};
    own.is_internal = true;
    CHECK(settle(own.protocol, done, named).second.dropped == drop_reason::internal);

    protocol alone{candor::rudderstack::detail::checked_data_plane_url("http://plane"), "key", nullptr};
    CHECK(settle(alone, done).second.dropped == drop_reason::no_account);
}

TEST_CASE("a login of another run makes this one ask again, and a draft is not settled where that is too late") {
    event_records run{account{.user_id = "u1"}};
    const auto login = draft(run.protocol, run.record(signed_in{})).first;
    const auto done = draft(run.protocol, run.record(step_done{})).first;

    event_records later{account{.user_id = "u1"}};
    settle(later.protocol, done);
    later.who = account{.user_id = "u2"};
    CHECK(json::parse(settle(later.protocol, login).first)["userId"] == "u2");
    CHECK(json::parse(settle(later.protocol, done).first)["userId"] == "u2");
    CHECK(later.asked == 2);
    CHECK(later.protocol.named_user() != 0);

    later.protocol.end_callbacks();
    CHECK(settle(later.protocol, login).second.dropped == drop_reason::shutdown);
    CHECK_FALSE(settle(later.protocol, done).second.dropped);
    event_records late{account{.user_id = "u1"}};
    late.protocol.end_callbacks();
    CHECK(settle(late.protocol, done).second.dropped == drop_reason::shutdown);
    CHECK(prepare(late.protocol, late.record(step_done{})).second.dropped == drop_reason::shutdown);
    CHECK(draft(late.protocol, late.record(step_done{})).second.is_draft);
    CHECK(late.asked == 0);
}

TEST_CASE("a draft that is damaged anywhere is given up or becomes some message, and costs nothing else") {
    event_records run{account{.user_id = "u1", .team_id = "t1"}};
    const auto whole = draft(run.protocol, run.record(step_done{.name = "a"})).first;
    const auto numbers = whole.find('{');
    for (std::size_t at = 0; at < whole.size(); ++at) {
        for (const char c : {'\0', '0', '9', ' ', '{', ',', '}', '\xff'}) {
            auto damaged = whole;
            damaged[at] = c;
            const auto [text, result] = settle(run.protocol, damaged);
            if (damaged == whole) CHECK_FALSE(result.dropped);
            if (result.dropped) CHECK(result.dropped == drop_reason::failed);
            if (!result.dropped) CHECK(result.sent_at < text.size());
        }
        const auto cut = settle(run.protocol, std::string_view{whole}.substr(0, at)).second;
        if (at <= numbers) CHECK(cut.dropped == drop_reason::failed);
    }
}

TEST_CASE("drafts are made while the worker resolves") {
    event_records run{account{.user_id = "u1"}};
    std::vector<std::string> records;
    for (int i = 0; i < 2000; ++i)
        records.push_back(i % 10 == 0 ? run.record(signed_in{}) : run.record(step_done{.error = "hunter2"}));
    std::atomic<std::size_t> wrong = 0;
    std::thread storing{[&] {
        event_records later{account{.user_id = "u1"}};
        for (const auto& record : records) {
            std::string text;
            const auto result = run.protocol.draft(record, text);
            std::string message = text;
            if (result->is_draft) message = settle(later.protocol, text, run.protocol.named_user()).first;
            if (message.find("\"userId\":\"u1\"") == message.npos) ++wrong;
        }
    }};
    for (const auto& record : records) {
        if (prepare(run.protocol, record).first.find("\"userId\":\"u1\"") == std::string::npos) ++wrong;
    }
    storing.join();
    CHECK(wrong == 0);
}

TEST_CASE("a request says how many nodes the data plane has, and which of them it is for") {
    protocol back_end{candor::rudderstack::detail::checked_data_plane_url("http://plane/a/"), "key", nullptr};
    const std::string text = R"({"type":"page","messageId":"m","anonymousId":"a"})";  // see nodes_test
    const candor::detail::message message{.size = text.size()};
    auto request = back_end.request();
    const auto says = [&] {
        back_end.complete_request({text, {&message, 1}}, request);
        return *candor::detail::find_header(request.headers, "RS-targetNode") + " of " +
               *candor::detail::find_header(request.headers, "RS-nodeCount");
    };
    CHECK(says() == "0 of 1");
    CHECK(back_end.inquiry() == nullptr);

    const auto changed = back_end.classify({.status = 451}, {});
    CHECK(changed.what == action::retry);
    CHECK(changed.wait == 5s);
    CHECK_FALSE(changed.diagnostic.empty());
    REQUIRE(back_end.inquiry() != nullptr);
    CHECK(back_end.inquiry()->method == "GET");
    CHECK(back_end.inquiry()->url == "http://plane/a/cluster-info");
    CHECK(*candor::detail::find_header(back_end.inquiry()->headers, "Authorization") == "Basic a2V5Og==");
    CHECK(says() == "0 of 1");

    CHECK(back_end.answered({.status = 200, .body = R"({"nodeCount":7})"}, {}).what == action::deliver);
    CHECK(back_end.inquiry() == nullptr);
    CHECK(says() == "5 of 7");
    CHECK(back_end.group_of(text) == 5);
    CHECK(request.headers.size() == back_end.request().headers.size());
}

TEST_CASE(
    "while the data plane does not say how many nodes it has, it is asked again, and they are as many as before") {
    protocol back_end{candor::rudderstack::detail::checked_data_plane_url("http://plane"), "key", nullptr};
    static_cast<void>(back_end.classify({.status = 451}, {}));
    static_cast<void>(back_end.answered({.status = 200, .body = R"({"nodeCount":7})"}, {}));
    static_cast<void>(back_end.classify({.status = 451}, {}));
    for (const auto& answer :
         {candor::http_response{.status = 200, .body = R"({"nodeCount":0})"},
          candor::http_response{.status = 404, .body = R"({"nodeCount":3})"}, candor::http_response{.status = 302},
          candor::http_response{.status = 451}, candor::http_response{.error = candor::transport_error::timeout}}) {
        const auto found = back_end.answered(answer, {});
        CHECK(found.what == action::retry);
        CHECK_FALSE(found.wait);
        CHECK_FALSE(found.diagnostic.empty());
        CHECK(back_end.inquiry() != nullptr);
        CHECK(back_end.group_of(R"({"type":"page","messageId":"m","anonymousId":"a"})") == 5);
    }
    CHECK(back_end.answered({.status = 429, .headers = {{"Retry-After", "7"}}}, {{}, now}).wait == 7s);
}

}  // namespace protocol_test
