#include <candor/rudderstack/message.hpp>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <candor/event/json_writer.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/version.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace message_test {

namespace {

namespace rudderstack = candor::rudderstack;
using candor::detail::json_writer;
using nlohmann::json;

const std::string library = R"("library":{"name":"candor","version":")" + std::string{CANDOR_VERSION_STRING} + R"("})";

constexpr std::string_view own_id = "own";

template <rudderstack::detail::message Message>
std::string head(const Message& message) {
    json_writer out{32 * 1024};
    rudderstack::detail::write_head(out, message, own_id);
    CHECK(out.state() == json_writer::condition::good);
    return std::string{out.text()};
}

template <rudderstack::detail::message Message>
std::string tail(const Message& message) {
    json_writer out{32 * 1024};
    rudderstack::detail::write_tail(out, message);
    CHECK(out.state() == json_writer::condition::good);
    return std::string{out.text()};
}

/// The message as one JSON object, without its times.
template <rudderstack::detail::message Message>
json whole(const Message& message) {
    return json::parse(head(message) + tail(message));
}

template <rudderstack::detail::message Message>
json_writer::condition state_of(const Message& message) {
    json_writer out{32 * 1024};
    rudderstack::detail::write_head(out, message, own_id);
    rudderstack::detail::write_tail(out, message);
    return out.state();
}

json nested(int levels) {
    json tree = json::object();
    for (int i = 1; i < levels; ++i) {
        json outer = json::object();
        outer["a"] = std::move(tree);
        tree = std::move(outer);
    }
    return tree;
}

/// A message of each type that has what it needs.
template <class Message>
Message least() {
    Message message;
    message.user_id = "u1";
    if constexpr (requires { message.event; }) message.event = "e";
    if constexpr (requires { message.group_id; }) message.group_id = "g";
    if constexpr (requires { message.previous_id; }) message.previous_id = "p";
    return message;
}

/// Checks one message of each type that has what it needs.
template <class Check>
void each_type(const Check& check) {
    check(least<rudderstack::track>());
    check(least<rudderstack::identify>());
    check(least<rudderstack::page>());
    check(least<rudderstack::screen>());
    check(least<rudderstack::group>());
    check(least<rudderstack::alias>());
}

}  // namespace

static_assert(!rudderstack::detail::message<int> && !rudderstack::detail::message<std::string>);

TEST_CASE("each type stands on the wire with these bytes") {
    SUBCASE("track") {
        const rudderstack::track message{.user_id = "u1",
                                         .anonymous_id = "a1",
                                         .event = "Download",
                                         .properties = {{"application", "desktop"}},
                                         .message_id = "m1"};
        CHECK(head(message) ==
              R"({"type":"track","messageId":"m1","anonymousId":"a1","userId":"u1","event":"Download")");
        CHECK(tail(message) ==
              R"(,"context":{)" + library + R"(},"properties":{"application":"desktop"},"channel":"server"})");
    }
    SUBCASE("identify") {
        const rudderstack::identify message{.user_id = "u1", .traits = {{"plan", "free"}}, .message_id = "m1"};
        CHECK(head(message) == R"({"type":"identify","messageId":"m1","userId":"u1")");
        CHECK(tail(message) == R"(,"context":{)" + library + R"(},"traits":{"plan":"free"},"channel":"server"})");
    }
    SUBCASE("page") {
        const rudderstack::page message{
            .anonymous_id = "a1", .name = "Home", .properties = {{"path", "/"}}, .message_id = "m1"};
        CHECK(head(message) == R"({"type":"page","messageId":"m1","anonymousId":"a1","name":"Home")");
        CHECK(tail(message) == R"(,"context":{)" + library + R"(},"properties":{"path":"/"},"channel":"server"})");
    }
    SUBCASE("screen") {
        const rudderstack::screen message{.anonymous_id = "a1", .name = "Main", .message_id = "m1"};
        CHECK(head(message) == R"({"type":"screen","messageId":"m1","anonymousId":"a1","name":"Main")");
        CHECK(tail(message) == R"(,"context":{)" + library + R"(},"channel":"server"})");
    }
    SUBCASE("group") {
        const rudderstack::group message{
            .user_id = "u1", .group_id = "g1", .traits = {{"size", 3}}, .message_id = "m1"};
        CHECK(head(message) == R"({"type":"group","messageId":"m1","userId":"u1","groupId":"g1")");
        CHECK(tail(message) == R"(,"context":{)" + library + R"(},"traits":{"size":3},"channel":"server"})");
    }
    SUBCASE("alias") {
        const rudderstack::alias message{.user_id = "u2", .previous_id = "u1", .message_id = "m1"};
        CHECK(head(message) == R"({"type":"alias","messageId":"m1","userId":"u2","previousId":"u1")");
        CHECK(tail(message) == R"(,"context":{)" + library + R"(},"channel":"server"})");
    }
}

