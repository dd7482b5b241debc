#include <candor/event/serialized_event.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

#include <candor/consent/ci.hpp>
#include <candor/event/fields.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/privacy/redactor.hpp>

#include <doctest/doctest.h>

namespace serialized_event_test {

namespace {

using candor::redactor;
using candor::uuid;
using candor::detail::event_serializer;
using candor::detail::event_type_of;
using candor::detail::json_writer;
using condition = json_writer::condition;
using namespace std::chrono_literals;

const uuid invocation = *uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e");
const candor::detail::run_facts run{invocation, "GitHub Actions"};
constexpr std::size_t plenty = 1024 * 1024;

/// As the queue holds them.
std::string bytes_of(const event_serializer& serialized) {
    return serialized.with_parts("", [](std::span<const std::string_view> parts) {
        std::string out;
        for (const auto part : parts) out += part;
        return out;
    });
}

/// The JSON of an event that was serialized; the event is gone before it is written.
template <candor::event Event>
std::string written(Event event, const redactor& secrets = redactor{}) {
    event_serializer serialized{plenty};
    CHECK(serialized.serialize(event, run, secrets) == condition::good);
    const auto bytes = bytes_of(serialized);
    event = Event{};
    json_writer out{plenty};
    event_type_of<Event>.write_properties(out, bytes, run, secrets);
    CHECK(out.state() == condition::good);
    return std::string{out.text()};
}

struct one_of_each {
    static constexpr std::string_view event_name = "one_of_each";
    static constexpr bool requires_account = true;
    static constexpr candor::identity_fields identity = candor::identity_fields::team;

    std::string text{};
    std::string_view view{};
    std::int8_t small = 0;
    std::uint64_t large = 0;
    bool flag = false;
    float half = 0;
    double number = 0;
    std::chrono::milliseconds duration{};
    std::chrono::sys_days day{};
    uuid id{};
    std::optional<std::string> absent{};
    std::optional<int> present{};
    std::vector<bool> flags{};
    std::vector<std::string> texts{};
    std::optional<std::vector<std::uint16_t>> numbers{};
    std::optional<std::string> error{};

    [[nodiscard]] std::string computed() const { return text + "!"; }
    [[nodiscard]] int fails() const { throw std::runtime_error{"no"}; }

    static constexpr auto fields() {
        using e = one_of_each;
        return std::tuple{
            candor::field("text", &e::text, "Text"),
            candor::field("view", &e::view, "Text"),
            candor::field("small", &e::small, "Number"),
            candor::field("large", &e::large, "Number"),
            candor::field("flag", &e::flag, "Flag"),
            candor::field("half", &e::half, "Number"),
            candor::field("number", &e::number, "Number"),
            candor::field("duration", &e::duration, "Time"),
            candor::field("day", &e::day, "Day"),
            candor::field("id", &e::id, "Id"),
            candor::field("absent", &e::absent, "Text"),
            candor::field("present", &e::present, "Number"),
            candor::field("flags", &e::flags, "Flags"),
            candor::field("texts", &e::texts, "Texts"),
            candor::field("numbers", &e::numbers, "Numbers"),
            candor::field("fails", &e::fails, "Never there"),
            candor::free_text("error", &e::error, "Error"),
            candor::field("computed", &e::computed, "Text"),
            candor::invocation_id("run", "The invocation"),
            candor::ci("ci", "The CI system"),
        };
    }
};

one_of_each example() {
    return {.text = "a \"b\"",
            .view = "seen",
            .small = -128,
            .large = std::numeric_limits<std::uint64_t>::max(),
            .flag = true,
            .half = 0.5F,
            .number = std::numeric_limits<double>::quiet_NaN(),
            .duration = 1500ms,
            .day = std::chrono::January / 2 / 2026,
            .id = invocation,
            .present = 7,
            .flags = {true, false},
            .texts = {"x", "", "\n"},
            .numbers = std::vector<std::uint16_t>{1, 65535},
            .error = "https://user@host failed"};
}

/// An event with one field, `v`.
template <class T>
struct one {
    static constexpr std::string_view event_name = "one";
    T value{};
    static constexpr auto fields() { return std::tuple{candor::field("v", &one::value, "Value")}; }
};

template <class T>
struct one_text {
    static constexpr std::string_view event_name = "one_text";
    T value{};
    static constexpr auto fields() { return std::tuple{candor::free_text("v", &one_text::value, "Value")}; }
};

struct only_ci {
    static constexpr std::string_view event_name = "only_ci";
    static constexpr auto fields() {
        return std::tuple{candor::ci("ci", "The system"), candor::ci("again", "The system")};
    }
};

template <class Event>
condition state_of(const Event& event, std::size_t limit = 32 * 1024) {
    event_serializer serialized{limit};
    return serialized.serialize(event, run, redactor{});
}

}  // namespace

TEST_CASE("a value of every type comes out as it went in") {
    CHECK(written(example()) ==
          R"("text":"a \"b\"","view":"seen","small":-128,"large":18446744073709551615,"flag":true,"half":0.5,)"
          R"("number":null,"duration":1500000000,"day":"2026-01-02T00:00:00Z",)"
          R"("id":"0f8fad5b-d9cb-469f-a165-70867728950e","present":7,"flags":[true,false],"texts":["x","","\n"],)"
          R"("numbers":[1,65535],"error":"https://[redacted]@host failed","computed":"a \"b\"!",)"
          R"("run":"0f8fad5b-d9cb-469f-a165-70867728950e","ci":"GitHub Actions")");
}

