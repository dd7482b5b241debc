#ifndef CANDOR_HTTPLIB_REQUEST_ENGINE_HPP
#define CANDOR_HTTPLIB_REQUEST_ENGINE_HPP

#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#ifndef _WIN32
#include <signal.h>
#endif

#include <candor/httplib/inflate.hpp>
#include <candor/httplib/server_stream.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/server.hpp>

namespace candor::detail {

/// Memory that several threads share. Thread-safe.
class byte_budget {
public:
    explicit byte_budget(std::size_t size) noexcept : left_{size} {}

    bool take(std::size_t bytes) noexcept {
        auto left = left_.load(std::memory_order_relaxed);
        while (left >= bytes) {
            if (left_.compare_exchange_weak(left, left - bytes, std::memory_order_relaxed)) return true;
        }
        return false;
    }
    void give_back(std::size_t bytes) noexcept { left_.fetch_add(bytes, std::memory_order_relaxed); }

private:
    std::atomic<std::size_t> left_;
};

/// What one request takes of a budget, until it has been answered.
class budget_share {
public:
    explicit budget_share(byte_budget& of) noexcept : of_{of} {}
    budget_share(const budget_share&) = delete;
    budget_share& operator=(const budget_share&) = delete;
    ~budget_share() { of_.give_back(taken_); }

    bool take(std::size_t bytes) noexcept {
        if (!of_.take(bytes)) return false;
        taken_ += bytes;
        return true;
    }

private:
    byte_budget& of_;
    std::size_t taken_ = 0;
};

/// Keeps what the program does with SIGPIPE, for a base that sets it.
class signal_keeper {
#ifndef _WIN32
protected:
    signal_keeper() noexcept { ::sigaction(SIGPIPE, nullptr, &before_); }
    void restore() noexcept { ::sigaction(SIGPIPE, &before_, nullptr); }

private:
    struct sigaction before_ {};
#else
protected:
    void restore() noexcept {}
#endif
};

/// httplib's server without its sockets and threads: it reads one request from a stream, and writes the answer of a
/// service there. httplib parses heads and chunks; which body is read, and how far, is decided here. Thread-safe.
class request_engine : private signal_keeper, private ::httplib::Server {
public:
    request_engine(http_service& service, const server_options& options)
        : service_{service},
          body_limit_{options.body_limit},
          keep_alive_{"timeout=" +
                      std::to_string(std::chrono::duration_cast<std::chrono::seconds>(options.idle_timeout).count())},
          budget_{in_flight(options.body_limit)} {
        signal_keeper::restore();  // httplib has set it to be ignored
        set_payload_max_length(std::numeric_limits<std::size_t>::max());
        set_pre_routing_handler([](const ::httplib::Request&, ::httplib::Response& to) {
            if (!current_->answer) return HandlerResponse::Unhandled;
            write(*current_->answer, to);
            return HandlerResponse::Handled;
        });
        Post("/", [this](const ::httplib::Request&, ::httplib::Response& to, const ::httplib::ContentReader& read) {
            answer_body(*current_, read);
            write(*current_->answer, to);
        });
        set_error_handler(HandlerWithResponse{[this](const ::httplib::Request& from, ::httplib::Response& to) {
            if (current_->answer) return HandlerResponse::Unhandled;
            current_->head = head_of(from);  // one that httplib refused
            refuse(*current_, body_error::undecodable);
            write(*current_->answer, to);
            return HandlerResponse::Handled;
        }});
        set_post_routing_handler([this](const ::httplib::Request&, ::httplib::Response& to) {
            const bool is_last = to.get_header_value("Connection") == "close";
            if (is_last && current_->outcome == outcome::kept) current_->outcome = outcome::finished;
            const bool is_kept = current_->outcome == outcome::kept;
            to.headers.erase("Keep-Alive");  // says that only so many requests are taken
            to.headers.erase("Connection");
            to.headers.emplace(is_kept ? "Keep-Alive" : "Connection", is_kept ? keep_alive_ : "close");
        });
    }

