#ifndef CANDOR_EXAMPLES_DATA_PLANE_HPP
#define CANDOR_EXAMPLES_DATA_PLANE_HPP

#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <functional>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "gateway.hpp"

namespace candor::examples {

/// What the server noted of one request.
struct received_request {
    std::string method{};
    std::string path{};
    httplib::Headers headers{};      ///< as sent; names compare without regard to case
    std::size_t content_length = 0;  ///< as the header says; 0 where the body came in chunks
    std::size_t body_bytes = 0;      ///< kept of it: after gunzip, at most the limit
    int status = 0;                  ///< what it was answered

    /// The value of the first header of that name, or an empty string.
    [[nodiscard]] std::string header(const std::string& name) const {
        const auto found = headers.find(name);
        return found == headers.end() ? std::string{} : found->second;
    }
};

/// How a `data_plane` is to behave.
struct data_plane_options {
    std::string write_key = "write-key";          ///< the only key it accepts
    int port = 0;                                 ///< on 127.0.0.1; 0 takes a free one
    std::size_t max_request_bytes = 4000 * 1024;  ///< of a body, after gunzip
    bool remembers = true;                        ///< what it has received, beside telling it
    /// Called for each message that is taken, in order, before the request that brought it is answered. On a thread
    /// of the server, which holds its lock meanwhile: it must not call the server.
    std::function<void(const nlohmann::json&)> on_message{};
    /// Called for each event of an envelope, on the same terms.
    std::function<void(const nlohmann::json&)> on_error{};
    /// Called for each request, on the same terms, after its messages.
    std::function<void(const received_request&)> on_request{};
    /// Called for each batch and each envelope before it is judged, with the port of the client, on a thread of the
    /// server that holds no lock. `false`: it is lost, and the answer says 500.
    std::function<bool(int client)> on_arrival{};
};

/// A small RudderStack data plane on loopback, for tests and the demo. It takes `POST /v1/batch` and answers as
/// rudder-server's gateway does (`gateway` has its rules): 401 without the write key, 404 while its source is disabled,
/// 413 for a body over the limit, 400 for the whole batch where one message is wrong, 200 otherwise. As there, the
/// password of the Basic authorization is not looked at, and only `Content-Encoding: gzip` is decoded.
///
/// It takes errors too: `POST /api/PROJECT/envelope/` as a Sentry server has it, of any project and key
/// (getsentry/sentry-docs, SDK foundations, transport): 401 without a key, 400 for a body that is no envelope.
///
/// Listens from construction, which throws `std::runtime_error` where the port is taken, to `stop()` or destruction.
/// `stop` waits for connections that a client keeps open, at most 5 seconds. Every other member may be called from
/// any thread at any time.
class data_plane {
public:
    /// How long a `wait_for_` member waits before it gives up; a test that passes never waits so long.
    static constexpr std::chrono::milliseconds patience{30000};

    explicit data_plane(data_plane_options options = {}) : options_{std::move(options)}, gateway_{options_.write_key} {
        configure();
        port_ = options_.port;
        if (port_ == 0) {
            port_ = server_.bind_to_any_port("127.0.0.1");
        } else if (!server_.bind_to_port("127.0.0.1", port_)) {
            port_ = -1;
        }
        if (port_ < 0) throw std::runtime_error{"cannot listen on 127.0.0.1:" + std::to_string(options_.port)};
        acceptor_ = std::thread{[this] {
            server_.listen_after_bind();
            const std::lock_guard guard{mutex_};
            phase_ = phase::ended;
            changed_.notify_all();
        }};
        std::unique_lock lock{mutex_};  // stop() has no effect on a server that does not run yet
        changed_.wait(lock, [this] { return phase_ != phase::starting; });
    }

    data_plane(const data_plane&) = delete;
    data_plane& operator=(const data_plane&) = delete;
    ~data_plane() { stop(); }

    [[nodiscard]] int port() const noexcept { return port_; }
    [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

    /// Every message of every batch that was taken, in the order of arrival.
    [[nodiscard]] std::vector<nlohmann::json> messages() const {
        const std::lock_guard guard{mutex_};
        return messages_;
    }

    /// The event of every envelope that was taken, in the order of arrival.
    [[nodiscard]] std::vector<nlohmann::json> errors() const {
        const std::lock_guard guard{mutex_};
        return errors_;
    }

    /// Every request that was answered, refused ones too, in that order.
    [[nodiscard]] std::vector<received_request> requests() const {
        const std::lock_guard guard{mutex_};
        return requests_;
    }

    /// Waits until `count` messages have been taken. False when they do not come within `within`.
    [[nodiscard]] bool wait_for_messages(std::size_t count, std::chrono::milliseconds within = patience) const {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, within, [&] { return messages_.size() >= count; });
    }

