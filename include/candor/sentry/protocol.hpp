#ifndef CANDOR_SENTRY_PROTOCOL_HPP
#define CANDOR_SENTRY_PROTOCOL_HPP

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/delivery/protocol.hpp>
#include <candor/event/record_reader.hpp>
#include <candor/platform/system_name.hpp>
#include <candor/policy/clock.hpp>
#include <candor/privacy/redactor.hpp>
#include <candor/sentry/breadcrumbs.hpp>
#include <candor/sentry/capture.hpp>
#include <candor/sentry/client_report.hpp>
#include <candor/sentry/dsn.hpp>
#include <candor/sentry/envelope.hpp>
#include <candor/sentry/event.hpp>
#include <candor/sentry/rate_limit.hpp>
#include <candor/sentry/stack.hpp>

namespace candor::sentry {

/// Sees each event before it is sent. It may change it; false means that the event is not sent. Called on the worker
/// thread. Where it throws, the event is sent as it was.
using before_send_hook = std::function<bool(event&)>;

namespace detail {

/// What is needed to turn a capture into an event. Only the counts change.
struct event_context {
    std::string release{};
    std::map<std::string, std::string> tags{};
    std::map<std::string, std::map<std::string, std::string>> contexts{};
    redactor secrets{};
    before_send_hook before_send{};
    breadcrumb_ring breadcrumbs{};
    discards discarded{};
};

/// What the program says of itself, and facts that hold for every run of this build.
inline std::map<std::string, std::map<std::string, std::string>> build_contexts(
    std::map<std::string, std::string> application) {
#if defined(__VERSION__)
    const char* compiler = __VERSION__;
#else
    const char* compiler = "";
#endif
    std::map<std::string, std::map<std::string, std::string>> out{
        {"os", {{"name", candor::detail::system_name()}}},
        {"device", {{"arch", candor::detail::processor_name()}}},
        {"runtime", {{"name", "C++"}, {"version", std::to_string(__cplusplus)}, {"compiler", compiler}}}};
    if (!application.empty()) out.emplace("app", std::move(application));
    return out;
}

/// Turns what a capture recorded into an event. Throws only `std::bad_alloc`.
inline event make_event(std::string_view record, const event_context& context) {
    candor::detail::record_reader reader{record};
    const auto header = reader.take<capture_header>();
    event out{.id = header.id,
              .timestamp = wall_time{std::chrono::nanoseconds{header.timestamp}},
              .level = header.level,
              .release = context.release,
              .tags = context.tags,
              .contexts = context.contexts};

    std::vector<frame> frames;
    const auto modules = header.frames == 0 ? std::vector<module_image>{} : loaded_modules();
    for (std::uint32_t i = 0; i < header.frames; ++i) {
        void* const address = reader.take<void*>();
        if (address == nullptr) continue;  // where the stack begins
        frames.push_back(
            make_frame(reinterpret_cast<std::uintptr_t>(address), symbol_name(address), modules, out.modules));
    }
    if (header.where.line != 0) {
        if (frames.empty()) frames.emplace_back();  // a platform without stacks
        frames.front().function = header.where.function;
        frames.front().filename = header.where.file;
        frames.front().line = header.where.line;
    }

    while (reader.is_good() && !reader.is_empty()) {
        const std::string type{reader.take_text()};
        const auto text = reader.take_text();
        if (type.empty()) {
            out.message = text;
        } else {
            out.exceptions.push_back({.type = exception_type(type),
                                      .value = std::string{text},
                                      .mechanism = header.mechanism,
                                      .handled = header.handled});
        }
    }
    if (!out.exceptions.empty()) {
        out.exceptions.front().frames = std::move(frames);  // where the outermost was captured
        std::reverse(out.exceptions.begin(), out.exceptions.end());
    }
    for (auto& b : context.breadcrumbs.snapshot())
        if (b.time <= out.timestamp) out.breadcrumbs.push_back(std::move(b));
    return out;
}

/// Lets the program edit the event, and asks it whether the event may be sent.
inline bool may_go(event& e, event_context& context) {
    if (!context.before_send) return true;
    event edited = e;
    try {
        if (!context.before_send(edited)) {
            context.discarded.add(discard_reason::before_send);
            return false;
        }
    } catch (...) {  // the event goes as it was
        return true;
    }
    edited.id = e.id;
    edited.timestamp = e.timestamp;
    e = std::move(edited);
    return true;
}

/// Sentry's `POST /api/{project}/envelope/` on the pipeline, an event a request.
class protocol final : public common::protocol {
public:
    static constexpr std::size_t largest_envelope = 2048;  ///< both headers and a client report

