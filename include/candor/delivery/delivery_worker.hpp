#ifndef CANDOR_DELIVERY_DELIVERY_WORKER_HPP
#define CANDOR_DELIVERY_DELIVERY_WORKER_HPP

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <candor/delivery/batch.hpp>
#include <candor/delivery/options.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/delivery/queue.hpp>
#include <candor/delivery/request_size.hpp>
#include <candor/delivery/scheduler.hpp>
#include <candor/delivery/sender.hpp>
#include <candor/delivery/spool/run_state.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/delivery/storage.hpp>
#include <candor/platform/inside.hpp>
#include <candor/platform/system_calls.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/policies.hpp>

namespace candor::detail {

/// What a pipeline shares with its worker, and all that the worker does. The worker owns a share of it and of nothing
/// else, so that it can be left behind in a call that does not return: a callback, an account source, a disk. Each of
/// these is made without the mutex, and marked by `is_away`; whoever leaves the worker behind then sets `lease`, which
/// it looks at before it touches anything that is not its own. The transport and the clock are lent: they are used
/// while nobody can leave, or not at all.
class delivery_worker : public delivery_storage {
public:
    delivery_worker(std::string name, delivery_options chosen, diagnostic_sink diagnostics, std::uint32_t seed,
                    std::unique_ptr<protocol> back_end, transport_interface& transport, clock_interface& lent_clock,
                    const system_calls& calls)
        : delivery_storage{std::move(name),
                           std::move(chosen),
                           std::move(diagnostics),
                           seed,
                           std::move(back_end),
                           transport,
                           lent_clock,
                           calls} {
        if (has_spool(options))
            runs_.emplace(options.spool.directory, sender_.name(), destination(), seed, calls, is_revoked);
    }
    delivery_worker(const delivery_worker&) = delete;
    delivery_worker& operator=(const delivery_worker&) = delete;

    /// Takes all memory that the account of messages needs. With the mutex held, before `run`.
    void prepare() {
        queue.keep_spares(spare_blocks_);
        in_hand.reserve(options.batch_messages);
    }

    /// The worker thread.
    void run() noexcept {
        const inside library;
        std::unique_lock lock{mutex};
        thread = std::this_thread::get_id();
        for (;;) {
            tell_safe(lock);
            if (journal_) tell_trouble(lock);
            const auto next = schedule.next(now(), work());
            switch (next.what) {
                case scheduler::action::wait:
                    waits_out_hold = next.why != scheduler::reason::idle && next.why != scheduler::reason::interval;
                    if (waits_out_hold || schedule.is_closing()) signal.announce_end();  // who waits may have to know
                    signal.idle(lock, next.until);
                    waits_out_hold = false;
                    break;
                case scheduler::action::send:
                    send(lock);
                    break;
                case scheduler::action::copy:
                    if (!start_journal()) journal_->catch_up(lock, is_away);
                    schedule.uncopied_since(now());
                    break;
                case scheduler::action::store:
                    schedule.stored(store(lock));
                    break;
                case scheduler::action::replay:
                    replay(lock);
                    break;
                case scheduler::action::stop:
                    return finish(lock);
            }
        }
    }

    /// Instead of `run`, where the process ends in a callback of the worker's: stores what there is. The worker thread.
    void finish_in_callback(std::unique_lock<std::mutex> lock) noexcept {
        is_ending_in_callback_ = true;
        if (!is_done) finish(lock);
    }

    /// Ends the request under way, and all later ones. Any thread.
    void cancel() noexcept { sender_.cancel(); }
    [[nodiscard]] const char* thread_name() noexcept { return sender_.back_end().thread_name(); }

    /// Whether the process ends in a callback of the worker's: then its thread does not come back. With the mutex held.
    [[nodiscard]] bool is_ending_in_callback() const noexcept { return is_ending_in_callback_; }

    /// With the mutex held.
    [[nodiscard]] backlog work() const noexcept {
        return {.waiting = counters.waiting(),
                .waiting_bytes = counters.waiting_bytes(),
                .pending = counters.pending(),
                .pending_bytes = counters.pending_bytes(),
                .settled = counters.settled(),
                .has_batch_in_hand = !in_hand.is_settled(),
                .is_stored = !journal_ || is_revoked || journal_->has_all()};
    }

private:
    static constexpr std::size_t spare_blocks_ = 16;
    /// A file that so many answers of a server did not take is given up.
    static constexpr unsigned most_attempts_ = 5;
    /// A request that the end of the run cut short had time enough if it had this long.
    static constexpr std::chrono::milliseconds long_wait_{200};

