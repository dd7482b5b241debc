#ifndef CANDOR_HTTPLIB_SERVER_CONNECTION_HPP
#define CANDOR_HTTPLIB_SERVER_CONNECTION_HPP

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <candor/httplib/listener.hpp>
#include <candor/httplib/request_exchange.hpp>
#include <candor/httplib/request_reader.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/server.hpp>

namespace candor::detail {

/// What all connections of a server share.
struct connection_settings {
    connection_settings(http_service& service, const server_options& chosen)
        : exchanges{service, chosen.body_limit},
          options{chosen},
          keep_alive{"Keep-Alive: timeout=" +
                     std::to_string(std::chrono::duration_cast<std::chrono::seconds>(chosen.idle_timeout).count())} {}

    /// Whether nothing is taken any more but what has come already.
    [[nodiscard]] bool is_stopping() const noexcept { return end.load() != steady_time::max(); }

    request_exchange::environment exchanges;
    const server_options options;
    const std::string keep_alive;
    std::atomic<steady_time> end{steady_time::max()};  ///< of all connections; set when the server stops
};

/// A connection with a client: requests one after the other, each answered before the next one is looked at. It never
/// waits; whoever owns it does, for what `serve` asks for and until `deadline`, and closes it then. One thread at a
/// time.
class server_connection {
public:
    /// What a connection waits for.
    enum class need {
        readable,
        writable,
        turn,  ///< only for the others to have theirs
        close,
    };

    /// A connection beyond the limit is told so when it asks for something.
    server_connection(owned_socket socket, connection_settings& settings, bool is_too_many)
        : socket_{std::move(socket)}, settings_{settings}, is_too_many_{is_too_many} {
        become_idle();
    }

    [[nodiscard]] socket_t socket() const noexcept { return socket_.get(); }
    [[nodiscard]] need now_needs() const noexcept { return need_; }

    /// Whether nothing is lost when it is closed.
    [[nodiscard]] bool is_spare() const noexcept { return farewell_ || is_idle(); }

    [[nodiscard]] steady_time deadline() const noexcept {
        const auto own = farewell_ ? *farewell_ : is_idle() ? idle_until_ : request_until_;
        return std::min(own, settings_.end.load());
    }

    /// Goes on as far as it gets without waiting, and to the end of one request at most.
    need serve() noexcept {
        try {
            const std::string unread = std::exchange(unread_, {});
            std::string_view bytes = unread;
            buffer room;
            need_ = socket_.is_ours() ? go_on(bytes, room) : need::close;
            unread_ = bytes;
        } catch (...) {  // no memory for a head or for an answer
            need_ = need::close;
        }
        return need_;
    }

private:
    using buffer = std::array<char, 16 * 1024>;

    static constexpr std::chrono::milliseconds farewell_time{1000};

    static steady_time in(std::chrono::milliseconds time) noexcept {
        return after(std::chrono::steady_clock::now(), time);
    }

    [[nodiscard]] std::chrono::milliseconds at_most(std::chrono::milliseconds time) const noexcept {
        return is_too_many_ ? std::min(time, farewell_time) : time;
    }

    [[nodiscard]] bool is_idle() const noexcept { return !reader_.is_in_request() && unsent_.empty(); }
    void become_idle() noexcept { idle_until_ = in(at_most(settings_.options.idle_timeout)); }

    need go_on(std::string_view& bytes, buffer& room) {
        for (;;) {
            if (!unsent_.empty()) {
                if (const auto blocked = send()) return *blocked;
                if (!exchange_ && !is_last_) {
                    become_idle();
                    return bytes.empty() ? need::readable : need::turn;
                }
            }
            if (!exchange_ && is_last_) return take_leave(room);
            if (std::chrono::steady_clock::now() >= deadline()) return need::close;
            if (is_idle() && !bytes.empty()) request_until_ = in(at_most(settings_.options.request_timeout));
            if (read(bytes)) continue;

            const bool is_stopping = settings_.is_stopping();  // first: what comes later need not be read
            const auto got = receive_some(socket_.get(), room.data(), room.size());
            if (got > 0) {
                bytes = {room.data(), static_cast<std::size_t>(got)};
            } else if (got < 0 && would_block(socket_error())) {
                return is_stopping ? need::close : need::readable;
            } else if (reader_.is_in_request()) {
                refuse(400);  // the client may have ended only its own direction
            } else {
                return need::close;
            }
        }
    }

