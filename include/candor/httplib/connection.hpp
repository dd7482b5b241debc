#ifndef CANDOR_HTTPLIB_CONNECTION_HPP
#define CANDOR_HTTPLIB_CONNECTION_HPP

#include <httplib.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <candor/httplib/cancellation_handle.hpp>
#include <candor/httplib/gzip.hpp>
#include <candor/httplib/proxy.hpp>
#include <candor/httplib/resolver.hpp>
#include <candor/httplib/response_header.hpp>
#include <candor/httplib/tunnel.hpp>
#include <candor/platform/at_exit.hpp>
#include <candor/platform/fork.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/url.hpp>
#include <candor/version.hpp>

namespace candor::detail {

/// A request on its way: what goes onto the wire and until when.
struct outgoing {
    const http_request& request;
    std::string_view target;
    std::string_view payload;
    bool compressed;
    steady_time deadline;
    std::function<bool()> await_body;  ///< the head of the answer has come without its body: whether to wait for that
};

/// What came of one try.
struct attempt {
    http_response response{};
    bool reached = false;   ///< a connection was made; no other address need be tried
    bool answered = false;  ///< the first line of an answer came
    bool opened = false;    ///< a new connection was opened for it; false: a kept one was used
};

/// httplib's client over http. Before it closes a socket, httplib calls a member that may take the socket away from it,
/// so that one that the program has closed meanwhile is not closed again.
class plain_client final : public httplib::ClientImpl {
public:
    /// `handle` outlives the client.
    plain_client(const url& server, const cancellation_handle& handle)
        : ClientImpl{server.host, server.port}, handle_{handle} {}

private:
    void shutdown_ssl(Socket& socket, bool) override {
        if (!handle_.is_intact()) socket.sock = INVALID_SOCKET;
    }

    const cancellation_handle& handle_;
};

/// httplib's client for one server, kept between exchanges. One thread at a time, but for `handle`.
class connection {
public:
    connection(url server, proxy_route route) : server_{std::move(server)}, route_{std::move(route)} {}

    cancellation_handle handle;
    gzip_encoder encoder;
    std::shared_ptr<lookup> question;  ///< asked and not answered yet

    [[nodiscard]] const url& server() const noexcept { return server_; }
    [[nodiscard]] const proxy_route& route() const noexcept { return route_; }

    /// The host to be resolved: the proxy, if there is one.
    [[nodiscard]] const std::string& next_hop() const noexcept {
        return route_.host.empty() ? server_.host : route_.host;
    }

    /// Whether there is a kept connection. One that the program has closed is forgotten.
    [[nodiscard]] bool is_open() {
        if (!client_ || !client_->is_socket_open()) return false;
        if (handle.is_intact()) return true;
        reset();
        return false;
    }

    /// Forgets the client; after an exception its state is unknown. One whose socket the program has closed is left
    /// behind, since it would close whatever has that number now.
    void reset() noexcept {
        handle.stop_reading();
        if (client_ && client_->is_socket_open() && !handle.is_intact()) leave_client();
        client_.reset();
        handle.release_socket();
    }

    /// The next connection goes to this address of `next_hop()`.
    void aim(const std::string& address) {
        if (!client_) make_client();
        if (route_.host.empty() || tunnels_itself_) {
            client_->set_hostname_addr_map({{server_.host, address}});
        } else {
            client_->set_proxy(address, route_.port);
        }
    }

    /// Whether an exchange comes to its answer, or to its deadline, without being watched: such a request does not wait
    /// for room in the socket, and what waits for the head of its answer is ours.
    [[nodiscard]] bool keeps_deadline(const outgoing& out) const noexcept {
        return awaits_response_header && server_.scheme == "http" && !out.payload.empty() &&
               out.payload.size() <= least_room_;
    }

