#ifndef CANDOR_HTTPLIB_SERVER_STREAM_HPP
#define CANDOR_HTTPLIB_SERVER_STREAM_HPP

#include <httplib.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>

#include <candor/httplib/listener.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/http.hpp>

namespace candor::detail {

/// A connection as httplib reads requests from it and writes answers to it. Every wait ends with the request's deadline
/// and with the server's stop signal; heads and lines are bounded. What httplib writes is sent in one piece.
///
/// Of httplib's own virtual functions each version knows its own selection, so none is marked as one. One thread at a
/// time.
class server_stream : public ::httplib::Stream {
public:
    server_stream(owned_socket socket, const stop_signal& stop) : socket_{std::move(socket)}, stop_{stop} {}

    /// Waits for the first byte of a request. False: none came until `deadline`, the client has gone, or we stop.
    bool await_request(steady_time deadline) {
        return next_ < end_ || (stop_.wait(socket_.get(), POLLIN, deadline) && receive());
    }

    /// A request starts, and it is to have come and been answered by `deadline`.
    void begin_request(steady_time deadline) noexcept {
        deadline_ = deadline;
        run_ = column_ = 0;
        recent_ = {};
        in_head_ = true;
    }

    /// httplib has taken the head in.
    void end_head() noexcept { in_head_ = false; }

    /// httplib gets no further byte of this connection.
    void end_reading() noexcept { is_reading_ = false; }

    /// Whether what was read last is the empty line behind the last chunk of a body. httplib 0.11 takes a chunk that is
    /// not followed by a line end for the last one.
    [[nodiscard]] bool is_after_empty_line() const noexcept { return recent_ == std::array{'\r', '\n', '\r', '\n'}; }

    /// Whether a read came to nothing because the time was over or the server stops: then nobody waits for an answer.
    [[nodiscard]] bool is_given_up() const noexcept { return is_given_up_; }

    /// Sends what httplib has written. False where it cannot be sent.
    bool flush() noexcept {
        std::string_view left = written_;
        while (!left.empty() && !is_given_up_) {
            const auto sent = ::send(socket_.get(), left.data(), size_argument(left.size()), no_signal);
            if (sent > 0) {
                left.remove_prefix(static_cast<std::size_t>(sent));
            } else if (!would_block(socket_error()) || !stop_.wait(socket_.get(), POLLOUT, deadline_)) {
                is_given_up_ = true;
            }
        }
        written_.clear();
        return !is_given_up_;
    }

    /// Before a connection is closed on which more may come than was read: says that nothing follows, and waits until
    /// the client, or the time, is at its end. Else the system would answer what comes with a reset, and the client
    /// would lose the answer.
    void linger(steady_time deadline) noexcept {
#ifdef _WIN32
        ::shutdown(socket_.get(), SD_SEND);
#else
        ::shutdown(socket_.get(), SHUT_WR);
#endif
        while (stop_.wait(socket_.get(), POLLIN, deadline) && receive()) {
        }
    }

    /// Ends the connection for the thread that waits for a request on it. From any thread.
    void shut_down() const noexcept {
#ifdef _WIN32
        ::shutdown(socket_.get(), SD_BOTH);
#else
        ::shutdown(socket_.get(), SHUT_RDWR);
#endif
    }

    // What httplib calls.

    ssize_t read(char* out, std::size_t size) {
        // Some versions read a second head where the target of the first one is too long.
        if (!is_reading_ || (in_head_ && is_after_empty_line())) return -1;
        if (next_ == end_ && !fill()) return is_given_up_ ? -1 : 0;
        const auto taken = std::min(size, end_ - next_);
        std::copy_n(buffer_.data() + next_, taken, out);
        next_ += taken;
        if (size == 1) return examine(*out) ? 1 : -1;  // a byte of a line, or the last one of a chunk
        run_ = 0;
        for (const char c : std::string_view{out, taken}.substr(taken - std::min(taken, recent_.size()))) remember(c);
        return static_cast<ssize_t>(taken);
    }

    ssize_t write(const char* bytes, std::size_t size) {
        written_.append(bytes, size);
        return static_cast<ssize_t>(size);
    }

    bool is_readable() const { return is_reading_ && next_ < end_; }
    bool wait_readable() const { return is_reading_ && !is_given_up_; }
    bool is_writable() const { return !is_given_up_; }
    bool wait_writable() const { return !is_given_up_; }
    bool is_peer_alive() const { return !is_given_up_; }
    void get_remote_ip_and_port(std::string&, int&) const {}
    void get_local_ip_and_port(std::string&, int&) const {}
    socket_t socket() const { return INVALID_SOCKET; }  // nothing there is httplib's business
    time_t duration() const { return 0; }

private:
    static constexpr std::size_t longest_run = 64 * 1024;

#ifdef MSG_NOSIGNAL
    static constexpr int no_signal = MSG_NOSIGNAL;
#else
    static constexpr int no_signal = 0;  // there the threads of the server hold SIGPIPE back
#endif

#ifdef _WIN32
    static int size_argument(std::size_t size) noexcept {
        return static_cast<int>(std::min<std::size_t>(size, 1 << 30));
    }
#else
    static std::size_t size_argument(std::size_t size) noexcept { return size; }
#endif

    /// Waits for bytes. False where there are none to be had.
    bool fill() noexcept {
        if (!written_.empty() && !flush()) return false;  // a "100 Continue" that the client waits for
        if (stop_.wait(socket_.get(), POLLIN, deadline_)) return receive();
        is_given_up_ = true;
        return false;
    }

    bool receive() noexcept {
        const auto got = ::recv(socket_.get(), buffer_.data(), size_argument(buffer_.size()), 0);
        next_ = 0;
        end_ = got > 0 ? static_cast<std::size_t>(got) : 0;
        return got > 0;
    }

    /// httplib reads lines byte by byte and puts no limit on them. False: the head is too long, or what stands between
    /// two chunks or behind the last one.
    bool examine(char& c) noexcept {
        if (in_head_) disable_range(c);
        remember(c);
        return ++run_ <= longest_run;
    }

    /// Older versions match the value of a Range header with a recursive regular expression before anybody can say that
    /// he has no use for ranges. The longest value there may be takes it more stack than a thread has on some systems.
    /// So that header gets another name.
    void disable_range(char& c) noexcept {
        constexpr std::string_view range = "range";
        if (c == '\n') {
            column_ = 0;
        } else if (column_ < range.size() && equal_ignoring_case({&c, 1}, range.substr(column_, 1))) {
            if (++column_ == range.size()) c = '-';
        } else {
            column_ = range.size();
        }
    }

    void remember(char c) noexcept {
        std::rotate(recent_.begin(), recent_.begin() + 1, recent_.end());
        recent_.back() = c;
    }

    owned_socket socket_;
    const stop_signal& stop_;
    steady_time deadline_{};
    std::array<char, 16 * 1024> buffer_;
    std::size_t next_ = 0;  ///< what is in the buffer and was not read
    std::size_t end_ = 0;
    std::string written_;
    std::size_t run_ = 0;           ///< bytes that were read one by one
    std::size_t column_ = 0;        ///< where the line may still become a Range header: how far it is one
    std::array<char, 4> recent_{};  ///< what was read last
    bool in_head_ = true;
    bool is_reading_ = true;
    bool is_given_up_ = false;
};

}  // namespace candor::detail

#endif
