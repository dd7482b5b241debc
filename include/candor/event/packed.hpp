#ifndef CANDOR_EVENT_PACKED_HPP
#define CANDOR_EVENT_PACKED_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string_view>
#include <tuple>
#include <type_traits>

#include <candor/consent/ci.hpp>
#include <candor/event/fields.hpp>
#include <candor/event/json_writer.hpp>
#include <candor/event/properties.hpp>
#include <candor/identity/late_identity.hpp>
#include <candor/privacy/redactor.hpp>

namespace candor::detail {

/// Reads packed values in the order in which they were packed.
class packed_reader {
public:
    explicit packed_reader(std::string_view bytes) noexcept : rest_{bytes} {}

    template <class T>
    [[nodiscard]] T take() noexcept {
        T value;
        std::memcpy(&value, rest_.data(), sizeof value);
        rest_.remove_prefix(sizeof value);
        return value;
    }

    [[nodiscard]] std::string_view take_text() noexcept {
        const auto size = take<std::uint32_t>();
        const auto text = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return text;
    }

private:
    std::string_view rest_;
};

/// Whether a packed field may turn out to be left out because the event's own member function threw.
template <class Member, class Event>
inline constexpr bool may_throw = !std::is_nothrow_invocable_v<Member, const Event&>;

template <field_class Class, class T>
void write_packed_value(json_writer& out, packed_reader& in, const redactor& secrets) noexcept {
    if constexpr (is_optional<T>::value) {
        write_packed_value<Class, typename T::value_type>(out, in, secrets);
    } else if constexpr (is_vector<T>::value) {
        out.raw("[");
        for (auto left = in.take<std::size_t>(); left > 0; --left) {
            if (out.state() != json_writer::condition::good) return;
            out.separate();
            write_packed_value<Class, typename T::value_type>(out, in, secrets);
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
/// their declaration, from the values that `event_packer` packed. An empty optional is left out. What became of it is
/// the writer's `state()`.
template <event Event>
void write_packed_properties(json_writer& out, std::string_view packed, const run_facts& run,
                             const redactor& secrets) noexcept {
    packed_reader in{packed};
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
            write_packed_value<Class, value>(out, in, secrets);
        }
    };
    constexpr auto declared = Event::fields();
    std::apply([&](const auto&... field) { (write(field), ...); }, declared);
}

/// What there is to know of an event whose values are packed.
struct event_type {
    std::string_view name;
    bool requires_account;
    bool refreshes_account;
    identity_fields identity;
    void (*write_properties)(json_writer& out, std::string_view packed, const run_facts& run,
                             const redactor& secrets) noexcept;
};

template <event Event>
inline constexpr event_type event_type_of{Event::event_name, requires_account<Event>(), refreshes_account<Event>(),
                                          identity_of<Event>(), write_packed_properties<Event>};

/// The values of an event's fields, copied one behind the other. Writing them as JSON takes several times as long, so
/// the program's thread only copies, and the worker writes.
class event_packer {
public:
    /// `limit` is what the properties may take as JSON. A packed value takes at most eight times its JSON.
    explicit event_packer(std::size_t limit) noexcept : limit_{limit}, bytes_{8 * limit} {}

    /// Packs an event; call it once. The answer is that of writing them with that limit: most events surely
    /// fit, and one that may not is written on trial.
    template <event Event>
    json_writer::condition pack(const Event& event, const run_facts& run, const redactor& secrets) noexcept {
        constexpr auto declared = Event::fields();
        std::apply([&](const auto&... field) { (pack_field(event, field), ...); }, declared);
        if (too_large_) return json_writer::condition::too_large;
        if (bytes_.state() != json_writer::condition::good) return bytes_.state();
        if (most_ <= limit_) return json_writer::condition::good;
        json_writer trial{limit_};
        write_packed_properties<Event>(trial, bytes(), run, secrets);
        return trial.state();
    }

    [[nodiscard]] std::string_view bytes() const noexcept { return bytes_.text(); }

private:
    /// More than any value but a text takes as JSON.
    static constexpr std::size_t most_of_scalar_ = 48;
    static_assert(longest_ci_name + sizeof("\"\",:\"\"") < most_of_scalar_);
    /// What a byte of a text takes at most: `\u0000`. Redaction lengthens a text by less.
    static constexpr std::size_t most_of_byte_ = 6;

    template <class Event, class Member, field_class Class>
    void pack_field(const Event& event, const field_declaration<Member, Class>& field) noexcept {
        most_ += field.name.size() + most_of_scalar_;
        if constexpr (Class == field_class::invocation_id || Class == field_class::ci) {
            return;
        } else if constexpr (!may_throw<Member, Event>) {
            pack_value(std::invoke(field.member, event));
        } else {
            try {
                const auto& value = std::invoke(field.member, event);
                pack_scalar(true);
                pack_value(value);
            } catch (...) {
                pack_scalar(false);
            }
        }
    }

    template <class T>
    void pack_value(const T& value) noexcept {
        if constexpr (is_optional<T>::value) {
            pack_scalar(value.has_value());
            if (value) pack_value(*value);
        } else if constexpr (is_vector<T>::value) {
            pack_scalar(value.size());
            for (const auto& element : value) {
                if (bytes_.state() != json_writer::condition::good) return;
                pack_value(static_cast<const typename T::value_type&>(element));  // of std::vector<bool> too
            }
        } else if constexpr (text<T>) {
            if (value.size() > limit_) {
                too_large_ = true;  // and is not read
                return;
            }
            pack_scalar(static_cast<std::uint32_t>(value.size()));
            bytes_.raw(value);
            most_ += most_of_byte_ * value.size();
        } else {
            pack_scalar(value);
        }
    }

    template <class T>
    void pack_scalar(const T& value) noexcept {
        bytes_.memory_of(value);
        most_ += most_of_scalar_;
    }

    std::size_t limit_;
    std::size_t most_ = 0;  ///< the most that all of it takes as JSON
    bool too_large_ = false;
    json_writer bytes_;
};

}  // namespace candor::detail

#endif