    /// Tells a callback of the program's what became of these.
    template <class Callback, class... Fate>
    void call_back(std::unique_lock<std::mutex>& lock, const Callback& to, const message_range& of,
                   Fate... fate) noexcept {
        if (!to || !may_call_back()) return;
        away(lock, [&] {
            for (const auto& m : of.messages)
                if (may_call_back()) contain([&] { to(of.text(m), fate...); });
        });
    }

    /// One step towards the next answer: asks the runs before, makes a batch, or sends one.
    void send(std::unique_lock<std::mutex>& lock) noexcept {
        if (runs_ && !std::exchange(has_asked_runs_, true)) return ask_runs(lock);
        if (sender_.back_end().inquiry() != nullptr) return inquire(lock);
        if (in_hand.is_settled()) return fill(lock);
        if (!schedule.is_closing() || !has_fresh_in_hand) watch_pending();
        schedule.attempt(has_fresh_in_hand);
        in_hand.fit(sender_.back_end(), size_.limits());
        const message_range range = in_hand.next();
        const auto started = at();
        std::optional<http_response> answer;
        bool is_taken = false;
        lock.unlock();
        try {
            // As soon as the server has them: whatever happens from now on, nobody sends them again.
            answer = sender_.send(range, started.wall, [&] {
                const std::lock_guard guard{mutex};
                conclude(range, std::nullopt);
                if (journal_) journal_->wake();
                is_taken = true;
            });
        } catch (...) {
        }
        lock.lock();
        if (!answer) return is_taken ? tell_concluded(lock, range) : drop_batch(lock, drop_reason::failed);
        const bool is_cancelled = !is_taken && answer->error == transport_error::cancelled;
        response_action found;
        try {
            if (!is_cancelled) found = sender_.back_end().classify(*answer, at());
        } catch (...) {
            return is_taken ? tell_concluded(lock, range) : drop_batch(lock, drop_reason::failed);
        }
        if (runs_ && (!is_cancelled || now() - started.steady >= long_wait_)) {
            const bool is_reached = found.what != response_action::kind::retry;
            if (runs_->note(is_reached)) away(lock, [&, wall = wall_now()] { runs_->record(wall); });
        }
        learn(range, *answer, found);
        settle(lock, range, *answer, found, is_taken, is_cancelled);
    }

    /// Asks what the protocol has to know before more is sent: it may go elsewhere then. No file is in hand: the
    /// request that led to this has put it back, and none is taken up before this is answered.
    void inquire(std::unique_lock<std::mutex>& lock) noexcept {
        watch_pending();
        schedule.attempt(true);
        lock.unlock();
        const auto answer = sender_.inquire();
        lock.lock();
        if (answer.error == transport_error::cancelled) return schedule.abort();
        response_action found;
        contain([&] { found = sender_.back_end().answered(answer, at()); });
        if (found.what == response_action::kind::deliver) return group();
        if (may_call_back()) away(lock, [&] { sender_.say_once(answer, found.diagnostic); });
        if (lease_ != lease::given_up) wait_after(answer, found);
    }

    /// Nothing is sent for now.
    void wait_after(const http_response& answer, const response_action& found) noexcept {
        schedule.failed(now(), found.wait, answer.error == transport_error::unreachable);
        if (journal_) start_journal();  // on disk before it waits
        signal.announce();
    }

    [[nodiscard]] std::size_t body_size(const message_range& range) noexcept {
        std::size_t out = sender_.back_end().envelope_size();
        for (const auto& m : range.messages) out += m.size + sender_.back_end().message_overhead();
        return out;
    }

    /// What an answer says of how much a request may carry.
    void learn(const message_range& range, const http_response& answer, const response_action& found) noexcept {
        const request_limits size{range.messages.size(), body_size(range)};
        if (found.what == response_action::kind::deliver) return size_.passed(size);
        if (answer.status == 429) size_.limited(size.messages);
        if (answer.status == 413) size_.too_large(size);
    }