    /// What becomes of a connection after a request.
    enum class outcome {
        kept,
        finished,   ///< close it
        abandoned,  ///< close it; more may come than was read
    };

    /// Reads a request, the first byte of which has come, and has it answered: with 503 where the server has too much
    /// to do.
    outcome serve(server_stream& stream, bool is_overloaded) {
        exchange now{.stream = stream, .is_overloaded = is_overloaded, .share = budget_share{budget_}};
        current_ = &now;
        bool is_closed = false;
        bool is_answered = false;
        try {
            const std::function<void(::httplib::Request&)> on_head = [&](auto& request) { prepare(now, request); };
            is_answered = process(*this, stream, is_closed, on_head);
        } catch (...) {  // no memory for the head, or for the answer
            stream.end_reading();
            now.outcome = outcome::abandoned;
        }
        current_ = nullptr;
        if (!stream.flush() || stream.is_given_up() || (!is_answered && !now.answer)) return outcome::finished;
        if (now.outcome != outcome::kept) return now.outcome;
        return is_closed || !is_answered ? outcome::finished : outcome::kept;
    }

private:
    /// A request under way.
    struct exchange {
        server_stream& stream;
        bool is_overloaded;
        budget_share share;
        http_request_head head{};
        content_coding coding = content_coding::identity;
        bool is_chunked = false;
        std::size_t size = 0;  ///< of the body as it comes, where that is known
        std::optional<http_response> answer{};
        request_engine::outcome outcome = outcome::kept;
    };

    /// So many bytes of bodies may be there at once, of all connections together.
    static std::size_t in_flight(std::size_t body_limit) noexcept {
        return body_limit > std::numeric_limits<std::size_t>::max() / 2 ? body_limit : body_limit * 2;
    }

    /// httplib's function of that name, which has had several forms.
    template <class Engine, class Setup>
    static bool process(Engine& self, server_stream& stream, bool& is_closed, const Setup& on_head) {
        const std::string nobody;
        if constexpr (requires { self.process_request(stream, false, is_closed, on_head); }) {
            return self.process_request(stream, false, is_closed, on_head);
        } else {
            return self.process_request(stream, nobody, 0, nobody, 0, false, is_closed, on_head);
        }
    }

    static http_request_head head_of(const ::httplib::Request& request) {
        http_request_head out{.method = request.method, .target = request.target};
        out.headers.reserve(request.headers.size());
        for (const auto& [name, value] : request.headers) out.headers.push_back({name, value});
        return out;
    }

    /// The head is there: decides whether the body is read, and leaves httplib nothing else to decide.
    void prepare(exchange& now, ::httplib::Request& request) {
        now.stream.end_head();
        now.head = head_of(request);
        const auto body = body_framing(request);
        if (!body) {
            refuse(now, body_error::undecodable);
        } else if (now.is_overloaded) {
            refuse(now, body_error::overloaded);
        } else {
            now.is_chunked = body->is_chunked;
            now.size = body->size;
            now.answer = service_.begin(now.head);
            if (!now.answer) choose_body(now);
            if (now.answer && (now.is_chunked || now.size > 0)) abandon(now);
        }

        // httplib would decompress the body, parse forms, compress the answer, upgrade the connection, match long paths
        // with recursive regular expressions.
        for (const char* name :
             {"Content-Encoding", "Content-Type", "Accept-Encoding", "Upgrade", "Content-Length", "Transfer-Encoding"})
            request.headers.erase(name);
        if (now.is_chunked) {
            request.headers.emplace("Transfer-Encoding", "chunked");
        } else {  // without either, it would read until the client closes
            request.headers.emplace("Content-Length", std::to_string(now.size));
        }
        if (now.answer) request.headers.erase("Expect");
        request.path = "/";
        if (request.method != "HEAD") request.method = "POST";
    }

    /// Where a body ends.
    struct framing {
        bool is_chunked = false;
        std::size_t size = 0;
    };

