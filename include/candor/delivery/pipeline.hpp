#ifndef CANDOR_DELIVERY_PIPELINE_HPP
#define CANDOR_DELIVERY_PIPELINE_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <candor/delivery/backoff.hpp>
#include <candor/delivery/batch.hpp>
#include <candor/delivery/ledger.hpp>
#include <candor/delivery/options.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/delivery/queue.hpp>
#include <candor/delivery/rendezvous.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/delivery/worker_thread.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/transport.hpp>

namespace candor::detail {

/// Brings records to a server: bounded queue, one worker thread started by the first record, batches, and what the
/// protocol makes of each answer. Every member may be called from any thread; `transport` and `clock` outlive it.
template <protocol Protocol, transport Transport, clock Clock>
class pipeline {
public:
    /// `name` stands before each diagnostic.
    pipeline(std::string name, delivery_options options, diagnostic_sink diagnostics, std::uint32_t seed,
             Protocol protocol, Transport& transport, Clock& clock)
        : name_{std::move(name)},
          options_{std::move(options)},
          diagnostics_{std::move(diagnostics)},
          protocol_{std::move(protocol)},
          transport_{transport},
          clock_{clock},
          backoff_{seed},
          request_{protocol_.request()},
          meeting_{clock} {
        request_.compress = options_.compress;
        request_.connect_timeout = options_.connect_timeout;
        request_.timeout = options_.request_timeout;
    }

    pipeline(const pipeline&) = delete;
    pipeline& operator=(const pipeline&) = delete;
    ~pipeline() { shutdown(std::chrono::milliseconds{0}); }

    /// Hands over one record, given in parts that are copied. Never blocks on I/O, never throws.
    admission enqueue(std::span<const std::string_view> parts) noexcept {
        std::size_t size = 0;
        for (const auto part : parts) size += part.size();
        std::unique_lock lock{meeting_.mutex};
        if (closing_) return count_refused(admission::closed);
        if (is_full() || ledger_.pending_bytes() + size > options_.queue_bytes) return count_refused(admission::full);
        try {
            if (!worker_.joinable()) start();
            queue_.push(parts, size);
        } catch (...) {
            return count_refused(admission::out_of_memory);
        }
        ledger_.accept(size);
        const bool is_oldest = ledger_.waiting() == 1;
        if (is_oldest) oldest_at_ = clock_.now();
        const bool comes_too_late = is_oldest && meeting_.oversleeps(after(oldest_at_, options_.flush_interval));
        if (!retry_until_ && (comes_too_late || batch_is_ready())) meeting_.wake(lock);
        return admission::accepted;
    }

    /// Counts and returns an answer that was found before the queue was asked.
    admission refuse(admission answer) noexcept {
        const std::lock_guard guard{meeting_.mutex};
        return count_refused(closing_ ? admission::closed : answer);
    }

    /// Whether nothing more can be accepted, asked before work is spent on a message. Takes the mutex only where the
    /// last answer was a refusal.
    [[nodiscard]] std::optional<admission> would_refuse() noexcept {
        if (!refused_last_.load(std::memory_order_relaxed)) return std::nullopt;
        const std::lock_guard guard{meeting_.mutex};
        if (closing_) return count_refused(admission::closed);
        if (is_full()) return count_refused(admission::full);
        refused_last_.store(false, std::memory_order_relaxed);
        return std::nullopt;
    }

    /// Sends at once. True when all that was accepted before has been delivered, or left out on purpose (an internal
    /// team, no account), and callbacks have seen it; false when something is given up meanwhile, when `timeout`
    /// passes, or as soon as it is certain to.
    bool flush(std::chrono::nanoseconds timeout) noexcept {
        std::unique_lock lock{meeting_.mutex};
        if (on_worker()) return false;
        const std::uint64_t target = ledger_.accepted();
        const std::uint64_t lost_before = ledger_.lost();
        flush_target_ = std::max(flush_target_, target);
        if (retry_until_ && !retry_is_told_) retry_now_ = true;
        meeting_.wake();
        const auto deadline = after(clock_.now(), timeout);
        while (ledger_.settled() < target) {
            if (!meeting_.is_coming() && retry_until_ && !retry_now_ && *retry_until_ > deadline) return false;
            if (clock_.now() >= deadline) return false;
            meeting_.await(lock, deadline);
        }
        return ledger_.lost() == lost_before;
    }

