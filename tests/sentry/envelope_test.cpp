#include <candor/sentry/envelope.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <candor/testing.hpp>

#include <doctest/doctest.h>

namespace envelope_test {

using candor::redactor;
using candor::sentry::event;
using candor::sentry::severity;
using candor::sentry::detail::append_event;
using nlohmann::json;

namespace {

const candor::wall_time now = candor::testing::manual_clock{}.wall_now();
const auto id = *candor::uuid::parse("8500b660-2e63-4de6-82d7-a7c8ea6823ce");

event whole_event() {
    return {
        .id = id,
        .timestamp = now,
        .level = severity::error,
        .release = "acme@1.4.0",
        .exceptions = {{.type = "std::system_error", .value = "no space left"},
                       {.type = "acme::sync_failed",
                        .value = "cannot write /home/ann/out",
                        .mechanism = "terminate",
                        .handled = false,
                        .mechanism_data = {{"signal", "SIGABRT"}},
                        .frames = {{.instruction_addr = 0x1234,
                                    .function = "acme::sync()",
                                    .package = "/home/ann/bin/acme",
                                    .filename = "/home/ann/src/sync.cpp",
                                    .line = 12},
                                   {.instruction_addr = 0x1200, .function = "main"}}}},
        .breadcrumbs = {{.time = now, .level = "info", .category = "http", .message = "GET https://u:p@host/"}},
        .tags = {{"plugin", "aws"}},
        .contexts = {{"os", {{"name", "Linux"}}}},
        .modules = {{.file = "/home/ann/bin/acme",
                     .build_id = "0a0b",
                     .debug_id = "00000000-0000-0000-0000-000000000b0a",
                     .address = 0x1000,
                     .size = 4096}},
    };
}

std::string text_of(const event& e, const redactor& secrets = {},
                    std::size_t limit = candor::sentry::detail::largest_event) {
    std::string out;
    REQUIRE(append_event(e, secrets, limit, out));
    return out;
}

}  // namespace

TEST_CASE("an event has Sentry's members, redacted, without directories, the oldest frame first") {
    CHECK(
        text_of(whole_event(), redactor{{}, "/home/ann"}) ==
        R"({"event_id":"8500b6602e634de682d7a7c8ea6823ce","timestamp":"2026-01-02T03:04:05Z","platform":"native",)"
        R"("level":"error","release":"acme@1.4.0","server_name":"oss","exception":{"values":[)"
        R"({"type":"std::system_error","value":"no space left","mechanism":{"type":"generic","handled":true}},)"
        R"({"type":"acme::sync_failed","value":"cannot write ~/out","mechanism":{"type":"terminate","handled":false,)"
        R"("data":{"signal":"SIGABRT"}},"stacktrace":{"frames":[{"instruction_addr":"0x1200","function":"main"},)"
        R"x({"instruction_addr":"0x1234","function":"acme::sync()","package":"acme","filename":"sync.cpp","lineno":12}]}}]},)x"
        R"("breadcrumbs":{"values":[{"timestamp":"2026-01-02T03:04:05Z","level":"info","category":"http",)"
        R"("message":"GET https://[redacted]@host/"}]},"tags":{"plugin":"aws"},"contexts":{"os":{"name":"Linux"}},)"
        R"("debug_meta":{"images":[{"type":"elf","code_file":"acme","code_id":"0a0b",)"
        R"("debug_id":"00000000-0000-0000-0000-000000000b0a","image_addr":"0x1000","image_size":4096}]},)"
        R"("sdk":{"name":"candor","version":")" CANDOR_VERSION_STRING R"("}})");
}

TEST_CASE("an event without an exception is its message") {
    const auto parsed = json::parse(text_of({.id = id, .timestamp = now, .release = "a@1", .message = "careful"}));
    CHECK(parsed["message"] == json{{"formatted", "careful"}});
    CHECK_FALSE(parsed.contains("exception"));
}

TEST_CASE("whatever the texts hold, the JSON is valid") {
    event e = whole_event();
    e.exceptions[0].value = "a\xff\x80 \x1b[31m \"quoted\"";
    e.exceptions[0].value += '\0';
    e.tags = {{"na\"me", "val\nue"}};
    const auto parsed = json::parse(text_of(e));
    CHECK(parsed["exception"]["values"][0]["value"].get<std::string>().find("\xef\xbf\xbd") == 1);
    CHECK(parsed["tags"]["na\"me"] == "val\nue");
}

TEST_CASE("names of tags and contexts are redacted, and paths before their directories are cut off") {
    event e = whole_event();
    e.exceptions[1].frames[0].package = "/opt/top/secret";
    e.exceptions[1].frames[0].filename = "/src/topsecret.cpp";
    e.exceptions[1].mechanism_data = {{"a topsecret", "x"}};
    e.modules[0].file = "/opt/top/secret/libacme.so";
    e.modules[0].build_id = "topsecret";
    e.tags = {{"topsecret", "x"}};
    e.contexts = {{"topsecret", {{"topsecret", "x"}}}};
    const auto text = text_of(e, redactor{{"topsecret", "top/secret"}});
    CHECK(text.find("secret\"") == std::string::npos);
    const auto parsed = json::parse(text);
    const auto& failed = parsed["exception"]["values"][1];
    CHECK(failed["stacktrace"]["frames"][1]["package"] == "[redacted]");
    CHECK(failed["stacktrace"]["frames"][1]["filename"] == "[redacted].cpp");
    CHECK(failed["mechanism"]["data"]["a [redacted]"] == "x");
    CHECK(parsed["debug_meta"]["images"][0]["code_file"] == "libacme.so");
    CHECK(parsed["debug_meta"]["images"][0]["code_id"] == "[redacted]");
    CHECK(parsed["tags"]["[redacted]"] == "x");
    CHECK(parsed["contexts"]["[redacted]"]["[redacted]"] == "x");
}

TEST_CASE("texts are cut to what Sentry takes, at characters and after redaction") {
    using candor::sentry::detail::first_characters;
    CHECK(first_characters("abc", 3) == "abc");
    CHECK(first_characters("abcd", 3) == "abc");
    CHECK(first_characters("\xc3\xa4\xc3\xb6\xc3\xbc", 2) == "\xc3\xa4\xc3\xb6");

    event e = whole_event();
    e.exceptions[0].value = std::string(8190, 'x') + "topsecret";  // a cut before redaction would leave "to"
    e.tags = {{"long", std::string(300, 't')}};
    e.message = std::string(9000, 'm');
    const auto parsed = json::parse(text_of(e, redactor{{"topsecret"}}));
    CHECK(parsed["exception"]["values"][0]["value"] == std::string(8190, 'x') + "[r");
    CHECK(parsed["tags"]["long"] == std::string(200, 't'));
    CHECK(parsed["message"]["formatted"] == std::string(8192, 'm'));
}

TEST_CASE("of a deep stack the newest frames are kept") {
    event e = whole_event();
    e.exceptions[1].frames.assign(80, {});
    for (std::size_t i = 0; i < 80; ++i) e.exceptions[1].frames[i].line = static_cast<std::uint32_t>(i + 1);
    const auto frames = json::parse(text_of(e))["exception"]["values"][1]["stacktrace"]["frames"];
    REQUIRE(frames.size() == 50);
    CHECK(frames.front()["lineno"] == 50);
    CHECK(frames.back()["lineno"] == 1);
}

TEST_CASE("an event that is too large loses breadcrumbs, then tags and contexts, then stacks, and then is refused") {
    const event e = whole_event();
    const auto size = text_of(e).size();
    auto at_most = [&](std::size_t limit) { return json::parse(text_of(e, {}, limit)); };
    // The writer keeps up to 32 bytes in reserve for a value.
    CHECK(at_most(size + 32).contains("breadcrumbs"));
    const auto first = at_most(size - 1);
    CHECK_FALSE(first.contains("breadcrumbs"));
    CHECK(first.contains("tags"));
    event without = e;
    without.breadcrumbs.clear();
    const auto second = at_most(text_of(without).size() - 1);
    CHECK_FALSE(second.contains("tags"));
    CHECK_FALSE(second.contains("contexts"));
    CHECK(second.contains("debug_meta"));
    without.tags.clear();
    without.contexts.clear();
    const auto third = at_most(text_of(without).size() - 1);
    CHECK_FALSE(third.contains("debug_meta"));
    CHECK_FALSE(third["exception"]["values"][1].contains("stacktrace"));
    CHECK(third["exception"]["values"][1]["type"] == "acme::sync_failed");

    std::string out = "before";
    CHECK_FALSE(append_event(e, {}, 100, out));
    CHECK(out == "before");
}

TEST_CASE("an envelope is framed by lines and lengths") {
    std::string out;
    candor::sentry::detail::append_envelope_header("8500b6602e634de682d7a7c8ea6823ce", now, out);
    candor::sentry::detail::append_item("event", "{}", out);
    candor::sentry::detail::append_item("client_report", "{\"a\":1}", out);
    CHECK(out == R"({"event_id":"8500b6602e634de682d7a7c8ea6823ce","sent_at":"2026-01-02T03:04:05Z",)"
                 R"("sdk":{"name":"candor","version":")" CANDOR_VERSION_STRING
                 "\"}}\n"
                 "{\"type\":\"event\",\"length\":2}\n{}\n"
                 "{\"type\":\"client_report\",\"length\":7}\n{\"a\":1}\n");
    CHECK(candor::sentry::detail::event_id_of(text_of(whole_event())) == "8500b6602e634de682d7a7c8ea6823ce");
}

}  // namespace envelope_test
