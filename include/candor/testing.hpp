#ifndef CANDOR_TESTING_HPP
#define CANDOR_TESTING_HPP

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/platform/read_file.hpp>
#include <candor/platform/replace_file.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/server.hpp>
#include <candor/policy/transport.hpp>

/// Policies for tests, candor's and its consumers': no real time passes, nothing is sent, no variable is read.
namespace candor::testing {

/// How long a test waits, in real time, for another thread to do what it is about to do. A test that passes never
/// waits this long; one that fails ends after it.
inline constexpr std::chrono::seconds patience{30};

/// A clock that moves only when told to, or when a thread of the program waits for the worker: `flush` and
/// `shutdown` then skip to the moment at which the worker wanted to go on, if that lies before their deadline. So a
/// test of a 30-second backoff takes no time. Thread-safe, for any number of clients. It must outlive them.
class manual_clock {
public:
    /// Starts at 2026-01-02T03:04:05Z, and at the steady clock's time 0.
    manual_clock() = default;
    explicit manual_clock(wall_time start) : wall_{start} {}

    [[nodiscard]] steady_time now() const noexcept {
        const std::lock_guard guard{mutex_};
        return now_;
    }

    [[nodiscard]] wall_time wall_now() const noexcept {
        const std::lock_guard guard{mutex_};
        return wall_;
    }

    /// Moves both clocks on and wakes every worker whose wait is over.
    void advance(std::chrono::nanoseconds by) {
        std::unique_lock guard{mutex_};
        const auto due = move_to(detail::after(now_, by));
        guard.unlock();
        wake(due);
    }

    /// Sets the calendar alone, as an administrator or a time server does.
    void set_wall(wall_time to) {
        const std::lock_guard guard{mutex_};
        wall_ = to;
    }

    /// Waits until `count` workers have nothing to do. False when that does not come about within `patience`.
    [[nodiscard]] bool wait_for_idle(std::size_t count = 1) const {
        std::unique_lock lock{mutex_};
        return idle_.wait_for(lock, patience, [&] { return idlers_.size() >= count; });
    }

    /// When the idle worker that wakes first wants to go on; `steady_time::max()` where none does.
    [[nodiscard]] steady_time next_wake() const {
        const std::lock_guard guard{mutex_};
        auto first = steady_time::max();
        for (const auto* i : idlers_) first = std::min(first, i->until);
        return first;
    }

    void idle_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, steady_time deadline) {
        idler self{deadline, lock.mutex(), &changed};
        {
            const std::lock_guard guard{mutex_};
            if (now_ >= deadline) return;
            idlers_.push_back(&self);
        }
        idle_.notify_all();
        changed.wait(lock);
        std::unique_lock guard{mutex_};
        std::erase(idlers_, &self);
        if (self.wakers == 0) return;
        lock.unlock();  // which they may be waiting for
        idle_.wait(guard, [&] { return self.wakers == 0; });
        guard.unlock();
        lock.lock();
    }

    /// Gives up on a worker that neither idles nor makes progress for two seconds of real time.
    void wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, steady_time deadline) {
        std::vector<idler*> due;
        {
            const std::lock_guard guard{mutex_};
            if (now_ >= deadline) return;
            const auto mine = std::find_if(idlers_.begin(), idlers_.end(), [&](const idler* i) {
                return i->mutex == lock.mutex() && i->until <= deadline;
            });
            if (mine != idlers_.end()) due = move_to((*mine)->until);
        }
        // Our own worker waits already, for we hold its mutex, which it must not miss: what it does is what we wait
        // for.
        std::vector<idler*> own;
        std::erase_if(due, [&](idler* i) {
            if (i->mutex != lock.mutex()) return false;
            own.push_back(i);
            return true;
        });
        for (idler* i : own) notify(*i);
        if (!due.empty()) {
            lock.unlock();
            wake(due);
            lock.lock();
            return;
        }
        if (changed.wait_for(lock, std::chrono::seconds{2}) == std::cv_status::no_timeout) return;
        // The worker is stuck: give up as a real clock would.
        if (deadline == steady_time::max()) return;
        {
            const std::lock_guard guard{mutex_};
            due = move_to(std::max(now_, deadline));
        }
        lock.unlock();
        wake(due);
        lock.lock();
    }

private:
    /// A worker that idles, on its own stack, where it stays while somebody is about to wake it.
    struct idler {
        steady_time until;
        std::mutex* mutex;
        std::condition_variable* changed;
        int wakers = 0;
    };

    /// Those whose wait is over, for `wake`.
    std::vector<idler*> move_to(steady_time to) {
        wall_ += to - now_;
        now_ = to;
        std::vector<idler*> due;
        std::erase_if(idlers_, [&](idler* i) {
            if (i->until > to) return false;
            ++i->wakers;
            due.push_back(i);
            return true;
        });
        return due;
    }

    /// A worker registers under its own mutex, so taking that mutex first means it already waits. Nobody else's may be
    /// held: two who wake each other's workers would wait for each other.
    void wake(const std::vector<idler*>& due) {
        for (idler* i : due) {
            { const std::lock_guard started{*i->mutex}; }
            notify(*i);
        }
    }

    void notify(idler& one) {
        one.changed->notify_all();
        const std::lock_guard guard{mutex_};
        --one.wakers;
        idle_.notify_all();
    }

    mutable std::mutex mutex_;
    mutable std::condition_variable idle_;
    std::vector<idler*> idlers_;
    steady_time now_{};
    wall_time wall_{std::chrono::sys_days{std::chrono::January / 2 / 2026} + std::chrono::hours{3} +
                    std::chrono::minutes{4} + std::chrono::seconds{5}};
};