    /// Accepts nothing more; from now on `timeout` remains for delivery. Does not wait.
    void close(std::chrono::nanoseconds timeout) noexcept {
        const std::lock_guard guard{meeting_.mutex};
        if (closing_) return;
        closing_ = true;
        // The transport takes up to 50 ms to return once cancelled.
        const auto margin = std::min<std::chrono::nanoseconds>(std::chrono::milliseconds{50}, timeout / 4);
        closing_deadline_ = after(clock_.now(), timeout - margin);
        meeting_.wake();
    }

    /// Delivers for at most `timeout`, or what remains of it since `close`, gives up what is left, and joins the
    /// worker. Later calls do nothing.
    void shutdown(std::chrono::nanoseconds timeout) noexcept {
        close(timeout);
        const std::lock_guard one_at_a_time{shutdown_mutex_};
        std::unique_lock lock{meeting_.mutex};
        if (!worker_.joinable() || on_worker()) return;
        while (!done_ && clock_.now() < closing_deadline_) meeting_.await(lock, closing_deadline_);
        if (!done_) {
            aborting_ = true;
            meeting_.wake();
            lock.unlock();
            transport_.cancel();
            lock.lock();
        }
        lock.unlock();
        worker_.join();
    }

    [[nodiscard]] candor::statistics statistics() const noexcept {
        const std::lock_guard guard{meeting_.mutex};
        return ledger_.statistics();
    }

private:
    /// A destination that does not take our key is left alone for this long.
    static constexpr std::chrono::minutes pause_{5};
    static constexpr std::size_t spare_blocks_ = 16;

    admission count_refused(admission answer) noexcept {
        refused_last_.store(true, std::memory_order_relaxed);
        return ledger_.refuse(answer);
    }

    [[nodiscard]] bool is_full() const noexcept {
        return ledger_.pending() >= options_.queue_messages || ledger_.pending_bytes() >= options_.queue_bytes;
    }

    [[nodiscard]] bool batch_is_ready() const noexcept {
        return ledger_.waiting() >= options_.batch_messages || ledger_.waiting_bytes() >= options_.batch_bytes;
    }

    [[nodiscard]] std::uint64_t waiting() const noexcept {
        const std::lock_guard guard{meeting_.mutex};
        return ledger_.waiting();
    }

    [[nodiscard]] bool on_worker() const noexcept { return worker_id_ == std::this_thread::get_id(); }

    [[nodiscard]] bool is_aborting() const noexcept {
        const std::lock_guard guard{meeting_.mutex};
        return aborting_;
    }

    /// All that the worker needs to account for every message, so that it never fails to for want of memory.
    void start() {
        queue_.reserve_spares(spare_blocks_);
        batch_.reserve(options_.batch_messages);
        worker_ = start_worker_thread([this] { run(); });
        worker_id_ = worker_.get_id();
    }

    void run() noexcept {
        while (wait_for_work()) {
            fill();
            try {
                deliver();
            } catch (...) {
                drop_rest_of_batch(drop_reason::failed);
            }
        }
        abandon();
        const std::lock_guard guard{meeting_.mutex};
        done_ = true;
        meeting_.announce();
    }