TEST_CASE("context and integrations are sent, and the library is candor's to name") {
    rudderstack::track message{.user_id = "u1", .event = "e", .message_id = "m1"};
    message.context = {{"app", {{"name", "acme"}}}, {"library", {{"name", "mine"}}}, {"zone", "\n"}};
    message.integrations = {{"All", false}};
    CHECK(tail(message) ==
          R"(,"context":{)" + library +
              R"(,"app":{"name":"acme"},"zone":"\n"},"integrations":{"All":false},"channel":"server"})");
}

TEST_CASE("what is empty is left out") {
    each_type([](auto message) {
        if constexpr (requires { message.properties; }) message.properties = json::object();
        if constexpr (requires { message.traits; }) message.traits = json::object();
        message.context = json::object();
        message.integrations = json::object();
        const json sent = whole(message);
        for (const char* absent : {"anonymousId", "name", "properties", "traits", "integrations"})
            CHECK_FALSE(sent.contains(absent));
        CHECK(sent["userId"] == "u1");
        CHECK(sent["channel"] == "server");
        CHECK(sent["context"].size() == 1);
    });
}

TEST_CASE("a message without an id of its own gets a random one, each time another") {
    each_type([](auto message) {
        const auto first = candor::uuid::parse(whole(message)["messageId"].template get<std::string>());
        const auto second = candor::uuid::parse(whole(message)["messageId"].template get<std::string>());
        REQUIRE(first);
        REQUIRE(second);
        CHECK((first->bytes()[6] & 0xf0) == 0x40);
        CHECK((first->bytes()[8] & 0xc0) == 0x80);
        CHECK(*first != *second);
    });
}

TEST_CASE("texts of any bytes give valid JSON") {
    each_type([](auto message) {
        const std::string text{"a\"\\\n\0\xff", 6};
        message.user_id = message.anonymous_id = message.message_id = text;
        if constexpr (requires { message.event; }) message.event = text;
        if constexpr (requires { message.name; }) message.name = text;
        if constexpr (requires { message.group_id; }) message.group_id = text;
        if constexpr (requires { message.previous_id; }) message.previous_id = text;
        message.context = {{text, text}};
        const std::string expected{"a\"\\\n\0\xef\xbf\xbd", 8};
        const json sent = whole(message);
        CHECK(sent["userId"] == expected);
        CHECK(sent["anonymousId"] == expected);
        CHECK(sent["messageId"] == expected);
        CHECK(sent["context"][expected] == expected);
        for (const char* name : {"event", "name", "groupId", "previousId"})
            if (sent.contains(name)) CHECK(sent[name] == expected);
    });
}

TEST_CASE("one of the two ids is needed, where the client's own cannot stand for it") {
    each_type([](auto message) {
        using rudderstack::detail::is_complete;
        CHECK(is_complete(message));
        message.anonymous_id = "a1";
        CHECK(is_complete(message));
        message.user_id.clear();
        // An alias gives the user's new id, so it must have one.
        CHECK(is_complete(message) != std::is_same_v<decltype(message), rudderstack::alias>);
        message.anonymous_id.clear();
        CHECK(is_complete(message) == rudderstack::detail::gets_own_id<decltype(message)>);
        for (std::string* id : {&message.user_id, &message.anonymous_id, &message.message_id}) {
            message.user_id = message.anonymous_id = message.message_id = "x1";
            CHECK(is_complete(message));
            *id = " \u200b";
            CHECK_FALSE(is_complete(message));
        }
    });
}