    /// Sends and receives, on the kept connection or on a new one. `aim` was called before.
    attempt exchange(const outgoing& out, std::chrono::milliseconds connect_timeout) {
        const auto start = std::chrono::steady_clock::now();
        const auto left =
            std::max(std::chrono::ceil<std::chrono::milliseconds>(out.deadline - start), std::chrono::milliseconds{0});
        client_->set_connection_timeout(std::min(connect_timeout, left));
        client_->set_read_timeout(left + std::chrono::seconds{1});  // a mere backstop, as the next
        client_->set_write_timeout(left + std::chrono::seconds{1});
        request_ = &out.request;
        opened_ = has_head_ = is_too_long_ = false;
        body_seen_ = 0;
        head_ = {};
        body_.clear();

        httplib::Request request = to_httplib(out);
        httplib::Response answer;
        auto error = httplib::Error::Success;
        try {
            static_cast<void>(client_->send(request, answer, error));  // whether the body came whole
        } catch (...) {
            if (!has_head_) throw;
            reset();
        }
        end_before_library();
        if (client_ && !client_->is_socket_open()) handle.release_socket();

        attempt result;
        result.opened = opened_;
        result.answered = answer.status > 0 || has_head_ || is_too_long_;
        result.reached = error != httplib::Error::Connection && error != httplib::Error::ConnectionTimeout;
        if (has_head_) {
            result.response = std::move(head_);
            result.response.body = std::move(body_);
            result.response.was_compressed = out.compressed;
        } else {
            result.response = explain(error, out.deadline, start + connect_timeout);
        }
        return result;
    }

    /// A failure, with the server's name in front of its message.
    [[nodiscard]] http_response failure(transport_error error, const std::string& message) const {
        const std::string via = route_.host.empty() ? "" : " through the proxy " + route_.host;
        return {.error = error, .message = server_.origin() + via + ": " + message};
    }

private:
    static constexpr std::size_t body_limit = 64 * 1024;
    static constexpr std::size_t least_room_ = 8 * 1024;  ///< in a new socket, for a request besides its head

    /// The head of an answer has come, and is the answer from now on. Who asked hears of it before anything else is
    /// done.
    void keep_head(http_response head) {
        if (has_no_tunnel()) return;  // it is the proxy's
        head_ = std::move(head);
        has_head_ = true;
        if (request_->on_head && head_.status >= 200) request_->on_head(head_);
    }

    void keep_head(const httplib::Response& answer) {
        if (has_head_) return;
        http_response head{.status = answer.status};
        for (const auto& [name, value] : answer.headers) head.headers.push_back({name, value});
        keep_head(std::move(head));
    }

    [[nodiscard]] bool is_tunnelled() const noexcept { return !route_.host.empty() && server_.scheme == "https"; }
    [[nodiscard]] bool has_no_tunnel() const noexcept { return opened_ && is_tunnelled() && tunnel_status_ / 100 != 2; }

    /// Why there is no answer. Our own reasons go before what httplib made of them.
    [[nodiscard]] http_response explain(httplib::Error error, steady_time deadline,
                                        steady_time connect_deadline) const {
        const auto why = handle.reason();
        const auto now = std::chrono::steady_clock::now();
        if (why == stop_reason::cancelled) return failure(transport_error::cancelled, "cancelled");
        if (why == stop_reason::deadline || now >= deadline)
            return failure(transport_error::timeout, "no whole answer in time");
        if (error == httplib::Error::ConnectionTimeout ||
            (error == httplib::Error::SSLConnection && now >= connect_deadline))
            return failure(transport_error::timeout, "no connection in time");
        if (error == httplib::Error::Connection) return failure(transport_error::unreachable, "cannot connect");
        if (has_no_tunnel()) {
            const std::string said =
                tunnel_status_ == 0 ? "opened no tunnel" : "answered CONNECT with " + std::to_string(tunnel_status_);
            return failure(transport_error::unreachable, "the proxy " + said);
        }
        if (is_too_long_) return failure(transport_error::broken, "the head of the answer is too long");
        return failure(is_tls_failure(error) ? transport_error::tls : transport_error::broken,
                       httplib::to_string(error));
    }