    /// What an answer means for the messages of a request.
    void settle(std::unique_lock<std::mutex>& lock, const message_range& range, const http_response& answer,
                const response_action& found, bool is_taken, bool is_cancelled) noexcept {
        using kind = response_action::kind;
        const bool is_split = found.what == kind::split && range.messages.size() > 1;
        // What an earlier run has stored is not given up for a limit.
        const bool is_limited =
            !has_fresh_in_hand && found.what == kind::drop && found.reason == drop_reason::rate_limited;
        const bool is_final = is_taken || (!is_split && !is_limited && found.what != kind::retry && !is_cancelled);
        if (is_split) in_hand.split();
        if (is_final && !is_taken)
            conclude(range, found.what == kind::deliver ? std::nullopt : std::optional{found.reason});
        if (is_final) write_settled(lock);
        if (!is_cancelled && may_call_back()) away(lock, [&] { sender_.tell(answer, found.diagnostic); });
        if (lease_ == lease::given_up) return;
        if (is_cancelled) return schedule.abort();
        if (is_split) return;
        if (!is_final) return retry(lock, answer, found);
        const bool is_replay = counters.expected().is_recovered;
        if (is_replay) schedule.replayed(now());
        if (is_taken || found.what == kind::deliver) {
            has_delivered_ = true;
            schedule.delivered(now(), !is_replay);
        } else if (found.reason == drop_reason::unauthorized) {
            schedule.pause_replays(now());
            schedule.refuse(now());
        }
        tell_concluded(lock, range);
        if (lease_ == lease::given_up || has_fresh_in_hand || in_hand.is_settled()) return;
        put_back(lock);  // what is left of the files takes turns with what is fresh
    }

    /// It is certain what becomes of the next range: delivered, or dropped.
    void conclude(const message_range& range, std::optional<drop_reason> dropped) noexcept {
        in_hand.pop();
        const auto [count, bytes] = range.count();
        counters.expect({count, bytes, !has_fresh_in_hand, dropped});
        if (!has_fresh_in_hand) find_settled();
    }

    /// Callbacks come before the counts: when `flush` returns, they have run.
    void tell_concluded(std::unique_lock<std::mutex>& lock, const message_range& range) noexcept {
        const auto dropped = counters.expected().dropped;
        dropped ? call_back(lock, options.on_dropped, range, *dropped) : call_back(lock, options.on_delivered, range);
        if (lease_ == lease::given_up) return;
        counters.settle_expected();
        signal.announce();
        if (in_hand.is_settled()) schedule.batch_done(now());
    }

    void ask_runs(std::unique_lock<std::mutex>& lock) noexcept {
        std::chrono::milliseconds wait{0};
        const auto wall = wall_now();
        away(lock, [&] { wait = runs_->ask(wall); });
        if (wait == wait.zero() || lease_ != lease::held) return;
        schedule.hold_for_breaker(after(now(), wait));
        away(lock, [&] {
            contain([&] {
                sender_.say("not tried for another " +
                            std::to_string(std::chrono::ceil<std::chrono::minutes>(wait).count()) + " min: the last " +
                            std::to_string(runs_->failed_runs()) + " runs could deliver nothing to it");
            });
        });
    }

    /// Makes a batch of the records that wait now; what comes meanwhile waits its own time. Each one is accounted for,
    /// whatever is thrown.
    void fill(std::unique_lock<std::mutex>& lock) noexcept {
        in_hand.clear();
        has_fresh_in_hand = false;
        first_in_hand = counters.taken();
        const auto when = at();
        const auto most = std::min(options.batch_messages, size_.limits().messages);
        bool has_room = true;
        is_filling = true;
        auto at = queue.begin();
        if (!schedule.is_closing()) watch_pending();
        for (auto left = counters.waiting(); left > 0 && has_room && in_hand.size() < most;) {
            auto records = queue.run_at(at);
            away(lock, [&] {
                while (left > 0 && !records.empty() && in_hand.size() < most) {
                    auto rest = records;
                    const std::string_view record = record_queue::pop_record(rest);
                    if (!may_call_back()) sender_.back_end().end_callbacks();
                    const auto added = in_hand.add(sender_.back_end(), record, taken_, when, options);
                    has_room = added.has_room;
                    if (!has_room) break;
                    if (added.dropped) drop_one(added.text, record.size(), *added.dropped);
                    at.offset += records.size() - rest.size();
                    records = rest;
                    ++taken_;
                    --left;
                }
            });
            if (lease_ == lease::given_up) return;
        }
        end_fill();
        group();
        if (journal_) journal_->name_user(lock, *spool_, is_away);
        if (counters.waiting() > 0) schedule.waits_since(now());
        if (in_hand.is_settled()) schedule.batch_done(now());
    }

    void end_fill() noexcept {
        is_filling = false;
        has_fresh_in_hand = true;
        in_hand.send_whole();
        const auto count = std::exchange(taken_, 0);
        counters.take(count, queue.take(count));
    }