TEST_CASE("the CI system is left out where there is none, and the longest one fits where it is said to") {
    const auto with = [](std::string_view name, std::size_t limit) {
        const candor::detail::run_facts facts{invocation, name};
        event_serializer serialized{limit};
        CHECK(serialized.serialize(only_ci{}, facts, redactor{}) == condition::good);
        json_writer out{limit};
        event_type_of<only_ci>.write_properties(out, bytes_of(serialized), facts, redactor{});
        CHECK(out.state() == condition::good);
        return std::string{out.text()};
    };
    CHECK(with("", plenty).empty());
    for (const auto& known : candor::detail::known_ci_systems) {
        const std::string name{known.name};
        const std::string json = R"("ci":")" + name + R"(","again":")" + name + "\"";
        for (std::size_t limit = json.size(); limit < 200; ++limit) CHECK(with(known.name, limit) == json);
    }
}

TEST_CASE("an event of empty values comes out with what is there") {
    CHECK(written(one<std::optional<std::string>>{}).empty());
    CHECK(written(one<std::optional<std::vector<int>>>{std::vector<int>{}}) == R"("v":[])");
    CHECK(written(one<std::string>{}) == R"("v":"")");
    CHECK(written(one_text<std::vector<std::string>>{}) == R"("v":[])");
}

TEST_CASE("the type of a serialized event says what the worker needs to know") {
    const auto& special = event_type_of<one_of_each>;
    CHECK(special.name == "one_of_each");
    CHECK(special.requires_account);
    CHECK_FALSE(special.refreshes_account);
    CHECK(special.identity == candor::identity_fields::team);
    const auto& usual = event_type_of<one<int>>;
    CHECK_FALSE(usual.requires_account);
    CHECK(usual.identity == candor::identity_fields::all);
}

TEST_CASE("at every limit the answer is whether the JSON fits") {
    const one_of_each event = example();
    const std::size_t whole = written(event).size();
    for (std::size_t limit = 0; limit < whole; ++limit) CHECK(state_of(event, limit) == condition::too_large);
    CHECK(state_of(event, whole + 32) == condition::good);
}

TEST_CASE("what is said to fit does fit, however the text grows") {
    for (const std::string_view piece : {"\x01", "\"", "\xff", "\xe4\xbd", "\xf0\x9f\x92", "://a@", "plain"}) {
        std::string text;
        while (text.size() < 6000) {
            text += piece;
            for (std::size_t limit = text.size(); limit < 7 * text.size(); limit += 1 + text.size() / 2) {
                event_serializer serialized{limit};
                const one_text<std::string> event{text};
                const auto answer = serialized.serialize(event, run, redactor{});
                json_writer out{limit};
                candor::detail::write_serialized_properties<one_text<std::string>>(out, bytes_of(serialized), run,
                                                                                   redactor{});
                CHECK((answer == condition::good) == (out.state() == condition::good));
            }
            text += std::string(text.size() / 2, piece.front());
        }
    }
}

TEST_CASE("an event that is too large is refused, however it comes to be so") {
    CHECK(state_of(one<std::string>{std::string(40'000, 'a')}) == condition::too_large);
    CHECK(state_of(one<std::string>{std::string(20'000, '"')}) == condition::too_large);
    CHECK(state_of(one<std::string>{std::string(32'000, 'a')}) == condition::good);
    CHECK(state_of(one<std::vector<std::string>>{std::vector<std::string>(40, std::string(1000, 'a'))}) ==
          condition::too_large);
    CHECK(state_of(one<std::vector<std::int64_t>>{std::vector<std::int64_t>(20'000, 1)}) == condition::too_large);
    CHECK(state_of(one<std::vector<std::int64_t>>{std::vector<std::int64_t>(15'000, 1)}) == condition::good);
    CHECK(state_of(one<std::vector<bool>>{std::vector<bool>(1'000'000)}) == condition::too_large);
    CHECK(state_of(one<std::vector<std::string>>{std::vector<std::string>(10'000)}) == condition::good);
}

#if defined(__unix__) || defined(__APPLE__)
TEST_CASE("a text of 10 MB is refused without being read") {
    constexpr std::size_t size = 10'000'000;
    void* unreadable = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
    REQUIRE(unreadable != MAP_FAILED);
    const std::string_view text{static_cast<const char*>(unreadable), size};
    CHECK(state_of(one<std::string_view>{text}) == condition::too_large);
    CHECK(state_of(one_text<std::string_view>{text}) == condition::too_large);
    CHECK(state_of(one<std::vector<std::string_view>>{{"short", text.substr(0, 33'000), text}}) ==
          condition::too_large);
    munmap(unreadable, size);
}
#endif

}  // namespace serialized_event_test
