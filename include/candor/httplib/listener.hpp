#ifndef CANDOR_HTTPLIB_LISTENER_HPP
#define CANDOR_HTTPLIB_LISTENER_HPP

#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#ifndef _WIN32
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

#include <candor/policy/clock.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/fork.hpp>

namespace candor::detail {

/// The last error of a socket call.
inline int socket_error() noexcept {
#ifdef _WIN32
    return ::WSAGetLastError();
#else
    return errno;
#endif
}

/// Whether a call on a non-blocking socket only came too early.
inline bool would_block(int error) noexcept {
#ifdef _WIN32
    return error == WSAEWOULDBLOCK;
#else
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
#endif
}

/// A socket and its end. Non-blocking, and inherited neither by children nor by programs that the host starts.
class owned_socket {
public:
    owned_socket() = default;
    owned_socket(owned_socket&& other) noexcept { *this = std::move(other); }
#ifdef _WIN32
    explicit owned_socket(socket_t value) noexcept : value_{value} {}
    owned_socket& operator=(owned_socket&& other) noexcept {
        std::swap(value_, other.value_);
        return *this;
    }
    ~owned_socket() {
        if (value_ != INVALID_SOCKET) ::closesocket(value_);
    }
#else
    explicit owned_socket(socket_t value) noexcept : value_{value}, not_in_child_{value} {}
    owned_socket& operator=(owned_socket&& other) noexcept {
        std::swap(value_, other.value_);
        not_in_child_ = std::move(other.not_in_child_);
        return *this;
    }
    ~owned_socket() {
        not_in_child_.end();
        if (value_ != INVALID_SOCKET) ::close(value_);
    }
#endif

    [[nodiscard]] socket_t get() const noexcept { return value_; }
    explicit operator bool() const noexcept { return value_ != INVALID_SOCKET; }

    static owned_socket open(int family, int type) noexcept {
#ifdef SOCK_CLOEXEC
        return owned_socket{::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
#else
        return prepared(::socket(family, type, 0));
#endif
    }

    /// The next connection that waits at a listening socket.
    static owned_socket accept(socket_t listener) noexcept {
#ifdef SOCK_CLOEXEC
        return owned_socket{::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
#else
        return prepared(::accept(listener, nullptr, nullptr));
#endif
    }

private:
#ifndef SOCK_CLOEXEC
    static owned_socket prepared(socket_t value) noexcept {
        owned_socket out{value};
        if (!out) return out;
#ifdef _WIN32
        u_long on = 1;
        ::ioctlsocket(value, FIONBIO, &on);
        ::SetHandleInformation(reinterpret_cast<HANDLE>(value), HANDLE_FLAG_INHERIT, 0);
#else
        ::fcntl(value, F_SETFD, FD_CLOEXEC);
        ::fcntl(value, F_SETFL, ::fcntl(value, F_GETFL) | O_NONBLOCK);
#endif
        return out;
    }
#endif

    socket_t value_ = INVALID_SOCKET;
#ifndef _WIN32
    closed_in_child not_in_child_;
#endif
};

inline void set_option(socket_t socket, int level, int name, int value) noexcept {
    ::setsockopt(socket, level, name, reinterpret_cast<const char*>(&value), sizeof value);
}

/// An IP address and a port, as the system has it.
class socket_address {
public:
    socket_address() = default;

    /// False where `text` is neither an IP address nor `localhost`, which is 127.0.0.1.
    bool parse(const std::string& text, std::uint16_t port) noexcept {
        auto& v4 = reinterpret_cast<sockaddr_in&>(storage_);
        auto& v6 = reinterpret_cast<sockaddr_in6&>(storage_);
        storage_ = {};
        if (::inet_pton(AF_INET, text == "localhost" ? "127.0.0.1" : text.c_str(), &v4.sin_addr) == 1) {
            storage_.ss_family = AF_INET;
            v4.sin_port = htons(port);
            return true;
        }
        if (::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) != 1) return false;
        storage_.ss_family = AF_INET6;
        v6.sin6_port = htons(port);
        return true;
    }

    /// Where a socket is bound.
    bool read(socket_t socket) noexcept {
        auto room = static_cast<socklen_t>(sizeof storage_);
        return ::getsockname(socket, reinterpret_cast<sockaddr*>(&storage_), &room) == 0;
    }

    [[nodiscard]] int family() const noexcept { return storage_.ss_family; }
    [[nodiscard]] std::uint16_t port() const noexcept {
        return ntohs(family() == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(storage_).sin6_port
                                          : reinterpret_cast<const sockaddr_in&>(storage_).sin_port);
    }
    [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage_); }
    [[nodiscard]] socklen_t size() const noexcept {
        return static_cast<socklen_t>(family() == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in));
    }

private:
    sockaddr_storage storage_{};
};

