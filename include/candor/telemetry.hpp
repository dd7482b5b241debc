#ifndef CANDOR_TELEMETRY_HPP
#define CANDOR_TELEMETRY_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/consent/level.hpp>
#include <candor/delivery/options.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/event/fields.hpp>
#include <candor/event/packed.hpp>
#include <candor/identity/account.hpp>
#include <candor/identity/internal_team.hpp>
#include <candor/identity/late_identity.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/file_system.hpp>
#include <candor/policy/policies.hpp>
#include <candor/policy/product.hpp>
#include <candor/policy/transport.hpp>
#include <candor/privacy/redactor.hpp>
#include <candor/rudderstack/client.hpp>

namespace candor {

/// What a program says of its telemetry. Only `product` is required; a destination without a URL is off.
struct telemetry_options {
    candor::product product{};
    candor::level level = level::all;      ///< from `resolve_level`
    std::string write_key{};               ///< `<PREFIX>_RUDDERSTACK_WRITE_KEY` overrides
    std::string data_plane_url{};          ///< `<PREFIX>_RUDDERSTACK_DATA_PLANE_URL` overrides
    account_source account{};              ///< on whose behalf; called on the worker thread. Empty: always anonymous
    internal_team_filter internal_team{};  ///< empty: `team_internal` in the product's configuration file
    std::vector<std::string> secrets{};    ///< texts to take out of every `free_text`, such as tokens in use
    std::optional<uuid> invocation_id{};   ///< of this run of the program, where it has one already; else random
    std::chrono::milliseconds shutdown_timeout{500};  ///< the most that the destructor takes
    delivery_options delivery{};
    diagnostic_sink diagnostics{};  ///< called on the constructing thread and on the worker
};

/// A program's telemetry, in one object. Every member but construction and destruction may be called from any thread.
///
/// Where nothing may be sent (level `none`, a development build, no URL) it makes no thread, socket, id or file, and
/// reads neither clock nor environment.
template <transport Transport, clock Clock, environment Environment = process_environment>
class basic_telemetry {
public:
    /// Makes its own policies. Throws `configuration_error` for an option that the program got wrong; what is wrong in
    /// the environment turns that destination off instead, with a diagnostic.
    explicit basic_telemetry(const telemetry_options& options) requires std::default_initializable<Transport> &&
        std::default_initializable<Clock> && std::default_initializable<Environment> {
        start(options, Environment{});
    }

    /// Uses a transport and a clock that outlive it; the environment is read now and not kept.
    basic_telemetry(const telemetry_options& options, Transport& transport, Clock& clock,
                    const Environment& environment = {}) {
        start(options, environment, transport, clock);
    }

    basic_telemetry(const basic_telemetry&) = delete;
    basic_telemetry& operator=(const basic_telemetry&) = delete;
    ~basic_telemetry() { shutdown(); }

    /// Records an event. Never blocks on I/O; the event may be destroyed at once.
    template <event Event>
    admission track(const Event& event) noexcept {
        if (!analytics_) {
            disabled_.fetch_add(1, std::memory_order_relaxed);
            return admission::disabled;
        }
        auto& [policies, events, shutdown_timeout, delivery] = *analytics_;
        if (const auto refused = delivery.would_refuse()) return *refused;
        rudderstack::detail::record_header header{
            .original_timestamp = policies.clock().wall_now().time_since_epoch().count(),
            .event = &detail::event_type_of<Event>};
        try {
            header.message_id = uuid::random();
        } catch (...) {
            return delivery.refuse(admission::out_of_memory);
        }
        const auto head_size = rudderstack::detail::event_head_size(Event::event_name);
        detail::event_packer packed{events.message_bytes - std::min(events.message_bytes, head_size)};
        const auto state = packed.pack(event, events.invocation, events.secrets);
        return rudderstack::detail::submit(delivery, header, state, packed.bytes());
    }

    /// Sends at once and waits. True when every event before this call has been delivered, or left out on purpose (an
    /// internal team, no account); false when one was given up, when `timeout` passes, or as soon as it is certain to.
    bool flush(std::chrono::milliseconds timeout) noexcept {
        return !analytics_ || analytics_->delivery.flush(timeout);
    }

