#ifndef CANDOR_TELEMETRY_HPP
#define CANDOR_TELEMETRY_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <candor/consent/ci.hpp>
#include <candor/consent/level.hpp>
#include <candor/delivery/options.hpp>
#include <candor/delivery/spool/spool.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/event/catalog.hpp>
#include <candor/event/fields.hpp>
#include <candor/event/serialized_event.hpp>
#include <candor/identity/account.hpp>
#include <candor/identity/identity_resolver.hpp>
#include <candor/identity/internal_team.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/platform/at_exit.hpp>
#include <candor/platform/errno_guard.hpp>
#include <candor/platform/fork.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/policies.hpp>
#include <candor/policy/product.hpp>
#include <candor/policy/transport.hpp>
#include <candor/privacy/redactor.hpp>
#include <candor/rudderstack/client.hpp>
#include <candor/sentry/capture.hpp>
#include <candor/sentry/crash.hpp>
#include <candor/sentry/crash_event.hpp>
#include <candor/sentry/crash_recovery.hpp>
#include <candor/sentry/envelope.hpp>
#include <candor/sentry/error_pipeline.hpp>
#include <candor/sentry/event.hpp>
#include <candor/sentry/severity.hpp>
#include <candor/sentry/terminate.hpp>
#include <candor/telemetry_options.hpp>
#include <candor/telemetry_session.hpp>

namespace candor {

/// A program's telemetry, in one object. Every member but construction and destruction may be called from any thread.
///
/// `Events` is an `event_list` of all that the program can send: tracking any other event does not compile. Without one
/// every event can be sent.
///
/// Where nothing may be sent (level `none`, a development build, no URL) it makes no thread, socket, id or file, and
/// does not look at the clock. What an earlier run left undelivered and the level does not allow any more is removed.
///
/// A child made by `fork()` may use its parent's object, whatever the parent's threads did at that moment: it has a
/// queue, a worker and connections of its own from its first event on, the same invocation id, and nothing of what
/// waited in the parent, which delivers that itself. Not in a callback: a child made there must end or start another
/// program. POSIX lets a child of a program with several threads do little before that; candor needs no more than that
/// it may allocate memory and start a thread, which the C libraries of Linux and macOS allow.
template <transport Transport, clock Clock, environment Environment = process_environment, class Events = any_event>
class basic_telemetry {
public:
    using events = Events;

    /// Makes its own policies. Throws `configuration_error` for an option that the program got wrong; what is wrong in
    /// the environment turns that destination off instead, with a diagnostic. Not in a signal handler.
    explicit basic_telemetry(const telemetry_options& options) requires std::default_initializable<Transport> &&
        std::default_initializable<Clock> && std::default_initializable<Environment> {
        start(options, Environment{});
        errno_.restore();
    }

    /// Uses a transport and a clock that outlive it; the environment is read now and not kept. Not in a signal handler.
    basic_telemetry(const telemetry_options& options, Transport& transport, Clock& clock,
                    const Environment& environment = {}) {
        start(options, environment, transport, clock);
        errno_.restore();
    }

    basic_telemetry(const basic_telemetry&) = delete;
    basic_telemetry& operator=(const basic_telemetry&) = delete;
    ~basic_telemetry() {
        errno_.renew();
        auto* const mine = find_session();
        if (mine != nullptr) mine->let_go();
        shutdown();
        if (mine == nullptr) return;
        mine->await_calls();
        if (crashes_) crashes_->end(!mine->any(&detail::pipeline::is_stuck));
    }

    /// Records an event. Never blocks on I/O; the event may be destroyed at once. Not in a signal handler.
    template <event Event>
    admission track(const Event& event) noexcept {
        static_assert(Events::template contains<Event>,
                      "this event is not in the event_list of this telemetry: name it there, so that users find it in "
                      "the catalog");
        if (!analytics_) return disabled();
        const detail::errno_guard guard;
        auto* const mine = session_->get();
        if (mine == nullptr) return without_session();
        auto& context = *mine->analytics->context;
        auto& delivery = *mine->analytics->delivery;
        if (const auto refused = delivery.would_refuse()) return *refused;
        rudderstack::detail::record_header header{
            .original_timestamp = policies_->clock().wall_now().time_since_epoch().count(),
            .event = &detail::event_type_of<Event>};
        try {
            header.message_id = uuid::random();
        } catch (...) {
            return delivery.refuse(admission::out_of_memory);
        }
        header.refreshes =
            detail::refreshes_account<Event>() ? context.identity.refresh() : context.identity.refreshes();
        const auto head_size = rudderstack::detail::event_head_size(Event::event_name);
        detail::event_serializer values{context.message_bytes - std::min(context.message_bytes, head_size)};
        const auto state = values.serialize(event, context.run, context.secrets);
        if (state != detail::json_writer::condition::good) return rudderstack::detail::refuse(delivery, state);
        return values.with_parts(header.bytes(),
                                 [&](std::span<const std::string_view> parts) { return delivery.enqueue(parts); });
    }

