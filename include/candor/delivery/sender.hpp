#ifndef CANDOR_DELIVERY_SENDER_HPP
#define CANDOR_DELIVERY_SENDER_HPP

#include <functional>
#include <set>
#include <string>
#include <utility>

#include <candor/delivery/options.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/transport.hpp>

namespace candor::detail {

/// Sends ready messages in one request and says what the answer means. The worker's own.
template <protocol Protocol, transport Transport>
class sender {
public:
    /// `name` stands before each diagnostic.
    sender(std::string name, const delivery_options& options, diagnostic_sink diagnostics, Protocol protocol,
           Transport& transport)
        : name_{std::move(name)},
          diagnostics_{std::move(diagnostics)},
          protocol_{std::move(protocol)},
          transport_{transport},
          on_attempt_{options.on_attempt},
          is_dry_{options.dry_run},
          request_{protocol_.request()} {
        request_.compress = options.compress;
        request_.connect_timeout = options.connect_timeout;
        request_.timeout = options.request_timeout;
    }

    struct outcome {
        transport_error error = transport_error::none;
        verdict found{};
    };

    /// One attempt. What a transport throws is a broken connection; what the protocol throws goes to the caller.
    template <clock Clock>
    outcome send(const message_range& range, const Clock& clock) {
        request_.body.clear();
        protocol_.write_body(range, clock.wall_now(), request_.body);
        const http_response response = exchange();
        if (response.error == transport_error::cancelled) return {.error = response.error};
        outcome out{response.error, protocol_.judge(response, clock.wall_now())};
        report(response, out.found.diagnostic);
        return out;
    }

    /// A diagnostic.
    void say(const std::string& text) { detail::report(diagnostics_, name_ + ": " + text); }

    [[nodiscard]] Protocol& protocol() noexcept { return protocol_; }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] const std::string& url() const noexcept { return request_.url; }

    void cancel() noexcept { transport_.cancel(); }

private:
    http_response exchange() noexcept {
        http_response answer{.status = 200};
        try {
            if (!is_dry_) answer = transport_.send(request_);
        } catch (...) {
            answer = {.error = transport_error::broken};
        }
        try {
            if (on_attempt_) on_attempt_(request_, answer);
        } catch (...) {  // a callback's failure is its own
        }
        return answer;
    }

    /// Each status and kind of failure is worth one word to a person.
    void report(const http_response& response, const std::string& text) {
        const int kind = response.error == transport_error::none ? response.status : -static_cast<int>(response.error);
        if (!text.empty() && reported_.insert(kind).second) say(text);
    }

    const std::string name_;
    const diagnostic_sink diagnostics_;
    Protocol protocol_;
    Transport& transport_;
    const std::function<void(const http_request&, const http_response&)> on_attempt_;
    const bool is_dry_;
    http_request request_;
    std::set<int> reported_;
};

}  // namespace candor::detail

#endif
