#include <candor/event/fields.hpp>

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <candor/identity/identity_resolver.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/policy/clock.hpp>

#include <doctest/doctest.h>

namespace fields_test {

namespace {

using candor::field_class;
using candor::field_value;
using candor::free_text_value;
using candor::identity_fields;

enum class colour { red };

// What a field may hold, each alone, in an optional, in a vector and in an optional vector.
template <class T>
constexpr bool in_every_form = field_value<T>&& field_value<std::optional<T>>&& field_value<std::vector<T>>&&
    field_value<std::optional<std::vector<T>>>;
template <class T>
constexpr bool in_no_form = !field_value<T> && !field_value<std::optional<T>> && !field_value<std::vector<T>> &&
                            !field_value<std::optional<std::vector<T>>>;

static_assert(in_every_form<std::string> && in_every_form<std::string_view>);
static_assert(in_every_form<bool>);
static_assert(in_every_form<signed char> && in_every_form<unsigned char>);
static_assert(in_every_form<short> && in_every_form<unsigned short>);
static_assert(in_every_form<int> && in_every_form<unsigned>);
static_assert(in_every_form<long> && in_every_form<unsigned long>);
static_assert(in_every_form<long long> && in_every_form<unsigned long long>);
static_assert(in_every_form<float> && in_every_form<double>);
static_assert(in_every_form<std::chrono::nanoseconds> && in_every_form<std::chrono::hours>);
static_assert(in_every_form<std::chrono::duration<double>>);
static_assert(in_every_form<std::chrono::system_clock::time_point>);
static_assert(in_every_form<std::chrono::sys_days> && in_every_form<candor::wall_time>);
static_assert(in_every_form<candor::uuid>);

static_assert(in_no_form<char> && in_no_form<wchar_t> && in_no_form<char8_t>);  // a letter or a number?
static_assert(in_no_form<char16_t> && in_no_form<char32_t>);
static_assert(in_no_form<const char*> && in_no_form<void*> && in_no_form<std::nullptr_t>);
static_assert(in_no_form<long double>);  // JSON's readers know double
static_assert(in_no_form<colour>);
static_assert(in_no_form<std::map<std::string, int>> && in_no_form<std::set<int>> && in_no_form<std::list<int>>);
static_assert(in_no_form<std::pair<int, int>> && in_no_form<std::unique_ptr<int>>);
static_assert(in_no_form<std::wstring> && in_no_form<std::u8string>);
static_assert(in_no_form<std::chrono::steady_clock::time_point>);  // means nothing on another machine
static_assert(!field_value<std::vector<std::vector<int>>>);
static_assert(!field_value<std::vector<std::optional<int>>>);
static_assert(!field_value<std::optional<std::optional<int>>>);

static_assert(free_text_value<std::string> && free_text_value<std::string_view>);
static_assert(free_text_value<std::optional<std::string>> && free_text_value<std::vector<std::string>>);
static_assert(free_text_value<std::optional<std::vector<std::string_view>>>);
static_assert(!free_text_value<int> && !free_text_value<std::vector<bool>> && !free_text_value<candor::uuid>);

struct base {
    int inherited = 0;
};

struct complete : base {
    static constexpr std::string_view event_name = "complete-1.0";
    std::string text{};
    std::optional<int> number{};

    [[nodiscard]] int twice() const { return 2 * inherited; }
    [[nodiscard]] const std::string& by_reference() const noexcept { return text; }

