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
#include <candor/policy/at_exit.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/fork.hpp>
#include <candor/policy/policies.hpp>
#include <candor/policy/transport.hpp>
#include <candor/privacy/redactor.hpp>
#include <candor/sentry/capture.hpp>
#include <candor/sentry/protocol.hpp>
#include <candor/sentry/reporter.hpp>
#include <candor/sentry/severity.hpp>

namespace candor::sentry {

/// What a program says of a client. Only the DSN is required.
struct client_options {
    std::string dsn{};
    std::string release{};                      ///< `name@version`
    std::map<std::string, std::string> tags{};  ///< on every event; a value is cut to 200 characters
    double sample_rate = 1;                     ///< which part of the captures is sent, from 0 to 1
    before_send_hook before_send{};
    std::vector<std::string> secrets{};  ///< texts to take out of everything that is said, such as tokens in use
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
    /// Makes its own transport and clock. Throws `configuration_error` for an option that cannot work.
    explicit basic_client(const client_options& options) requires std::default_initializable<Transport> &&
        std::default_initializable<Clock> : session_{sessions(options)} {}

    /// Uses a transport and a clock that outlive it.
    basic_client(const client_options& options, Transport& transport, Clock& clock)
        : policies_{transport, clock}, session_{sessions(options)} {}

    basic_client(const basic_client&) = delete;
    basic_client& operator=(const basic_client&) = delete;

    /// Reports an exception with those nested in it and the stack of this thread. The same exception, captured once
    /// more on its way up, is answered `duplicate`. Never blocks on I/O; texts of over 64 KiB are cut.
    template <std::derived_from<std::exception> Exception>
    admission capture(const Exception& exception, source_location where = source_location::current()) noexcept {
        return submit(
            [&](reporter& to) { return to.capture(exception, detail::static_type_name<Exception>(), where); });
    }

    /// The same for whatever was thrown, such as `std::current_exception()`. A null one is answered `invalid`.
    admission capture(const std::exception_ptr& exception,
                      source_location where = source_location::current()) noexcept {
        return submit([&](reporter& to) { return to.capture(exception, where); });
    }

    /// Reports a text.
    admission capture_message(severity level, std::string_view text) noexcept {
        return submit([&](reporter& to) { return to.capture_message(level, text); });
    }

    /// Notes what happened on the way to an error: the last of these go with each event.
    void add_breadcrumb(std::string_view category, std::string_view message, severity level = severity::info) noexcept {
        if (session* const mine = session_.get()) mine->errors.add_breadcrumb(category, message, level);
    }

    /// Sends at once and waits. True when all that was captured before has been delivered, or left out by
    /// `before_send`; false when something was given up, when `timeout` passes, or as soon as it is certain to.
    bool flush(std::chrono::milliseconds timeout) noexcept {
        session* const mine = session_.find();
        return mine == nullptr || mine->errors.delivery().flush(timeout);
    }

    /// Delivers for at most `shutdown_timeout`, then puts what is left into the spool. Later captures are answered
    /// `closed`.
    void shutdown() noexcept {
        session_.retire();
        if (session* const mine = session_.find()) mine->shutdown();
    }

    /// Of this process.
    [[nodiscard]] candor::statistics statistics() const noexcept {
        const session* const mine = session_.find();
        return mine == nullptr ? candor::statistics{} : mine->errors.delivery().statistics();
    }

private:
    using reporter = detail::reporter<Transport, Clock>;

    /// What is of one process.
    struct session {
        session(const client_options& options, const candor::detail::policies<Transport, Clock>& policies)
            : errors{settings(options), policies.transport(), policies.clock()},
              shutdown_timeout{options.shutdown_timeout} {}

        void shutdown() noexcept { errors.delivery().shutdown(shutdown_timeout); }

        reporter errors;
        const std::chrono::milliseconds shutdown_timeout;
    };
    using bounded_session = candor::detail::until_exit<session>;

    template <class Capture>
    admission submit(const Capture& capture) noexcept {
        if (session* const mine = session_.get()) return capture(mine->errors);
        return session_.is_retired() ? admission::closed : admission::out_of_memory;
    }

    std::function<std::unique_ptr<bounded_session>()> sessions(const client_options& options) {
        candor::detail::check_not_negative("shutdown_timeout", options.shutdown_timeout);
        return [this, options] { return std::make_unique<bounded_session>(options, policies_); };
    }

    static detail::reporter_settings settings(const client_options& options) {
        const redactor secrets{options.secrets};
        return {.destination = detail::checked_dsn("dsn", options.dsn),
                .release = options.release,
                .tags = options.tags,
                .sample_rate = options.sample_rate,
                .before_send = options.before_send,
                .secrets = secrets,
                .spool = options.spool,
                .diagnostics = candor::detail::redacting(options.diagnostics, secrets)};
    }

    candor::detail::policies<Transport, Clock> policies_;
    candor::detail::per_process<bounded_session> session_;
};

}  // namespace candor::sentry

#endif
