#ifndef CANDOR_DELIVERY_SENDER_HPP
#define CANDOR_DELIVERY_SENDER_HPP

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <candor/delivery/options.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/policies.hpp>

namespace candor::detail {

/// Sends ready messages in one request, and tells the program what came of it. The worker's own.
class sender {
public:
    /// `name` stands before each diagnostic. The transport outlives the last `send`.
    sender(std::string name, const delivery_options& options, diagnostic_sink diagnostics,
           std::unique_ptr<protocol> back_end, transport_interface& transport)
        : name_{std::move(name)},
          diagnostics_{std::move(diagnostics)},
          protocol_{std::move(back_end)},
          transport_{transport},
          on_attempt_{options.on_attempt},
          is_dry_{options.dry_run},
          request_{protocol_->request()} {
        request_.compress = options.compress;
        request_.connect_timeout = options.connect_timeout;
        request_.timeout = options.request_timeout;
    }

    /// One attempt. What a transport throws is a broken connection; what the protocol throws goes to the caller. A page
    /// that comes in place of the server's own answer is no answer: the server was not reached. A server that has not
    /// yet taken anything compressed, and refuses it as malformed, may not know gzip: it gets the same body once more
    /// as it is, and from then on everything.
    ///
    /// Where the server has the messages, `on_delivered` is called once before this returns: as soon as the head of the
    /// answer says so, on a transport that tells. It throws nothing.
    http_response send(const message_range& range, wall_time now, std::function<void()> on_delivered = {}) {
        request_.body.clear();
        protocol_->complete_request(range, request_);
        protocol_->write_body(range, now, request_.body);
        on_delivered_ = std::move(on_delivered);
        delivered_status_ = 0;
        if (is_dry_) {
            note_head({.status = 200});
            return {.status = 200};
        }
        auto answer = exchange();
        if (answer.was_compressed && !knows_gzip_) {
            if (answer.status == 400 || answer.status == 415) {
                request_.compress = false;
                answer = exchange();
            } else {
                knows_gzip_ = is_success(answer);
            }
        }
        return answer;
    }

    /// Asks the server what the protocol has to know before more is sent. Not where `inquiry()` is null.
    http_response inquire() noexcept {
        try {
            auto request = *protocol_->inquiry();
            request.connect_timeout = request_.connect_timeout;
            request.timeout = request_.timeout;
            return attempt(request);
        } catch (...) {  // no memory
            return {.error = transport_error::broken};
        }
    }

    /// Tells the program of the attempt: its callback, and where it failed its diagnostics.
    void tell(const http_response& answer, const std::string& diagnostic) noexcept {
        try {
            if (on_attempt_) on_attempt_(request_, answer);
        } catch (...) {  // a callback's failure is its own
        }
        say_once(answer, diagnostic);
    }

    /// A diagnostic of an answer, once for each status and kind of failure.
    void say_once(const http_response& answer, const std::string& diagnostic) noexcept {
        try {
            const int kind = answer.error == transport_error::none ? answer.status : -static_cast<int>(answer.error);
            if (!diagnostic.empty() && reported_.insert(kind).second) say(diagnostic);
        } catch (...) {  // no memory
        }
    }

    /// A diagnostic.
    void say(const std::string& text) { report(diagnostics_, name_ + ": " + text); }

    [[nodiscard]] protocol& back_end() noexcept { return *protocol_; }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] const std::string& url() const noexcept { return request_.url; }

    void cancel() noexcept { transport_.cancel(); }

private:
    http_response exchange() noexcept {
        request_.on_head = [this](const http_response& head) { note_head(head); };
        auto answer = attempt(request_);
        request_.on_head = nullptr;
        note_head(answer);
        // The messages that a head took are forgotten already.
        if (delivered_status_ != 0 && !is_success(answer)) answer = {.status = delivered_status_};
        return answer;
    }

    http_response attempt(const http_request& request) noexcept {
        try {
            auto answer = transport_.send(request);
            if (!is_page(answer)) return answer;
            return {.error = transport_error::unreachable, .message = url() + ": a web page answers in its place"};
        } catch (...) {
            return {.error = transport_error::broken};
        }
    }

    void note_head(const http_response& head) noexcept {
        if (delivered_status_ != 0 || !is_success(head) || is_page(head)) return;
        delivered_status_ = head.status;
        if (on_delivered_) on_delivered_();
    }

    static bool is_success(const http_response& answer) noexcept {
        return answer.error == transport_error::none && answer.status >= 200 && answer.status < 300;
    }

    /// Whether something in between answered with a page that looks like success: the login of a network, a proxy. No
    /// back end sends HTML, and over https nothing in between can.
    [[nodiscard]] bool is_page(const http_response& answer) const noexcept {
        const std::string* const type = answer.header("Content-Type");
        return is_success(answer) && type != nullptr && request_.url.starts_with("http://") &&
               equal_ignoring_case(std::string_view{*type}.substr(0, html_.size()), html_);
    }

    static constexpr std::string_view html_ = "text/html";
    const std::string name_;
    const diagnostic_sink diagnostics_;
    const std::unique_ptr<protocol> protocol_;
    transport_interface& transport_;
    const std::function<void(const http_request&, const http_response&)> on_attempt_;
    const bool is_dry_;
    http_request request_;
    std::function<void()> on_delivered_;  ///< of the `send` under way
    int delivered_status_ = 0;            ///< of the head that said so; 0 before
    bool knows_gzip_ = false;
    std::set<int> reported_;
};

}  // namespace candor::detail

#endif