    static constexpr auto fields() {
        return std::tuple{candor::invocation_id("run", "The run"),
                          candor::field("text", &complete::text, "A text"),
                          candor::free_text("quoted", &complete::text, "A text of others"),
                          candor::field("number", &complete::number, "A number"),
                          candor::field("twice", &complete::twice, "Worked out"),
                          candor::field("by_reference", &complete::by_reference, "A reference"),
                          candor::field("inherited", &complete::inherited, "Of the base"),
                          candor::ci("system", "The CI system")};
    }
};
static_assert(candor::event<complete>);

struct empty {
    static constexpr const char* event_name = "empty";
    static constexpr std::tuple<> fields() { return {}; }
};
static_assert(candor::event<empty>);

// Events that are wrong in one way each.
struct no_name {
    static constexpr auto fields() { return std::tuple<>{}; }
};
static_assert(!candor::has_event_name<no_name> && candor::declares_fields<no_name> && !candor::event<no_name>);

struct no_fields {
    static constexpr std::string_view event_name = "no_fields";
};
static_assert(candor::has_event_name<no_fields> && !candor::declares_fields<no_fields> && !candor::event<no_fields>);

struct other_fields {
    static constexpr std::string_view event_name = "other_fields";
    static constexpr auto fields() { return std::tuple{1, "text"}; }
};
static_assert(!candor::declares_fields<other_fields> && !candor::event<other_fields>);

struct no_tuple {
    static constexpr std::string_view event_name = "no_tuple";
    int number = 0;
    static constexpr auto fields() { return candor::field("number", &no_tuple::number, "Number"); }
};
static_assert(!candor::declares_fields<no_tuple> && !candor::event<no_tuple>);

/// An event of two fields with names that a test chooses.
template <std::size_t N>
struct name {
    constexpr name(const char (&literal)[N]) {
        for (std::size_t i = 0; i < N; ++i) text[i] = literal[i];
    }
    char text[N];
    [[nodiscard]] constexpr std::string_view view() const { return {text, N - 1}; }
};

template <name Event, name First, name Second>
struct named {
    static constexpr std::string_view event_name = Event.view();
    int number = 0;
    static constexpr auto fields() {
        return std::tuple{candor::field(First.view(), &named::number, "First"),
                          candor::field(Second.view(), &named::number, "Second")};
    }
};

static_assert(candor::event<named<"an_event", "first", "second">>);
static_assert(candor::event<named<"Event.of-2", "$first", "second.Third_4">>);
static_assert(candor::event<named<"e", "a", "A">>);  // JSON's names are case-sensitive
template <class E>
constexpr bool only_its_names_are_wrong =
    candor::has_event_name<E>&& candor::declares_fields<E> && !candor::has_plain_distinct_names<E> && !candor::event<E>;
static_assert(only_its_names_are_wrong<named<"", "a", "b">>);
static_assert(only_its_names_are_wrong<named<"an event", "a", "b">>);
static_assert(only_its_names_are_wrong<named<"a{b", "a", "b">>);
static_assert(only_its_names_are_wrong<named<"e", "", "b">>);
static_assert(only_its_names_are_wrong<named<"e", "a", "with\"quote">>);
static_assert(only_its_names_are_wrong<named<"e", "a\\", "b">>);
static_assert(only_its_names_are_wrong<named<"e", "a\n", "b">>);
static_assert(only_its_names_are_wrong<named<"e", "a", "\xc3\xa9">>);
static_assert(only_its_names_are_wrong<named<"e", "twice", "twice">>);
static_assert(only_its_names_are_wrong<named<"e", "invocation_uuid", "b">>);
static_assert(only_its_names_are_wrong<named<"e", "a", "team">>);
static_assert(only_its_names_are_wrong<named<"e", "$groups", "b">>);
static_assert(only_its_names_are_wrong<named<"e", "a", "environment">>);
static_assert(only_its_names_are_wrong<named<"e", "user_id", "b">>);

// A field is declared with a member of the event, and nothing else.
template <class Member>
concept can_be_field = requires(Member member) {
    candor::field("name", member, "Description");
};
template <class Member>
concept can_be_free_text = requires(Member member) {
    candor::free_text("name", member, "Description");
};

struct members {
    std::string text{};
    int number = 0;
    std::map<std::string, int> map{};
    std::string text_of() const { return text; }
    std::string changing() { return text; }
    std::string with_argument(int) const { return text; }
    void nothing() const {}
};
static_assert(can_be_field<decltype(&members::text)> && can_be_free_text<decltype(&members::text)>);
static_assert(can_be_field<decltype(&members::number)> && !can_be_free_text<decltype(&members::number)>);
static_assert(can_be_field<decltype(&members::text_of)> && can_be_free_text<decltype(&members::text_of)>);
static_assert(!can_be_field<decltype(&members::map)>);
static_assert(!can_be_field<int*>);  // what the address of a static member is
static_assert(!can_be_field<decltype(&members::changing)>);
static_assert(!can_be_field<decltype(&members::with_argument)>);
static_assert(!can_be_field<decltype(&members::nothing)>);

struct particular {
    static constexpr bool requires_account = true;
    static constexpr bool refreshes_account = true;
    static constexpr identity_fields identity = identity_fields::team;
};

}  // namespace

TEST_CASE("a declaration keeps its name, its description and its class") {
    constexpr auto fields = complete::fields();
    static_assert(std::tuple_size_v<decltype(complete::fields())> == 8);
    CHECK(std::get<0>(fields).name == "run");
    CHECK(std::get<0>(fields).description == "The run");
    CHECK(std::get<0>(fields).classification == field_class::invocation_id);
    CHECK(std::get<1>(fields).name == "text");
    CHECK(std::get<1>(fields).member == &complete::text);
    CHECK(std::get<1>(fields).classification == field_class::plain);
    CHECK(std::get<2>(fields).name == "quoted");
    CHECK(std::get<2>(fields).description == "A text of others");
    CHECK(std::get<2>(fields).classification == field_class::free_text);
    CHECK(std::get<7>(fields).name == "system");
    CHECK(std::get<7>(fields).description == "The CI system");
    CHECK(std::get<7>(fields).classification == field_class::ci);
}

TEST_CASE("an event that says nothing of accounts is sent without one, with all identity properties") {
    CHECK_FALSE(candor::detail::requires_account<complete>());
    CHECK_FALSE(candor::detail::refreshes_account<complete>());
    CHECK(candor::detail::identity_of<complete>() == identity_fields::all);
}

TEST_CASE("an event may say otherwise") {
    CHECK(candor::detail::requires_account<particular>());
    CHECK(candor::detail::refreshes_account<particular>());
    CHECK(candor::detail::identity_of<particular>() == identity_fields::team);
}

TEST_CASE("a plain name is made of letters, digits and four signs") {
    using candor::detail::is_plain_name;
    CHECK_FALSE(is_plain_name(""));
    for (int c = 0; c < 256; ++c) {
        const char letter = static_cast<char>(c);
        const bool allowed =
            std::string_view{"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$.-"}.find(letter) !=
            std::string_view::npos;
        CHECK(is_plain_name({&letter, 1}) == allowed);
        CHECK(is_plain_name(std::string{'a', letter, 'b'}) == allowed);
    }
}

}  // namespace fields_test
