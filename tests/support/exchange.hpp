#ifndef CANDOR_TESTS_SUPPORT_EXCHANGE_HPP
#define CANDOR_TESTS_SUPPORT_EXCHANGE_HPP

#include <signal.h>

#include <chrono>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <candor/httplib/resolver.hpp>
#include <candor/policy/http.hpp>
#include <candor/testing.hpp>

#include <support/stopwatch.hpp>

/// What tests of the httplib transport share.
namespace candor::testing {

/// A POST with small deadlines, so that a test that hangs ends.
inline http_request post(std::string url, std::string body = "{}") {
    return {.url = std::move(url),
            .headers = {{"Content-Type", "application/json"}},
            .body = std::move(body),
            .connect_timeout = std::chrono::seconds{10},
            .timeout = std::chrono::seconds{20}};
}

/// The same with this deadline for the whole exchange.
inline http_request post_within(std::chrono::milliseconds timeout, std::string url, std::string body = "{}") {
    auto out = post(std::move(url), std::move(body));
    out.timeout = timeout;
    return out;
}

/// What a cancelled exchange answered, and how long after `cancel()`.
struct cancelled_exchange {
    http_response response;
    std::chrono::milliseconds delay;
};

/// Cancels a `send` once `is_there()` says that it has come as far as the test wants; that waits by itself.
template <class Transport, class Condition>
cancelled_exchange cancel_when(Transport& transport, const http_request& request, Condition is_there) {
    auto sending = std::async(std::launch::async, [&] { return transport.send(request); });
    if (!is_there()) throw std::runtime_error{"the exchange did not come that far"};
    const stopwatch since;
    transport.cancel();
    auto response = sending.get();
    return {std::move(response), since.elapsed()};
}

/// While it lives, SIGPIPE ends the process, as it does in a program that has not thought of it.
class deadly_sigpipe {
public:
    deadly_sigpipe() {
        struct sigaction deadly {};
        deadly.sa_handler = SIG_DFL;
        ::sigaction(SIGPIPE, &deadly, &before_);
    }
    deadly_sigpipe(const deadly_sigpipe&) = delete;
    deadly_sigpipe& operator=(const deadly_sigpipe&) = delete;
    ~deadly_sigpipe() { ::sigaction(SIGPIPE, &before_, nullptr); }

private:
    struct sigaction before_ {};
};

/// A resolver with a table.
class fixed_resolver {
public:
    fixed_resolver() = default;
    fixed_resolver(std::map<std::string, std::vector<std::string>> names) : names_{std::move(names)} {}

    resolved_name operator()(const std::string& host) const {
        const auto found = names_.find(host);
        if (found == names_.end()) return {.error = "no such name"};
        return {.addresses = found->second};
    }

private:
    std::map<std::string, std::vector<std::string>> names_;
};

/// A resolver that does not answer before it is told to. Copies share their state.
class hanging_resolver {
public:
    resolved_name operator()(const std::string&) const {
        std::unique_lock lock{state_->mutex};
        ++state_->calls;
        state_->changed.notify_all();
        state_->changed.wait(lock, [&] { return state_->is_released; });
        return {.addresses = {"127.0.0.1"}};
    }

    /// Ends the calls under way and lets later ones through.
    void release() const {
        const std::lock_guard guard{state_->mutex};
        state_->is_released = true;
        state_->changed.notify_all();
    }

    [[nodiscard]] int calls() const {
        const std::lock_guard guard{state_->mutex};
        return state_->calls;
    }

    /// Waits for that many calls; false: they did not come.
    [[nodiscard]] bool wait_for_calls(int number) const {
        std::unique_lock lock{state_->mutex};
        return state_->changed.wait_for(lock, patience, [&] { return state_->calls >= number; });
    }

private:
    struct state {
        std::mutex mutex;
        std::condition_variable changed;
        int calls = 0;
        bool is_released = false;
    };
    std::shared_ptr<state> state_ = std::make_shared<state>();
};

}  // namespace candor::testing

#endif