    /// Reports an exception with those nested in it and the stack of this thread. Captured once more on its way up, it
    /// is answered `duplicate`; but not one whose destructor lies in a shared library that the program could unload.
    /// Never blocks on I/O; it may be destroyed at once. Not in a signal handler.
    template <std::derived_from<std::exception> Exception>
    admission capture(const Exception& exception,
                      sentry::source_location where = sentry::source_location::current()) noexcept {
        return submit_error([&](error_pipeline& errors) {
            return errors.capture(exception, sentry::detail::static_type_name<Exception>(), where);
        });
    }

    /// The same for whatever was thrown, as `std::current_exception()`. Null is `invalid`. Not in a signal handler.
    admission capture(const std::exception_ptr& exception,
                      sentry::source_location where = sentry::source_location::current()) noexcept {
        return submit_error([&](error_pipeline& errors) { return errors.capture(exception, where); });
    }

    /// Reports a text as an error of that severity. Not in a signal handler.
    admission capture_message(sentry::severity level, std::string_view text) noexcept {
        return submit_error([&](error_pipeline& errors) { return errors.capture_message(level, text); });
    }

    /// Notes what happened on the way to an error: the last of these go with each error. Not in a signal handler.
    void add_breadcrumb(std::string_view category, std::string_view message,
                        sentry::severity level = sentry::severity::info) noexcept {
        if (!errors_) return;
        const detail::errno_guard guard;
        if (auto* const mine = session_->get()) mine->errors->add_breadcrumb(category, message, level);
    }

    /// Sends at once and waits. True when every event before this call has been delivered, or left out on purpose (an
    /// internal team, no account); false when one was given up or went to the spool, when `timeout` passes, or as soon
    /// as it is certain to. Not in a signal handler.
    bool flush(std::chrono::milliseconds timeout) noexcept {
        const detail::errno_guard guard;
        auto* const mine = find_session();
        return mine == nullptr || mine->call([&](detail::telemetry_session& of) { return of.flush(timeout); });
    }

    /// Delivers for at most `shutdown_timeout`, then puts what is left into the spool. Later calls are answered
    /// `closed`. The destructor calls it; and so do `std::exit`, a return from main and, but on macOS,
    /// `std::quick_exit`, where the object still lives then. In a callback it does not wait. Not in a signal handler;
    /// `std::quick_exit` may be called in one: where that has interrupted a call of candor's, nothing is delivered at
    /// the end, nor stored.
    void shutdown() noexcept {
        const detail::errno_guard guard;
        if (session_) session_->retire();
        if (auto* const mine = find_session()) mine->call([](detail::telemetry_session& of) { of.shutdown(); });
    }

    /// The user's consent is gone: cancels what is under way, and gives up all that waits, on disk too. Nothing leaves
    /// or is stored afterwards, and later calls are answered `closed`. Takes about as long as the transport takes to
    /// cancel a request (50 ms); 200 ms where a callback or the disk does not return. What that disk holds is removed
    /// when it answers, if the process lasts, or by the next start without consent. Not in a signal handler.
    void revoke() noexcept {
        const detail::errno_guard guard;
        if (session_) session_->retire();
        auto* const mine = find_session();
        if (mine == nullptr) return detail::purge(level::none, delivery_.spool.directory, directory_);
        mine->call([this](detail::telemetry_session& of) {
            of.revoke();
            std::unique_lock one_at_a_time{revoking_};
            const bool does_disk_answer = !crashes_ || crashes_->end();
            crashes_.reset();
            one_at_a_time.unlock();
            detail::purge(level::none, delivery_.spool.directory, directory_, does_disk_answer);
        });
    }

