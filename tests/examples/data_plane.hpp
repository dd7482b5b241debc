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
    /// Called for each message that is taken, in order, before the request that brought it is answered. On a thread
    /// of the server, which holds its lock meanwhile: it must not call the server.
    std::function<void(const nlohmann::json&)> on_message{};
    /// Called for each event of an envelope, on the same terms.
    std::function<void(const nlohmann::json&)> on_error{};
    /// Called for each request, on the same terms, after its messages.
    std::function<void(const received_request&)> on_request{};
};

/// A small RudderStack data plane on loopback, for tests and the demo. It takes `POST /v1/batch` and answers as
/// rudder-server's gateway does (rudderlabs/rudder-server:gateway/): 401 without the write key, 404 while its source
/// is disabled, 413 for a body over the limit, 400 for the whole batch where one message is wrong, 200 otherwise. As
/// there, the password of the Basic authorization is not looked at, and only `Content-Encoding: gzip` is decoded.
/// Two rules are stricter than the gateway's: a message needs a type, and JSON may nest 512 deep at most.
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

    explicit data_plane(data_plane_options options = {}) : options_{std::move(options)} {
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

    /// From now on everything with the right key is answered 404, until enabled again.
    void disable_source(bool disabled = true) {
        const std::lock_guard guard{mutex_};
        disabled_ = disabled;
    }

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

    /// What became of reading a body.
    enum class body_state { whole, too_large, unreadable };

    enum class phase { starting, running, ended };

    struct verdict {
        int status;
        std::string_view text;
        std::vector<nlohmann::json> messages{};
    };

    static constexpr int max_depth = 512;            // nlohmann copies and prints by recursion
    static constexpr std::size_t drain_factor = 16;  // read on past the limit, so that the client sees the answer

    void configure() {
        server_.new_task_queue = [this] {                                           // called once the server runs
            auto* workers = new httplib::ThreadPool(CPPHTTPLIB_THREAD_POOL_COUNT);  // owned by the server
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
        finish(request, response, body_bytes, {known ? 405 : 404, known ? "method not allowed" : "not found"});
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
        // The reader has put a status of its own where it could not decode (415) or take (413) the body.
        finish(request, response, body.size(), judge(request, state, response.status, body));
    }

    void take_envelope(const httplib::Request& request, httplib::Response& response,
                       const httplib::ContentReader& reader) {
        std::string body;
        const auto state = read(reader, body);
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
            std::move(events.begin(), events.end(), std::back_inserter(errors_));
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

    /// The gateway's rules, in its order; only the size is looked at earlier than there.
    verdict judge(const httplib::Request& request, body_state state, int read_status, const std::string& body) const {
        const std::string key = user_of(request.get_header_value("Authorization"));
        if (key.empty()) return {401, "failed to read writekey from header"};
        if (key != options_.write_key) return {401, "invalid write key"};
        {
            const std::lock_guard guard{mutex_};
            if (disabled_) return {404, "source is disabled"};
        }
        if (state == body_state::too_large || read_status == 413) return {413, "request size exceeds max limit"};
        if (read_status == 415) return {415, "unsupported content encoding"};  // cpp-httplib without zlib
        if (state == body_state::unreadable) return {500, "failed to read body from request"};

        const std::string encoding = request.get_header_value("Content-Encoding");
        const bool decoded = encoding.empty() || encoding == "gzip" || encoding == "identity";
        if (!decoded || nests_too_deep(body)) return {400, "invalid json"};
        auto document = nlohmann::json::parse(body, nullptr, false);
        if (document.is_discarded()) return {400, "invalid json"};
        const auto batch = document.is_object() ? document.find("batch") : document.end();
        if (batch == document.end() || (batch->is_array() && batch->empty())) return {400, "empty batch payload"};
        if (!batch->is_array()) return {400, "event is not a valid rudder event"};
        for (const auto& message : *batch) {
            if (!message.is_object()) return {400, "event is not a valid rudder event"};
            if (!identified(message)) return {400, "request neither has anonymousId nor userId"};
            const auto type = message.find("type");
            if (type == message.end() || !type->is_string() || blank(type->get_ref<const std::string&>()))
                return {400, "event is not a valid rudder event"};
        }
        return {200, "OK", std::move(batch->get_ref<std::vector<nlohmann::json>&>())};
    }

    void finish(const httplib::Request& request, httplib::Response& response, std::size_t body_bytes, verdict v) {
        response.status = v.status;
        response.set_content(std::string{v.text}, "text/plain");
        const std::lock_guard guard{mutex_};
        if (options_.on_message)
            for (const auto& message : v.messages) options_.on_message(message);
        std::move(v.messages.begin(), v.messages.end(), std::back_inserter(messages_));
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
        requests_.push_back(std::move(record));
        changed_.notify_all();
    }

    /// The user name of a Basic authorization, or an empty string where there is none.
    static std::string user_of(std::string_view authorization) {
        constexpr std::string_view scheme = "Basic ";
        if (authorization.substr(0, scheme.size()) != scheme) return {};
        std::string decoded;
        unsigned bits = 0;
        int count = 0;
        for (const char c : authorization.substr(scheme.size())) {
            constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            if (c == '=') break;
            const auto digit = digits.find(c);
            if (digit == std::string_view::npos) return {};
            bits = (bits << 6 | static_cast<unsigned>(digit)) & 0xffff;
            count += 6;
            if (count >= 8) {
                count -= 8;
                decoded += static_cast<char>(bits >> count & 0xff);
            }
        }
        const auto colon = decoded.find(':');
        return colon == std::string::npos ? std::string{} : decoded.substr(0, colon);
    }

    /// Whether nothing is left of a text without what the gateway does not see: of that, what a client may well send.
    static bool blank(std::string text) {
        for (const std::string_view unseen :
             {"\u00a0", "\u00ad", "\u200b", "\u200c", "\u200d", "\u2060", "\u3000", "\ufeff"})
            for (auto at = text.find(unseen); at != text.npos; at = text.find(unseen)) text.erase(at, unseen.size());
        return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c == 0x7f; });
    }

    /// An id may be of any type but null, as the gateway writes it out before it looks.
    static bool identified(const nlohmann::json& message) {
        return std::any_of(std::begin(id_members), std::end(id_members), [&](const char* member) {
            const auto id = message.find(member);
            if (id == message.end() || id->is_null()) return false;
            return !id->is_string() || !blank(id->get_ref<const std::string&>());
        });
    }

    static bool nests_too_deep(std::string_view json) {
        int depth = 0;
        bool quoted = false;
        for (std::size_t i = 0; i < json.size(); ++i) {
            const char c = json[i];
            if (quoted) {
                if (c == '\\') ++i;
                quoted = c != '"';
            } else if (c == '"') {
                quoted = true;
            } else if (c == '[' || c == '{') {
                if (++depth > max_depth) return true;
            } else if (c == ']' || c == '}') {
                --depth;
            }
        }
        return false;
    }

    static constexpr const char* path = "/v1/batch";
    static constexpr const char* id_members[] = {"anonymousId", "userId"};

    const data_plane_options options_;
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    phase phase_ = phase::starting;
    bool disabled_ = false;
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
