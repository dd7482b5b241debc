// An event's properties written straight from the event: what `write_serialized_properties` must give after
// serializing.
#ifndef CANDOR_TESTS_EVENT_DIRECT_PROPERTIES_HPP
#define CANDOR_TESTS_EVENT_DIRECT_PROPERTIES_HPP

#include <functional>
#include <string_view>
#include <tuple>
#include <type_traits>

#include <candor/event/properties.hpp>

namespace candor::tests {

using namespace candor::detail;

/// A vector becomes an array, an optional what it holds; `write` says how a single value is written.
template <class T, class Write>
void write_value(json_writer& out, const T& value, const Write& write) noexcept {
    if constexpr (is_optional<T>::value) {
        write_value(out, *value, write);
    } else if constexpr (is_vector<T>::value) {
        out.raw("[");
        for (const auto& element : value) {
            if (out.state() != json_writer::condition::good) return;
            out.separate();
            write(static_cast<const typename T::value_type&>(element));  // of std::vector<bool> too
        }
        out.raw("]");
    } else {
        write(value);
    }
}

/// Writes an event's declared fields, and nothing else, as the members of an object without its braces, in the order of
/// their declaration. An empty optional is left out. What became of it is the writer's `state()`.
template <event Event>
void write_properties(json_writer& out, const Event& event, const run_facts& run, const redactor& secrets) noexcept {
    const auto write_field = [&]<class Member, field_class Class>(const field_declaration<Member, Class>& field) {
        if constexpr (Class == field_class::invocation_id) {
            out.key(field.name);
            write_scalar(out, run.invocation);
        } else if constexpr (Class == field_class::ci) {
            if (run.ci.empty()) return;
            out.key(field.name);
            write_scalar(out, run.ci);
        } else {
            const auto& value = std::invoke(field.member, event);
            if constexpr (is_optional<std::remove_cvref_t<decltype(value)>>::value) {
                if (!value) return;
            }
            out.key(field.name);
            if constexpr (Class == field_class::free_text) {
                write_value(out, value, [&](std::string_view text) { write_redacted(out, text, secrets); });
            } else {
                write_value(out, value, [&](const auto& scalar) { write_scalar(out, scalar); });
            }
        }
    };
    const auto write = [&](const auto& field) {
        try {
            write_field(field);
        } catch (...) {  // the event's own member function, before anything of its field is written
        }
    };
    constexpr auto declared = Event::fields();
    std::apply([&](const auto&... field) { (write(field), ...); }, declared);
}

}  // namespace candor::tests

#endif
