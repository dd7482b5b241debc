#ifndef CANDOR_EVENT_SERIALIZED_EVENT_HPP
#define CANDOR_EVENT_SERIALIZED_EVENT_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>

#include <candor/consent/ci.hpp>
#include <candor/event/fields.hpp>
#include <candor/event/json_writer.hpp>
#include <candor/event/properties.hpp>
#include <candor/event/record_reader.hpp>
#include <candor/identity/identity_resolver.hpp>
#include <candor/privacy/redactor.hpp>

namespace candor::detail {

/// Whether a serialized field may turn out to be left out because the event's own member function threw.
template <class Member, class Event>
inline constexpr bool may_throw = !std::is_nothrow_invocable_v<Member, const Event&>;

template <field_class Class, class T>
void write_serialized_value(json_writer& out, record_reader& in, const redactor& secrets) noexcept {
    if constexpr (is_optional<T>::value) {
        write_serialized_value<Class, typename T::value_type>(out, in, secrets);
    } else if constexpr (is_vector<T>::value) {
        out.raw("[");
        for (auto left = in.take<std::size_t>(); left > 0; --left) {
            if (out.state() != json_writer::condition::good) return;
            out.separate();
            write_serialized_value<Class, typename T::value_type>(out, in, secrets);
        }
        out.raw("]");
    } else if constexpr (!text<T>) {
        write_scalar(out, in.take<T>());
    } else if constexpr (Class == field_class::free_text) {
        write_redacted(out, in.take_text(), secrets);
    } else {
        write_scalar(out, in.take_text());
    }
}

/// Writes an event's declared fields, and nothing else, as the members of an object without its braces, in the order of
/// their declaration, from the values that `event_serializer` copied. An empty optional is left out. The writer's
/// `state()` says whether all of it was written.
template <event Event>
void write_serialized_properties(json_writer& out, std::string_view values, const run_facts& run,
                                 const redactor& secrets) noexcept {
    record_reader in{values};
    const auto write = [&]<class Member, field_class Class>(const field_declaration<Member, Class>& field) {
        if (out.state() != json_writer::condition::good) return;
        if constexpr (Class == field_class::invocation_id) {
            out.key(field.name);
            write_scalar(out, run.invocation);
        } else if constexpr (Class == field_class::ci) {
            if (run.ci.empty()) return;
            out.key(field.name);
            write_scalar(out, run.ci);
        } else {
            using value = std::remove_cvref_t<std::invoke_result_t<Member, const Event&>>;
            if constexpr (may_throw<Member, Event>) {
                if (!in.take<bool>()) return;
            }
            if constexpr (is_optional<value>::value) {
                if (!in.take<bool>()) return;
            }
            out.key(field.name);
            write_serialized_value<Class, value>(out, in, secrets);
        }
    };
    constexpr auto declared = Event::fields();
    std::apply([&](const auto&... field) { (write(field), ...); }, declared);
}

/// What there is to know of an event whose values are serialized.
struct event_type {
    std::string_view name;
    bool requires_account;
    bool refreshes_account;
    identity_fields identity;
    void (*write_properties)(json_writer& out, std::string_view values, const run_facts& run,
                             const redactor& secrets) noexcept;
};

template <event Event>
inline constexpr event_type event_type_of{Event::event_name, requires_account<Event>(), refreshes_account<Event>(),
                                          identity_of<Event>(), write_serialized_properties<Event>};

/// The values of an event's fields, copied one behind the other. Writing them as JSON takes several times as long, so
/// the program's thread only copies, and the worker writes. Long texts that are members of the event are not copied
/// here but by whoever takes the parts, while the event lives.
class event_serializer {
public:
    /// `limit` is what the properties may take as JSON. A serialized value takes at most eight times its JSON.
    explicit event_serializer(std::size_t limit) noexcept : limit_{limit}, bytes_{8 * limit} {}

    /// Serializes an event; call it once. The answer is the one that writing the values as JSON within that limit would
    /// give: most events certainly fit, and one that may not is written as a trial.
    template <event Event>
    json_writer::condition serialize(const Event& event, const run_facts& run, const redactor& secrets) noexcept {
        constexpr auto declared = Event::fields();
        std::apply([&](const auto&... field) { (write_field(event, field), ...); }, declared);
        if (too_large_) return json_writer::condition::too_large;
        if (bytes_.state() != json_writer::condition::good) return bytes_.state();
        if (most_ <= limit_ || most_exactly() <= limit_) return json_writer::condition::good;
        json_writer values{9 * limit_};
        with_parts({}, [&](std::span<const std::string_view> parts) {
            for (const auto part : parts) values.raw(part);
        });
        if (values.state() != json_writer::condition::good) return values.state();
        json_writer trial{limit_};
        write_serialized_properties<Event>(trial, values.text(), run, secrets);
        return trial.state();
    }