    protocol(const dsn& destination, std::shared_ptr<event_context> context)
        : url_{destination.envelope_url()},
          authorization_{"Sentry sentry_version=7, sentry_client=candor/" CANDOR_VERSION_STRING ", sentry_key=" +
                         destination.public_key},
          context_{std::move(context)} {}

    [[nodiscard]] std::size_t envelope_size() const noexcept override { return largest_envelope; }
    [[nodiscard]] std::size_t message_overhead() const noexcept override { return 0; }

    [[nodiscard]] const char* thread_name() const noexcept override { return "candor-errors"; }

    common::preparation prepare(std::string_view record, common::moment now, std::string& out) override {
        if (holds_back(now.steady)) {
            context_->discarded.add(discard_reason::ratelimit_backoff);
            return {0, drop_reason::rate_limited};
        }
        if (const auto complete = complete_event(record)) {
            out += *complete;
            return {};
        }
        if (context_->before_send && !may_call_back()) return {0, drop_reason::shutdown};
        event e = make_event(record, *context_);
        if (!may_go(e, *context_)) return {0, drop_reason::vetoed};
        if (!append_event(std::move(e), context_->secrets, largest_event, out)) {
            context_->discarded.add(discard_reason::internal_sdk_error);
            return {0, drop_reason::failed};
        }
        return {};
    }

    /// An error needs no account: what is stored is the event. Beside the worker this reads what does not change (the
    /// program's settings, the redactor, whose searches hold nothing of their own), the breadcrumbs, which any thread
    /// may read, and asks the loader, which locks. What a discarded one counts as is the worker's to say.
    std::optional<common::preparation> draft(std::string_view record, std::string& out) override {
        if (const auto complete = complete_event(record)) {
            out += *complete;
            return common::preparation{};
        }
        if (context_->before_send) return std::nullopt;
        if (!append_event(make_event(record, *context_), context_->secrets, largest_event, out))
            return common::preparation{.dropped = drop_reason::failed};
        return common::preparation{};
    }

    /// There are no drafts of errors.
    common::preparation settle(std::string_view, std::uint64_t, std::string&) override {
        return {.dropped = drop_reason::failed};
    }

    /// The server accepts nothing for now.
    [[nodiscard]] bool holds_back(steady_time now) const noexcept override { return now < limited_until_; }

    [[nodiscard]] http_request request() const override {
        return {.method = "POST",
                .url = url_,
                .headers = {{"Content-Type", "application/x-sentry-envelope"}, {"X-Sentry-Auth", authorization_}}};
    }

    void write_body(const common::message_range& range, wall_time sent_at, std::string& out) override {
        const std::string_view event = range.text(range.messages.front());
        append_envelope_header(event_id_of(event), sent_at, out);
        append_item("event", event, out);
        reported_ = context_->discarded.take();
        if (const auto report = client_report(reported_, sent_at); !report.empty())
            append_item("client_report", report, out);
    }

    [[nodiscard]] common::response_action classify(const http_response& response, common::moment now) override {
        using action = common::response_action::kind;
        const int status = response.status;
        const bool arrived = response.error == transport_error::none && status >= 200 && status < 300;
        if (!arrived) context_->discarded.restore(std::exchange(reported_, {}));
        if (response.error != transport_error::none)
            return {.what = action::retry, .diagnostic = "the server cannot be reached: " + response.message};
        if (const auto limit = rate_limit_for_errors(response, now.wall))
            limited_until_ = std::max(limited_until_, common::after(now.steady, *limit));
        if (arrived) return {.what = action::deliver};

        const std::string says = "the server answers " + std::to_string(status);
        if (status == 429) return {.what = action::drop, .reason = drop_reason::rate_limited, .diagnostic = says};
        context_->discarded.add(discard_reason::send_error);
        common::response_action given_up{.what = action::drop, .reason = drop_reason::rejected, .diagnostic = says};
        if (status == 413) given_up.reason = drop_reason::too_large;
        if (status == 401 || status == 403 || status == 404) {
            given_up.reason = drop_reason::unauthorized;
            given_up.diagnostic += ": it does not know the DSN, or the project is disabled";
        }
        return given_up;
    }

private:
    /// Nothing where a record is to be made into an event yet.
    static std::optional<std::string_view> complete_event(std::string_view record) noexcept {
        common::record_reader reader{record};
        if (!reader.take<capture_header>().is_event) return std::nullopt;
        return reader.rest();
    }

    std::string url_;
    std::string authorization_;
    std::shared_ptr<event_context> context_;
    steady_time limited_until_ = steady_time::min();
    discards::counts reported_{};
};

}  // namespace detail

}  // namespace candor::sentry

#endif
