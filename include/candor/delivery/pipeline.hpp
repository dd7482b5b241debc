#ifndef CANDOR_DELIVERY_PIPELINE_HPP
#define CANDOR_DELIVERY_PIPELINE_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <candor/delivery/delivery_worker.hpp>
#include <candor/delivery/options.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/platform/at_exit.hpp>
#include <candor/platform/inside.hpp>
#include <candor/platform/system_calls.hpp>
#include <candor/platform/thread.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/policies.hpp>

namespace candor::detail {

/// Programs that started together must not come back together.
inline std::uint32_t random_seed() {
    const auto random = uuid::random().bytes();
    return std::uint32_t{random[0]} << 24 | std::uint32_t{random[1]} << 16 | std::uint32_t{random[2]} << 8 | random[3];
}

/// Brings records to a server: bounded queue, one worker thread started by the first record, batches, what the protocol
/// makes of each answer, and a spool for what is left. Every member may be called from any thread, in callbacks of the
/// worker too; `transport` and `clock` outlive it.
///
/// It may be destroyed in a callback of its own worker, which then stores what is left and ends by itself.
class pipeline {
public:
    /// `name`, in lower-case letters, stands before each diagnostic and in the names of the spool's files.
    pipeline(std::string name, delivery_options options, diagnostic_sink diagnostics, std::uint32_t seed,
             std::unique_ptr<protocol> back_end, transport_interface& transport, clock_interface& clock,
             const system_calls& calls = system_calls::real())
        : clock_{clock},
          worker_{std::make_shared<delivery_worker>(std::move(name), std::move(options), std::move(diagnostics), seed,
                                                    std::move(back_end), transport, clock, calls)} {
        if (!worker_->finds_stored()) return;
        const std::lock_guard guard{worker_->mutex};
        worker_->schedule.look_at(after(clock_.now(), scheduler::settling_in));
        try {
            start();
        } catch (...) {  // no memory: the first record tries again
        }
    }

    pipeline(const pipeline&) = delete;
    pipeline& operator=(const pipeline&) = delete;
    ~pipeline() { let_go(); }

    /// It is about to be destroyed. In a callback of its worker, nobody waits for that any more.
    void let_go() noexcept {
        shutdown(std::chrono::milliseconds{0});
        const inside library;
        std::unique_lock lock{worker_->mutex};
        if (!thread_.joinable() || !on_worker()) return;
        try {
            worker_->at_end.emplace(await_orphan, worker_.get());
        } catch (...) {  // no memory: the end of the process does not wait for it
        }
        leave(lock, delivery_worker::lease::released);
    }

    /// Whether this is the worker, in a callback.
    [[nodiscard]] bool is_calling_back() const noexcept {
        const inside library;
        const std::lock_guard guard{worker_->mutex};
        return on_worker();
    }

    /// Whether the worker was left behind in a call that did not return in time.
    [[nodiscard]] bool is_stuck() const noexcept {
        const inside library;
        const std::lock_guard guard{worker_->mutex};
        return worker_->is_given_up();
    }

