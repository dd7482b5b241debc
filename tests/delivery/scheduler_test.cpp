#include <candor/delivery/scheduler.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <utility>

#include <doctest/doctest.h>

namespace scheduler_test {

namespace {

using namespace std::chrono_literals;
using candor::steady_time;
using candor::detail::backlog;
using candor::detail::scheduler;
using action = scheduler::action;
using reason = scheduler::reason;

constexpr scheduler::limits limits{
    .batch_messages = 10, .batch_bytes = 1000, .spill_messages = 50, .spill_bytes = 5000, .flush_interval = 5s};

constexpr steady_time at(std::chrono::nanoseconds time) { return steady_time{time}; }

backlog waiting(std::uint64_t count, std::size_t bytes = 0) {
    return {.waiting = count, .waiting_bytes = bytes, .pending = count, .pending_bytes = bytes};
}

backlog in_hand(std::uint64_t pending = 1) { return {.pending = pending, .has_batch_in_hand = true}; }

/// What the scheduler is to answer, without a spool and with one.
struct expected {
    scheduler::decision without;
    scheduler::decision with;

    constexpr expected(const scheduler::decision& both) : without{both}, with{both} {}
    constexpr expected(const scheduler::decision& no_spool, const scheduler::decision& spool)
        : without{no_spool}, with{spool} {}
};

using decision = scheduler::decision;

constexpr decision send{action::send}, store{action::store}, replay{action::replay}, stop{action::stop}, idle{};
/// Until a time that is random, for a tenth of a second to three of them.
constexpr decision backoff{action::wait, steady_time::min(), reason::backoff};

constexpr decision idle_until(std::chrono::seconds time) { return {action::wait, at(time), reason::idle}; }
constexpr decision interval(std::chrono::seconds time) { return {action::wait, at(time), reason::interval}; }
constexpr decision told(std::chrono::seconds time) { return {action::wait, at(time), reason::retry_after}; }
constexpr decision paused(std::chrono::seconds time) { return {action::wait, at(time), reason::paused}; }
constexpr decision breaker(std::chrono::seconds time) { return {action::wait, at(time), reason::breaker}; }
constexpr decision for_ever(reason why) { return {action::wait, steady_time::max(), why}; }

/// A request at `time` that fails: without a word from the server, or with one.
void fail(scheduler& s, std::chrono::milliseconds time, std::optional<std::chrono::milliseconds> wait = std::nullopt,
          bool is_unreachable = false) {
    s.attempt(true);
    s.failed(at(time), wait, is_unreachable);
}

/// One history, and what follows from it for each of five backlogs: nothing, a record that waits since 0 s, ten of
/// them (a batch), a batch in hand, and sixty records (more than may wait for a server that is not there).
struct row {
    const char* history;
    void (*tell)(scheduler&);
    std::chrono::nanoseconds now;
    expected nothing, one, ten, in_hand, sixty;
};

constexpr auto by_flush = [](scheduler& s) { s.flush(1, at(0s)); };

// clang-format off
const row rows[]{
    // When what waits is due.
    {"nothing has happened", [](scheduler&) {}, 1s,
     idle, interval(5s), send, send, send},
    {"the interval is over", [](scheduler&) {}, 5s,
     idle, send, send, send, send},
    {"a flush", by_flush, 1s,
     idle, send, send, send, send},
    {"a flush of what is settled", [](scheduler& s) { s.flush(0, at(0s)); }, 1s,
     idle, interval(5s), send, send, send},
    {"a batch is done", [](scheduler& s) { s.batch_done(at(1s)); }, 2s,
     idle_until(6s), interval(5s), send, send, send},
    {"a batch was done an interval ago", [](scheduler& s) { s.batch_done(at(1s)); }, 6s,
     idle, send, send, send, send},
    {"a batch took the first of what waited", [](scheduler& s) { s.waits_since(at(3s)); }, 6s,
     idle, interval(8s), send, send, send},

    // A failure without a word.
    {"a backoff", [](scheduler& s) { fail(s, 0s); }, 0s,
     idle, interval(5s), backoff, backoff, {backoff, store}},
    {"a backoff that is over", [](scheduler& s) { fail(s, 0s); }, 1s,
     idle, interval(5s), send, send, send},
    {"a backoff that a flush cuts short", [](scheduler& s) { fail(s, 0s); by_flush(s); }, 0s,
     idle, send, send, send, send},
    {"a flush cuts short one backoff, and not the next", [](scheduler& s) { fail(s, 0s); by_flush(s); fail(s, 0s); }, 0s,
     idle, backoff, backoff, backoff, {backoff, store}},
    {"a flush before the failure", [](scheduler& s) { by_flush(s); fail(s, 0s); }, 0s,
     idle, backoff, backoff, backoff, {backoff, store}},
    {"two flushes cut short a backoff each",
     [](scheduler& s) { fail(s, 0s); by_flush(s); fail(s, 0s); s.flush(2, at(0s)); }, 0s,
     idle, send, send, send, send},
    {"a backoff, and a disk that takes nothing", [](scheduler& s) { fail(s, 0s); s.stored(false); }, 0s,
     idle, interval(5s), backoff, backoff, backoff},
    {"the disk takes something again",
     [](scheduler& s) { fail(s, 0s); s.stored(false); s.copied(at(0s), true); }, 0s,
     idle, interval(5s), backoff, backoff, {backoff, store}},
    {"a failure, then a delivery", [](scheduler& s) { fail(s, 0s); s.attempt(true); s.delivered(at(0s), false); }, 0s,
     idle, interval(5s), send, send, send},

    // A failure, and the server said when to come again.
    {"told to wait", [](scheduler& s) { fail(s, 0s, 20s); }, 1s,
     idle, interval(5s), told(20s), told(20s), {told(20s), store}},
    {"told to wait, and the interval is over", [](scheduler& s) { fail(s, 0s, 20s); }, 6s,
     idle, told(20s), told(20s), told(20s), {told(20s), store}},
    {"told to wait: a flush changes nothing", [](scheduler& s) { fail(s, 0s, 20s); by_flush(s); }, 1s,
     idle, told(20s), told(20s), told(20s), {told(20s), store}},
    {"told to wait, by who is not there", [](scheduler& s) { fail(s, 0s, 20s, true); }, 6s,
     idle, told(20s), told(20s), told(20s), {told(20s), store}},
    {"told to wait, and waited", [](scheduler& s) { fail(s, 0s, 20s); }, 20s,
     idle, send, send, send, send},
    {"told to wait for no time", [](scheduler& s) { fail(s, 1s, 0s); }, 1s,
     idle, interval(5s), send, send, send},
    {"told to wait for ever", [](scheduler& s) { fail(s, 1s, std::chrono::milliseconds::max()); }, 100h,
     idle, for_ever(reason::retry_after), for_ever(reason::retry_after), for_ever(reason::retry_after),
     {for_ever(reason::retry_after), store}},

    // The server does not take our key.
    {"refused", [](scheduler& s) { s.refuse(at(0s)); }, 1s,
     idle, interval(5s), paused(300s), paused(300s), paused(300s)},
    {"refused, and the interval is over", [](scheduler& s) { s.refuse(at(0s)); }, 6s,
     idle, paused(300s), paused(300s), paused(300s), paused(300s)},
    {"refused: a flush changes nothing", [](scheduler& s) { s.refuse(at(0s)); by_flush(s); }, 1s,
     idle, paused(300s), paused(300s), paused(300s), paused(300s)},
    {"refused, five minutes ago", [](scheduler& s) { s.refuse(at(0s)); }, 300s,
     idle, send, send, send, send},

    // The runs before this one could deliver nothing.
    {"the breaker is open", [](scheduler& s) { s.hold_for_breaker(at(100s)); }, 1s,
     idle, interval(5s), breaker(100s), breaker(100s), {send, store}},
    {"the breaker is open, and the interval is over", [](scheduler& s) { s.hold_for_breaker(at(100s)); }, 6s,
     idle, breaker(100s), breaker(100s), breaker(100s), {send, store}},
    {"the breaker is open: a flush changes nothing", [](scheduler& s) { s.hold_for_breaker(at(100s)); by_flush(s); }, 1s,
     idle, breaker(100s), breaker(100s), breaker(100s), {send, store}},
    {"the breaker is open, and the disk takes nothing",
     [](scheduler& s) { s.hold_for_breaker(at(100s)); s.stored(false); }, 6s,
     idle, breaker(100s), breaker(100s), breaker(100s), send},
    {"the breaker was open", [](scheduler& s) { s.hold_for_breaker(at(100s)); }, 100s,
     idle, send, send, send, send},
    {"the end, with an open breaker", [](scheduler& s) { s.hold_for_breaker(at(100s)); s.close(at(50s)); }, 6s,
     stop, {send, store}, {send, store}, {send, store}, {send, store}},
    {"the end, long after an open breaker", [](scheduler& s) { s.hold_for_breaker(at(100s)); s.close(at(200s)); }, 6s,
     stop, {send, store}, {send, store}, {send, store}, {send, store}},
    {"the end, with an open breaker and a disk that takes nothing",
     [](scheduler& s) { s.hold_for_breaker(at(100s)); s.stored(false); s.close(at(50s)); }, 6s,
     stop, send, send, send, send},

    // What was stored.
    {"a delivery", [](scheduler& s) { s.delivered(at(0s), true); }, 1s,
     {idle, replay}, {interval(5s), replay}, send, send, send},
    {"a delivery of what was stored", [](scheduler& s) { s.delivered(at(0s), false); }, 1s,
     idle, interval(5s), send, send, send},
    {"nothing is stored", [](scheduler& s) { s.delivered(at(0s), true); s.found_nothing_stored(at(0s)); }, 1s,
     idle, interval(5s), send, send, send},
    {"nothing was stored a moment ago",
     [](scheduler& s) { s.found_nothing_stored(at(0s)); s.delivered(at(4s), true); }, 4s,
     idle, interval(5s), send, send, send},
    {"nothing was stored an interval ago",
     [](scheduler& s) { s.found_nothing_stored(at(0s)); s.delivered(at(5s), true); }, 5s,
     {idle, replay}, send, send, send, send},
    {"nothing was stored, and then something was",
     [](scheduler& s) { s.found_nothing_stored(at(0s)); s.stored(true); s.delivered(at(1s), true); }, 1s,
     {idle, replay}, {interval(5s), replay}, send, send, send},
    {"nothing was stored, and nothing could be",
     [](scheduler& s) { s.found_nothing_stored(at(0s)); s.stored(false); s.delivered(at(1s), true); }, 1s,
     idle, interval(5s), send, send, send},
    {"the server was not there for what is stored",
     [](scheduler& s) { s.delivered(at(0s), true); s.pause_replays(at(0s)); }, 1s,
     {idle, idle_until(300s)}, interval(5s), send, send, send},
    {"the server was not there for what is stored, and then for something fresh",
     [](scheduler& s) { s.delivered(at(0s), true); s.pause_replays(at(0s)); s.delivered(at(1s), true); }, 1s,
     {idle, replay}, {interval(5s), replay}, send, send, send},
    {"a request with what is stored", [](scheduler& s) { s.delivered(at(0s), true); s.replayed(at(0s)); }, 0s,
     {idle, {action::wait, at(100ms), reason::idle}}, {interval(5s), {action::wait, at(100ms), reason::interval}},
     send, send, send},
    {"a request with what is stored, a moment ago",
     [](scheduler& s) { s.delivered(at(0s), true); s.replayed(at(0s)); }, 100ms,
     {idle, replay}, {interval(5s), replay}, send, send, send},
    {"what is stored and what is fresh take turns",
     [](scheduler& s) { s.delivered(at(0s), true); s.attempt(true); s.delivered(at(0s), true); }, 1s,
     {idle, replay}, {interval(5s), replay}, {send, replay}, send, {send, replay}},
    {"earlier runs may have stored something", [](scheduler& s) { s.look_at(at(3s)); }, 1s,
     {idle, idle_until(3s)}, {interval(5s), interval(3s)}, send, send, send},
    {"earlier runs may have stored something, and the server said when to come again",
     [](scheduler& s) { s.look_at(at(3s)); fail(s, 0s, 20s); }, 6s,
     {idle, idle_until(20s)}, told(20s), told(20s), told(20s), {told(20s), store}},
    {"the server is there, and then told to wait", [](scheduler& s) { s.delivered(at(0s), true); fail(s, 0s, 20s); }, 1s,
     {idle, idle_until(20s)}, interval(5s), told(20s), told(20s), {told(20s), store}},

    // The end.
    {"the end", [](scheduler& s) { s.close(at(10s)); }, 1s,
     stop, send, send, send, send},
    {"the end, in no time", [](scheduler& s) { s.close(at(1s)); }, 1s,
     stop, stop, stop, stop, stop},
    {"the end, out of time", [](scheduler& s) { s.close(at(10s)); }, 11s,
     stop, stop, stop, stop, stop},
    {"the end, with all the time there is", [](scheduler& s) { s.close(steady_time::max()); }, 100h,
     stop, send, send, send, send},
    {"the end, at once", [](scheduler& s) { s.abort(); }, 1s,
     stop, stop, stop, stop, stop},
    {"the end, at once, in a wait", [](scheduler& s) { fail(s, 0s, 20s); s.close(at(60s)); s.abort(); }, 1s,
     stop, stop, stop, stop, stop},
    {"the end, after a delivery", [](scheduler& s) { s.delivered(at(0s), true); s.close(at(10s)); }, 1s,
     {stop, replay}, send, send, send, send},
    {"the end, of a pause", [](scheduler& s) { s.refuse(at(0s)); s.close(at(10s)); }, 1s,
     stop, stop, stop, stop, stop},
    {"the end, after a pause", [](scheduler& s) { s.refuse(at(0s)); s.close(at(301s)); }, 300s,
     stop, send, send, send, send},
    {"the end, before a wait that the server asked for", [](scheduler& s) { fail(s, 0s, 20s); s.close(at(10s)); }, 1s,
     stop, stop, stop, stop, stop},
    {"the end, with a wait that the server asked for", [](scheduler& s) { fail(s, 0s, 20s); s.close(at(20s)); }, 1s,
     stop, stop, stop, stop, stop},
    {"the end, after a wait that the server asked for", [](scheduler& s) { fail(s, 0s, 20s); s.close(at(30s)); }, 1s,
     stop, told(20s), told(20s), told(20s), {told(20s), store}},
    {"the end, in a backoff: one more attempt", [](scheduler& s) { fail(s, 0s); s.close(at(10s)); }, 0s,
     stop, send, send, send, send},
    {"the end, and a failure: a backoff", [](scheduler& s) { s.close(at(10s)); fail(s, 0s); }, 0s,
     stop, backoff, backoff, backoff, {backoff, store}},
    {"the end, and a failure: a backoff that is over", [](scheduler& s) { s.close(at(10s)); fail(s, 0s); }, 1s,
     stop, send, send, send, send},
    {"the end, and a failure: no time for a backoff", [](scheduler& s) { s.close(at(50ms)); fail(s, 0s); }, 0s,
     stop, stop, stop, stop, stop},
    {"the end, and a flush: no time for a second attempt",
     [](scheduler& s) { s.close(at(50ms)); fail(s, 0s); by_flush(s); }, 0s,
     stop, stop, stop, stop, stop},
    {"the end, and nobody is there", [](scheduler& s) { s.close(at(10s)); fail(s, 0s, std::nullopt, true); }, 0s,
     stop, stop, stop, stop, stop},
    {"the end, and who is not there said when to come again",
     [](scheduler& s) { s.close(at(30s)); fail(s, 0s, 20s, true); }, 0s,
     stop, told(20s), told(20s), told(20s), {told(20s), store}},
    {"nobody is there, and then the end: one more attempt",
     [](scheduler& s) { fail(s, 0s, std::nullopt, true); s.close(at(10s)); }, 0s,
     stop, send, send, send, send},
};
// clang-format on

}  // namespace

TEST_CASE("the decision that follows from each history, backlog and spool") {
    int cases = 0;
    for (const row& r : rows) {
        CAPTURE(r.history);
        for (const bool has_spool : {false, true}) {
            CAPTURE(has_spool);
            scheduler s{limits, has_spool, 1};
            s.waits_since(at(0s));
            r.tell(s);
            const auto check = [&](const backlog& of, const expected& e) {
                CAPTURE(of.waiting);
                CAPTURE(of.has_batch_in_hand);
                const auto found = s.next(at(r.now), of);
                const auto& wanted = has_spool ? e.with : e.without;
                ++cases;
                CHECK(found.what == wanted.what);
                if (found.what != action::wait) return;
                CHECK(found.why == wanted.why);
                if (wanted == backoff) {
                    CHECK(found.until > at(r.now));
                    CHECK(found.until <= at(r.now + 600ms));
                } else {
                    CHECK(found.until == wanted.until);
                }
                const bool is_held = found.why != reason::idle && found.why != reason::interval;
                CHECK(s.held_until(at(r.now), of) == (is_held ? std::optional{found.until} : std::nullopt));
            };
            check({}, r.nothing);
            check(waiting(1), r.one);
            check(waiting(10), r.ten);
            check(in_hand(1), r.in_hand);
            check(waiting(60), r.sixty);
        }
    }
    CHECK(cases >= 600);
}

TEST_CASE("bytes count as records do") {
    scheduler s{limits, true, 1};
    s.waits_since(at(0s));
    CHECK(s.next(at(1s), waiting(1, 999)) == interval(5s));
    CHECK(s.next(at(1s), waiting(1, 1000)).what == action::send);
    fail(s, 0s, 20s);
    CHECK(s.next(at(1s), waiting(1, 4999)) == told(20s));
    CHECK(s.next(at(1s), waiting(1, 5000)).what == action::store);
}

TEST_CASE("what is pending is copied to disk once it has waited, and later where the disk takes nothing") {
    scheduler s{limits, true, 1};
    auto uncopied = waiting(1);
    uncopied.is_stored = false;
    s.waits_since(at(1s));
    s.uncopied_since(at(1s));
    CHECK(s.next(at(1s), uncopied) == decision{action::wait, at(1100ms), reason::interval});
    CHECK(s.next(at(1100ms), uncopied).what == action::copy);
    CHECK(s.next(at(1100ms), waiting(1)) == interval(6s));
    s.copied(at(2s), false);
    for (const auto wait : {1000ms, 2000ms, 4000ms, 8000ms, 16'000ms, 30'000ms, 30'000ms}) {
        const auto until = std::min(at(2s) + wait, at(6s));
        CHECK(s.next(at(2s), uncopied) == decision{action::wait, until, reason::interval});
        s.copied(at(2s), false);
    }
    s.copied(at(2s), true);
    CHECK(s.next(at(2s), uncopied) == decision{action::wait, at(2100ms), reason::interval});
    scheduler without{limits, false, 1};
    without.waits_since(at(1s));
    CHECK(without.next(at(2s), uncopied) == interval(6s));
}

TEST_CASE("a delivery makes the next backoff a short one again") {
    scheduler s{limits, false, 1};
    for (int i = 0; i < 10; ++i) fail(s, 0s);
    CHECK(s.next(at(0s), in_hand()).until > at(10s));
    s.delivered(at(0s), true);
    fail(s, 0s);
    CHECK(s.next(at(0s), in_hand()).until <= at(300ms));
}

TEST_CASE("an interval that means for ever is for ever") {
    auto without_interval = limits;
    without_interval.flush_interval = std::chrono::milliseconds::max();
    scheduler s{without_interval, true, 1};
    s.waits_since(at(1s));
    CHECK(s.next(at(100h), waiting(1)) == for_ever(reason::interval));
    s.batch_done(at(1s));
    CHECK(s.next(at(100h), {}) == idle);
}

TEST_CASE("in any history a wait ends later than now, and nothing waits beyond the end") {
    std::mt19937 random{1};
    const auto below = [&](std::uint32_t count) {
        return std::uniform_int_distribution<std::uint32_t>{0, count - 1}(random);
    };
    for (int history = 0; history < 500; ++history) {
        scheduler s{limits, below(2) == 0, below(1000)};
        auto now = at(1s);
        bool is_closing = false;
        auto end = steady_time::max();
        for (int step = 0; step < 50; ++step) {
            now += std::chrono::milliseconds{below(4000)};
            switch (below(15)) {
                case 0:
                    s.waits_since(now);
                    break;
                case 1:
                    s.flush(below(100), now);
                    break;
                case 2:
                    s.attempt(below(2) == 0);
                    break;
                case 3:
                    s.failed(now, below(2) == 0 ? std::optional{20'000ms} : std::nullopt, below(2) == 0);
                    break;
                case 4:
                    s.delivered(now, below(2) == 0);
                    break;
                case 5:
                    s.refuse(now);
                    break;
                case 6:
                    s.stored(below(2) == 0);
                    break;
                case 7:
                    s.batch_done(now);
                    break;
                case 8:
                    s.hold_for_breaker(now + 100s);
                    break;
                case 9:
                    s.found_nothing_stored(now);
                    break;
                case 10:
                    s.look_at(now + 3s);
                    break;
                case 11:
                    s.replayed(now);
                    break;
                case 12:
                    s.pause_replays(now);
                    break;
                case 13:
                    s.copied(now, below(2) == 0);
                    break;
                default:
                    if (!is_closing && below(5) == 0) {
                        is_closing = true;
                        end = now + 1s;
                        s.close(end);
                    }
            }
            backlog work{.waiting = below(3) == 0 ? 0 : below(60), .has_batch_in_hand = below(3) == 0};
            work.is_stored = below(2) == 0;
            work.pending = work.waiting + (work.has_batch_in_hand ? 1 : 0);
            const auto next = s.next(now, work);
            if (next.what == action::wait) {
                CHECK(next.until > now);
                if (is_closing) CHECK(next.until <= end);
            }
            if (is_closing && now >= end) CHECK(next.what == action::stop);
        }
    }
}

}  // namespace scheduler_test