/// A transport that keeps every request and answers from a script, or 200 when the script is empty. Thread-safe.
class recording_transport {
public:
    /// The next answer that is not yet scripted.
    void respond(http_response answer) {
        const std::lock_guard guard{mutex_};
        script_.push_back({std::move(answer), false});
    }

    /// The same, with a status and perhaps headers.
    void respond(int status, std::vector<http_header> headers = {}) {
        respond(http_response{.status = status, .headers = std::move(headers)});
    }

    /// The next request fails without an answer.
    void fail(transport_error error) { respond(http_response{.error = error, .message = "scripted"}); }

    /// The next request is taken and never answered: `send` returns only after `cancel()`.
    void hang() {
        const std::lock_guard guard{mutex_};
        script_.push_back({{}, true});
    }

    /// What was sent so far, in order.
    [[nodiscard]] std::vector<http_request> requests() const {
        const std::lock_guard guard{mutex_};
        return requests_;
    }

    /// Waits until `count` requests have come. False when they do not within `patience`.
    [[nodiscard]] bool wait_for_requests(std::size_t count) const {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, patience, [&] { return requests_.size() >= count; });
    }

    http_response send(const http_request& request) {
        std::unique_lock lock{mutex_};
        if (cancelled_) return {.error = transport_error::cancelled};
        requests_.push_back(request);
        changed_.notify_all();
        if (script_.empty()) return {.status = 200};
        auto [answer, hang] = std::move(script_.front());
        script_.pop_front();
        if (!hang) return answer;
        changed_.wait(lock, [&] { return cancelled_; });
        return {.error = transport_error::cancelled};
    }

    void cancel() noexcept {
        const std::lock_guard guard{mutex_};
        cancelled_ = true;
        changed_.notify_all();
    }

private:
    struct step {
        http_response answer;
        bool hang;
    };

    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::deque<step> script_;
    std::vector<http_request> requests_;
    bool cancelled_ = false;
};

/// The variables a test gives, and no others.
class fixed_environment {
public:
    fixed_environment() = default;
    fixed_environment(std::map<std::string, std::string> variables) : variables_{std::move(variables)} {}

    [[nodiscard]] std::optional<std::string> get(const char* name) const {
        const auto found = variables_.find(name);
        if (found == variables_.end()) return std::nullopt;
        return found->second;
    }

    template <class Visit>
    void each(Visit visit) const {
        for (const auto& [name, value] : variables_) visit(std::string_view{name}, std::string_view{value});
    }

private:
    std::map<std::string, std::string> variables_;
};

/// A server without a socket: a test hands it a request, on its own thread, and gets the service's answer.
class manual_server {
public:
    manual_server(const server_options& options, http_service& service) : options_{options}, service_{service} {}

    /// As a server does it, but for compression. Status 0 after `stop`.
    http_response receive(const http_request_head& head, std::string_view body = {}) {
        const std::lock_guard guard{mutex_};
        if (stopped_) return {};
        if (auto answer = service_.begin(head)) return std::move(*answer);
        if (body.size() > options_.body_limit) return service_.refuse(head, body_error::too_large);
        return service_.complete(head, body);
    }

    /// The one of the options, or 4318.
    [[nodiscard]] std::uint16_t port() const noexcept { return options_.port == 0 ? 4318 : options_.port; }

    void stop() noexcept {
        const std::lock_guard guard{mutex_};
        stopped_ = true;
    }

private:
    const server_options options_;
    http_service& service_;
    std::mutex mutex_;
    bool stopped_ = false;
};

/// For a test that keeps a document in step with what it is generated from, such as a committed TELEMETRY.md with
/// `telemetry_document`. Empty where the file says just that; else what a person should know and do about it. With the
/// variable `CANDOR_UPDATE_DOCUMENTS` set, the file is written anew instead.
///
///     CHECK(candor::testing::outdated("TELEMETRY.md", candor::telemetry_document("acme", telemetry::events{})) == "");
template <environment Environment = process_environment>
[[nodiscard]] std::string outdated(const std::filesystem::path& document, std::string_view generated,
                                   const Environment& variables = {}) {
    constexpr std::size_t limit = 16 * 1024 * 1024;
    const auto path = document.string();
    if (detail::non_empty(variables, "CANDOR_UPDATE_DOCUMENTS")) {
        const auto problem = candor::detail::replace_file(document, generated);
        return problem.empty() ? problem : path + " " + problem;
    }
    const auto found = candor::detail::read_file(document, limit);
    const std::string remedy = "; run the test with CANDOR_UPDATE_DOCUMENTS=1 to write it anew";
    if (found.status == candor::detail::file_status::absent) return path + " is not there" + remedy;
    if (found.status != candor::detail::file_status::read) return path + " " + found.problem;
    std::string_view there{found.content};
    for (std::size_t line = 1; !there.empty() || !generated.empty(); ++line) {
        const auto next = [](std::string_view& text) {
            const auto end = std::min(text.find('\n'), text.size() - 1) + 1;
            const auto out = text.substr(0, text.empty() ? 0 : end);
            text.remove_prefix(out.size());
            return out;
        };
        const auto is = next(there), wanted = next(generated);
        if (is != wanted)
            return path + ":" + std::to_string(line) + " is \"" + detail::printable(is) + "\" and should be \"" +
                   detail::printable(wanted) + "\"" + remedy;
    }
    return {};
}

}  // namespace candor::testing

#endif
