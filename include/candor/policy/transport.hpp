#ifndef CANDOR_POLICY_TRANSPORT_HPP
#define CANDOR_POLICY_TRANSPORT_HPP

#include <concepts>

#include <candor/policy/http.hpp>
#include <candor/policy/url.hpp>

namespace candor {

/// What moves a request to a server and brings the answer back. It knows nothing of events.
///
/// 1. `send(request)` is called by candor's workers only, from several threads at once where several clients share
///    one transport, and blocks until there is an answer or a reason why not. The transport owns neither argument
///    nor result after it returned. A failure is said in `http_response::error`; what it throws is contained by the
///    caller and taken for `transport_error::broken`.
/// 2. `send` keeps the two timeouts of the request, follows no redirect, and reads at most 64 KiB of an answer's body.
///    Once the head of an answer has come, that is the answer, whatever becomes of its body: cut, malformed, or late.
///    One that calls `http_request::on_head` the moment that it has come keeps messages from being sent twice by a
///    program that is killed right then.
/// 3. `cancel()` may be called from any thread at any time and does not throw. From then on every `send`, under way
///    or later, returns within 50 ms, whatever it was doing, with `transport_error::cancelled` unless the head of an
///    answer had come. It is final, and may be called again. Where `std::quick_exit` ends the program it is called
///    until the worker has ended, in a signal handler where that is called in one.
/// 4. Optional: `check(url)` throws `configuration_error` for a URL that this transport can never reach, such as
///    https where TLS is not compiled in. Called during the construction of a client.
/// 5. One that a program lends is used in children made by `fork()` too, so a program that forks lends one that can be.
template <class T>
concept transport = requires(T& t, const http_request& request) {
    { t.send(request) } -> std::same_as<http_response>;
    { t.cancel() }
    noexcept;
};

namespace detail {

/// Throws `configuration_error` where the transport can never reach that server.
template <transport Transport>
void check_reach(const Transport& transport, const url& server) {
    if constexpr (requires { transport.check(server); }) transport.check(server);
}

}  // namespace detail

/// Sends nothing and answers 200 to everything.
class null_transport {
public:
    [[nodiscard]] http_response send(const http_request&) const { return {.status = 200}; }
    void cancel() const noexcept {}
};

}  // namespace candor

#endif