/// A socket that listens. Its port is kept from the moment it is bound.
class listener {
public:
    /// Throws `configuration_error` where the address cannot be had; port 0 takes a free one.
    listener(const std::string& address, std::uint16_t port) {
        socket_address where;
        if (address.find('\0') != address.npos || !where.parse(address, port))
            throw configuration_error{"address", address, "an IP address, or localhost"};
        socket_ = owned_socket::open(where.family(), SOCK_STREAM);
        if (!socket_) refuse("address", address, "an address that a socket can be had for");
#ifdef _WIN32
        set_option(socket_.get(), SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
#endif
        if (where.family() == AF_INET6) set_option(socket_.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
        // With a port of the system's choice only after bind: so it does not choose one that others have.
        if (port != 0) share_port();
        if (::bind(socket_.get(), where.get(), where.size()) != 0) {
#ifdef _WIN32
            const bool is_foreign = socket_error() == WSAEADDRNOTAVAIL;
#else
            const bool is_foreign = socket_error() == EADDRNOTAVAIL;
#endif
            if (is_foreign) refuse("address", address, "an address of this machine");
            refuse("port", std::to_string(port), "a port that is free, or 0 for any");
        }
        share_port();
        if (::listen(socket_.get(), 128) != 0)
            refuse("port", std::to_string(port), "a port that is free, or 0 for any");
        if (!where.read(socket_.get())) refuse("address", address, "an address that a socket can be bound to");
        port_ = where.port();
    }

    [[nodiscard]] socket_t get() const noexcept { return socket_.get(); }
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

    /// The next connection that waits, if there is one.
    [[nodiscard]] owned_socket accept() const noexcept {
        auto out = owned_socket::accept(socket_.get());
        if (out) set_option(out.get(), IPPROTO_TCP, TCP_NODELAY, 1);
        return out;
    }

private:
    /// A port that was given up can then be had again at once, while the system still remembers its connections; one
    /// that somebody listens on cannot. That holds where both the old socket and the new one say so. Windows needs no
    /// saying.
    void share_port() const noexcept {
#ifndef _WIN32
        set_option(socket_.get(), SOL_SOCKET, SO_REUSEADDR, 1);
#endif
    }

    [[noreturn]] static void refuse(std::string_view field, std::string_view value, const std::string& allowed) {
        throw configuration_error{field, value, allowed + " (" + std::system_category().message(socket_error()) + ")"};
    }

    owned_socket socket_;
    std::uint16_t port_ = 0;
};

/// Says "stop" to any number of threads that wait for sockets: a datagram socket connected to itself, which can be read
/// from, for all who poll it, once something was sent. Thread-safe.
class stop_signal {
public:
    /// Throws `configuration_error` where there is no socket for it.
    stop_signal() : socket_{owned_socket::open(AF_INET, SOCK_DGRAM)} {
        socket_address self;
        self.parse("127.0.0.1", 0);
        if (!socket_ || ::bind(socket_.get(), self.get(), self.size()) != 0 || !self.read(socket_.get()) ||
            ::connect(socket_.get(), self.get(), self.size()) != 0)
            throw configuration_error{
                "address", "127.0.0.1",
                "an address that a socket can be had for (" + std::system_category().message(socket_error()) + ")"};
    }

    /// Final. What is being done may go on until `grace` from now.
    void raise(std::chrono::milliseconds grace) noexcept {
        end_.store((std::chrono::steady_clock::now() + grace).time_since_epoch().count(), std::memory_order_release);
        ::send(socket_.get(), "x", 1, 0);
    }

    [[nodiscard]] bool is_raised() const noexcept { return end().time_since_epoch().count() != never; }

    /// Until when things may go on.
    [[nodiscard]] steady_time end() const noexcept {
        return steady_time{steady_time::duration{end_.load(std::memory_order_acquire)}};
    }

    /// Waits for one of `events` at `socket`, until `deadline` or the signal. True where they are there: with the
    /// signal too, until the end of its grace, so that a caller takes in what has come already.
    bool wait(socket_t socket, short events, steady_time deadline) const noexcept {
        for (;;) {
            const bool stopping = is_raised();
            const auto now = std::chrono::steady_clock::now();
            const auto until = stopping ? now : std::min(deadline, now + std::chrono::hours{1});
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
            pollfd wanted[2] = {{socket, events, 0}, {socket_.get(), POLLIN, 0}};
            const int found = poll(wanted, stopping ? 1 : 2, static_cast<int>(std::max<long long>(left, 0)));
            if (found > 0 && wanted[0].revents != 0) return now < (stopping ? end() : deadline);
            if (stopping || now >= deadline) return false;
            if (found < 0 && !would_block(socket_error())) return false;
        }
    }

    /// Lets time pass. False: the signal has come.
    bool pause(std::chrono::milliseconds time) const noexcept {
        pollfd wanted{socket_.get(), POLLIN, 0};
        return poll(&wanted, 1, static_cast<int>(time.count())) == 0;
    }

private:
    static int poll(pollfd* of, unsigned count, int milliseconds) noexcept {
#ifdef _WIN32
        return ::WSAPoll(of, count, milliseconds);
#else
        return ::poll(of, count, milliseconds);
#endif
    }

    static constexpr steady_time::rep never = steady_time::max().time_since_epoch().count();

    owned_socket socket_;
    std::atomic<steady_time::rep> end_{never};
};

}  // namespace candor::detail

#endif