    /// Whether analytics events have a destination.
    [[nodiscard]] bool sends_events() const noexcept { return analytics_.has_value(); }

    /// Whether errors have a destination.
    [[nodiscard]] bool sends_errors() const noexcept { return errors_.has_value(); }

    /// The UUID of this run of the program; nil where nothing is sent.
    [[nodiscard]] uuid invocation_id() const noexcept { return analytics_ ? analytics_->invocation : uuid{}; }

    /// Of this process. Not in a signal handler.
    [[nodiscard]] candor::statistics statistics() const noexcept {
        candor::statistics out;
        if (const auto* const mine = find_session()) out = mine->statistics();
        out.refused[admission::disabled] += disabled_.load(std::memory_order_relaxed);
        return out;
    }

private:
    using error_pipeline = sentry::detail::error_pipeline;

    using bounded_session = detail::until_exit<detail::telemetry_session>;

    [[nodiscard]] bounded_session* find_session() const noexcept { return session_ ? session_->find() : nullptr; }

    template <class Capture>
    admission submit_error(const Capture& capture) noexcept {
        if (!errors_) return disabled();
        const detail::errno_guard guard;
        auto* const mine = session_->get();
        return mine == nullptr ? without_session() : capture(*mine->errors);
    }

    admission disabled() noexcept {
        disabled_.fetch_add(1, std::memory_order_relaxed);
        return admission::disabled;
    }

    /// In a child.
    [[nodiscard]] admission without_session() const noexcept {
        return session_->is_retired() ? admission::closed : admission::out_of_memory;
    }

    template <class... Lent>
    void start(const telemetry_options& options, const Environment& variables, Lent&... lent) {
        detail::check(options);
        shutdown_timeout_ = options.shutdown_timeout;
        directory_ = detail::telemetry_directory(variables, options.product.name);
        delivery_.spool = detail::spool_of(options, variables);
        is_debugging_ = detail::is_debugging(options.product, variables);
        if (!options.delivery.dry_run && !is_debugging_)  // what only shows changes nothing
            detail::purge_forbidden(options.level, delivery_.spool.directory, directory_);
        if (options.level == level::none) return;
        secrets_ = redactor::make(variables, options.secrets, options.product.name);
        auto discreet = options;
        discreet.diagnostics = detail::redacting(options.diagnostics, secrets_);
        delivery_ = detail::delivery_of(discreet, variables);
        if (candor::sends_analytics(options.level)) aim_analytics(discreet, variables, lent...);
        if (candor::sends_errors(options.level)) aim_errors(discreet, variables, lent...);
        if (!analytics_ && !errors_) return;
        session_.emplace(
            [this] { return std::make_unique<bounded_session>(analytics_, errors_, shutdown_timeout_, *policies_); });
        if (errors_ && options.capture_crashes && !delivery_.dry_run) start_crash_handler(discreet);
        if (errors_ && options.capture_uncaught) {
            terminations_.emplace([this](const std::exception_ptr& exception) {
                auto* const mine = session_->get();
                session_->retire();
                if (mine == nullptr) return;
                mine->errors->capture_termination(exception, sentry::source_location{});
                mine->call([](detail::telemetry_session& of) { of.shutdown_at_exit(); });
            });
        }
    }

    template <class... Lent>
    detail::policies<Transport, Clock>& policies(Lent&... lent) {
        if (!policies_) policies_.emplace(lent...);
        return *policies_;
    }

