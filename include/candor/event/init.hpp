#ifndef CANDOR_EVENT_INIT_HPP
#define CANDOR_EVENT_INIT_HPP

#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include <candor/event/fields.hpp>

namespace candor {

namespace detail {

/// What both init events say.
template <class Event>
constexpr auto init_fields() {
    return std::tuple{
        field("source", &Event::source, "Source that was chosen"),
        field("destination", &Event::destination, "Destination that was chosen"),
        field("accept_defaults", &Event::accept_defaults, "Whether every default was accepted unasked"),
        free_text("spec_path", &Event::spec_path, "Path of the specification file, home directory redacted"),
        free_text("error", &Event::error, "Error message, secrets redacted"),
    };
}

}  // namespace detail

/// A program begins to set up a project.
struct init_started {
    static constexpr std::string_view event_name = "init_started";

    std::optional<std::string> source{};
    std::optional<std::string> destination{};
    bool accept_defaults = false;
    std::optional<std::string> spec_path{};
    std::optional<std::string> error{};

    static constexpr auto fields() { return detail::init_fields<init_started>(); }
};

/// A program has set up a project, or failed to.
struct init_completed {
    static constexpr std::string_view event_name = "init_completed";

    std::optional<std::string> source{};
    std::optional<std::string> destination{};
    bool accept_defaults = false;
    std::optional<std::string> spec_path{};
    std::optional<std::string> error{};
    std::string status = "success";  ///< `success` or `error`

    static constexpr auto fields() {
        return std::tuple_cat(detail::init_fields<init_completed>(),
                              std::tuple{field("status", &init_completed::status, "`success` or `error`")});
    }
};

}  // namespace candor

#endif
