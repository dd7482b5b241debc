#ifndef CANDOR_HTTPLIB_RESOLVER_HPP
#define CANDOR_HTTPLIB_RESOLVER_HPP

#include <httplib.h>

#include <chrono>
#include <concepts>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <candor/platform/at_exit.hpp>
#include <candor/platform/thread.hpp>
#include <candor/policy/clock.hpp>

#ifndef _WIN32
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#endif

namespace candor {

/// What a name resolves to.
struct resolved_name {
    std::vector<std::string> addresses{};  ///< numeric, in the order in which they are to be tried
    std::string error{};                   ///< for a person, where there is no address
};

/// What turns a host name into addresses.
///
/// 1. `resolver(host)` may block for as long as it likes. It is called on a thread of its own, on a copy, and may be
///    abandoned there: it must not refer to anything that the program destroys before its end.
/// 2. It reports a failure in `resolved_name::error`; an exception counts as one.
template <class R>
concept resolver = std::copy_constructible<R> && requires(R& r, const std::string& host) {
    { r(host) } -> std::same_as<resolved_name>;
};

/// The system's resolver. Stateless.
class system_resolver {
public:
    [[nodiscard]] resolved_name operator()(const std::string& host) const {
        addrinfo wanted{};
        wanted.ai_socktype = SOCK_STREAM;
        addrinfo* found = nullptr;
        resolved_name out;
        if (const int failure = ::getaddrinfo(host.c_str(), nullptr, &wanted, &found); failure != 0) {
#ifdef _WIN32
            out.error = ::gai_strerrorA(failure);
#else
            out.error = ::gai_strerror(failure);
#endif
            return out;
        }
        const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner{found, [](addrinfo* a) { ::freeaddrinfo(a); }};
        for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
            char text[NI_MAXHOST] = {};
            if (::getnameinfo(a->ai_addr, static_cast<socklen_t>(a->ai_addrlen), text, sizeof text, nullptr, 0,
                              NI_NUMERICHOST) == 0)
                out.addresses.emplace_back(text);
        }
        if (out.addresses.empty()) out.error = "no address";
        return out;
    }
};

namespace detail {

/// Whether `host` is an IPv4 or IPv6 address already.
inline bool is_address(const std::string& host) noexcept {
    unsigned char bytes[16];
    return ::inet_pton(AF_INET, host.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

/// One question to a resolver, asked on a thread that owns a share of it. Whoever waits for the answer may stop
/// waiting and go away: the thread then ends with the question, whenever the system's resolver lets it.
class lookup {
public:
    /// Asks. Throws `std::system_error` where no thread can be had.
    template <resolver Resolver>
    static std::shared_ptr<lookup> start(const Resolver& resolve, const std::string& host) {
        auto self = std::make_shared<lookup>();
        start_worker_thread("candor-resolver", [self, resolve, host]() mutable {
            resolved_name answer;
            try {
                answer = resolve(host);
            } catch (const std::exception& e) {
                answer.error = e.what();
            } catch (...) {
                answer.error = "the resolver failed";
            }
            const std::lock_guard guard{self->mutex_};
            self->answer_ = std::move(answer);
            self->changed_.notify_all();
        }).detach();
        return self;
    }

    /// The answer, or nothing where `deadline` passed or somebody interrupted. It may be waited for again.
    std::optional<resolved_name> wait_until(steady_time deadline) {
        std::unique_lock lock{mutex_};
        changed_.wait_until(lock, deadline, [&] { return answer_ || interrupted_; });
        interrupted_ = false;
        return answer_;
    }

    /// Whether the answer is there.
    bool is_answered() {
        const std::lock_guard guard{mutex_};
        return answer_.has_value();
    }

    /// Ends a `wait_until`, under way or the next. Any thread.
    void interrupt() noexcept {
        const auto lock = at_exit::lock(mutex_);
        if (!lock) return;
        interrupted_ = true;
        changed_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<resolved_name> answer_;
    bool interrupted_ = false;
};

}  // namespace detail

}  // namespace candor

#endif