    /// Delivers for at most `shutdown_timeout`, then gives up what is left. Later events are answered `closed`.
    void shutdown() noexcept {
        if (analytics_) analytics_->delivery.shutdown(analytics_->shutdown_timeout);
    }

    /// Whether analytics events have a destination.
    [[nodiscard]] bool sends_events() const noexcept { return analytics_.has_value(); }

    /// The UUID of this run of the program; nil where nothing is sent.
    [[nodiscard]] uuid invocation_id() const noexcept { return analytics_ ? analytics_->events.invocation : uuid{}; }

    [[nodiscard]] candor::statistics statistics() const noexcept {
        candor::statistics out;
        if (analytics_) out = analytics_->delivery.statistics();
        out.refused[admission::disabled] += disabled_.load(std::memory_order_relaxed);
        return out;
    }

private:
    /// All that exists only where events are sent.
    struct analytics {
        template <class... Lent>
        analytics(const url& data_plane, std::string_view write_key, rudderstack::detail::event_context&& context,
                  const telemetry_options& options, Lent&... lent)
            : policies{lent...},
              events{std::move(context)},
              shutdown_timeout{options.shutdown_timeout},
              delivery{rudderstack::detail::make_pipeline(data_plane, write_key, &events, options.delivery,
                                                          options.diagnostics, policies.transport(),
                                                          policies.clock())} {}

        detail::policies<Transport, Clock> policies;
        rudderstack::detail::event_context events;
        std::chrono::milliseconds shutdown_timeout;
        rudderstack::detail::pipeline<Transport, Clock> delivery;
    };

    template <class... Lent>
    void start(const telemetry_options& options, const Environment& variables, Lent&... lent) {
        check(options);
        if (!sends_analytics(options.level)) return;

        const auto variable = [&](const char* suffix) -> std::optional<std::string> {
            if (options.product.env_prefix.empty()) return std::nullopt;
            return variables.get(options.product.variable(suffix).c_str());
        };
        const auto override_of = [&](const char* suffix) {
            auto value = variable(suffix);
            if (value && value->empty()) value.reset();
            return value;
        };
        const auto data_plane = override_of("RUDDERSTACK_DATA_PLANE_URL");
        const auto write_key = override_of("RUDDERSTACK_WRITE_KEY");
        if (!data_plane && (options.product.is_development() || options.data_plane_url.empty())) return;

        const auto is_internal = options.internal_team
                                     ? options.internal_team
                                     : internal_team_from_config(variables, options.product.name, options.diagnostics);
        try {
            const url destination =
                rudderstack::detail::checked_data_plane_url(data_plane.value_or(options.data_plane_url));
            const std::string key = write_key.value_or(options.write_key);
            rudderstack::detail::check_write_key(key);
            const uuid invocation = options.invocation_id ? *options.invocation_id : uuid::random();
            rudderstack::detail::event_context events{.identity = {invocation, variable("CLOUD").has_value(),
                                                                   options.account, is_internal, options.diagnostics},
                                                      .invocation = invocation,
                                                      .secrets = redactor::make(variables, options.secrets),
                                                      .message_bytes = options.delivery.message_bytes};
            analytics_.emplace(destination, key, std::move(events), options, lent...);
        } catch (const configuration_error& error) {
            // The options alone were found good, so without a variable it is their combination that is the program's.
            if (!data_plane && !write_key) throw;
            detail::report(options.diagnostics,
                           "analytics are off: a variable of the environment set " + std::string{error.what()});
        }
    }

    /// Throws for what is wrong whatever the environment says.
    static void check(const telemetry_options& options) {
        if (!detail::is_file_name(options.product.name))
            throw configuration_error{"product.name", options.product.name, "a name that a directory can have"};
        detail::check_not_negative("shutdown_timeout", options.shutdown_timeout);
        detail::check(options.delivery);
        if (!options.data_plane_url.empty()) rudderstack::detail::checked_data_plane_url(options.data_plane_url);
        if (!options.write_key.empty()) rudderstack::detail::check_write_key(options.write_key);
    }

    std::atomic<std::uint64_t> disabled_{0};
    std::optional<analytics> analytics_;
};

}  // namespace candor

#endif