    void leave_client() noexcept {
        struct lost_client : left_behind {
            std::unique_ptr<httplib::ClientImpl> client;
        };
        auto* const lost = new (std::nothrow) lost_client;
        if (lost == nullptr) return static_cast<void>(client_.release());
        lost->client = std::move(client_);
        left_behind::leave(lost);
    }

    struct tls;
    struct plain_answers;
    struct secure_answers;

    /// httplib makes objects when it reads its first answer, and OpenSSL where it is used first; both destroy them when
    /// the process ends. What is sent at the end has to be sent before that.
    void end_before_library() const noexcept {
        server_.scheme == "https" ? at_exit::come_first<secure_answers>() : at_exit::come_first<plain_answers>();
    }

    void make_client() {
        if (server_.scheme == "https") {
            client_ = make_secure_client();
            at_exit::come_first<tls>();
        } else {
            client_ = std::make_unique<plain_client>(server_, handle);
        }
        client_->set_keep_alive(true);
        client_->set_tcp_nodelay(true);
        client_->set_follow_location(false);
        client_->set_decompress(false);
        send_path_as_it_is(*client_);
        omit_empty_fields(*client_);
        client_->set_socket_options([this](socket_t socket) {
            opened_ = true;
            tunnel_status_ = 0;
            handle.watch(socket);
        });
        client_->set_logger([this](const httplib::Request& request, const httplib::Response& answer) {
            if (request.method == "CONNECT") {
                tunnel_status_ = answer.status;
            } else {
                keep_head(answer);
                if (answer.get_header_value("Connection") == "close") handle.stop_reading();
            }
        });
    }

#if defined(CPPHTTPLIB_OPENSSL_SUPPORT) || defined(CPPHTTPLIB_SSL_ENABLED)
    /// httplib verifies the certificate and the host name unless told otherwise. It is never told otherwise.
    template <class Secure = httplib::SSLClient>
    std::unique_ptr<httplib::ClientImpl> make_secure_client() {
        if constexpr (!std::is_final_v<Secure>) {
            if (!route_.host.empty()) {
                tunnels_itself_ = true;
                return std::make_unique<tunnelling_client<Secure>>(server_, route_, tunnel_status_);
            }
        }
        auto client = std::make_unique<Secure>(server_.host, server_.port);
        if (!route_.user.empty()) client->set_proxy_basic_auth(route_.user, route_.password);
        return client;
    }

    static bool is_tls_failure(httplib::Error error) noexcept {
        return error == httplib::Error::SSLConnection || error == httplib::Error::SSLLoadingCerts ||
               error == httplib::Error::SSLServerVerification || is_wrong_host(error);
    }

    /// A reason of its own in newer versions.
    template <class Error>
    static bool is_wrong_host(Error error) noexcept {
        if constexpr (requires { Error::SSLServerHostnameVerification; }) {
            return error == Error::SSLServerHostnameVerification;
        }
        return false;
    }
#else
    static std::unique_ptr<httplib::ClientImpl> make_secure_client() { return nullptr; }  // the transport refuses https
    static bool is_tls_failure(httplib::Error) noexcept { return false; }
#endif

    template <class Client>
    static void send_path_as_it_is(Client& client) {
        if constexpr (requires { client.set_path_encode(false); }) {
            client.set_path_encode(false);
        } else {
            client.set_url_encode(false);
        }
    }

    /// Keeps from the wire the fields that `to_httplib` leaves empty, where httplib lets us write the fields.
    template <class Client>
    static void omit_empty_fields(Client& client) {
        const auto write = [](httplib::Stream& stream, httplib::Headers& headers) {
            std::string text;
            for (const auto& [name, value] : headers) {
                if (!value.empty()) text += name + ": " + value + "\r\n";
            }
            return stream.write(text + "\r\n");
        };
        if constexpr (requires { client.set_header_writer(write); }) client.set_header_writer(write);
    }

