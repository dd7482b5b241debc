#ifndef CANDOR_HTTPLIB_CONNECTION_HPP
#define CANDOR_HTTPLIB_CONNECTION_HPP

#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <candor/httplib/answer_head.hpp>
#include <candor/httplib/gzip.hpp>
#include <candor/httplib/proxy.hpp>
#include <candor/httplib/resolver.hpp>
#include <candor/httplib/socket.hpp>
#include <candor/httplib/tunnel.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/url.hpp>
#include <candor/version.hpp>

namespace candor::detail {

/// Why an exchange was ended from outside; the greater one counts.
enum class stop_reason { none, deadline, cancelled };

/// What another thread needs to end an exchange under way: its socket and its question to the resolver. Thread-safe.
class lifeline {
public:
    /// A new exchange starts.
    void begin() noexcept {
        const std::lock_guard guard{mutex_};
        reason_ = stop_reason::none;
    }

    /// The exchange uses this socket from now on.
    void watch(socket_t socket) noexcept {
        const std::lock_guard guard{mutex_};
        socket_ = socket_handle{socket};
        if (reason_ != stop_reason::none) socket_.shut_down();
    }

    /// The exchange waits for this answer; null: no longer.
    void watch(std::shared_ptr<lookup> question) noexcept {
        const std::lock_guard guard{mutex_};
        question_ = std::move(question);
        if (question_ && reason_ != stop_reason::none) question_->interrupt();
    }

    /// Ends the exchange. A socket that is just about to connect may escape: call it again while the exchange lasts.
    void stop(stop_reason why) noexcept {
        const std::lock_guard guard{mutex_};
        reason_ = std::max(reason_, why);
        socket_.shut_down();
        if (question_) question_->interrupt();
    }

    /// Nothing more is wanted from this socket, not even what has come already.
    void discard() noexcept {
        const std::lock_guard guard{mutex_};
        socket_.discard();
    }

    /// The peer will not be listened to again: httplib then closes a TLS connection without waiting for its goodbye.
    void stop_reading() noexcept {
        const std::lock_guard guard{mutex_};
        socket_.stop_reading();
    }

    /// httplib has closed its descriptor: close ours.
    void release_socket() noexcept {
        const std::lock_guard guard{mutex_};
        socket_ = socket_handle{};
    }

    /// Ours; valid until the next `watch` or `release_socket`.
    [[nodiscard]] socket_t socket() const noexcept {
        const std::lock_guard guard{mutex_};
        return socket_.get();
    }

    [[nodiscard]] stop_reason reason() const noexcept {
        const std::lock_guard guard{mutex_};
        return reason_;
    }

private:
    mutable std::mutex mutex_;
    socket_handle socket_;
    std::shared_ptr<lookup> question_;
    stop_reason reason_ = stop_reason::none;
};

/// A request on its way: what goes onto the wire and until when.
struct outgoing {
    const http_request& request;
    std::string_view target;
    std::string_view payload;
    bool compressed;
    steady_time deadline;
};

/// What came of one try.
struct attempt {
    http_response response{};
    bool reached = false;   ///< there was a connection; another address need not be tried
    bool answered = false;  ///< the first line of an answer came
    bool opened = false;    ///< a connection was opened for it, not a kept one used
};

/// httplib's client for one server, kept between exchanges. One thread at a time, but for `line`.
class connection {
public:
    connection(url server, proxy_route route) : server_{std::move(server)}, route_{std::move(route)} {}

    lifeline line;
    gzip_encoder encoder;
    std::shared_ptr<lookup> question;  ///< asked and not answered yet

    [[nodiscard]] const url& server() const noexcept { return server_; }
    [[nodiscard]] const proxy_route& route() const noexcept { return route_; }

    /// The host to be resolved: the proxy, if there is one.
    [[nodiscard]] const std::string& next_hop() const noexcept {
        return route_.host.empty() ? server_.host : route_.host;
    }

    [[nodiscard]] bool is_open() const { return client_ && client_->is_socket_open(); }

