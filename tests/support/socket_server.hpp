#ifndef CANDOR_TESTS_SUPPORT_SOCKET_SERVER_HPP
#define CANDOR_TESTS_SUPPORT_SOCKET_SERVER_HPP

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <candor/testing.hpp>

/// Loopback servers on plain sockets, for tests of what a network can do to a client. Every wait is a poll() that the
/// destructor ends.
namespace candor::testing {

namespace detail {

/// A descriptor and its end.
class descriptor {
public:
    explicit descriptor(int value = -1) : value_{value} {}
    descriptor(descriptor&& other) noexcept : value_{std::exchange(other.value_, -1)} {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(value_, other.value_);
        return *this;
    }
    ~descriptor() {
        if (value_ >= 0) ::close(value_);
    }
    [[nodiscard]] int get() const { return value_; }

private:
    int value_;
};

inline sockaddr_in loopback(std::uint16_t port = 0) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(port);
    out.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return out;
}

/// A TCP socket bound to a free port of 127.0.0.1; it does not listen yet, so a connection to it is refused.
inline descriptor bound_socket() {
    descriptor out{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const auto address = loopback();
    if (::bind(out.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw std::runtime_error{"cannot bind to 127.0.0.1"};
    return out;
}

inline std::uint16_t port_of(const descriptor& socket) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

}  // namespace detail

/// A port that nothing listens on, and nothing else can take, for as long as this lives.
class closed_port {
public:
    [[nodiscard]] std::uint16_t port() const { return detail::port_of(socket_); }
    [[nodiscard]] std::string url(const std::string& path = "/") const {
        return "http://127.0.0.1:" + std::to_string(port()) + path;
    }

private:
    detail::descriptor socket_ = detail::bound_socket();
};

/// A port where a connection is neither accepted nor refused: its queue is full.
class full_backlog {
public:
    full_backlog() {
        ::listen(listener_.get(), 0);
        for (int i = 0; i < 8; ++i) {  // the kernel rounds the length of the queue up
            detail::descriptor client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
            const auto address = detail::loopback(port());
            ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
            pollfd wait{client.get(), POLLOUT, 0};
            const bool is_connected = ::poll(&wait, 1, 100) == 1;
            clients_.push_back(std::move(client));
            if (!is_connected) return;
        }
        throw std::runtime_error{"the queue of a listening socket does not fill up"};
    }

    [[nodiscard]] std::uint16_t port() const { return detail::port_of(listener_); }
    [[nodiscard]] std::string url(const std::string& path = "/") const {
        return "http://127.0.0.1:" + std::to_string(port()) + path;
    }

private:
    detail::descriptor listener_ = detail::bound_socket();
    std::vector<detail::descriptor> clients_;
};

/// Accepts connections on a free port of 127.0.0.1 and runs a behaviour for each, on a thread of its own.
/// The destructor ends all of them and joins. All members may be called from any thread.
class socket_server {
public:
    /// One accepted connection, for the behaviour to use. Members answer false, or nothing, once the client has gone or
    /// the server is being destroyed: return then.
    class peer {
    public:
        /// Reads a request: the head, and as many bytes as its Content-Length says.
        std::optional<std::string> read_request() {
            std::optional<std::size_t> size;
            while (!size || unread_.size() < *size) {
                if (!size) {
                    if (const auto head = unread_.find("\r\n\r\n"); head != unread_.npos) {
                        size = head + 4 + content_length(std::string_view{unread_}.substr(0, head));
                        unread_.reserve(*size);
                        continue;
                    }
                }
                if (!read_some()) return std::nullopt;
            }
            std::string out = unread_.substr(0, *size);
            unread_.erase(0, *size);
            server_.record(out);
            return out;
        }

        /// Sends all of `bytes`, however slowly they are taken.
        bool write(std::string_view bytes) {
            while (!bytes.empty()) {
                if (!wait_for(POLLOUT, std::chrono::hours{1})) return false;
                const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
                if (sent < 0) return false;
                bytes.remove_prefix(static_cast<std::size_t>(sent));
            }
            return true;
        }

        /// Lets time pass.
        bool pause(std::chrono::milliseconds time) {
            pollfd stop{server_.stop_.read.get(), 0, 0};
            return ::poll(&stop, 1, static_cast<int>(time.count())) == 0;
        }

        /// Does nothing, reads nothing, until the server is destroyed.
        void hold() {
            while (pause(std::chrono::hours{1})) {
            }
        }

        /// Keeps what has come and is no request among `requests()`.
        void record_unread() { server_.record(std::exchange(unread_, {})); }

        /// Closes with RST instead of FIN.
        void reset() {
            const linger at_once{1, 0};
            ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        }

        /// Whatever has come and is not part of a request that was read.
        bool read_some() {
            char buffer[64 * 1024];
            if (!wait_for(POLLIN, std::chrono::hours{1})) return false;
            const auto size = ::recv(socket_, buffer, sizeof buffer, MSG_DONTWAIT);
            if (size <= 0) return false;
            unread_.append(buffer, static_cast<std::size_t>(size));
            return true;
        }

        [[nodiscard]] int socket() const { return socket_; }

        /// The number of this connection, from 1.
        [[nodiscard]] int number() const { return number_; }

    private:
        friend class socket_server;
        peer(socket_server& server, int socket, int number) : server_{server}, socket_{socket}, number_{number} {}

        bool wait_for(short events, std::chrono::milliseconds time) {
            pollfd wait[2] = {{socket_, events, 0}, {server_.stop_.read.get(), 0, 0}};
            return ::poll(wait, 2, static_cast<int>(time.count())) > 0 && wait[1].revents == 0;
        }

        static std::size_t content_length(std::string_view head) {
            std::string lower{head};
            std::transform(lower.begin(), lower.end(), lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
            const auto at = lower.find("\r\ncontent-length:");
            return at == lower.npos ? 0 : std::strtoul(lower.c_str() + at + 17, nullptr, 10);
        }

        socket_server& server_;
        int socket_;
        int number_;
        std::string unread_;
    };

    using behaviour = std::function<void(peer&)>;

    explicit socket_server(behaviour answer) : answer_{std::move(answer)} {
        ::listen(listener_.get(), 64);
        acceptor_ = std::thread{[this] { accept_all(); }};
    }

    ~socket_server() {
        stop_.write = detail::descriptor{};  // polls on the other end now report a hang-up
        acceptor_.join();
        {
            const std::lock_guard guard{mutex_};
            for (auto& c : connections_) ::shutdown(c.socket.get(), SHUT_RDWR);  // for who is in a blocking call
        }
        for (auto& c : connections_) c.thread.join();
    }

    [[nodiscard]] std::uint16_t port() const { return detail::port_of(listener_); }
    [[nodiscard]] std::string url(const std::string& path = "/") const {
        return "http://127.0.0.1:" + std::to_string(port()) + path;
    }

    /// How many connections were accepted.
    [[nodiscard]] int connections() const {
        const std::lock_guard guard{mutex_};
        return count_;
    }

    /// The requests that were read, in order.
    [[nodiscard]] std::vector<std::string> requests() const {
        const std::lock_guard guard{mutex_};
        return requests_;
    }

    /// Keeps bytes that a behaviour read by itself among `requests()`.
    void record(std::string bytes) {
        const std::lock_guard guard{mutex_};
        requests_.push_back(std::move(bytes));
        changed_.notify_all();
    }

    /// Waits until so many connections were accepted; false: they were not.
    bool wait_for_connections(int number) {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, patience, [&] { return count_ >= number; });
    }

    /// Waits until so many requests were read; false: they were not.
    bool wait_for_requests(std::size_t number) {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, patience, [&] { return requests_.size() >= number; });
    }

private:
    struct pipe {
        pipe() {
            int ends[2] = {-1, -1};
            if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error{"no pipe"};
            read = detail::descriptor{ends[0]};
            write = detail::descriptor{ends[1]};
        }
        detail::descriptor read;
        detail::descriptor write;
    };

    struct connection {
        detail::descriptor socket;
        std::thread thread;
    };

    void accept_all() {
        block_sigpipe();
        for (;;) {
            pollfd wait[2] = {{listener_.get(), POLLIN, 0}, {stop_.read.get(), 0, 0}};
            if (::poll(wait, 2, -1) < 0) continue;
            if (wait[1].revents != 0) return;
            detail::descriptor accepted{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
            if (accepted.get() < 0) continue;
            const std::lock_guard guard{mutex_};
            auto& c = connections_.emplace_back();
            c.socket = std::move(accepted);
            c.thread = std::thread{[this, &c, number = ++count_] { serve(c, number); }};
            changed_.notify_all();
        }
    }

    void serve(connection& c, int number) {
        block_sigpipe();
        int socket = -1;
        {
            const std::lock_guard guard{mutex_};
            socket = c.socket.get();
        }
        peer p{*this, socket, number};
        answer_(p);
        const std::lock_guard guard{mutex_};
        c.socket = detail::descriptor{};
    }

    static void block_sigpipe() {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    }

    const behaviour answer_;
    detail::descriptor listener_ = detail::bound_socket();
    pipe stop_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::list<connection> connections_;
    std::vector<std::string> requests_;
    int count_ = 0;
    std::thread acceptor_;
};

/// What a server may do to its clients.
namespace behaviours {

/// Answers every request of a connection with these bytes.
inline socket_server::behaviour answer(std::string bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK") {
    return [bytes = std::move(bytes)](socket_server::peer& p) {
        while (p.read_request() && p.write(bytes)) {
        }
    };
}

/// Answers one request with these bytes and closes.
inline socket_server::behaviour answer_and_close(std::string bytes) {
    return [bytes = std::move(bytes)](socket_server::peer& p) {
        if (p.read_request()) p.write(bytes);
    };
}

/// Accepts, reads the request, and never answers.
inline socket_server::behaviour never_answer() {
    return [](socket_server::peer& p) {
        if (p.read_request()) p.hold();
    };
}

/// Accepts and never reads.
inline socket_server::behaviour never_read() {
    return [](socket_server::peer& p) { p.hold(); };
}

/// Answers with `start`, then with `byte` every `interval`, for ever.
inline socket_server::behaviour drip(std::string start, char byte,
                                     std::chrono::milliseconds interval = std::chrono::milliseconds{5}) {
    return [start = std::move(start), byte, interval](socket_server::peer& p) {
        if (!p.read_request() || !p.write(start)) return;
        while (p.pause(interval) && p.write({&byte, 1})) {
        }
    };
}

/// Answers with `start`, then with as many bytes as the client takes.
inline socket_server::behaviour endless(std::string start) {
    return [start = std::move(start)](socket_server::peer& p) {
        const std::string block(64 * 1024, 'x');
        if (!p.read_request() || !p.write(start)) return;
        while (p.write(block)) {
        }
    };
}

/// Answers with `start` and resets the connection.
inline socket_server::behaviour reset_after(std::string start) {
    return [start = std::move(start)](socket_server::peer& p) {
        if (p.read_request()) p.write(start);
        p.reset();
    };
}

}  // namespace behaviours

}  // namespace candor::testing

#endif
