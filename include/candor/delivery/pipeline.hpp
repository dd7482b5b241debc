#ifndef CANDOR_DELIVERY_PIPELINE_HPP
#define CANDOR_DELIVERY_PIPELINE_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <candor/delivery/courier.hpp>
#include <candor/delivery/options.hpp>
#include <candor/delivery/pipeline_state.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/delivery/worker_thread.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/system_calls.hpp>
#include <candor/policy/transport.hpp>

namespace candor::detail {

/// Brings records to a server: bounded queue, one worker thread started by the first record, batches, what the protocol
/// makes of each answer, and a spool for what is left. Every member may be called from any thread; `transport` and
/// `clock` outlive it.
template <protocol Protocol, transport Transport, clock Clock, class Calls = system_calls>
class pipeline {
public:
    /// `name`, in lower-case letters, stands before each diagnostic and in the names of the spool's files.
    pipeline(std::string name, delivery_options options, diagnostic_sink diagnostics, std::uint32_t seed,
             Protocol protocol, Transport& transport, Clock& clock)
        : clock_{clock}, state_{std::move(options), clock}, courier_{std::move(name),
                                                                     state_,
                                                                     std::move(diagnostics),
                                                                     seed,
                                                                     std::move(protocol),
                                                                     transport,
                                                                     clock} {}

    pipeline(const pipeline&) = delete;
    pipeline& operator=(const pipeline&) = delete;
    ~pipeline() { shutdown(std::chrono::milliseconds{0}); }

    /// Hands over one record, given in parts that are copied. Never blocks on I/O, never throws.
    admission enqueue(std::span<const std::string_view> parts) noexcept {
        std::size_t size = 0;
        for (const auto part : parts) size += part.size();
        std::unique_lock lock{state_.meeting.mutex};
        if (state_.closing) return count_refused(admission::closed);
        if (state_.is_full() || state_.ledger.pending_bytes() + size > state_.options.queue_bytes)
            return count_refused(admission::full);
        try {
            if (!worker_.joinable()) start();
            state_.queue.push(parts, size);
        } catch (...) {
            return count_refused(admission::out_of_memory);
        }
        state_.ledger.accept(size);
        const bool is_oldest = state_.ledger.waiting() == 1;
        if (is_oldest) state_.oldest_at = clock_.now();
        const bool comes_too_late =
            is_oldest && state_.meeting.oversleeps(after(state_.oldest_at, state_.options.flush_interval));
        if (state_.retry_until ? state_.is_spilling() : comes_too_late || state_.batch_is_ready())
            state_.meeting.wake(lock);
        return admission::accepted;
    }

    /// Counts and returns an answer that was found before the queue was asked.
    admission refuse(admission answer) noexcept {
        const std::lock_guard guard{state_.meeting.mutex};
        return count_refused(state_.closing ? admission::closed : answer);
    }

    /// Whether nothing more can be accepted, asked before work is spent on a message. Takes the mutex only where the
    /// last answer was a refusal.
    [[nodiscard]] std::optional<admission> would_refuse() noexcept {
        if (!refused_last_.load(std::memory_order_relaxed)) return std::nullopt;
        const std::lock_guard guard{state_.meeting.mutex};
        if (state_.closing) return count_refused(admission::closed);
        if (state_.is_full()) return count_refused(admission::full);
        refused_last_.store(false, std::memory_order_relaxed);
        return std::nullopt;
    }

    /// Sends at once. True when all that was accepted before has been delivered, or left out on purpose (an internal
    /// team, no account), and callbacks have seen it; false when something is given up or spooled meanwhile, when
    /// `timeout` passes, or as soon as it is certain to.
    bool flush(std::chrono::nanoseconds timeout) noexcept {
        std::unique_lock lock{state_.meeting.mutex};
        if (on_worker()) return false;
        const std::uint64_t target = state_.ledger.accepted();
        const std::uint64_t lost_before = state_.ledger.lost();
        state_.flush_target = std::max(state_.flush_target, target);
        if (state_.retry_until && !state_.retry_is_told) state_.retry_now = true;
        state_.meeting.wake();
        const auto deadline = after(clock_.now(), timeout);
        while (state_.ledger.settled() < target) {
            if (!state_.meeting.is_coming() && state_.retry_until && !state_.retry_now &&
                *state_.retry_until > deadline)
                return false;
            if (clock_.now() >= deadline) return false;
            state_.meeting.await(lock, deadline);
        }
        return state_.ledger.lost() == lost_before;
    }

    /// Accepts nothing more; from now on `timeout` remains for delivery. Does not wait.
    void close(std::chrono::nanoseconds timeout) noexcept {
        const std::lock_guard guard{state_.meeting.mutex};
        if (state_.closing) return;
        state_.closing = true;
        // The transport takes up to 50 ms to return once cancelled.
        const auto margin = std::min<std::chrono::nanoseconds>(std::chrono::milliseconds{50}, timeout / 4);
        state_.closing_deadline = after(clock_.now(), timeout - margin);
        state_.meeting.wake();
    }

    /// Delivers for at most `timeout`, or what remains of it since `close`, puts what is left into the spool, and joins
    /// the worker. Later calls do nothing.
    void shutdown(std::chrono::nanoseconds timeout) noexcept {
        close(timeout);
        const std::lock_guard one_at_a_time{shutdown_mutex_};
        std::unique_lock lock{state_.meeting.mutex};
        if (!worker_.joinable() || on_worker()) return;
        while (!state_.done && clock_.now() < state_.closing_deadline)
            state_.meeting.await(lock, state_.closing_deadline);
        if (!state_.done) {
            state_.aborting = true;
            state_.meeting.wake();
            lock.unlock();
            courier_.cancel();
            lock.lock();
        }
        lock.unlock();
        worker_.join();
    }

    /// Consent is gone: nothing is stored or sent any more, but the request under way, which `shutdown` cancels. What
    /// waits, and what this pipeline has stored, is counted as `drop_reason::revoked`. Does not wait.
    void revoke() noexcept {
        const std::lock_guard guard{state_.meeting.mutex};
        state_.revoked = state_.closing = state_.aborting = true;
        state_.closing_deadline = clock_.now();
        state_.ledger.drop_spooled(drop_reason::revoked);
        state_.meeting.wake();
    }

    [[nodiscard]] candor::statistics statistics() const noexcept {
        const std::lock_guard guard{state_.meeting.mutex};
        return state_.ledger.statistics();
    }

private:
    admission count_refused(admission answer) noexcept {
        refused_last_.store(true, std::memory_order_relaxed);
        return state_.ledger.refuse(answer);
    }

    [[nodiscard]] bool on_worker() const noexcept { return worker_id_ == std::this_thread::get_id(); }

    void start() {
        courier_.prepare();
        worker_ = start_worker_thread([this] { courier_.run(); });
        worker_id_ = worker_.get_id();
    }

    Clock& clock_;
    pipeline_state<Clock> state_;
    courier<Protocol, Transport, Clock, Calls> courier_;
    std::atomic<bool> refused_last_{false};  // a hint: `would_refuse` has to look
    std::mutex shutdown_mutex_;
    std::thread worker_;  // with its id, guarded by the state's mutex
    std::thread::id worker_id_;
};

}  // namespace candor::detail

#endif
