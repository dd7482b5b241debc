#include <candor/rudderstack/event_message.hpp>

#include <string>
#include <string_view>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "event_records.hpp"

namespace event_message_test {

using candor::account;
using candor::drop_reason;
using candor::rudderstack::detail::event_draft;
using candor::tests::event_records;
using candor::tests::signed_in;
using candor::tests::step_done;
using namespace candor::rudderstack::detail;

namespace {

/// A draft as it is stored.
std::string stored_draft(const event_draft& draft, std::string_view json) {
    std::string out;
    append_draft(draft, json, out);
    return out;
}

constexpr std::string_view json = R"({"a":1,"event":2,"context":{},"properties":{},"channel":"server"})";
const event_draft example{.user_id = 6,
                          .sent_at = 16,
                          .properties = json.rfind("},\"channel"),
                          .requires_account = true,
                          .refreshes_account = false,
                          .in_cloud = true,
                          .identity = candor::identity_fields::team};

}  // namespace

TEST_CASE("a draft is read as it was written") {
    for (unsigned bits = 0; bits < 128; ++bits) {
        auto draft = example;
        draft.requires_account = (bits & 1) != 0;
        draft.refreshes_account = (bits & 2) != 0;
        draft.in_cloud = (bits & 4) != 0;
        draft.identity = static_cast<candor::identity_fields>(bits >> 3);
        const auto stored = stored_draft(draft, json);
        std::string_view rest = stored;
        const auto read = take_draft(rest);
        REQUIRE(read);
        CHECK(rest == json);
        CHECK(read->user_id == draft.user_id);
        CHECK(read->sent_at == draft.sent_at);
        CHECK(read->properties == draft.properties);
        CHECK(read->requires_account == draft.requires_account);
        CHECK(read->refreshes_account == draft.refreshes_account);
        CHECK(read->in_cloud == draft.in_cloud);
        CHECK(read->identity == draft.identity);
    }
}

TEST_CASE("what is no draft is not taken for one") {
    const auto whole = stored_draft(example, json);
    const auto is_draft = [](std::string_view text) { return take_draft(text).has_value(); };
    CHECK(is_draft(whole));
    for (std::size_t size = 0; size < whole.find("},\"channel"); ++size) {
        CAPTURE(size);
        CHECK_FALSE(is_draft(std::string_view{whole}.substr(0, size)));
    }
    const std::string text{json};
    for (const char* numbers :
         {"", "6 16 44", "6 16 44 82", "-6 16 44 82 ", "6 16 44 128 ", "6 16 44 -1 ", "16 6 44 82 ", "6 44 16 82 ",
          "0 16 44 82 ", "6 16 4000 82 ", "6 16 18446744073709551615 82 ", "6 16 18446744073709551616 82 ",
          "7 16 44 82 ", "6 17 44 82 ", "6 16 45 82 ", "6  16 44 82 ", "a 16 44 82 ", "6 16 44 82\n"}) {
        CAPTURE(numbers);
        CHECK_FALSE(is_draft(numbers + text));
    }
}

TEST_CASE("an event's message with and without an account, byte for byte") {
    event_records bench{account{.user_id = "u1", .team_id = "t1"}};
    std::string draft;
    const auto record = bench.record(step_done{.name = "a", .error = "token hunter2"});
    const auto header = *reinterpret_cast<const record_header*>(record.data());
    const auto made = write_event(header, std::string_view{record}.substr(sizeof header), *bench.context, draft);
    REQUIRE(made);
    const std::string id = header.message_id.to_string(), run = bench.context->run.invocation.to_string();
    CHECK(draft == R"({"type":"track","messageId":")" + id + R"(","anonymousId":")" + run +
                       R"(","event":"step_done","originalTimestamp":"2026-01-02T03:04:05Z","context":{)" +
                       std::string{library} + R"(},"properties":{"name":"a","error":"token [redacted]",)" +
                       R"("invocation_uuid":")" + run + R"("},"channel":"server"})");

    std::string whole = "before";
    const auto sent_at = complete(*made, draft, bench.context->identity.resolve(0), whole);
    CHECK(whole ==
          R"(before{"type":"track","messageId":")" + id + R"(","anonymousId":")" + run +
              R"(","userId":"u1","event":"step_done","originalTimestamp":"2026-01-02T03:04:05Z","context":{)" +
              std::string{library} + R"(},"properties":{"name":"a","error":"token [redacted]",)" +
              R"("invocation_uuid":")" + run +
              R"(","team":"t1","$groups":{"team":"t1"},"environment":"cli","user_id":"u1"},"channel":"server"})");
    CHECK(whole.substr(6 + sent_at).starts_with(",\"context\":"));
}

TEST_CASE("an internal team's events are never sent, and those that require an account not without one") {
    CHECK_FALSE(why_unsent(false, {}));
    CHECK_FALSE(why_unsent(true, {.is_known = true}));
    CHECK(why_unsent(true, {}) == drop_reason::no_account);
    CHECK(why_unsent(false, {.is_internal = true}) == drop_reason::internal);
    CHECK(why_unsent(true, {.is_internal = true, .is_known = true}) == drop_reason::internal);
}

}  // namespace event_message_test
