#ifndef CANDOR_HTTPLIB_LISTENER_HPP
#define CANDOR_HTTPLIB_LISTENER_HPP

#include <httplib.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#ifndef _WIN32
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

#include <candor/httplib/socket.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/error.hpp>

namespace candor::detail {

/// The last error of a socket call.
inline int socket_error() noexcept {
#ifdef _WIN32
    return ::WSAGetLastError();
#else
    return errno;
#endif
}

/// Whether a call on a non-blocking socket failed only because it would have had to wait.
inline bool would_block(int error) noexcept {
#ifdef _WIN32
    return error == WSAEWOULDBLOCK;
#else
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
#endif
}

#ifndef SOCK_CLOEXEC
inline owned_socket prepared(socket_t value) noexcept {
    owned_socket out{value};
    if (!out) return out;
#ifdef _WIN32
    u_long on = 1;
    ::ioctlsocket(out.get(), FIONBIO, &on);
    ::SetHandleInformation(reinterpret_cast<HANDLE>(out.get()), HANDLE_FLAG_INHERIT, 0);
#else
    ::fcntl(out.get(), F_SETFD, FD_CLOEXEC);
    ::fcntl(out.get(), F_SETFL, ::fcntl(out.get(), F_GETFL) | O_NONBLOCK);
#endif
    return out;
}
#endif

/// A socket that does not block, and is inherited neither by children nor by programs that the host starts.
inline owned_socket open_socket(int family, int type) noexcept {
#ifdef SOCK_CLOEXEC
    return owned_socket{::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
#else
    return prepared(::socket(family, type, 0));
#endif
}

/// The next connection that waits at a listening socket, on the same terms.
inline owned_socket accept_connection(socket_t listener) noexcept {
#ifdef SOCK_CLOEXEC
    return owned_socket{::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
#else
    return prepared(::accept(listener, nullptr, nullptr));
#endif
}

#ifdef _WIN32
using socket_count = int;
#else
using socket_count = std::size_t;
#endif

/// The number of bytes received; 0 at the end of the stream, negative where there is an error.
inline std::ptrdiff_t receive_some(socket_t socket, char* out, std::size_t size) noexcept {
    return ::recv(socket, out, static_cast<socket_count>(size), 0);
}

/// The number of bytes that the system took. Raises no signal.
inline std::ptrdiff_t send_some(socket_t socket, std::string_view bytes) noexcept {
#ifdef MSG_NOSIGNAL
    constexpr int flags = MSG_NOSIGNAL;
#else
    constexpr int flags = 0;  // there the threads of the server hold SIGPIPE back
#endif
    constexpr std::size_t most = 1 << 30;
    return ::send(socket, bytes.data(), static_cast<socket_count>(std::min(bytes.size(), most)), flags);
}

/// Says that nothing more will be sent.
inline void end_sending(socket_t socket) noexcept {
#ifdef _WIN32
    ::shutdown(socket, SD_SEND);
#else
    ::shutdown(socket, SHUT_WR);
#endif
}

inline int poll_sockets(pollfd* sockets, std::size_t count, int milliseconds) noexcept {
#ifdef _WIN32
    return ::WSAPoll(sockets, static_cast<ULONG>(count), milliseconds);
#else
    return ::poll(sockets, static_cast<nfds_t>(count), milliseconds);
#endif
}

/// Waits for one of the sockets until `deadline`, and sets their `revents`. False where the system cannot wait for as
/// many.
inline bool wait_for_sockets(std::vector<pollfd>& sockets, steady_time deadline) noexcept {
    int milliseconds = -1;
    if (deadline != steady_time::max()) {
        const auto now = std::chrono::steady_clock::now();
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::max(deadline, now) - now);
        constexpr long long most = std::numeric_limits<int>::max();
        milliseconds = static_cast<int>(std::min<long long>(left.count(), most));
    }
    return poll_sockets(sockets.data(), sockets.size(), milliseconds) >= 0 || would_block(socket_error());
}

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
    static constexpr int backlog = 512;  ///< connections that wait to be accepted

    /// Throws `configuration_error` where the address cannot be had; port 0 takes a free one.
    listener(const std::string& address, std::uint16_t port) {
        if (address.find('\0') != address.npos || !where_.parse(address, port))
            throw configuration_error{"address", address, "an IP address, or localhost"};
        socket_ = open_socket(where_.family(), SOCK_STREAM);
        if (!socket_) refuse("address", address, "an address that a socket can be opened for");
#ifdef _WIN32
        set_option(socket_.get(), SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
#endif
        if (where_.family() == AF_INET6) set_option(socket_.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
        // For a port that the system chooses, only after bind, so that it does not choose one that others have.
        if (port != 0) share_port();
        if (::bind(socket_.get(), where_.get(), where_.size()) != 0) {
#ifdef _WIN32
            const bool is_foreign = socket_error() == WSAEADDRNOTAVAIL;
#else
            const bool is_foreign = socket_error() == EADDRNOTAVAIL;
#endif
            if (is_foreign) refuse("address", address, "an address of this machine");
            refuse("port", std::to_string(port), "a port that is free, or 0 for any");
        }
        share_port();
        if (::listen(socket_.get(), backlog) != 0)
            refuse("port", std::to_string(port), "a port that is free, or 0 for any");
        if (!where_.read(socket_.get())) refuse("address", address, "an address that a socket can be bound to");
    }

    [[nodiscard]] socket_t get() const noexcept { return socket_.get(); }
    [[nodiscard]] bool is_ours() const noexcept { return socket_.is_ours(); }
    [[nodiscard]] std::uint16_t port() const noexcept { return where_.port(); }

    /// Whether a connection waits. Linux wants a descriptor for one before it says that there is none.
    [[nodiscard]] bool has_waiting() const noexcept {
        pollfd wanted{socket_.get(), POLLIN, 0};
        return is_ours() && poll_sockets(&wanted, 1, 0) == 1 && (wanted.revents & POLLIN) != 0;
    }

    /// The next connection that waits, if there is one.
    [[nodiscard]] owned_socket accept() const noexcept {
        auto out = accept_connection(socket_.get());
        if (out) set_option(out.get(), IPPROTO_TCP, TCP_NODELAY, 1);
        return out;
    }

    /// Wakes a thread that still waits for it through a descriptor that the program has closed.
    void knock() const noexcept {
        const auto visitor = open_socket(where_.family(), SOCK_STREAM);
        if (visitor) ::connect(visitor.get(), where_.get(), where_.size());
    }

    /// Refuses all further connections.
    void close() noexcept { socket_.reset(); }

private:
    /// Lets a port be taken as soon as it has been given up, while the system still remembers its connections; not one
    /// that somebody listens on. Both the old socket and the new one have to ask for this. On Windows it is so without
    /// asking.
    void share_port() const noexcept {
#ifndef _WIN32
        set_option(socket_.get(), SOL_SOCKET, SO_REUSEADDR, 1);
#endif
    }

    [[noreturn]] static void refuse(std::string_view field, std::string_view value, const std::string& allowed) {
        throw configuration_error{field, value, allowed + " (" + std::system_category().message(socket_error()) + ")"};
    }

    owned_socket socket_;
    socket_address where_;
};

/// Ends the wait of a thread for sockets: a datagram socket connected to itself, which that thread waits for as well.
/// Thread-safe.
class wake_signal {
public:
    /// Throws `configuration_error` where there is no socket for it.
    wake_signal() : socket_{open_socket(AF_INET, SOCK_DGRAM)} {
        socket_address self;
        self.parse("127.0.0.1", 0);
        if (!socket_ || ::bind(socket_.get(), self.get(), self.size()) != 0 || !self.read(socket_.get()) ||
            ::connect(socket_.get(), self.get(), self.size()) != 0)
            throw configuration_error{
                "address", "127.0.0.1",
                "an address that a socket can be opened for (" + std::system_category().message(socket_error()) + ")"};
    }

    [[nodiscard]] socket_t get() const noexcept { return socket_.get(); }
    [[nodiscard]] bool is_ours() const noexcept { return socket_.is_ours(); }

    void raise() const noexcept {
        if (is_ours()) send_some(socket_.get(), "x");
    }

    /// False: the program has closed it.
    bool take() const noexcept {
        if (!is_ours()) return false;
        char byte = 0;
        while (receive_some(socket_.get(), &byte, 1) > 0) {
        }
        return true;
    }

private:
    owned_socket socket_;
};

}  // namespace candor::detail

#endif