TEST_CASE("what a type requires is needed") {
    using rudderstack::detail::is_complete;
    CHECK_FALSE(is_complete(rudderstack::track{.user_id = "u1"}));
    CHECK_FALSE(is_complete(rudderstack::group{.user_id = "u1"}));
    CHECK_FALSE(is_complete(rudderstack::alias{.user_id = "u1"}));
    CHECK(is_complete(rudderstack::page{.user_id = "u1"}));
    CHECK(is_complete(rudderstack::screen{.user_id = "u1"}));
    CHECK(is_complete(rudderstack::identify{.user_id = "u1"}));
}

TEST_CASE("an object that is none makes the message incomplete") {
    each_type([](const auto& good) {
        using rudderstack::detail::is_complete;
        for (const json& wrong : {json("text"), json(1), json(true), json::array(), json::array({1, 2})}) {
            auto message = good;
            message.context = wrong;
            CHECK_FALSE(is_complete(message));
            message = good;
            message.integrations = wrong;
            CHECK_FALSE(is_complete(message));
            message = good;
            if constexpr (requires { message.properties; }) {
                message.properties = wrong;
                CHECK_FALSE(is_complete(message));
            }
            if constexpr (requires { message.traits; }) {
                message.traits = wrong;
                CHECK_FALSE(is_complete(message));
            }
        }
    });
}

TEST_CASE("free-form objects nest 64 deep and no deeper") {
    each_type([](const auto& good) {
        using condition = json_writer::condition;
        for (const auto& [levels, expected] : {std::pair{64, condition::good}, std::pair{65, condition::too_deep}}) {
            auto message = good;
            message.context = nested(levels);
            CHECK(state_of(message) == expected);
            message = good;
            message.integrations = nested(levels);
            CHECK(state_of(message) == expected);
            message = good;
            if constexpr (requires { message.properties; }) {
                message.properties = nested(levels);
                CHECK(state_of(message) == expected);
            }
            if constexpr (requires { message.traits; }) {
                message.traits = nested(levels);
                CHECK(state_of(message) == expected);
            }
        }
    });
}

TEST_CASE("a message of 10 MB is too large") {
    using condition = json_writer::condition;
    const std::string huge(10'000'000, 'a');
    rudderstack::track message{.user_id = "u1", .event = "e"};
    message.properties = {{"small", 1}, {"text", huge}};
    CHECK(state_of(message) == condition::too_large);
    message.properties = nullptr;
    message.event = huge;
    CHECK(state_of(message) == condition::too_large);
}

TEST_CASE("an id is blank where the gateway sees nothing in it") {
    using namespace std::string_literals;
    for (const std::string& id : {""s, " "s, "\t"s, "\0"s, "\r\n"s, "\x7f"s, "\u00a0"s, "\u00ad"s, "\u200b"s, "\u2028"s,
                                  "\u2060"s, "\u3000"s, "\u3164"s, "\ufeff"s, "\U000e0041"s, " \t\0 \u200b\ufeff"s}) {
        CAPTURE(id);
        CHECK(rudderstack::detail::is_blank(id));
        CHECK_FALSE(rudderstack::detail::is_blank(id + "a"));
        CHECK_FALSE(rudderstack::detail::is_blank("a" + id));
    }
    for (const char* id : {"0", "-", "\xff", "\u00e9", "\u2010", "\U0001f600"}) {
        CAPTURE(id);
        CHECK_FALSE(rudderstack::detail::is_blank(id));
    }
}

TEST_CASE("the client's own id stands for one that the caller does not know, but where the message is about an id") {
    namespace rs = rudderstack;
    CHECK(whole(rs::track{.event = "E"})["anonymousId"] == "own");
    CHECK(whole(rs::page{})["anonymousId"] == "own");
    CHECK(whole(rs::screen{})["anonymousId"] == "own");
    CHECK(whole(rs::group{.group_id = "g"})["anonymousId"] == "own");
    CHECK_FALSE(whole(rs::track{.user_id = "u", .event = "E"}).contains("anonymousId"));
    CHECK(whole(rs::track{.anonymous_id = "a", .event = "E"})["anonymousId"] == "a");
}

}  // namespace message_test
