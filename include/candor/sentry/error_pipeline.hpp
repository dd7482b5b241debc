#ifndef CANDOR_SENTRY_ERROR_PIPELINE_HPP
#define CANDOR_SENTRY_ERROR_PIPELINE_HPP

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <candor/delivery/options.hpp>
#include <candor/delivery/pipeline.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/policies.hpp>
#include <candor/policy/transport.hpp>
#include <candor/privacy/redactor.hpp>
#include <candor/sentry/breadcrumbs.hpp>
#include <candor/sentry/capture.hpp>
#include <candor/sentry/client_report.hpp>
#include <candor/sentry/dsn.hpp>
#include <candor/sentry/last_exception.hpp>
#include <candor/sentry/protocol.hpp>
#include <candor/sentry/severity.hpp>
#include <candor/sentry/stack.hpp>

namespace candor::sentry::detail {

struct error_settings {
    dsn destination{};
    std::string release{};
    std::map<std::string, std::string> application{};  ///< the context `app`
    std::map<std::string, std::string> tags{};
    double sample_rate = 1;
    before_send_hook before_send{};
    redactor secrets{};
    delivery_options delivery{};  ///< its limits of messages and batches are not those of errors, and not used
    diagnostic_sink diagnostics{};
};

/// Captures errors and sends them: what the client and the facade share. Its policies outlive it. Any thread.
class error_pipeline {
public:
    /// Throws `configuration_error` for a setting that cannot work, and where the transport can never reach the server.
    template <transport Transport, clock Clock>
    error_pipeline(const error_settings& settings, common::policies<Transport, Clock>& policies)
        : error_pipeline{
              settings,
              (common::check_reach(policies.transport(), settings.destination.server), policies.any_transport()),
              policies.any_clock()} {}

    error_pipeline(const error_settings& settings, common::transport_interface& transport,
                   common::clock_interface& clock)
        : sample_rate_{checked_rate(settings.sample_rate)},
          clock_{clock},
          context_{make_context(settings)},
          delivery_{"sentry",
                    delivery_of(settings),
                    settings.diagnostics,
                    common::random_seed(),
                    std::make_unique<protocol>(settings.destination, context_),
                    transport,
                    clock} {}

    template <class Exception>
    admission capture(const Exception& exception, std::string_view static_type, source_location where) noexcept {
        if (last_.is_repeated(exception)) [[unlikely]]
            return delivery_.refuse(admission::duplicate);
        return submit({.where = where}, true, [&](std::string& record) {
            each_exception(static_cast<const std::exception&>(exception), static_type, exception_writer{record});
        });
    }

    admission capture(const std::exception_ptr& exception, source_location where) noexcept {
        if (!exception) return delivery_.refuse(admission::invalid);
        if (last_.is_last(exception)) [[unlikely]]
            return delivery_.refuse(admission::duplicate);
        const auto answer = submit({.where = where}, true, [&](std::string& record) {
            try {
                std::rethrow_exception(exception);  // once for all that is asked of it
            } catch (const std::exception& e) {
                last_.is_repeated(e);
                each_exception(e, "std::exception", exception_writer{record});
            } catch (...) {
                last_.is_repeated(exception);
                each_exception(exception, exception_writer{record});
            }
        });
        if (answer == admission::sampled) last_.is_repeated(exception);  // it is drawn for once
        return answer;
    }

    admission capture_message(severity level, std::string_view text) noexcept {
        return submit({.level = level}, false, [&](std::string& record) { exception_writer{record}({}, text); });
    }

    /// The program ends because nobody caught this, which may be null.
    admission capture_termination(const std::exception_ptr& exception, source_location where) noexcept {
        return submit({.where = where, .mechanism = "terminate", .level = severity::fatal, .handled = false}, true,
                      [&](std::string& record) {
                          if (exception) {
                              each_exception(exception, exception_writer{record});
                          } else {
                              exception_writer{record}("std::terminate", "called without an exception");
                          }
                      });
    }

    /// An event that is complete, except for what all events have in common. `is_safe` as in `pipeline::enqueue`.
    admission capture_event(event e, std::function<void()> is_safe = nullptr) noexcept {
        try {
            e.release = e.release.empty() ? context_->release : e.release;
            e.tags = context_->tags;
            e.contexts = context_->contexts;
            if (!may_go(e, *context_)) return delivery_.refuse(admission::sampled);
            const capture_header header{.is_event = true};
            std::string record;
            append(&header, sizeof header, record);
            if (!append_event(std::move(e), context_->secrets, largest_event, record))
                return delivery_.refuse(admission::too_large);
            return count(delivery_.enqueue(std::array{std::string_view{record}}, std::move(is_safe)));
        } catch (...) {
            return count(delivery_.refuse(admission::out_of_memory));
        }
    }