    /// Forgets the client; after an exception its state is unknown.
    void reset() noexcept {
        line.stop_reading();
        client_.reset();
        line.release_socket();
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

    /// Sends and receives, on the kept connection or on a new one. `aim` was called before.
    attempt exchange(const outgoing& out, std::chrono::milliseconds connect_timeout) {
        const auto start = std::chrono::steady_clock::now();
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(out.deadline - start) + std::chrono::seconds{1};
        client_->set_connection_timeout(connect_timeout);
        client_->set_read_timeout(left);  // a mere backstop: the deadline is kept by shutting the socket down
        client_->set_write_timeout(left);
        opened_ = complete_ = cut_ = is_too_long_ = false;
        body_.clear();

        httplib::Request request = to_httplib(out);
        httplib::Response answer;
        auto error = httplib::Error::Success;
        const bool ok = client_->send(request, answer, error);
        if (!client_->is_socket_open()) line.release_socket();

        attempt result;
        result.opened = opened_;
        result.answered = answer.status > 0 || is_too_long_;
        result.reached = error != httplib::Error::Connection && error != httplib::Error::ConnectionTimeout;
        if (((ok && complete_) || cut_) && !has_no_tunnel()) {
            result.response.status = answer.status;
            for (const auto& [name, value] : answer.headers) result.response.headers.push_back({name, value});
            result.response.body = std::move(body_);
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

    [[nodiscard]] bool is_tunnelled() const noexcept { return !route_.host.empty() && server_.scheme == "https"; }
    [[nodiscard]] bool has_no_tunnel() const noexcept { return opened_ && is_tunnelled() && tunnel_status_ / 100 != 2; }

    /// Why there is no answer. Our own reasons go before what httplib made of them.
    [[nodiscard]] http_response explain(httplib::Error error, steady_time deadline,
                                        steady_time connect_deadline) const {
        const auto why = line.reason();
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
                tunnel_status_ == 0 ? "gave no tunnel" : "answered CONNECT with " + std::to_string(tunnel_status_);
            return failure(transport_error::unreachable, "the proxy " + said);
        }
        if (is_too_long_) return failure(transport_error::broken, "the head of the answer is too long");
        return failure(is_tls_failure(error) ? transport_error::tls : transport_error::broken,
                       httplib::to_string(error));
    }

    void make_client() {
        if (server_.scheme == "https") {
            client_ = make_secure_client();
        } else {
            client_ = std::make_unique<httplib::ClientImpl>(server_.host, server_.port);
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
            line.watch(socket);
        });
        client_->set_logger([this](const httplib::Request& request, const httplib::Response& answer) {
            if (request.method == "CONNECT") {
                tunnel_status_ = answer.status;
            } else {
                complete_ = line.reason() == stop_reason::none;  // else the end of the body may be our own doing
                if (answer.get_header_value("Connection") == "close") line.stop_reading();
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
            to.content_provider_ = [this](std::size_t from, std::size_t, httplib::DataSink& sink) {
                if (sink.write(payload_.data() + from, payload_.size() - from) && server_.scheme == "http" &&
                    !await_answer_head(line.socket())) {
                    is_too_long_ = true;
                    line.discard();
                }
                return true;  // httplib knows whether it could write
            };
        }
        to.content_receiver = [this](const char* data, std::size_t size, auto, auto) {
            const auto taken = std::min(size, body_limit - body_.size());
            body_.append(data, taken);
            if (taken == size) return true;
            cut_ = true;
            line.discard();  // or httplib would take leave of a TLS peer that goes on talking
            return false;
        };
        return to;
    }

    const url server_;
    const proxy_route route_;
    std::unique_ptr<httplib::ClientImpl> client_;
    std::string_view payload_;
    std::string body_;
    int tunnel_status_ = 0;        ///< of the proxy's last answer to CONNECT
    bool tunnels_itself_ = false;  ///< see `tunnelling_client`
    bool opened_ = false;
    bool complete_ = false;
    bool cut_ = false;
    bool is_too_long_ = false;  ///< the head of the answer
};

}  // namespace candor::detail

#endif
