#ifndef CANDOR_SENTRY_CLIENT_HPP
#define CANDOR_SENTRY_CLIENT_HPP

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/delivery/options.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/platform/at_exit.hpp>
#include <candor/platform/errno_guard.hpp>
#include <candor/platform/fork.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/policies.hpp>
#include <candor/policy/transport.hpp>
#include <candor/privacy/redactor.hpp>
#include <candor/sentry/capture.hpp>
#include <candor/sentry/error_pipeline.hpp>
#include <candor/sentry/event.hpp>
#include <candor/sentry/protocol.hpp>
#include <candor/sentry/severity.hpp>

namespace candor::sentry {

/// What a program says of a client. Only the DSN is required.
struct client_options {
    std::string dsn{};
    std::string release{};                      ///< `name@version`: at most 200 characters, without `/`
    std::map<std::string, std::string> tags{};  ///< on every event; a value is cut to 200 characters
    double sample_rate = 1;                     ///< the share of the captures that is sent, from 0 to 1
    before_send_hook before_send{};
    std::vector<std::string> secrets{};  ///< texts to be taken out of everything that is sent, such as tokens in use
    std::chrono::milliseconds shutdown_timeout{2000};
    spool_options spool{};
    diagnostic_sink diagnostics{};  ///< called on the worker thread
};

/// Sends errors to a Sentry server, from one worker thread that the first error starts. No event names the machine, its
/// user or a directory.
///
/// Every member may be called from any thread. A destroyed client has delivered what it could within
/// `shutdown_timeout`. In a child made by `fork()` it starts anew, with nothing of what waited in the parent.
template <transport Transport, clock Clock>
class basic_client {
public:
    /// Makes its own transport and clock. Throws `configuration_error` for an option that cannot work. Not in a signal
    /// handler.
    explicit basic_client(const client_options& options) requires std::default_initializable<Transport> &&
        std::default_initializable<Clock> : session_{sessions(options)} {
        errno_.restore();
    }

    /// Uses a transport and a clock that outlive it. Not in a signal handler.
    basic_client(const client_options& options, Transport& transport, Clock& clock)
        : policies_{transport, clock}, session_{sessions(options)} {
        errno_.restore();
    }

    basic_client(const basic_client&) = delete;
    basic_client& operator=(const basic_client&) = delete;
    ~basic_client() { errno_.renew(); }

    /// Reports an exception with those nested in it and the stack of this thread. The same exception, captured once
    /// more on its way up, is answered `duplicate`; but not one whose destructor lies in a shared library that the
    /// program could unload. Never blocks on I/O; texts of over 64 KiB are cut. Not in a signal handler.
    template <std::derived_from<std::exception> Exception>
    admission capture(const Exception& exception, source_location where = source_location::current()) noexcept {
        return submit([&](detail::error_pipeline& to) {
            return to.capture(exception, detail::static_type_name<Exception>(), where);
        });
    }

    /// The same for whatever was thrown, such as `std::current_exception()`. A null one is answered `invalid`. Not in a
    /// signal handler.
    admission capture(const std::exception_ptr& exception,
                      source_location where = source_location::current()) noexcept {
        return submit([&](detail::error_pipeline& to) { return to.capture(exception, where); });
    }

    /// Reports a text. Not in a signal handler.
    admission capture_message(severity level, std::string_view text) noexcept {
        return submit([&](detail::error_pipeline& to) { return to.capture_message(level, text); });
    }

    /// Notes what happened on the way to an error: the last of these go with each event. Not in a signal handler.
    void add_breadcrumb(std::string_view category, std::string_view message, severity level = severity::info) noexcept {
        const candor::detail::errno_guard guard;
        if (session* const mine = session_.get()) mine->errors.add_breadcrumb(category, message, level);
    }

    /// Sends at once and waits. True when all that was captured before has been delivered, or left out by
    /// `before_send`; false when something was given up, when `timeout` passes, or as soon as it is certain to. Not in
    /// a signal handler.
    bool flush(std::chrono::milliseconds timeout) noexcept {
        const candor::detail::errno_guard guard;
        auto* const mine = session_.find();
        return mine == nullptr || mine->call([&](session& of) { return of.errors.delivery().flush(timeout); });
    }

    /// Delivers for at most `shutdown_timeout`, then puts what is left into the spool. Later captures are answered
    /// `closed`. Not in a signal handler.
    void shutdown() noexcept {
        const candor::detail::errno_guard guard;
        session_.retire();
        if (auto* const mine = session_.find()) mine->call([](session& of) { of.shutdown(); });
    }

    /// Of this process. Not in a signal handler.
    [[nodiscard]] candor::statistics statistics() const noexcept {
        const session* const mine = session_.find();
        return mine == nullptr ? candor::statistics{} : mine->errors.delivery().statistics();
    }

private:
    /// What belongs to one process.
    struct session {
        session(const client_options& options, candor::detail::policies<Transport, Clock>& policies)
            : errors{settings(options), policies}, shutdown_timeout{options.shutdown_timeout} {}

        void shutdown() noexcept {
            errors.delivery().shutdown(shutdown_timeout);
            errors.forget_last();
        }
        void shutdown_at_exit() noexcept { errors.delivery().shutdown_at_exit(shutdown_timeout); }
        void let_go() noexcept {
            if (errors.delivery().is_calling_back()) errors.delivery().let_go();
        }

        detail::error_pipeline errors;
        const std::chrono::milliseconds shutdown_timeout;
    };
    using bounded_session = candor::detail::until_exit<session>;

    template <class Capture>
    admission submit(const Capture& capture) noexcept {
        const candor::detail::errno_guard guard;
        if (session* const mine = session_.get()) return capture(mine->errors);
        return session_.is_retired() ? admission::closed : admission::out_of_memory;
    }

    std::function<std::unique_ptr<bounded_session>()> sessions(const client_options& options) {
        candor::detail::check_not_negative("shutdown_timeout", options.shutdown_timeout);
        candor::detail::check(options.spool);
        return [this, options] { return std::make_unique<bounded_session>(options, policies_); };
    }

    static detail::error_settings settings(const client_options& options) {
        const redactor secrets{options.secrets};
        if (!detail::is_release(options.release))
            throw configuration_error{"release", options.release, detail::release_rule};
        return {.destination = detail::checked_dsn("dsn", options.dsn),
                .release = options.release,
                .tags = options.tags,
                .sample_rate = options.sample_rate,
                .before_send = options.before_send,
                .secrets = secrets,
                .delivery = {.spool = options.spool},
                .diagnostics = candor::detail::redacting(options.diagnostics, secrets)};
    }

    candor::detail::object_errno_guard errno_{};
    candor::detail::policies<Transport, Clock> policies_;
    candor::detail::per_process<bounded_session> session_;
};

}  // namespace candor::sentry

#endif