    /// Hands over one record, given in parts that are copied. Never blocks on I/O, never throws. Who keeps the record
    /// elsewhere too is told on a thread of candor's when it need not be kept any more: it is delivered, dropped, or on
    /// disk. At the end of the process it may be none of these.
    admission enqueue(std::span<const std::string_view> parts, std::function<void()> is_safe = nullptr) noexcept {
        std::size_t size = 0;
        for (const auto part : parts) size += part.size();
        auto& worker = *worker_;
        const inside library;
        std::unique_lock lock{worker.mutex};
        if (worker.schedule.is_closing()) return count_refused(admission::closed);
        if (is_full() || worker.counters.pending_bytes() + size > worker.options.queue_bytes)
            return count_refused(admission::full);
        try {
            if (!thread_.joinable()) start();
            if (is_safe) worker.receipts.reserve(worker.receipts.size() + 1);
            worker.queue.push(parts, size);
        } catch (...) {
            return count_refused(admission::out_of_memory);
        }
        if (is_safe) worker.receipts.push_back({worker.counters.accepted(), std::move(is_safe)});
        worker.counters.accept(size);
        bool comes_too_late = false;
        const bool is_first = worker.counters.waiting() == 1, is_first_uncopied = worker.lacks_only_one_copy();
        if (is_first || is_first_uncopied) {
            const auto now = clock_.now();
            if (worker.counters.accepted() == 1) worker.schedule.look_at(after(now, scheduler::settling_in));
            if (is_first) worker.schedule.waits_since(now);
            if (is_first_uncopied) worker.schedule.uncopied_since(now);
            comes_too_late =
                (is_first && !worker.waits_out_hold && worker.signal.oversleeps(worker.schedule.latest_send(now))) ||
                (is_first_uncopied && worker.signal.oversleeps(worker.schedule.copy_at()));
        }
        const auto work = worker.work();
        if (comes_too_late ||
            (worker.waits_out_hold ? worker.schedule.is_spilling(work) : worker.schedule.has_full_batch(work)))
            worker.signal.wake(lock);
        return admission::accepted;
    }

    /// Counts and returns an answer that was found before the queue was asked.
    admission refuse(admission answer) noexcept {
        const inside library;
        const std::lock_guard guard{worker_->mutex};
        return count_refused(worker_->schedule.is_closing() ? admission::closed : answer);
    }

    /// Whether nothing more can be accepted, asked before work is spent on a message. Takes the mutex only where the
    /// last answer was a refusal.
    [[nodiscard]] std::optional<admission> would_refuse() noexcept {
        if (!refused_last_.load(std::memory_order_relaxed)) return std::nullopt;
        const inside library;
        const std::lock_guard guard{worker_->mutex};
        if (worker_->schedule.is_closing()) return count_refused(admission::closed);
        if (is_full()) return count_refused(admission::full);
        refused_last_.store(false, std::memory_order_relaxed);
        return std::nullopt;
    }

    /// Sends at once. True when all that was accepted before has been delivered, or left out on purpose (an internal
    /// team, no account), and callbacks have seen it; false when something is given up or spooled meanwhile, when
    /// `timeout` passes, or as soon as it is certain to. False in a callback.
    bool flush(std::chrono::milliseconds timeout) noexcept {
        auto& worker = *worker_;
        const inside library;
        std::unique_lock lock{worker.mutex};
        if (on_worker()) return false;
        const std::uint64_t target = worker.counters.accepted();
        const std::uint64_t lost_before = worker.counters.lost();
        const auto begin = clock_.now();
        const auto deadline = after(begin, timeout);
        worker.schedule.flush(target, begin);
        worker.signal.wake();
        while (worker.counters.settled() < target) {
            const auto now = clock_.now();
            const auto held = worker.schedule.held_until(now, worker.work());
            if (now >= deadline || (held && *held > deadline) || worker.is_left()) return false;
            worker.signal.await(lock, deadline);
        }
        return worker.counters.lost() == lost_before;
    }

    /// Accepts nothing more; from now on `timeout` remains for delivery and the end, or less where an earlier call said
    /// so. Does not wait.
    void close(std::chrono::milliseconds timeout) noexcept {
        const inside library;
        const std::lock_guard guard{worker_->mutex};
        start_end(timeout);
    }