    /// Waits until `count` errors have been taken. False when they do not come within `within`.
    [[nodiscard]] bool wait_for_errors(std::size_t count, std::chrono::milliseconds within = patience) const {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, within, [&] { return errors_.size() >= count; });
    }

    /// Waits until `count` requests have been read to their end. False when they do not come within `within`.
    [[nodiscard]] bool wait_for_requests(std::size_t count, std::chrono::milliseconds within = patience) const {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, within, [&] { return requests_.size() >= count; });
    }

    /// Answers the next batch that has no scripted answer yet with `status`, whatever it holds; nothing of it is
    /// taken. A scripted 200 is judged as usual, so that a script can let a request pass.
    void answer_next(int status, httplib::Headers headers = {}) {
        const std::lock_guard guard{mutex_};
        script_.push_back({status, std::move(headers)});
    }

    /// What judges the batches, for a test to disturb.
    [[nodiscard]] gateway& rules() noexcept { return gateway_; }

    /// Closes the port. What was received stays readable. Called twice, it does nothing.
    void stop() {
        server_.stop();
        if (acceptor_.joinable()) acceptor_.join();
    }

private:
    struct answer {
        int status;
        httplib::Headers headers;
    };

    using body_state = gateway::request::body_state;

    enum class phase { starting, running, ended };

    static constexpr std::size_t drain_factor = 16;  // read on past the limit, so that the client sees the answer
    static constexpr std::size_t threads = 32;       // a connection that is kept open has one to itself

    void configure() {
        server_.new_task_queue = [this] {                      // called once the server runs
            auto* workers = new httplib::ThreadPool(threads);  // owned by the server
            const std::lock_guard guard{mutex_};
            phase_ = phase::running;
            changed_.notify_all();
            return workers;
        };
        server_.set_socket_options([](socket_t socket) {  // cpp-httplib's own let two servers share a port
#ifndef _WIN32
            const int on = 1;
            setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
#else
            static_cast<void>(socket);
#endif
        });
        server_.set_tcp_nodelay(true);  // else an answer on a kept connection waits 40 ms for an acknowledgement
        server_.set_keep_alive_max_count(static_cast<std::size_t>(-1));
        server_.set_payload_max_length(options_.max_request_bytes);
        const auto bodiless = [this](const httplib::Request& q, httplib::Response& a) { refuse(q, a, 0); };
        const auto with_body = [this](const httplib::Request& q, httplib::Response& a,
                                      const httplib::ContentReader& r) {
            std::string body;
            read(r, body);
            refuse(q, a, body.size());
        };
        const std::string any = R"([\s\S]*)";
        server_.Get("/cluster-info", [this](const httplib::Request& q, httplib::Response& a) {
            finish(q, a, 0, gateway_.cluster_info(q.get_header_value("Authorization")));
        });
        server_.Get(any, bodiless).Options(any, bodiless);
        server_.Put(any, with_body).Patch(any, with_body).Delete(any, with_body);
        server_.Post(path, [this](const httplib::Request& q, httplib::Response& a, const httplib::ContentReader& r) {
            take(q, a, r);
        });
        server_.Post(R"(/api/[^/]+/envelope/)", [this](const httplib::Request& q, httplib::Response& a,
                                                       const httplib::ContentReader& r) { take_envelope(q, a, r); });
        server_.Post(any, with_body);
    }

    void refuse(const httplib::Request& request, httplib::Response& response, std::size_t body_bytes) {
        const bool known = request.path == path;
        finish(request, response, body_bytes,
               {known ? 405 : 404, known ? "method not allowed" : "404 page not found\n"});
    }

    void take(const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& reader) {
        std::string body;
        const auto state = read(reader, body);
        {
            const std::lock_guard guard{mutex_};
            if (!script_.empty()) {
                const auto next = std::move(script_.front());
                script_.pop_front();
                for (const auto& [name, value] : next.headers) response.set_header(name.c_str(), value);
                if (next.status != 200) {
                    note(request, body.size(), next.status);
                    response.status = next.status;
                    response.set_content("scripted answer", "text/plain");
                    return;
                }
            }
        }
        if (options_.on_arrival && !options_.on_arrival(request.remote_port))
            return finish(request, response, body.size(), {500, "lost"});
        // The reader has put a status of its own where it could not decode (415) or take (413) the body.
        const auto size = body.size();
        auto judged = response.status == 415
                          ? gateway::verdict{415, "unsupported content encoding"}  // cpp-httplib without zlib
                          : gateway_.judge({request.get_header_value("Authorization"),
                                            request.get_header_value("Content-Encoding"),
                                            request.get_header_value("RS-nodeCount"),
                                            response.status == 413 ? body_state::too_large : state, std::move(body)});
        finish(request, response, size, std::move(judged));
    }

    void take_envelope(const httplib::Request& request, httplib::Response& response,
                       const httplib::ContentReader& reader) {
        std::string body;
        const auto state = read(reader, body);
        if (options_.on_arrival && !options_.on_arrival(request.remote_port))
            return finish(request, response, body.size(), {500, "lost"});
        std::vector<nlohmann::json> events;
        int status = 200;
        if (request.get_header_value("X-Sentry-Auth").find("sentry_key=") == std::string::npos) {
            status = 401;
        } else if (state != body_state::whole) {
            status = state == body_state::too_large ? 413 : 400;
        } else if (!read_envelope(body, events)) {
            status = 400;
        }
        response.status = status;
        response.set_content("{}", "application/json");
        const std::lock_guard guard{mutex_};
        if (status == 200) {
            if (options_.on_error)
                for (const auto& event : events) options_.on_error(event);
            if (options_.remembers) std::move(events.begin(), events.end(), std::back_inserter(errors_));
        }
        note(request, body.size(), status);
    }

    /// A header line, then for each item a header line with its length and the payload. False where it is not so.
    static bool read_envelope(std::string_view body, std::vector<nlohmann::json>& events) {
        const auto line = [&body] {
            const auto end = std::min(body.find('\n'), body.size());
            auto out = nlohmann::json::parse(body.substr(0, end), nullptr, false);
            body.remove_prefix(std::min(end + 1, body.size()));
            return out;
        };
        if (!line().is_object()) return false;
        while (!body.empty()) {
            const auto header = line();
            if (!header.is_object() || !header.contains("type")) return false;
            const auto length = header.value("length", body.find('\n'));
            if (length > body.size()) return false;
            auto payload = nlohmann::json::parse(body.substr(0, length), nullptr, false);
            body.remove_prefix(std::min(length + 1, body.size()));
            if (header["type"] == "event") {
                if (!payload.is_object()) return false;
                events.push_back(std::move(payload));
            }
        }
        return true;
    }

    /// Reads a body, keeping at most the limit of it.
    body_state read(const httplib::ContentReader& reader, std::string& body) const {
        std::size_t total = 0;
        const bool whole = reader([&](const char* data, std::size_t size) {
            total += size;
            if (total <= options_.max_request_bytes) body.append(data, size);
            return total <= options_.max_request_bytes * drain_factor;
        });
        if (total > options_.max_request_bytes) return body_state::too_large;
        return whole ? body_state::whole : body_state::unreadable;
    }

    void finish(const httplib::Request& request, httplib::Response& response, std::size_t body_bytes,
                gateway::verdict v) {
        response.status = v.status;
        response.set_content(v.text, "text/plain");
        const std::lock_guard guard{mutex_};
        if (options_.on_message)
            for (const auto& message : v.messages) options_.on_message(message);
        if (options_.remembers) std::move(v.messages.begin(), v.messages.end(), std::back_inserter(messages_));
        note(request, body_bytes, v.status);
    }

    /// With the lock held.
    void note(const httplib::Request& request, std::size_t body_bytes, int status) {
        received_request record{request.method, request.path, request.headers, 0, body_bytes, status};
        for (const char* added : {"REMOTE_ADDR", "REMOTE_PORT", "LOCAL_ADDR", "LOCAL_PORT"})
            record.headers.erase(added);  // cpp-httplib's, not the client's
        record.content_length =
            static_cast<std::size_t>(std::strtoull(record.header("Content-Length").c_str(), nullptr, 10));
        if (options_.on_request) options_.on_request(record);
        if (options_.remembers) requests_.push_back(std::move(record));
        changed_.notify_all();
    }

    static constexpr const char* path = "/v1/batch";

    const data_plane_options options_;
    gateway gateway_;
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    phase phase_ = phase::starting;
    std::deque<answer> script_;
    std::vector<nlohmann::json> messages_;
    std::vector<nlohmann::json> errors_;
    std::vector<received_request> requests_;
    httplib::Server server_;
    int port_ = -1;
    std::thread acceptor_;
};

}  // namespace candor::examples

#endif