    /// Whether the body came with the head.
    [[nodiscard]] bool has_whole_body(const httplib::Response& answer) const {
        const std::string length = answer.get_header_value("Content-Length");
        const char* const end = length.data() + length.size();
        std::size_t size = 0;
        const auto read = std::from_chars(length.data(), end, size);
        return read.ec == std::errc{} && read.ptr == end && size <= body_seen_ &&
               !answer.has_header("Transfer-Encoding");
    }

    httplib::Request to_httplib(const outgoing& out) {
        httplib::Request to;
        to.method = out.request.method;
        to.path = out.target;
        for (const auto& header : out.request.headers) to.headers.emplace(header.name, header.value);
        to.headers.emplace("Host", server_.origin().substr(server_.scheme.size() + 3));
        if (!to.has_header("User-Agent")) to.headers.emplace("User-Agent", "candor/" CANDOR_VERSION_STRING);
        if (out.compressed) to.headers.emplace("Content-Encoding", "gzip");
#ifdef CPPHTTPLIB_EXPECT_100_THRESHOLD
        // From 0.32 on, httplib asks the server's leave to send any body over 1 KiB, and waits a second for it, unless
        // the request says something itself.
        to.headers.emplace("Expect", "");
#endif
        if (!route_.user.empty() && !is_tunnelled())
            to.headers.insert(httplib::make_basic_authentication_header(route_.user, route_.password, true));
        // Likewise the proxy's password, which httplib would send through the tunnel to the server.
        if (!route_.user.empty() && is_tunnelled() && !tunnels_itself_) to.headers.emplace("Proxy-Authorization", "");
        if (!out.payload.empty()) {
            // A provider, because httplib copies the whole request once, its body included.
            payload_ = out.payload;
            to.content_length_ = payload_.size();
            to.content_provider_ = [this, deadline = out.deadline](std::size_t from, std::size_t,
                                                                   httplib::DataSink& sink) {
                if (sink.write(payload_.data() + from, payload_.size() - from) && server_.scheme == "http") {
                    const auto body = await_response_header(handle.socket(), deadline, [this](std::string_view head) {
                        if (auto parsed = parse_response_header(head)) keep_head(std::move(*parsed));
                    });
                    body_seen_ = body.value_or(0);
                    is_too_long_ = !body;
                    if (is_too_long_) handle.discard();
                    if (std::chrono::steady_clock::now() >= deadline) handle.stop(stop_reason::deadline);
                    // One that the program has closed, or that cannot be ended, for want of a second descriptor.
                    // Whatever is returned, httplib in newer versions would read from what has the number now.
                    if (!handle.socket().is_ours() || !handle.is_intact())
                        throw std::runtime_error{"the connection has no descriptor left"};
                }
                return true;  // httplib knows whether it could write
            };
        }
        to.response_handler = [this, &out](const httplib::Response& answer) {
            keep_head(answer);
            end_before_library();  // not only when the body has come, which may take its time
            if (has_whole_body(answer) || out.await_body()) return true;
            handle.discard();
            return false;
        };
        to.content_receiver = [this](const char* data, std::size_t size, auto, auto) {
            const auto taken = std::min(size, body_limit - body_.size());
            body_.append(data, taken);
            if (taken == size) return true;
            handle.discard();  // or httplib would wait for the goodbye of a TLS peer that goes on talking
            return false;
        };
        return to;
    }

    const url server_;
    const proxy_route route_;
    std::unique_ptr<httplib::ClientImpl> client_;
    const http_request* request_ = nullptr;  ///< of the exchange under way
    std::string_view payload_;
    std::string body_;
    std::size_t body_seen_ = 0;    ///< so much of the answer's came with its head
    int tunnel_status_ = 0;        ///< of the proxy's last answer to CONNECT
    bool tunnels_itself_ = false;  ///< see `tunnelling_client`
    bool opened_ = false;
    http_response head_;
    bool has_head_ = false;     ///< the answer is that, whatever becomes of its body
    bool is_too_long_ = false;  ///< the head of the answer
};

}  // namespace candor::detail

#endif
