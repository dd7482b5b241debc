#ifndef CANDOR_SENTRY_REPORTER_HPP
#define CANDOR_SENTRY_REPORTER_HPP

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
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
#include <candor/policy/http.hpp>
#include <candor/policy/transport.hpp>
#include <candor/privacy/redactor.hpp>
#include <candor/sentry/breadcrumbs.hpp>
#include <candor/sentry/capture.hpp>
#include <candor/sentry/client_report.hpp>
#include <candor/sentry/dsn.hpp>
#include <candor/sentry/protocol.hpp>
#include <candor/sentry/severity.hpp>
#include <candor/sentry/stack.hpp>

namespace candor::sentry::detail {

struct reporter_settings {
    dsn destination{};
    std::string release{};
    std::map<std::string, std::string> application{};  ///< the context `app`
    std::map<std::string, std::string> tags{};
    double sample_rate = 1;
    before_send_hook before_send{};
    redactor secrets{};
    spool_options spool{};
    std::function<void(const http_request&, const http_response&)> on_attempt{};
    bool dry_run = false;
    diagnostic_sink diagnostics{};
};

/// Captures errors and sends them: what the client and the facade share. Its policies outlive it. Any thread.
template <transport Transport, clock Clock>
class reporter {
public:
    using pipeline = common::pipeline<protocol<Clock>, Transport, Clock>;

    /// Throws `configuration_error` for a setting that cannot work.
    reporter(reporter_settings settings, Transport& transport, Clock& clock)
        : sample_rate_{checked_rate(settings.sample_rate)},
          clock_{clock},
          context_{.release = std::move(settings.release),
                   .tags = std::move(settings.tags),
                   .contexts = build_contexts(std::move(settings.application)),
                   .secrets = std::move(settings.secrets),
                   .before_send = std::move(settings.before_send)},
          delivery_{make_delivery(settings, transport)} {}

    template <class Exception>
    admission capture(const Exception& exception, std::string_view static_type, source_location where) noexcept {
        const std::exception_ptr current = std::current_exception();
        if (current && is_repeated(current, &exception)) return delivery_.refuse(admission::duplicate);
        return submit({.where = where}, true, [&](std::string& record) {
            each_exception(static_cast<const std::exception&>(exception), static_type, packer(record));
        });
    }

    admission capture(const std::exception_ptr& exception, source_location where) noexcept {
        if (!exception) return delivery_.refuse(admission::invalid);
        if (is_repeated(exception, nullptr)) return delivery_.refuse(admission::duplicate);
        return submit({.where = where}, true, [&](std::string& record) { each_exception(exception, packer(record)); });
    }

    admission capture_message(severity level, std::string_view text) noexcept {
        return submit({.level = level}, false, [&](std::string& record) { packer(record)({}, text); });
    }

    /// The program ends because nobody caught this, which may be null.
    admission capture_termination(const std::exception_ptr& exception, source_location where) noexcept {
        return submit({.where = where, .mechanism = "terminate", .level = severity::fatal, .handled = false}, true,
                      [&](std::string& record) {
                          if (exception) {
                              each_exception(exception, packer(record));
                          } else {
                              packer(record)("std::terminate", "called without an exception");
                          }
                      });
    }

    /// An event that is made already, but for what holds for all of them.
    admission capture_event(event e) noexcept {
        try {
            e.release = e.release.empty() ? context_.release : e.release;
            e.tags = context_.tags;
            e.contexts = context_.contexts;
            if (!may_go(e, context_)) return delivery_.refuse(admission::sampled);
            const capture_header header{.is_event = true};
            std::string record;
            pack(&header, sizeof header, record);
            if (!append_event(std::move(e), context_.secrets, largest_event, record))
                return delivery_.refuse(admission::too_large);
            return count(delivery_.enqueue(std::array{std::string_view{record}}));
        } catch (...) {
            return count(delivery_.refuse(admission::out_of_memory));
        }
    }

    void add_breadcrumb(std::string_view category, std::string_view message, severity level) noexcept {
        try {
            context_.breadcrumbs.add(clock_.wall_now(), to_string(level), context_.secrets.redact(category),
                                     context_.secrets.redact(message));
        } catch (...) {  // no memory: the next error goes without this breadcrumb
        }
    }