    /// Nothing where that is not clear (RFC 9112, section 6.3), or where the head is against the protocol otherwise.
    static std::optional<framing> body_framing(const ::httplib::Request& request) {
        const auto hosts = request.get_header_value_count("Host");
        if (hosts > 1 || (hosts == 0 && request.version != "HTTP/1.0")) return std::nullopt;
        framing out;
        const auto lengths = request.headers.equal_range("Content-Length");
        const auto codings = request.headers.equal_range("Transfer-Encoding");
        if (codings.first != codings.second) {
            out.is_chunked = true;
            if (lengths.first != lengths.second || std::next(codings.first) != codings.second ||
                !equal_ignoring_case(codings.first->second, "chunked"))
                return std::nullopt;
        }
        for (auto at = lengths.first; at != lengths.second; ++at) {
            const std::string& text = at->second;
            if (text != lengths.first->second || text.empty() || text.size() > 18 ||
                text.find_first_not_of("0123456789") != text.npos)
                return std::nullopt;
            out.size = static_cast<std::size_t>(
                std::min<unsigned long long>(std::stoull(text), std::numeric_limits<std::size_t>::max()));
        }
        return out;
    }

    /// The service wants the body.
    void choose_body(exchange& now) {
        const std::string* coding = now.head.header("Content-Encoding");
        const auto known = parse_content_coding(coding == nullptr ? "" : *coding);
        if (!known) {
            refuse(now, body_error::encoding);
        } else if (now.size > body_limit_) {
            refuse(now, body_error::too_large);
        } else if (now.head.method == "HEAD") {
            now.answer = service_.complete(now.head, {});
        } else {
            now.coding = *known;
        }
    }

    /// Reads the body, as httplib takes it out of its framing, and asks the service.
    void answer_body(exchange& now, const ::httplib::ContentReader& read) noexcept {
        try {
            std::string body;
            body.reserve(std::min(now.size, std::size_t{1} << 20));
            std::optional<body_error> problem;
            const bool is_whole = read([&](const char* bytes, std::size_t size) {
                if (size > body_limit_ - body.size()) {
                    problem = body_error::too_large;
                } else if (!now.share.take(size)) {
                    problem = body_error::overloaded;
                } else {
                    body.append(bytes, size);
                }
                return !problem;
            });
            if (!problem && (!is_whole || (now.is_chunked && !now.stream.is_after_empty_line())))
                problem = body_error::undecodable;
            if (problem) return refuse(now, *problem);
            if (now.coding == content_coding::identity) {
                now.answer = service_.complete(now.head, body);
            } else {
                answer_compressed(now, body);
            }
        } catch (...) {  // std::bad_alloc
            refuse(now, body_error::overloaded);
        }
    }

    void answer_compressed(exchange& now, std::string_view body) {
        const auto counted = inflate(body, now.coding, nullptr, body_limit_);
        if (counted.problem) return refuse(now, *counted.problem);
        if (!now.share.take(counted.size)) return refuse(now, body_error::overloaded);
        std::string plain(counted.size, '\0');
        const auto done = inflate(body, now.coding, plain.data(), plain.size());
        if (done.problem) return refuse(now, *done.problem);
        now.answer = service_.complete(now.head, plain);
    }

    void refuse(exchange& now, body_error why) noexcept {
        now.answer = service_.refuse(now.head, why);
        abandon(now);
    }

    /// Whatever of the request has not been read stays unread.
    static void abandon(exchange& now) noexcept {
        now.outcome = outcome::abandoned;
        now.stream.end_reading();
    }

    static void write(const http_response& from, ::httplib::Response& to) {
        to.status = from.status;
        to.body = from.body;
        for (const auto& [name, value] : from.headers) to.set_header(name, value);
    }

    static inline thread_local exchange* current_ = nullptr;  ///< httplib hands nothing of ours to its handlers

    http_service& service_;
    const std::size_t body_limit_;
    const std::string keep_alive_;
    byte_budget budget_;
};

}  // namespace candor::detail

#endif