    void retry(std::unique_lock<std::mutex>& lock, const http_response& answer, const response_action& found) noexcept {
        if (has_fresh_in_hand) return wait_after(answer, found);
        // To be told to wait is no failure of what was stored. A server that takes other messages, and not these, is
        // asked a few times.
        const bool is_told = found.wait || answer.status == 429 || answer.status == 503;
        const bool is_blamed = answer.error == transport_error::none && !is_told && has_delivered_;
        if (!is_told) schedule.pause_replays(now());
        if (found.what == response_action::kind::retry) wait_after(answer, found);
        if (!is_blamed) return put_back(lock);
        unsigned attempts = 0;
        away(lock, [&] {
            for (auto& file : claimed) {
                spool_->mark_attempts(file.stored.file, ++file.attempts);
                attempts = std::max(attempts, file.attempts);
            }
        });
        if (lease_ == lease::given_up) return;
        attempts >= most_attempts_ ? drop_batch(lock, drop_reason::exhausted) : put_back(lock);  // that is one file
    }

    /// One record of the queue became no message. Without the mutex.
    void drop_one(std::string_view text, std::size_t record_size, drop_reason reason) noexcept {
        if (options.on_dropped && may_call_back()) contain([&] { options.on_dropped(text, reason); });
        const std::lock_guard guard{mutex};
        if (lease_ == lease::given_up) return;
        counters.drop(1, record_size, reason);
        signal.announce();
    }

    void drop_batch(std::unique_lock<std::mutex>& lock, drop_reason reason) noexcept {
        while (!in_hand.is_settled() && lease_ != lease::given_up) {
            const message_range range = in_hand.next();
            conclude(range, reason);
            write_settled(lock);
            if (lease_ != lease::given_up) tell_concluded(lock, range);
        }
    }

    /// Takes up what was stored.
    void replay(std::unique_lock<std::mutex>& lock) noexcept {
        if (sender_.back_end().holds_back(now())) return schedule.pause_replays(now());
        if (sender_.back_end().inquiry() != nullptr) return inquire(lock);
        if (runs_ && !std::exchange(has_asked_runs_, true)) return ask_runs(lock);
        try {
            const auto most = std::min(options.batch_messages, size_.limits().messages);
            // What was put back may be in the journal's hands still, and hidden so.
            const bool is_all_there = claimed.empty();
            if (!take_up_files(lock, most))
                is_all_there ? schedule.found_nothing_stored(now()) : schedule.replayed(now());
        } catch (...) {  // no memory: another time
            schedule.pause_replays(now());
            put_back(lock);
        }
    }

    /// The end: stores what is left while there is time, and gives up the rest, and the lock. Nothing is accepted.
    void finish(std::unique_lock<std::mutex>& lock) noexcept {
        store_until = is_revoked ? end_by : std::max(end_by, after(now(), least_store_time));
        signal.announce_end();
        schedule.close(now());
        schedule.abort();
        if (is_filling) end_fill();  // in a callback about a record, which stays for the next batch
        counters.settle_expected();  // in a callback about that
        if (!has_fresh_in_hand) put_back(lock);
        store_all(lock);
        tell_safe(lock);
        const auto left = lease_ == lease::given_up ? 0 : counters.pending();
        const auto reason = reason_at_end();
        if (left > 0 && options.on_dropped && may_call_back()) {
            away(lock, [&] {
                for (auto i = left; i > 0 && may_call_back(); --i) contain([&] { options.on_dropped({}, reason); });
            });
        }
        if (lease_ != lease::given_up) counters.drop(left, counters.pending_bytes(), reason);
        if (may_store() && now() < *store_until) {
            const auto wall = wall_now();
            away(lock, [&] { runs_->end(wall, has_delivered_); });
        }
        if (journal_) tell_trouble(lock);
        if (journal_ && !is_journal_running_) journal_->end(lock, is_away);
        auto kept = std::exchange(receipts, {});
        away(lock, [&] { spool_.reset(), runs_.reset(), kept.clear(); });  // whoever frees this closes no file
        is_done = true;
        if (journal_) journal_->wake();
        signal.announce_end();
        const record_queue emptied{std::move(queue)};
        lock.unlock();  // and only then frees the memory: an allocator may make it wait
    }

    /// Leaves all that is pending on disk, while there is time.
    void store_all(std::unique_lock<std::mutex>& lock) noexcept {
        while (may_store() && counters.pending() > 0 && now() < *store_until) {
            if (store(lock)) continue;  // one file after the other: each makes room where the spool is full
            if (!may_store() || !journal_->needs_worker() || !in_hand.is_settled()) return;
            fill(lock);  // what a callback of the program's has to see before it is stored
        }
    }

    request_size size_{{options.batch_messages, options.batch_bytes}};
    std::optional<run_state> runs_;
    bool has_asked_runs_ = false;
    bool has_delivered_ = false;
    std::uint32_t taken_ = 0;  ///< the records of the queue that were made into messages of the batch, or given up
};

}  // namespace candor::detail

#endif