    [[nodiscard]] const std::string& release() const noexcept { return context_.release; }
    [[nodiscard]] const breadcrumb_ring& breadcrumbs() const noexcept { return context_.breadcrumbs; }
    [[nodiscard]] pipeline& delivery() noexcept { return delivery_; }
    [[nodiscard]] const pipeline& delivery() const noexcept { return delivery_; }

private:
    /// Most captures take less, and an allocator has so much at hand (glibc's for a thread: up to 1032 bytes).
    static constexpr std::size_t usual_record_ = 1000;

    static auto packer(std::string& record) {
        return [&record](std::string_view type, std::string_view text) {
            pack_text(type, record);
            pack_text(text, record);
        };
    }

    /// Packs a record and queues it, or counts why not.
    template <class Pack>
    admission submit(capture_header header, bool with_stack, const Pack& pack_texts) noexcept {
        if (const auto refused = delivery_.would_refuse()) return count(*refused);
        try {
            header.id = uuid::random();
            header.timestamp = clock_.wall_now().time_since_epoch().count();
            if (is_sampled_out(header.id)) {
                context_.discarded.add(discard_reason::sample_rate);
                return delivery_.refuse(admission::sampled);
            }
            std::array<void*, most_frames> stack;
            std::span<void* const> frames;
            if (with_stack) frames = callers(std::span{stack}.first(capture_stack(stack)), header.where);
            header.frames = static_cast<std::uint32_t>(frames.size());
            std::string record;
            record.reserve(usual_record_);
            pack(&header, sizeof header, record);
            pack(frames.data(), frames.size_bytes(), record);
            pack_texts(record);
            return count(delivery_.enqueue(std::array{std::string_view{record}}));
        } catch (...) {
            return count(delivery_.refuse(admission::out_of_memory));
        }
    }

    admission count(admission answer) noexcept {
        if (answer == admission::full) context_.discarded.add(discard_reason::queue_overflow);
        if (answer == admission::out_of_memory) context_.discarded.add(discard_reason::internal_sdk_error);
        return answer;
    }

    /// Whether this is the exception that was captured last. It is kept alive until the next one, so that no other can
    /// have its address.
    bool is_repeated(const std::exception_ptr& exception, const void* object) noexcept {
        const std::lock_guard guard{last_mutex_};
        if (exception == last_ && (object == nullptr || last_object_ == nullptr || object == last_object_)) return true;
        last_ = exception;
        last_object_ = object;
        return false;
    }

    /// Decided by the event's id, which is random.
    [[nodiscard]] bool is_sampled_out(const uuid& id) const noexcept {
        const auto& bytes = id.bytes();
        const auto drawn =
            std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
        return drawn >= sample_rate_ * 4294967296.0;
    }

    static double checked_rate(double rate) {
        if (!(rate >= 0 && rate <= 1)) throw configuration_error{"sample_rate", std::to_string(rate), "0 to 1"};
        return rate;
    }

    pipeline make_delivery(const reporter_settings& settings, Transport& transport) {
        common::check_reach(transport, settings.destination.server);
        // An error is sent at once and by itself: it may be the last thing that the program does.
        const delivery_options options{.batch_messages = 1,
                                       .batch_bytes = largest_event + protocol<Clock>::envelope_size,
                                       .message_bytes = largest_event,
                                       .queue_messages = 100,
                                       .spool = settings.spool,
                                       .on_attempt = settings.on_attempt,
                                       .dry_run = settings.dry_run};
        const auto random = uuid::random().bytes();
        return {"sentry",
                options,
                settings.diagnostics,
                static_cast<std::uint32_t>(random[0] << 8 | random[1]),
                protocol<Clock>{settings.destination, context_, clock_},
                transport,
                clock_};
    }

    const double sample_rate_;
    Clock& clock_;
    event_context context_;
    std::mutex last_mutex_;
    std::exception_ptr last_;
    const void* last_object_ = nullptr;
    pipeline delivery_;
};

}  // namespace candor::sentry::detail

#endif