    /// Nothing where all is sent.
    std::optional<need> send() noexcept {
        while (sent_ < unsent_.size()) {
            const auto more = send_some(socket_.get(), std::string_view{unsent_}.substr(sent_));
            if (more <= 0) return would_block(socket_error()) ? need::writable : need::close;
            sent_ += static_cast<std::size_t>(more);
        }
        unsent_ = {};
        sent_ = 0;
        return std::nullopt;
    }

    /// False: there is nothing to read in `bytes`, which are all used up.
    bool read(std::string_view& bytes) {
        switch (reader_.next(bytes)) {
            case request_part::nothing:
                return false;
            case request_part::head:
                begin(bytes);
                break;
            case request_part::body:
                if (const auto refused = exchange_->take(reader_.piece())) answer(*refused, true);
                break;
            case request_part::end:
                answer(exchange_->end(), reader_.is_last());
                break;
            case request_part::malformed:
                refuse(reader_.status());
                break;
        }
        return true;
    }

    void begin(std::string_view& bytes) {
        exchange_.emplace(settings_.exchanges, reader_.take_head());
        const auto early =
            is_too_many_ ? exchange_->refuse(body_error::overloaded) : exchange_->begin(reader_.length());
        if (early) {
            // A body that nobody wants is not read, and so neither is anything behind it.
            const bool is_last = reader_.has_body() || reader_.is_last() || is_too_many_;
            if (!is_last) reader_.next(bytes);
            answer(*early, is_last);
        } else if (reader_.asks_to_continue()) {
            unsent_ = "HTTP/1.1 100 Continue\r\n\r\n";
        }
    }

    void refuse(int status) {
        if (!exchange_) exchange_.emplace(settings_.exchanges, reader_.take_head());
        auto out = exchange_->refuse(body_error::undecodable);
        out.status = status;
        answer(out, true);
    }

    void answer(const http_response& with, bool is_last) {
        is_last_ = is_last;
        unsent_ += "HTTP/1.1 " + std::to_string(with.status) + " \r\n";
        for (const auto& [name, value] : with.headers) unsent_ += name + ": " + value + "\r\n";
        unsent_ += "Content-Length: " + std::to_string(with.body.size()) + "\r\n";
        unsent_ += (is_last ? "Connection: close" : settings_.keep_alive) + "\r\n\r\n";
        if (exchange_->head().method != "HEAD") unsent_ += with.body;
        exchange_.reset();
    }

    /// Says that nothing follows, and waits until the client has ended too or the time is up: if more comes than was
    /// read, the system answers with a reset, and the client would lose its answer.
    need take_leave(buffer& room) noexcept {
        if (!farewell_) {
            end_sending(socket_.get());
            farewell_ = in(farewell_time);
        }
        const bool is_stopping = settings_.is_stopping();
        const auto got = receive_some(socket_.get(), room.data(), room.size());
        if (got > 0) return need::readable;
        return got < 0 && would_block(socket_error()) && !is_stopping ? need::readable : need::close;
    }

    owned_socket socket_;
    connection_settings& settings_;
    const bool is_too_many_;
    need need_ = need::readable;
    request_reader reader_;
    std::optional<request_exchange> exchange_;  ///< of the request under way, until it is answered
    std::string unread_;
    std::string unsent_;
    std::size_t sent_ = 0;  ///< of `unsent_`
    bool is_last_ = false;  ///< nothing is read behind the request that was answered
    steady_time idle_until_{};
    steady_time request_until_{};
    std::optional<steady_time> farewell_;
};

}  // namespace candor::detail

#endif
