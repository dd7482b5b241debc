#ifndef CANDOR_TELEMETRY_SESSION_HPP
#define CANDOR_TELEMETRY_SESSION_HPP

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <candor/delivery/options.hpp>
#include <candor/delivery/pipeline.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/identity/account.hpp>
#include <candor/identity/internal_team.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/platform/at_exit.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/policies.hpp>
#include <candor/policy/transport.hpp>
#include <candor/policy/url.hpp>
#include <candor/privacy/redactor.hpp>
#include <candor/rudderstack/client.hpp>
#include <candor/sentry/error_pipeline.hpp>

namespace candor::detail {

/// Where events go, and on whose behalf.
struct analytics_settings {
    url data_plane{};
    std::string write_key{};
    uuid invocation{};
    std::string_view ci{};
    bool in_cloud = false;
    account_source account{};
    internal_team_filter internal_team{};
    redactor secrets{};
    delivery_options delivery{};
    diagnostic_sink diagnostics{};
};

/// All that exists only where events are sent.
struct analytics_pipeline {
    template <transport Transport, clock Clock>
    analytics_pipeline(const analytics_settings& of, policies<Transport, Clock>& policies)
        : context{new rudderstack::detail::event_context{
              .identity = {of.in_cloud, of.account, of.internal_team, of.diagnostics},
              .run = {of.invocation, of.ci},
              .secrets = of.secrets,
              .message_bytes = of.delivery.message_bytes}},
          delivery{rudderstack::detail::make_pipeline(of.data_plane, of.write_key, context, of.delivery, of.diagnostics,
                                                      policies)} {}

    const std::shared_ptr<rudderstack::detail::event_context> context;
    const std::unique_ptr<pipeline> delivery;
};

/// What a program's telemetry has in one process: a pipeline for each destination that there is, and what is done to
/// both at once. Its policies outlive it. Any thread.
class telemetry_session {
public:
    /// Throws `configuration_error` where the transport can never reach a server.
    template <transport Transport, clock Clock>
    telemetry_session(const std::optional<analytics_settings>& to_analytics,
                      const std::optional<sentry::detail::error_settings>& to_errors, std::chrono::milliseconds timeout,
                      policies<Transport, Clock>& policies)
        : clock_{policies.any_clock()}, shutdown_timeout_{timeout} {
        if (to_analytics) analytics.emplace(*to_analytics, policies);
        if (to_errors) errors.emplace(*to_errors, policies);
    }

    bool flush(std::chrono::milliseconds timeout) noexcept {
        const auto deadline = after(clock_.now(), timeout);
        const bool delivered = !analytics || analytics->delivery->flush(timeout);
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock_.now());
        return (!errors || errors->delivery().flush(left)) && delivered;
    }

    /// In a callback of one worker the other is not waited for, which may wait for this one.
    void shutdown() noexcept {
        close();
        if (any(&pipeline::is_calling_back)) return;
        each([this](pipeline& one) { one.shutdown(shutdown_timeout_); });
        if (errors) errors->forget_last();
    }

    void shutdown_at_exit() noexcept {
        if (at_exit::is_quick())
            return pipeline::end_quickly(shutdown_timeout_, [this](const auto& step) { each(step); });
        close();
        each([this](pipeline& one) { one.shutdown_at_exit(shutdown_timeout_); });
    }

    void revoke() noexcept {
        each([](pipeline& one) { one.revoke(); });
        each([](pipeline& one) { one.shutdown(std::chrono::milliseconds{0}); });
    }

    /// It is about to be destroyed: a callback does not keep it, and is not kept.
    void let_go() noexcept {
        if (any(&pipeline::is_calling_back)) each([](pipeline& one) { one.let_go(); });
    }

    /// Whether either worker is as that says.
    [[nodiscard]] bool any(bool (pipeline::*is)() const noexcept) noexcept {
        bool out = false;
        each([&](const pipeline& one) { out = out || (one.*is)(); });
        return out;
    }

    [[nodiscard]] candor::statistics statistics() const noexcept {
        candor::statistics out;
        if (analytics) out += analytics->delivery->statistics();
        if (errors) out += errors->delivery().statistics();
        return out;
    }

    std::optional<analytics_pipeline> analytics;
    std::optional<sentry::detail::error_pipeline> errors;

private:
    /// Nothing more is accepted. A run that had something to deliver has time for what earlier ones have stored, of
    /// whatever kind.
    void close() noexcept {
        if (any(&pipeline::is_used)) each([](pipeline& one) { one.try_stored(); });
        each([this](pipeline& one) { one.close(shutdown_timeout_); });
    }

    template <class Call>
    void each(const Call& call) noexcept {
        if (analytics) call(*analytics->delivery);
        if (errors) call(errors->delivery());
    }

    clock_interface& clock_;
    const std::chrono::milliseconds shutdown_timeout_;
};

}  // namespace candor::detail

#endif