    void add_breadcrumb(std::string_view category, std::string_view message, severity level) noexcept {
        try {
            context_->breadcrumbs.add(clock_.wall_now(), to_string(level), context_->secrets.redact(category),
                                      context_->secrets.redact(message));
        } catch (...) {  // no memory: the next error goes without this breadcrumb
        }
    }

    /// Lets go of the exception that was captured last, whose destructor may use what ends now.
    void forget_last() noexcept { last_.forget(); }

    [[nodiscard]] const std::string& release() const noexcept { return context_->release; }
    [[nodiscard]] const breadcrumb_ring& breadcrumbs() const noexcept { return context_->breadcrumbs; }
    [[nodiscard]] common::pipeline& delivery() noexcept { return delivery_; }
    [[nodiscard]] const common::pipeline& delivery() const noexcept { return delivery_; }

private:
    /// Most captures take less, and an allocator keeps blocks of this size at hand (glibc, for each thread: up to 1032
    /// bytes).
    static constexpr std::size_t usual_record_ = 1000;

    struct exception_writer {
        std::string& record;
        void operator()(std::string_view type, std::string_view text) const {
            append_text(type, record);
            append_text(text, record);
        }
    };

    /// Packs a record and queues it, or counts why not. What returns early is laid out behind the rest: the walk of the
    /// stack reads the unwinding rules of all that stands before its call.
    template <class Append>
    admission submit(capture_header header, bool with_stack, const Append& append_texts) noexcept {
        if (const auto refused = delivery_.would_refuse()) [[unlikely]]
            return count(*refused);
        try {
            header.id = uuid::random();
            header.timestamp = clock_.wall_now().time_since_epoch().count();
            if (is_sampled_out(header.id)) [[unlikely]] {
                context_->discarded.add(discard_reason::sample_rate);
                return delivery_.refuse(admission::sampled);
            }
            std::array<void*, most_frames> stack;
            std::span<void* const> frames;
            if (with_stack) frames = callers(std::span{stack}.first(capture_stack(stack)), header.where);
            header.frames = static_cast<std::uint32_t>(frames.size());
            std::string record;
            record.reserve(usual_record_);
            append(&header, sizeof header, record);
            append(frames.data(), frames.size_bytes(), record);
            append_texts(record);
            return count(delivery_.enqueue(std::array{std::string_view{record}}));
        } catch (...) {
            return count(delivery_.refuse(admission::out_of_memory));
        }
    }

    admission count(admission answer) noexcept {
        if (answer == admission::full) context_->discarded.add(discard_reason::queue_overflow);
        if (answer == admission::out_of_memory) context_->discarded.add(discard_reason::internal_sdk_error);
        return answer;
    }

    /// Decided by the event's id, which is random.
    [[nodiscard]] bool is_sampled_out(const uuid& id) const noexcept {
        const auto& bytes = id.bytes();
        const auto drawn =
            std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
        return drawn >= sample_rate_ * 4294967296.0;
    }

    static double checked_rate(double rate) {
        if (rate >= 0 && rate <= 1) return rate;
        std::array<char, 32> text{};
        std::snprintf(text.data(), text.size(), "%.17g", rate);  // 1.0000000000000002 is too much, too
        throw configuration_error{"sample_rate", text.data(), "0 to 1"};
    }

    static std::shared_ptr<event_context> make_context(const error_settings& settings) {
        auto out = std::make_shared<event_context>();
        out->release = settings.release;
        out->tags = settings.tags;
        out->contexts = build_contexts(settings.application);
        out->secrets = settings.secrets;
        out->before_send = settings.before_send;
        return out;
    }

    /// An error is sent at once and by itself: it may be the last thing that the program does.
    static delivery_options delivery_of(const error_settings& settings) {
        delivery_options out = settings.delivery;
        out.batch_messages = 1;
        out.batch_bytes = largest_event + protocol::largest_envelope;
        out.message_bytes = largest_event;
        out.queue_messages = 100;
        out.queue_bytes = delivery_options{}.queue_bytes;
        out.flush_interval = delivery_options{}.flush_interval;
        out.on_delivered = nullptr;
        out.on_dropped = nullptr;
        return out;
    }

    const double sample_rate_;
    common::clock_interface& clock_;
    const std::shared_ptr<event_context> context_;
    common::pipeline delivery_;
    last_exception last_{};  ///< destroyed first: the destructor of an exception may capture
};

}  // namespace candor::sentry::detail

#endif