    template <class... Lent>
    void aim_analytics(const telemetry_options& options, const Environment& variables, Lent&... lent) {
        auto data_plane = detail::data_plane_of(options, variables);
        auto write_key = detail::override_of(options.product, variables, "RUDDERSTACK_WRITE_KEY");
        if (data_plane.text.empty()) {
            if (!is_debugging_) return;
            data_plane.text = "http://nowhere.invalid";
            write_key = "none";
        }
        try {
            detail::analytics_settings to{
                .data_plane = rudderstack::detail::checked_data_plane_url(data_plane.text),
                .write_key = write_key.value_or(options.write_key),
                .invocation = options.invocation_id ? *options.invocation_id : uuid::random(),
                .ci = ci_system(variables).value_or(std::string_view{}),
                .in_cloud = detail::variable_of(options.product, variables, "CLOUD").has_value(),
                .account = options.account,
                .internal_team = options.internal_team
                                     ? options.internal_team
                                     : internal_team_from_config(variables, options.product.name, options.diagnostics),
                .secrets = secrets_,
                .delivery = delivery_,
                .diagnostics = options.diagnostics};
            rudderstack::detail::check_write_key(to.write_key);
            detail::check_reach(policies(lent...).transport(), to.data_plane);
            analytics_ = std::move(to);
        } catch (const configuration_error& error) {
            // The options alone were found good: without a variable it is their combination that is the program's.
            if (!data_plane.is_override && !write_key) throw;
            detail::report(options.diagnostics,
                           "analytics are off because of a variable of the environment: " + std::string{error.what()});
        }
    }

    template <class... Lent>
    void aim_errors(const telemetry_options& options, const Environment& variables, Lent&... lent) {
        auto dsn = detail::sentry_dsn_of(options, variables);
        if (dsn.text.empty()) {
            if (!is_debugging_) return;
            dsn.text = "http://none@nowhere.invalid/1";
        }
        try {
            sentry::detail::error_settings to{
                .destination = sentry::detail::checked_dsn("sentry_dsn", dsn.text),
                .release = options.product.name + "@" + options.product.version,
                .application = {{"app_name", options.product.name}, {"app_version", options.product.version}},
                .before_send = options.before_send,
                .secrets = secrets_,
                .delivery = delivery_,
                .diagnostics = options.diagnostics};
            detail::check_reach(policies(lent...).transport(), to.destination.server);
            if (!sentry::detail::is_release(to.release))  // all else goes on, as with any version
                detail::report(options.diagnostics, "errors come without a release: a server does not take \"" +
                                                        detail::printable(to.release) + "\", but " +
                                                        sentry::detail::release_rule);
            errors_ = std::move(to);
        } catch (const configuration_error& error) {
            if (!dsn.is_override) throw;
            detail::report(options.diagnostics, "errors are not sent because of a variable of the environment: " +
                                                    std::string{error.what()});
        }
    }

    /// Reports what earlier runs left, and leaves a record if this one crashes.
    void start_crash_handler(const telemetry_options& options) {
        if (!directory_)
            return detail::report(options.diagnostics, "crashes are not recorded: there is no state directory");
        auto& errors = *session_->find()->errors;
        using sentry::detail::record_file;
        sentry::detail::take_crashes(*directory_, [&](const sentry::crash_record& crash, record_file& file) {
            // Ours as long as the report is nowhere else: a run that ends before leaves it to the next one. One that
            // ended right after it was stored has left both.
            const auto record = std::make_shared<record_file>(std::move(file));
            if (detail::has_spooled(delivery_.spool, "sentry", sentry::detail::id_text(crash.event_id))) {
                record->remove();
                return true;
            }
            const auto answer =
                errors.capture_event(sentry::detail::crash_event(crash), [record]() noexcept { record->remove(); });
            if (answer == admission::accepted) return true;
            if (answer == admission::full || answer == admission::out_of_memory) return false;
            record->remove();
            return true;
        });
        crashes_.emplace(sentry::crash_options{
            .directory = *directory_, .release = errors.release(), .breadcrumbs = &errors.breadcrumbs()});
        if (!crashes_->problem().empty())
            detail::report(options.diagnostics, "crashes are not recorded: " + crashes_->problem());
    }

    detail::object_errno_guard errno_{};
    std::atomic<std::uint64_t> disabled_{0};
    std::chrono::milliseconds shutdown_timeout_{};
    std::optional<std::filesystem::path> directory_;  ///< of the records of crashes
    delivery_options delivery_;
    bool is_debugging_ = false;
    std::optional<detail::policies<Transport, Clock>> policies_;  ///< where there is a destination
    redactor secrets_;
    std::optional<detail::analytics_settings> analytics_;          ///< where events are sent
    std::optional<sentry::detail::error_settings> errors_;         ///< where errors are sent
    std::optional<detail::per_process<bounded_session>> session_;  ///< where either is
    std::mutex revoking_;
    std::optional<sentry::crash_handler> crashes_;
    std::optional<sentry::terminate_handler> terminations_;
};

}  // namespace candor

#endif