    /// False when the worker is to end.
    bool wait_for_work() noexcept {
        std::unique_lock lock{meeting_.mutex};
        // After a batch the worker wakes once more by itself, so that the next record need not wake it: that would cost
        // its caller more than all the rest.
        bool lingers = true;
        for (;;) {
            if (aborting_) return false;
            const bool waiting = ledger_.waiting() > 0;
            if (closing_ && (!waiting || clock_.now() < paused_until_)) return false;
            auto until = steady_time::max();
            if (waiting && clock_.now() < paused_until_) {
                wait_told(lock, paused_until_);
                continue;
            }
            if (waiting) {
                until = after(oldest_at_, options_.flush_interval);
                if (closing_ || flush_target_ > ledger_.settled() || batch_is_ready() || clock_.now() >= until)
                    return true;
            } else if (std::exchange(lingers, false)) {
                until = after(clock_.now(), options_.flush_interval);
            }
            meeting_.idle(lock, until);
        }
    }

    /// Makes a batch of the records that wait now; what comes meanwhile waits its own time. Each one is accounted for,
    /// whatever is thrown.
    void fill() noexcept {
        batch_.clear();
        std::uint64_t taken = 0;
        std::size_t taken_bytes = 0;
        for (auto left = waiting(); left > 0 && batch_.size() < options_.batch_messages; --left) {
            if (block_.empty() && !next_block()) break;
            const std::string_view record = block_.front();
            const auto [has_room, dropped, text] = batch_.add(protocol_, record, options_);
            if (!has_room) break;
            if (dropped) drop_one(text, record.size(), *dropped);
            block_.pop();
            ++taken;
            taken_bytes += record.size();
        }
        batch_.send_whole();
        const std::lock_guard guard{meeting_.mutex};
        ledger_.take(taken, taken_bytes);
        if (ledger_.waiting() > 0) oldest_at_ = clock_.now();
    }

    bool next_block() noexcept {
        const std::lock_guard guard{meeting_.mutex};
        queue_.recycle(std::exchange(block_, record_block{}));
        if (queue_.empty()) return false;
        block_ = queue_.take();
        return true;
    }

    /// Sends the batch, whole or in halves, until each of its messages is settled.
    void deliver() {
        while (!batch_.is_settled()) {
            if (is_aborting()) return give_up();
            const message_range range = batch_.next();
            request_.body.clear();
            protocol_.write_body(range, clock_.wall_now(), request_.body);
            const http_response response = send();
            if (response.error == transport_error::cancelled) return give_up();
            verdict found = protocol_.judge(response, clock_.wall_now());
            report(response, found.diagnostic);
            using action = verdict::action;
            if (found.what == action::split && range.messages.size() > 1) {
                batch_.split();
                continue;
            }
            if (found.what == action::retry) {
                if (!wait_to_retry(response.error, found.wait)) return give_up();
                continue;
            }
            batch_.pop();
            if (found.what == action::deliver) {
                backoff_.reset();
                settle_delivered(range);
                continue;
            }
            for (const auto& m : range.messages) drop_one(range.text(m), m.record_size, found.reason);
            if (found.reason == drop_reason::unauthorized && !pause()) return give_up();
        }
    }

    http_response send() noexcept {
        try {
            return transport_.send(request_);
        } catch (...) {
            return {.error = transport_error::broken};
        }
    }

    /// Each status and kind of failure is worth one word to a person.
    void report(const http_response& response, const std::string& text) {
        const int kind = response.error == transport_error::none ? response.status : -static_cast<int>(response.error);
        if (!text.empty() && reported_.insert(kind).second) detail::report(diagnostics_, name_ + ": " + text);
    }

    /// Waits before another attempt. False when there is no time left for one.
    bool wait_to_retry(transport_error error, std::optional<std::chrono::milliseconds> told) {
        const auto wait = told ? *told : backoff_.next();
        std::unique_lock lock{meeting_.mutex};
        const auto until = after(clock_.now(), wait);
        if (told) return wait_told(lock, until);
        const bool was_closing = closing_;
        if (was_closing && error == transport_error::unreachable) return false;
        retry_now_ = false;
        while (clock_.now() < until) {
            if (aborting_ || (was_closing && until > closing_deadline_)) return false;
            if (closing_ && !was_closing) break;  // one more attempt, now
            if (retry_now_) break;
            wait_in_view(lock, until, false);
        }
        retry_now_ = false;
        return !aborting_;
    }