    /// Delivers for at most `timeout`, or what remains of it since `close`, puts what is left into the spool, and joins
    /// the worker. A worker that is in a call which does not return, of a callback or of a disk, is left behind there,
    /// and what it has is counted as lost. In a callback it only closes: the worker goes on when that returns. Later
    /// calls do nothing.
    void shutdown(std::chrono::milliseconds timeout) noexcept {
        close(timeout);
        auto& worker = *worker_;
        const inside library;
        std::unique_lock lock{worker.mutex};
        if (!thread_.joinable() || on_worker()) return;
        const auto has_ended = [&] { return worker.is_done || worker.is_left(); };
        while (!has_ended() && !worker.store_until && clock_.now() < worker.schedule.send_until()) {
            const auto uncopied = worker.next_copy();
            if (clock_.now() >= uncopied) worker.start_journal();
            worker.signal.await_end(lock, std::min(worker.schedule.send_until(), worker.next_copy()));
        }
        if (!has_ended() && !worker.store_until) {
            worker.schedule.abort();
            worker.signal.wake();
            worker.copy_without_worker();
            lock.unlock();
            worker.cancel();
            lock.lock();
        }
        while (!has_ended()) {
            const auto limit = std::max(worker.end_by, worker.store_until.value_or(steady_time::min()));
            // One that is not away is on its way.
            if (worker.is_away && clock_.now() >= limit) return leave(lock, delivery_worker::lease::given_up);
            worker.signal.await_end(lock, worker.is_away ? limit : after(clock_.now(), end_margin_));
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(worker.end_by - clock_.now());
        const bool does_disk_answer = worker.await_journal(lock, std::clamp(left, end_margin_ / 10, end_margin_ / 2));
        auto ended = std::exchange(thread_, worker_thread{});
        auto journal = worker.take_journal_thread();
        const bool comes_back = !worker.is_ending_in_callback();
        lock.unlock();
        if (ended.joinable()) comes_back ? ended.join() : ended.detach();  // or another thread has it
        if (journal.joinable()) does_disk_answer ? journal.join() : journal.detach();
    }

    /// The process ends: as `shutdown`, but that in a callback the worker stores at once what is left.
    void shutdown_at_exit(std::chrono::milliseconds timeout) noexcept {
        if (at_exit::is_quick()) return end_quickly(timeout, [this](const auto& step) { step(*this); });
        shutdown(timeout);
        if (is_calling_back()) worker_->finish_in_callback(std::unique_lock{worker_->mutex});
    }

    /// The same while `at_exit::is_quick()`, for all the pipelines that `each` calls its argument with. This thread may
    /// hold any lock of the program's or the C library's, and a worker may wait for that with its mutex held. So none
    /// is joined, and where there is no more time, it is left as it is.
    template <class Each>
    static void end_quickly(std::chrono::milliseconds timeout, const Each& each) noexcept {
        const auto now = std::chrono::steady_clock::now();
        at_exit::poll(after(after(now, std::max(timeout, end_margin_)), delivery_worker::least_store_time), [&] {
            bool have_ended = true;
            each([&](pipeline& one) { have_ended = one.step_to_end(timeout) && have_ended; });
            return have_ended;
        });
    }

    /// Consent is gone: nothing is stored or sent any more, but the request under way, which `shutdown` cancels. What
    /// waits, and what this pipeline has stored, is counted as `drop_reason::revoked`. Does not wait.
    void revoke() noexcept {
        const inside library;
        const std::lock_guard guard{worker_->mutex};
        const auto now = clock_.now();
        worker_->is_revoked = true;
        worker_->schedule.close(now);
        worker_->schedule.abort();
        worker_->end_by = after(now, end_margin_);
        worker_->counters.drop_spooled(drop_reason::revoked);
        worker_->stop_copying();
        worker_->signal.wake();
    }

    /// What earlier runs have stored is tried now, where there is any.
    void try_stored() noexcept {
        const inside library;
        const std::lock_guard guard{worker_->mutex};
        if (!thread_.joinable()) return;
        worker_->schedule.look_at(clock_.now());
        worker_->signal.wake();
    }

    /// Whether a record was ever accepted.
    [[nodiscard]] bool is_used() const noexcept {
        const inside library;
        const std::lock_guard guard{worker_->mutex};
        return worker_->counters.accepted() > 0;
    }

    [[nodiscard]] candor::statistics statistics() const noexcept {
        const inside library;
        const std::lock_guard guard{worker_->mutex};
        return worker_->counters.statistics();
    }

private:
    /// How much of the time for the end is kept for what comes after the last answer; the least that there is for it.
    static constexpr std::chrono::milliseconds end_margin_{100};

    /// How long the process waits for a worker that nobody owns any more.
    static constexpr std::chrono::milliseconds orphan_time_{400};

    /// The process ends: a worker that was left in its callback gets the time to store what it has.
    static void await_orphan(void* left) noexcept {
        auto& worker = *static_cast<delivery_worker*>(left);
        if (at_exit::is_quick() && !worker.is_this_thread()) {
            return at_exit::poll(std::chrono::steady_clock::now() + orphan_time_, [&] {
                const std::unique_lock lock{worker.mutex, std::try_to_lock};
                return lock.owns_lock() && worker.is_done;
            });
        }
        std::unique_lock lock{worker.mutex};
        if (worker.is_this_thread()) return worker.finish_in_callback(std::move(lock));
        worker.signal.await_end_for(lock, orphan_time_, [&] { return worker.is_done; });
    }

    /// One step of `end_quickly`, which waits for nothing. Whether there is nothing more to wait for.
    bool step_to_end(std::chrono::milliseconds timeout) noexcept {
        auto& worker = *worker_;
        const inside library;
        std::unique_lock lock{worker.mutex, std::try_to_lock};
        if (!lock) return false;
        start_end(timeout);
        if (!thread_.joinable() || worker.is_done || worker.is_left()) return true;
        if (on_worker()) {
            worker.finish_in_callback(std::move(lock));
            return true;
        }
        const auto now = clock_.now();
        if (worker.store_until) return now >= std::max(worker.end_by, *worker.store_until);
        if (now < worker.schedule.send_until()) return false;
        const bool is_late = now >= worker.end_by;
        worker.schedule.abort();
        worker.signal.wake();
        lock.unlock();
        worker.cancel();
        return is_late;
    }

    // What follows is called with the worker's mutex held.

    void start_end(std::chrono::milliseconds timeout) noexcept {
        const auto now = clock_.now();
        if (worker_->schedule.is_closing() && after(now, timeout) >= worker_->end_by) return;
        // A cancelled transport takes up to 50 ms to return, and what is left has to be stored.
        const auto margin = std::min(end_margin_, timeout / 4);
        if (worker_->counters.accepted() > 0) worker_->schedule.look_at(now);
        worker_->schedule.close(after(now, timeout - margin));
        worker_->end_by = after(now, std::max(timeout, end_margin_));
        worker_->signal.wake();
    }

    admission count_refused(admission answer) noexcept {
        refused_last_.store(true, std::memory_order_relaxed);
        return worker_->counters.refuse(answer);
    }

    [[nodiscard]] bool is_full() const noexcept {
        return worker_->counters.pending() >= worker_->options.queue_messages ||
               worker_->counters.pending_bytes() >= worker_->options.queue_bytes;
    }

    [[nodiscard]] bool on_worker() const noexcept { return worker_->is_this_thread(); }

    void start() {
        worker_->prepare();
        thread_ = start_worker_thread(worker_->thread_name(), [worker = worker_] { worker->run(); });
    }

    void leave(std::unique_lock<std::mutex>& lock, delivery_worker::lease as) noexcept {
        as == delivery_worker::lease::given_up ? worker_->give_up() : worker_->leave(as);
        auto left = std::exchange(thread_, worker_thread{});
        auto journal = worker_->take_journal_thread();
        lock.unlock();
        left.detach();
        if (journal.joinable()) journal.detach();
    }

    clock_interface& clock_;
    std::shared_ptr<delivery_worker> worker_;
    std::atomic<bool> refused_last_{false};  // a hint: `would_refuse` has to look
    worker_thread thread_;                   // guarded by the worker's mutex
};

}  // namespace candor::detail

#endif