    /// Calls `take` with the parts of what was serialized, behind `head`. Returns what that returns.
    template <class Take>
    decltype(auto) with_parts(std::string_view head, const Take& take) const {
        if (reference_count_ == 0) return take(std::span<const std::string_view>{std::array{head, bytes_.text()}});
        std::array<std::string_view, 2 * most_references_ + 2> parts;
        std::size_t count = 0, copied = 0;
        parts[count++] = head;
        for (const auto& [at, data, size] : std::span{references_}.first(reference_count_)) {
            parts[count++] = bytes_.text().substr(copied, at - copied);
            parts[count++] = {data, size};
            copied = at;
        }
        parts[count++] = bytes_.text().substr(copied);
        return take(std::span<const std::string_view>{parts}.first(count));
    }

private:
    /// A text that belongs behind the first `at` bytes.
    struct reference {
        std::size_t at;
        const char* data;
        std::size_t size;
    };
    static constexpr std::size_t most_references_ = 8;
    static constexpr std::size_t long_text_ = 512;

    /// More than any value but a text takes as JSON.
    static constexpr std::size_t most_of_scalar_ = 48;
    static_assert(longest_ci_name + sizeof("\"\",:\"\"") < most_of_scalar_);
    /// What a byte of a text takes at most: `\u0000`. Redaction lengthens a text by less.
    static constexpr std::size_t most_of_byte_ = 6;

    template <class Event, class Member, field_class Class>
    void write_field(const Event& event, const field_declaration<Member, Class>& field) noexcept {
        most_ += field.name.size() + most_of_scalar_;
        if constexpr (Class == field_class::invocation_id || Class == field_class::ci) {
            return;
        } else if constexpr (!may_throw<Member, Event>) {
            write_value<Class, std::is_member_object_pointer_v<Member>>(std::invoke(field.member, event));
        } else {
            try {
                const auto& value = std::invoke(field.member, event);
                write_scalar(true);
                write_value<Class, false>(value);
            } catch (...) {
                write_scalar(false);
            }
        }
    }

    template <field_class Class, bool IsMember, class T>
    void write_value(const T& value) noexcept {
        if constexpr (is_optional<T>::value) {
            write_scalar(value.has_value());
            if (value) write_value<Class, IsMember>(*value);
        } else if constexpr (is_vector<T>::value) {
            write_scalar(value.size());
            for (const auto& element : value) {
                if (bytes_.state() != json_writer::condition::good) return;
                // As a reference to the element, also where that is a bit of std::vector<bool>.
                write_value<Class, IsMember>(static_cast<const typename T::value_type&>(element));
            }
        } else if constexpr (text<T>) {
            if (value.size() >= long_text_) return write_long_text(value, IsMember, Class == field_class::free_text);
            write_scalar(static_cast<std::uint32_t>(value.size()));
            bytes_.raw(value);
            most_ += most_of_byte_ * value.size();
        } else {
            write_scalar(value);
        }
    }

    void write_long_text(std::string_view value, bool is_member, bool is_free) noexcept {
        if (value.size() > limit_) {
            too_large_ = true;  // and is not read
            return;
        }
        write_scalar(static_cast<std::uint32_t>(value.size()));
        most_ += most_of_byte_ * value.size();
        if (!is_free) long_and_plain_ += value.size();
        if (is_member && reference_count_ < most_references_) {
            references_[reference_count_++] = {bytes_.size(), value.data(), value.size()};
        } else {
            bytes_.raw(value);
        }
    }

    template <class T>
    void write_scalar(const T& value) noexcept {
        bytes_.memory_of(value);
        most_ += most_of_scalar_;
    }

    /// As `most_`, with a look at what the long texts are made of. What a redactor makes of a free text is not known.
    [[nodiscard]] std::size_t most_exactly() const noexcept {
        std::size_t out = most_ - most_of_byte_ * long_and_plain_;
        with_parts({}, [&](std::span<const std::string_view> parts) {
            for (const auto part : parts) out += most_of_json(part);
        });
        return out;
    }

    std::size_t limit_;
    std::size_t most_ = 0;            ///< the most that all of it takes as JSON
    std::size_t long_and_plain_ = 0;  ///< bytes of the long texts that are not free texts
    bool too_large_ = false;
    json_writer bytes_;
    std::size_t reference_count_ = 0;
    std::array<reference, most_references_> references_;  // made when they are needed
};

}  // namespace candor::detail

#endif