    /// After a refusal of the key: false when there is no time for anything else.
    bool pause() {
        std::unique_lock lock{meeting_.mutex};
        paused_until_ = after(clock_.now(), pause_);
        return batch_.is_settled() || wait_told(lock, paused_until_);
    }

    /// Waits as the server asked, which neither flush nor shutdown cuts short. False when that ends too late.
    bool wait_told(std::unique_lock<std::mutex>& lock, steady_time until) {
        while (clock_.now() < until) {
            if (aborting_ || (closing_ && until > closing_deadline_)) return false;
            wait_in_view(lock, until, true);
        }
        return !aborting_;
    }

    /// Waits where `flush` can see for how long.
    void wait_in_view(std::unique_lock<std::mutex>& lock, steady_time until, bool is_told) {
        retry_until_ = until;
        retry_is_told_ = is_told;
        meeting_.announce();
        meeting_.idle(lock, until);
        retry_until_.reset();
    }

    /// Callbacks come first: when `flush` returns, they have run.
    void settle_delivered(const message_range& range) noexcept {
        if (options_.on_delivered) {
            for (const auto& m : range.messages) contain([&] { options_.on_delivered(range.text(m)); });
        }
        const std::lock_guard guard{meeting_.mutex};
        std::size_t bytes = 0;
        for (const auto& m : range.messages) bytes += m.record_size;
        ledger_.deliver(range.messages.size(), bytes);
        meeting_.announce();
    }

    void drop_one(std::string_view text, std::size_t record_size, drop_reason reason) noexcept {
        if (options_.on_dropped) contain([&] { options_.on_dropped(text, reason); });
        const std::lock_guard guard{meeting_.mutex};
        ledger_.drop(1, record_size, reason);
        meeting_.announce();
    }

    /// Time is up, or certain to be: what is left of the batch goes the way of all that waits behind it.
    void give_up() noexcept {
        {
            const std::lock_guard guard{meeting_.mutex};
            aborting_ = true;
        }
        drop_rest_of_batch(drop_reason::shutdown);
    }

    void drop_rest_of_batch(drop_reason reason) noexcept {
        for (; !batch_.is_settled(); batch_.pop()) {
            const message_range range = batch_.next();
            for (const auto& m : range.messages) drop_one(range.text(m), m.record_size, reason);
        }
    }

    /// Gives up what was never made into a message, or waits for its turn. Nothing is accepted any more.
    void abandon() noexcept {
        const auto left = [this] {
            const std::lock_guard guard{meeting_.mutex};
            return ledger_.pending();
        }();
        for (auto i = left; i > 0 && options_.on_dropped; --i)
            contain([&] { options_.on_dropped({}, drop_reason::shutdown); });
        const std::lock_guard guard{meeting_.mutex};
        ledger_.drop(left, ledger_.pending_bytes(), drop_reason::shutdown);
        queue_ = {};
    }

    template <class Call>
    static void contain(const Call& call) noexcept {
        try {
            call();
        } catch (...) {  // a callback's failure is its own
        }
    }

    const std::string name_;
    const delivery_options options_;
    const diagnostic_sink diagnostics_;

    // The worker's own.
    Protocol protocol_;
    Transport& transport_;
    Clock& clock_;
    backoff backoff_;
    http_request request_;
    record_block block_;
    batch batch_;
    std::set<int> reported_;

    std::atomic<bool> refused_last_{false};  // a hint: `would_refuse` has to look
    std::mutex shutdown_mutex_;
    mutable rendezvous<Clock> meeting_;  // its mutex guards all below
    std::thread worker_;
    std::thread::id worker_id_;
    record_queue queue_;
    ledger ledger_;
    steady_time oldest_at_{};
    steady_time paused_until_{};
    steady_time closing_deadline_{};
    std::optional<steady_time> retry_until_;
    bool retry_is_told_ = false;
    bool retry_now_ = false;
    std::uint64_t flush_target_ = 0;
    bool closing_ = false;
    bool aborting_ = false;
    bool done_ = false;
};

}  // namespace candor::detail

#endif
