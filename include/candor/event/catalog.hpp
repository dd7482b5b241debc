#ifndef CANDOR_EVENT_CATALOG_HPP
#define CANDOR_EVENT_CATALOG_HPP

#include <concepts>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

#include <candor/event/fields.hpp>
#include <candor/identity/identity_resolver.hpp>
#include <candor/identity/uuid.hpp>

namespace candor {

/// The events that a program can send. One that names them where it declares its telemetry type cannot send another,
/// and so its catalog is complete.
template <event... Events>
struct event_list {
    template <class Event>
    static constexpr bool contains = (std::same_as<Event, Events> || ...);
};

/// The list of a program that names none: it can send every event.
struct any_event {
    template <class>
    static constexpr bool contains = true;
};

/// What a catalog says of a field.
struct catalog_field {
    std::string_view name{};
    std::string type{};                 ///< as it stands in JSON, such as `string` or `list of integer`
    bool optional = false;              ///< left out where there is nothing to say
    std::string_view classification{};  ///< `plain`, `free_text`, `invocation_id`, `ci` or `identity`
    std::string_view description{};
};

/// What a catalog says of an event.
struct catalog_event {
    std::string_view name{};
    bool requires_account = false;  ///< not sent where nobody is logged in
    std::vector<catalog_field> fields{};
};

/// What the program may send, taken from the very declarations by which it is sent.
using catalog = std::vector<catalog_event>;

namespace detail {

template <class T>
std::string catalog_type() {
    if constexpr (is_optional<T>::value) {
        return catalog_type<typename T::value_type>();
    } else if constexpr (is_vector<T>::value) {
        return "list of " + catalog_type<typename T::value_type>();
    } else if constexpr (std::is_same_v<T, bool>) {
        return "boolean";
    } else if constexpr (is_duration<T>::value) {
        return "integer (nanoseconds)";
    } else if constexpr (is_wall_time<T>::value) {
        return "string (time)";
    } else if constexpr (std::is_same_v<T, uuid>) {
        return "string (UUID)";
    } else if constexpr (std::is_integral_v<T>) {
        return "integer";
    } else if constexpr (std::is_floating_point_v<T>) {
        return "number";
    } else {
        return "string";
    }
}

template <event Event, class Member, field_class Class>
catalog_field catalog_entry(const field_declaration<Member, Class>& field) {
    catalog_field out{.name = field.name, .description = field.description};
    if constexpr (Class == field_class::invocation_id) {
        out.type = catalog_type<uuid>();
        out.classification = "invocation_id";
    } else if constexpr (Class == field_class::ci) {
        out.type = catalog_type<std::string>();
        out.optional = true;
        out.classification = "ci";
    } else {
        using value = std::remove_cvref_t<std::invoke_result_t<Member, const Event&>>;
        out.type = catalog_type<value>();
        out.optional = is_optional<value>::value;
        out.classification = Class == field_class::free_text ? "free_text" : "plain";
    }
    return out;
}

template <event Event>
catalog_event catalog_entry() {
    catalog_event out{.name = Event::event_name, .requires_account = requires_account<Event>()};
    std::apply([&](const auto&... field) { (out.fields.push_back(catalog_entry<Event>(field)), ...); },
               Event::fields());
    for (const auto& property : identity_properties) {
        if (!contains(identity_of<Event>(), property.bit)) continue;
        const bool is_invocation = property.bit == identity_fields::invocation_uuid;
        out.fields.push_back({.name = property.name,
                              .type = is_invocation                ? catalog_type<uuid>()
                                      : property.name == "$groups" ? "object"
                                                                   : "string",
                              .optional = !is_invocation && !out.requires_account,
                              .classification = "identity",
                              .description = property.description});
    }
    return out;
}

}  // namespace detail

/// The catalog of these events, in their order.
template <event... Events>
[[nodiscard]] catalog make_catalog(event_list<Events...> = {}) {
    return {detail::catalog_entry<Events>()...};
}

/// The catalog as JSON: `{"events":[{"name", "requires_account", "fields":[{"name", "type", "optional", "class",
/// "description"}]}]}`. Throws `std::bad_alloc`.
[[nodiscard]] inline nlohmann::ordered_json to_json(const catalog& of) {
    auto events = nlohmann::ordered_json::array();
    for (const auto& event : of) {
        auto fields = nlohmann::ordered_json::array();
        for (const auto& field : event.fields)
            fields.push_back({{"name", field.name},
                              {"type", field.type},
                              {"optional", field.optional},
                              {"class", field.classification},
                              {"description", field.description}});
        events.push_back({{"name", event.name}, {"requires_account", event.requires_account}, {"fields", fields}});
    }
    return {{"events", events}};
}

/// The catalog as a document for users, in Markdown. It ends with a newline. Throws `std::bad_alloc`.
[[nodiscard]] inline std::string to_markdown(const catalog& of) {
    std::string out =
        "Every event has, beside the fields below: a random id, the time at which it happened and at which it was "
        "sent,\nthe random id of the run of the program, the account's id where somebody is logged in, and the name "
        "and version of\nthe library that sends it. Fields marked * are left out where there is nothing to say. The "
        "class of a field says how\nit is treated: `plain` is sent as it is, `free_text` may quote anything and passes "
        "the redactor first, `identity` says\non whose behalf, `invocation_id` is the id of the run, `ci` the "
        "continuous\nintegration system that runs the program.\n";
    for (const auto& event : of) {
        out.append("\n## `").append(event.name).append("`\n\n");
        if (event.requires_account) out += "Sent only where somebody is logged in.\n\n";
        out += "| field | type | class | description |\n|---|---|---|---|\n";
        for (const auto& field : event.fields) {
            out.append("| `").append(field.name).append(field.optional ? "` * | " : "` | ").append(field.type);
            out.append(" | `").append(field.classification).append("` | ");
            for (const char c : field.description) {
                if (c == '|') out += '\\';  // else it would end the cell
                out += c;
            }
            out += " |\n";
        }
    }
    return out;
}

/// The document that a program gives its users, which `telemetry catalog` prints too: a heading and the catalog.
template <event... Events>
[[nodiscard]] std::string telemetry_document(std::string_view product_name, event_list<Events...> events = {}) {
    return "# What " + std::string{product_name} + " can send\n\n" + to_markdown(make_catalog(events));
}

}  // namespace candor

#endif
