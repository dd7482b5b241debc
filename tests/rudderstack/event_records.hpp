// Events, and the records that `track` makes of them, for tests of what becomes of a record.
#ifndef CANDOR_TESTS_RUDDERSTACK_EVENT_RECORDS_HPP
#define CANDOR_TESTS_RUDDERSTACK_EVENT_RECORDS_HPP

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <candor/event/fields.hpp>
#include <candor/event/serialized_event.hpp>
#include <candor/identity/account.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/policy/url.hpp>
#include <candor/rudderstack/event_message.hpp>
#include <candor/rudderstack/protocol.hpp>

namespace candor::tests {

/// An event that is always sent.
struct step_done {
    static constexpr std::string_view event_name = "step_done";
    std::string name{};
    std::optional<std::string> error{};

    static constexpr auto fields() {
        return std::tuple{field("name", &step_done::name, "Name"), free_text("error", &step_done::error, "Error")};
    }
};

/// An event that is sent only for somebody who is logged in.
struct step_billed {
    static constexpr std::string_view event_name = "step_billed";
    static constexpr bool requires_account = true;
    static constexpr identity_fields identity = identity_fields::user_id;
    static constexpr auto fields() { return std::tuple{}; }
};

/// Somebody logs in.
struct signed_in {
    static constexpr std::string_view event_name = "signed_in";
    static constexpr bool requires_account = true;
    static constexpr bool refreshes_account = true;
    static constexpr auto fields() { return std::tuple{}; }
};

/// One run of a program that tracks events.
struct event_records {
    explicit event_records(std::optional<account> user, bool in_cloud = false)
        : who{std::move(user)},
          context{new rudderstack::detail::event_context{
              .identity = {in_cloud,
                           [this] {
                               ++asked;
                               return who;
                           },
                           [this](const std::optional<account>&) { return is_internal; },
                           {}},
              .run = {uuid::random(), {}},
              .secrets = redactor{{"hunter2"}},
              .message_bytes = 32768}} {}

    template <event Event>
    [[nodiscard]] std::string record(const Event& of) {
        using namespace std::chrono_literals;
        const wall_time when = std::chrono::sys_days{std::chrono::January / 2 / 2026} + 3h + 4min + 5s;
        const rudderstack::detail::record_header header{.original_timestamp = when.time_since_epoch().count(),
                                                        .event = &detail::event_type_of<Event>,
                                                        .message_id = uuid::random(),
                                                        .refreshes = Event::event_name == signed_in::event_name
                                                                         ? context->identity.refresh()
                                                                         : context->identity.refreshes()};
        detail::event_serializer values{context->message_bytes};
        static_cast<void>(values.serialize(of, context->run, context->secrets));
        return values.with_parts(header.bytes(), [](std::span<const std::string_view> parts) {
            std::string out;
            for (const auto part : parts) out += part;
            return out;
        });
    }

    std::optional<account> who;
    bool is_internal = false;
    int asked = 0;
    std::shared_ptr<rudderstack::detail::event_context> context;
    rudderstack::detail::protocol protocol{*detail::parse_url("http://plane"), "key", context};
};

}  // namespace candor::tests

#endif
