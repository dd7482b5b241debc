#ifndef CANDOR_TESTS_BENCHMARKS_SINK_SERVER_HPP
#define CANDOR_TESTS_BENCHMARKS_SINK_SERVER_HPP

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#ifdef CPPHTTPLIB_ZLIB_SUPPORT
#include "../support/gunzip.hpp"
#endif

namespace candor::benchmarks {

/// What a sink has received.
struct sink_report {
    std::uint64_t requests = 0;
    std::uint64_t events = 0;
    std::uint64_t distinct = 0;  ///< by the event's `serial`
};

/// A loopback HTTP server in a process of its own, which answers 200 to every request and does nothing more while the
/// clock runs: bodies go into memory that is there from the start, and are counted at the end. One connection at a
/// time. Make it while the process has one thread.
class sink_server {
public:
    /// `capacity` bytes of bodies are kept to be counted; 0 keeps none.
    explicit sink_server(std::size_t capacity = 0) {
        const int listener = listen_on_loopback();
        int control[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM, 0, control) != 0) throw std::runtime_error{"socketpair"};
        child_ = ::fork();
        if (child_ < 0) throw std::runtime_error{"fork"};
        if (child_ == 0) {
            ::close(control[0]);
            child{listener, control[1], capacity}.run();
        }
        ::close(control[1]);
        ::close(listener);
        control_ = control[0];
        char ready;
        if (::read(control_, &ready, 1) != 1) throw std::runtime_error{"the sink did not start"};
    }

    sink_server(const sink_server&) = delete;
    sink_server& operator=(const sink_server&) = delete;

    ~sink_server() {
        ::close(control_);
        ::waitpid(child_, nullptr, 0);
    }

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

    /// Counts what has arrived. Call it once, when the sender has closed its connection.
    [[nodiscard]] sink_report report() const {
        sink_report out;
        if (::shutdown(control_, SHUT_WR) != 0 || ::read(control_, &out, sizeof out) != sizeof out)
            throw std::runtime_error{"the sink has ended early"};
        return out;
    }

private:
    /// The other process.
    class child {
    public:
        child(int listener, int control, std::size_t capacity)
            : listener_{listener}, control_{control}, keeps_{capacity > 0}, capacity_{keeps_ ? capacity : 8U << 20U} {
            arena_ = static_cast<char*>(
                ::mmap(nullptr, capacity_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
            std::memset(arena_, 1, capacity_);
        }

        [[noreturn]] void run() {
            if (::write(control_, "r", 1) != 1) ::_exit(1);
            for (;;) {
                fd_set readable;
                FD_ZERO(&readable);
                FD_SET(listener_, &readable);
                FD_SET(control_, &readable);
                if (::select(std::max(listener_, control_) + 1, &readable, nullptr, nullptr, nullptr) <= 0) continue;
                if (FD_ISSET(listener_, &readable)) {
                    const int peer = ::accept(listener_, nullptr, nullptr);
                    serve(peer);
                    ::close(peer);
                } else {
                    const sink_report counted = count();
                    ::_exit(::write(control_, &counted, sizeof counted) == sizeof counted ? 0 : 1);
                }
            }
        }

    private:
        struct body {
            std::string_view bytes;
            bool compressed;
        };

        void serve(int peer) {
            const int on = 1;
            ::setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            for (;;) {
                if (!keeps_) used_ = 0;
                char* const start = arena_ + used_;
                std::size_t have = 0, wanted = 0, head = 0;
                while (wanted == 0 || have < wanted) {
                    const ssize_t got = ::recv(peer, start + have, capacity_ - used_ - have, 0);
                    if (got <= 0) return;
                    have += static_cast<std::size_t>(got);
                    if (wanted != 0) continue;
                    const std::string_view text{start, have};
                    const auto end = text.find("\r\n\r\n");
                    if (end == std::string_view::npos) continue;
                    head = end + 4;
                    wanted = head + content_length(text.substr(0, head));
                }
                static constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";
                if (::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return;
                ++requests_;
                if (!keeps_) continue;
                const bool compressed = std::string_view{start, head}.find("gzip\r\n") != std::string_view::npos;
                bodies_.push_back({{start + head, wanted - head}, compressed});
                used_ += wanted;
            }
        }

        static std::size_t content_length(std::string_view head) {
            static constexpr std::string_view name = "\r\nContent-Length: ";
            std::size_t length = 0;
            if (const auto at = head.find(name); at != std::string_view::npos)
                std::from_chars(head.data() + at + name.size(), head.data() + head.size(), length);
            return length;
        }

        [[nodiscard]] sink_report count() const {
            static constexpr std::string_view mark = "\"serial\":";
            sink_report out{.requests = requests_};
            std::vector<bool> seen;
            for (const auto& [bytes, compressed] : bodies_) {
                const std::string text = compressed ? inflated(bytes) : std::string{bytes};
                for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1)) {
                    std::size_t serial = 0;
                    std::from_chars(text.data() + at + mark.size(), text.data() + text.size(), serial);
                    if (serial >= seen.size()) seen.resize(serial + 1);
                    ++out.events;
                    out.distinct += !seen[serial];
                    seen[serial] = true;
                }
            }
            return out;
        }

        static std::string inflated(std::string_view bytes) {
#ifdef CPPHTTPLIB_ZLIB_SUPPORT
            return testing::gunzip(bytes);
#else
            return std::string{bytes};
#endif
        }

        int listener_;
        int control_;
        bool keeps_;
        std::size_t capacity_;
        char* arena_;
        std::size_t used_ = 0;
        std::uint64_t requests_ = 0;
        std::vector<body> bodies_;
    };

    int listen_on_loopback() {
        const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const generic = reinterpret_cast<sockaddr*>(&address);
        if (listener < 0 || ::bind(listener, generic, size) != 0 || ::listen(listener, 8) != 0 ||
            ::getsockname(listener, generic, &size) != 0)
            throw std::runtime_error{"cannot listen on 127.0.0.1"};
        port_ = ntohs(address.sin_port);
        return listener;
    }

    std::uint16_t port_ = 0;
    pid_t child_ = -1;
    int control_ = -1;
};

}  // namespace candor::benchmarks

#endif
