#ifndef CANDOR_HTTPLIB_SOCKET_HPP
#define CANDOR_HTTPLIB_SOCKET_HPP

#include <httplib.h>

#include <utility>

#ifndef _WIN32
#include <sys/socket.h>
#endif

#include <candor/platform/descriptor.hpp>

namespace candor::detail {

#ifdef _WIN32
/// Owns a socket and closes it.
class owned_socket {
public:
    owned_socket() = default;
    explicit owned_socket(socket_t value) noexcept : value_{value} {}
    owned_socket(owned_socket&& other) noexcept : value_{other.release()} {}
    owned_socket& operator=(owned_socket&& other) noexcept {
        owned_socket taken{std::move(other)};
        std::swap(value_, taken.value_);
        return *this;
    }
    ~owned_socket() { reset(); }

    [[nodiscard]] socket_t get() const noexcept { return value_; }
    explicit operator bool() const noexcept { return value_ != INVALID_SOCKET; }
    [[nodiscard]] bool is_ours() const noexcept { return value_ != INVALID_SOCKET; }
    void reset() noexcept {
        if (value_ != INVALID_SOCKET) ::closesocket(release());
    }
    socket_t release() noexcept { return std::exchange(value_, INVALID_SOCKET); }

private:
    socket_t value_ = INVALID_SOCKET;
};
#else
using owned_socket = descriptor;
#endif

/// A second descriptor of a socket that httplib owns. Shutting the socket down through it ends whatever httplib is
/// doing there. httplib may close its own descriptor at any moment, and the number may then mean something else of the
/// host program; this one keeps its meaning until it is destroyed, or until the host closes what it does not know. Not
/// thread-safe.
class socket_handle {
public:
    socket_handle() = default;
    socket_handle(socket_handle&& other) noexcept { *this = std::move(other); }
    explicit socket_handle(socket_t original) noexcept : own_{duplicate(original)}, original_{original} {}
    socket_handle& operator=(socket_handle&& other) noexcept {
        std::swap(own_, other.own_);
        std::swap(original_, other.original_);
        return *this;
    }

    [[nodiscard]] socket_t get() const noexcept { return own_.get(); }

    /// Whether this one is open and still means the socket.
    [[nodiscard]] bool is_ours() const noexcept { return own_.is_ours(); }

    /// Whether httplib's descriptor is open and means this socket, so that httplib may use and close it. Where there
    /// was no descriptor left for a second one, nobody can tell.
    [[nodiscard]] bool is_original_intact() const noexcept {
#ifdef _WIN32
        return true;  // there no program closes what it does not know: handles are no small numbers
#else
        return !own_ || own_.is_also(original_);
#endif
    }

    /// Ends reading and writing, and a pending connect.
    void shut_down() const noexcept {
#ifdef _WIN32
        shut_down(SD_BOTH);
#else
        shut_down(SHUT_RDWR);
#endif
    }

    /// As `shut_down`, and forgets what has come already, which could be read otherwise.
    void discard() const noexcept {
        shut_down();
#ifndef _WIN32
        char bytes[16 * 1024];
        while (own_.is_ours() && ::recv(own_.get(), bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
        }
#endif
    }

    /// Reads see the end of the stream from now on; writes go on.
    void stop_reading() const noexcept {
#ifdef _WIN32
        shut_down(SD_RECEIVE);
#else
        shut_down(SHUT_RD);
#endif
    }

private:
    void shut_down(int how) const noexcept {
        if (own_.is_ours()) ::shutdown(own_.get(), how);
    }

    static owned_socket duplicate(socket_t original) noexcept {
#ifdef _WIN32
        WSAPROTOCOL_INFOW description;
        if (::WSADuplicateSocketW(original, ::GetCurrentProcessId(), &description) != 0) return {};
        return owned_socket{::WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &description, 0,
                                         WSA_FLAG_OVERLAPPED)};
#else
        return descriptor::duplicate(original);
#endif
    }

    owned_socket own_{};
    socket_t original_ = INVALID_SOCKET;
};

}  // namespace candor::detail

#endif
