#ifndef CANDOR_EVENT_FIELDS_HPP
#define CANDOR_EVENT_FIELDS_HPP

#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <candor/identity/identity_resolver.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/policy/ascii.hpp>

namespace candor {

namespace detail {

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};

template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};

template <class T>
struct is_duration : std::false_type {};
template <class Rep, class Period>
struct is_duration<std::chrono::duration<Rep, Period>> : std::true_type {};

template <class T>
struct is_wall_time : std::false_type {};
template <class Duration>
struct is_wall_time<std::chrono::time_point<std::chrono::system_clock, Duration>> : std::true_type {};

template <class T>
concept text = std::same_as<T, std::string> || std::same_as<T, std::string_view>;

template <class T>
concept whole_number =
    std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char> && !std::same_as<T, wchar_t> &&
    !std::same_as<T, char8_t> && !std::same_as<T, char16_t> && !std::same_as<T, char32_t>;

/// Not a concept: a compiler that refuses a type says so in one line, and not in one for each of these.
template <class T>
inline constexpr bool is_scalar =
    text<T> || whole_number<T> || std::same_as<T, bool> || std::same_as<T, double> || std::same_as<T, float> ||
    is_duration<T>::value || is_wall_time<T>::value || std::same_as<T, uuid>;

template <class T>
concept scalar = is_scalar<T>;

/// What stands inside an optional or a vector, or the type itself.
template <class T>
struct inner {
    using type = T;
};
template <class T>
struct inner<std::vector<T>> {
    using type = T;
};
template <class T>
struct inner<std::optional<T>> {
    using type = T;
};
template <class T>
struct inner<std::optional<std::vector<T>>> {
    using type = T;
};

}  // namespace detail

/// What a field may hold: `std::string`, `std::string_view`, integers, `double`, `float`, `bool`, durations, time
/// points of `std::chrono::system_clock`, `candor::uuid`, a `std::vector` of these, and a `std::optional` of all that.
template <class T>
concept field_value = detail::scalar<typename detail::inner<T>::type>;

/// What `free_text` may hold: the field values made of strings.
template <class T>
concept free_text_value = detail::text<typename detail::inner<T>::type>;

/// How a field is treated on its way out.
enum class field_class {
    plain,          ///< sent as it is: values the program chose, such as names, counts and states
    free_text,      ///< may quote anything, such as error messages: passes the redactor first
    invocation_id,  ///< the UUID of this run of the program
    ci,             ///< the name of the continuous integration system that runs the program
};

/// One declared field of an event. Made by `field`, `free_text`, `invocation_id` and `ci`.
template <class Member, field_class Class>
struct field_declaration {
    static constexpr field_class classification = Class;
    std::string_view name;
    Member member;  ///< pointer to a data member, or to a const member function without arguments
    std::string_view description;
};

/// Declares that `member` of an event is sent as `name`. The member is a data member, or a const member function where
/// the value is worked out. A function that throws leaves its field out.
template <class Event, class Member>
requires field_value<std::remove_cvref_t<std::invoke_result_t<Member Event::*, const Event&>>>
constexpr auto field(std::string_view name, Member Event::*member, std::string_view description) {
    return field_declaration<Member Event::*, field_class::plain>{name, member, description};
}

/// Declares a field whose text may quote anything, such as an error message. It passes the redactor.
template <class Event, class Member>
requires free_text_value<std::remove_cvref_t<std::invoke_result_t<Member Event::*, const Event&>>>
constexpr auto free_text(std::string_view name, Member Event::*member, std::string_view description) {
    return field_declaration<Member Event::*, field_class::free_text>{name, member, description};
}

/// Declares a field that repeats the invocation's UUID under another name.
constexpr auto invocation_id(std::string_view name, std::string_view description) {
    return field_declaration<std::nullptr_t, field_class::invocation_id>{name, nullptr, description};
}

/// Declares a field with the name of the continuous integration system that runs the program, as `ci_system` gives it.
/// It is left out where there is none.
constexpr auto ci(std::string_view name, std::string_view description) {
    return field_declaration<std::nullptr_t, field_class::ci>{name, nullptr, description};
}

namespace detail {

template <class T>
struct is_field_tuple : std::false_type {};
template <class... Members, field_class... Classes>
struct is_field_tuple<std::tuple<field_declaration<Members, Classes>...>> : std::true_type {};

/// A name that stands in JSON as it is: letters, digits and `_ $ . -`.
constexpr bool is_plain_name(std::string_view name) {
    if (name.empty()) return false;
    for (const char c : name) {
        if (!is_letter(c) && !is_digit(c) && c != '_' && c != '$' && c != '.' && c != '-') return false;
    }
    return true;
}

template <class Event>
constexpr bool has_plain_distinct_names() {
    if (!is_plain_name(Event::event_name)) return false;
    return std::apply(
        [](const auto&... field) {
            const std::string_view names[] = {field.name..., std::string_view{}};
            constexpr std::size_t count = sizeof...(field);
            for (std::size_t i = 0; i < count; ++i) {
                if (!is_plain_name(names[i]) || is_identity_property(names[i])) return false;
                for (std::size_t j = 0; j < i; ++j)
                    if (names[j] == names[i]) return false;
            }
            return true;
        },
        Event::fields());
}

}  // namespace detail

/// A type that says what it is called on the wire.
template <class E>
concept has_event_name = requires {
    { E::event_name } -> std::convertible_to<std::string_view>;
};

/// A type that declares what it sends: `fields()` gives a `std::tuple` of `field`, `free_text`, `invocation_id`,
/// `ci`.
template <class E>
concept declares_fields = detail::is_field_tuple<decltype(E::fields())>::value;

/// All names are letters, digits and `_ $ . -`; no field is declared twice, none has the name of an identity property.
template <class E>
concept has_plain_distinct_names = std::bool_constant < detail::has_plain_distinct_names<E>()
> ::value;

/// An event: a plain struct with a constant `event_name` and a static constexpr `fields()`. It may also say
///
/// - `static constexpr bool requires_account = true;` it is dropped where nobody is logged in (default: sent anyway);
/// - `static constexpr bool refreshes_account = true;` the account source is asked again before it is sent;
/// - `static constexpr candor::identity_fields identity = …;` which identity properties it carries (default: all).
template <class E>
concept event = has_event_name<E> && declares_fields<E> && has_plain_distinct_names<E>;

namespace detail {

template <class E>
constexpr bool requires_account() {
    if constexpr (requires { E::requires_account; }) return E::requires_account;
    return false;
}

template <class E>
constexpr bool refreshes_account() {
    if constexpr (requires { E::refreshes_account; }) return E::refreshes_account;
    return false;
}

template <class E>
constexpr identity_fields identity_of() {
    if constexpr (requires { E::identity; }) {
        return E::identity;
    } else {
        return identity_fields::all;
    }
}

}  // namespace detail

}  // namespace candor

#endif
