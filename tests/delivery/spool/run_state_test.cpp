#include <candor/delivery/spool/run_state.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <set>
#include <string>

#include <candor/delivery/spool/spool.hpp>

#include <support/temporary_directory.hpp>

#include <delivery/failing_calls.hpp>

#include <doctest/doctest.h>

namespace run_state_test {

namespace {

using namespace std::chrono_literals;
using candor::detail::breaker_state;
using candor::detail::last_delivery;
using candor::detail::run_state;
using candor::tests::failing_calls;
namespace fs = std::filesystem;

using std::chrono::milliseconds;

const candor::wall_time now{1'767'323'045s};

/// An attempt of that run ended.
void note(run_state& run, bool is_reached) {
    if (run.note(is_reached)) run.record(now);
}

struct place {
    [[nodiscard]] run_state open(std::uint64_t destination = 7, std::uint32_t seed = 1) const {
        return run_state{path(), "lines", destination, seed};
    }
    /// One run that reaches nothing.
    void fail(candor::wall_time at, std::uint32_t seed = 1) const {
        auto b = open(7, seed);
        b.ask(at);
        note(b, false);
        b.end(at, false);
    }
    /// For how long five and more such runs keep the next one away.
    [[nodiscard]] milliseconds left_alone(candor::wall_time at) const { return open().ask(at); }
    [[nodiscard]] fs::path path() const { return t.path() / "spool"; }
    /// One run that reaches nothing and is killed.
    void die(candor::wall_time at) const {
        auto b = open();
        b.ask(at);
        if (b.note(false)) b.record(at);
    }
    [[nodiscard]] fs::path failing() const { return path() / "lines-0000000000000007.failing"; }
    [[nodiscard]] fs::path file() const { return path() / "lines-0000000000000007.breaker"; }
    const temporary_directory t{};
};

/// The state after so many failed runs in a row, at the same moment.
breaker_state after(unsigned runs, std::uint32_t seed = 1) {
    std::minstd_rand random{seed};
    breaker_state out;
    for (unsigned i = 0; i < runs; ++i) out = out.after_failure(now, random);
    return out;
}

}  // namespace

TEST_CASE(
    "four failed runs change nothing, the fifth keeps the next away for 5 to 10 minutes, each more doubles that") {
    for (unsigned runs = 0; runs < 5; ++runs) CHECK(after(runs).remaining(now) == 0ms);
    for (std::uint32_t seed = 1; seed < 100; ++seed) {
        CAPTURE(seed);
        milliseconds least = 5min;
        for (unsigned runs = 5; runs < 40; ++runs) {
            CAPTURE(runs);
            const auto wait = after(runs, seed).remaining(now);
            CHECK(wait >= least);
            CHECK(wait <= 2 * least);
            CHECK(wait <= 24h);
            least = std::min<milliseconds>(2 * least, 12h);
        }
    }
    CHECK(after(5000).failed_runs < 2000);
}

TEST_CASE("the time ends, and a clock that was set back ends it") {
    const auto state = after(5);
    const auto wait = state.remaining(now);
    CHECK(state.remaining(now + 1min) == wait - 1min);
    CHECK(state.remaining(now + wait) == 0ms);
    CHECK(state.remaining(now + 100h) == 0ms);
    CHECK(state.remaining(now - 1s) == 0ms);
    CHECK(state.remaining(now - 10'000h) == 0ms);
}

TEST_CASE("a state is read as it was written, and a garbled one is none") {
    const auto state = after(6);
    const auto text = state.text();
    CHECK(text.size() == breaker_state::file_size);
    const auto read = breaker_state::parse(text, now);
    REQUIRE(read);
    CHECK(read->failed_runs == 6);
    CHECK(read->since == state.since);
    CHECK(read->until == state.until);
    for (std::size_t size = 0; size < text.size(); ++size) CHECK_FALSE(breaker_state::parse(text.substr(0, size), now));
    CHECK_FALSE(breaker_state::parse(text + "x", now));
    for (std::size_t i = 0; i < text.size(); ++i) {
        auto changed = text;
        changed[i] = 'x';
        CHECK_FALSE(breaker_state::parse(changed, now));
    }
    auto too_long = state;
    too_long.until = too_long.since + milliseconds{24h}.count() + 1;
    CHECK_FALSE(breaker_state::parse(too_long.text(), now));
    auto reversed = state;
    reversed.until = reversed.since - 1;
    CHECK_FALSE(breaker_state::parse(reversed.text(), now));
    CHECK_FALSE(breaker_state::parse(breaker_state{0, 1, 1}.text(), now));
    CHECK(breaker_state::parse(text, now + 720h));
    CHECK_FALSE(breaker_state::parse(text, now + 721h));
}

TEST_CASE("the fifth failed run is on disk for the sixth, which may look while another process has it in hand") {
    const place p;
    for (int i = 0; i < 4; ++i) p.fail(now);
    CHECK(p.left_alone(now) == 0ms);
    p.fail(now);
    CHECK(p.left_alone(now) >= 5min);
    candor::detail::spool_directory other{p.path()};
    const auto held = other.claim(p.file().filename());
    REQUIRE(held.is_open());
    CHECK(p.left_alone(now) >= 5min);
    CHECK(p.open(8).ask(now) == 0ms);  // another destination
    CHECK(std::distance(fs::directory_iterator{p.path()}, {}) == 1);
}

TEST_CASE("looking makes nothing, and a run that tried nothing changes nothing") {
    const place p;
    auto b = p.open();
    CHECK(b.ask(now) == 0ms);
    b.end(now, false);
    CHECK(fs::is_empty(p.t.path()));
}

TEST_CASE("a run that reached the server once has not failed, and leaves no file") {
    const place p;
    for (const bool at_first : {true, false}) {
        for (int i = 0; i < 5; ++i) p.fail(now);
        CHECK(fs::exists(p.file()));
        auto b = p.open();
        b.ask(now);
        note(b, at_first);
        note(b, !at_first);
        CHECK_FALSE(fs::exists(p.file()));
        b.end(now, false);
        CHECK_FALSE(fs::exists(p.file()));
    }
}

TEST_CASE("a success after a failure removes also what other runs noted meanwhile") {
    const place p;
    auto b = p.open();
    b.ask(now);
    note(b, true);
    note(b, false);
    for (int i = 0; i < 5; ++i) p.fail(now);
    note(b, true);
    CHECK_FALSE(fs::exists(p.file()));
}

TEST_CASE("runs that fail at the same time count as one") {
    const place p;
    for (int round = 1; round <= 5; ++round) {
        CHECK(p.left_alone(now) == 0ms);
        auto a = p.open();
        auto b = p.open();
        auto c = p.open();
        for (auto* run : {&a, &b, &c}) run->ask(now);
        for (auto* run : {&a, &b, &c}) note(*run, false);
        for (auto* run : {&a, &b, &c}) run->end(now, false);
    }
    CHECK(p.left_alone(now) >= 5min);
}

TEST_CASE("a run that is killed while it is failing counts as one that ends") {
    const place p;
    for (int i = 0; i < 5; ++i) {
        CHECK(p.left_alone(now) == 0ms);
        i % 2 == 0 ? p.die(now) : p.fail(now);
    }
    CHECK(p.left_alone(now) >= 5min);
    CHECK_FALSE(fs::exists(p.failing()));
    CHECK(p.left_alone(now) <= 10min);  // to look again counts nothing
    CHECK(p.open(8).ask(now) == 0ms);
}

TEST_CASE("one that goes on does not count yet, and once when it ends") {
    const place p;
    for (int i = 0; i < 3; ++i) p.die(now);
    auto fourth = p.open();
    fourth.ask(now);
    note(fourth, false);
    note(fourth, false);
    for (int i = 0; i < 3; ++i) {
        auto beside = p.open();
        CHECK(beside.ask(now) == 0ms);
        CHECK(beside.failed_runs() == 3);
    }
    fourth.end(now, false);
    CHECK_FALSE(fs::exists(p.failing()));
    auto fifth = p.open();
    CHECK(fifth.ask(now) == 0ms);
    CHECK(fifth.failed_runs() == 4);
}

TEST_CASE("runs that fail at the same time count as one, whether they end or are killed") {
    for (const bool ends_first : {true, false}) {
        CAPTURE(ends_first);
        const place p;
        for (unsigned round = 0; round < 4; ++round) {
            auto a = p.open();
            CHECK(a.ask(now) == 0ms);
            CHECK(a.failed_runs() == round);
            {
                auto killed = p.open();
                killed.ask(now);
                if (!ends_first) note(a, false);
                note(killed, false);
                if (ends_first) note(a, false);
                if (ends_first) a.end(now, false);
            }
            if (!ends_first) a.end(now, false);
        }
        CHECK(p.left_alone(now) == 0ms);
    }
}

TEST_CASE("one that was failing and reached the server then leaves nothing when it is killed") {
    const place p;
    for (int i = 0; i < 4; ++i) p.die(now);
    {
        auto b = p.open();
        b.ask(now);
        note(b, false);
        CHECK(fs::exists(p.failing()));
        note(b, true);
        note(b, false);
    }
    CHECK(fs::is_empty(p.path()));
}

TEST_CASE("what a killed run left counts from the time that it failed, and not for ever") {
    const place p;
    for (int i = 0; i < 5; ++i) p.die(now);
    CHECK(p.left_alone(now + 11min) == 0ms);
    p.die(now);
    auto later = p.open();
    CHECK(later.ask(now + 721h) == 0ms);
    CHECK(later.failed_runs() == 0);
    CHECK_FALSE(fs::exists(p.failing()));
}

TEST_CASE("a run whose consent was revoked leaves nothing, and a newer release's file is left where it is") {
    const place p;
    for (const bool at_first : {true, false}) {
        std::atomic<bool> is_revoked{at_first};
        {
            run_state b{p.path(), "lines", 7, 1, candor::detail::system_calls::real(), is_revoked};
            b.ask(now);
            REQUIRE(b.note(false));
            b.record(now);
            CHECK(fs::exists(p.failing()) != at_first);
            is_revoked = true;
        }
        CHECK_FALSE(fs::exists(p.failing()));
    }
    std::ofstream{p.failing()} << "candor-breaker 2 of another form";
    p.die(now);
    CHECK(p.left_alone(now) == 0ms);
    CHECK(fs::file_size(p.failing()) == 32);
}

TEST_CASE("programs with other seeds, near ones too, come back at other times") {
    std::set<std::int64_t> minutes;
    for (std::uint32_t seed = 1; seed <= 10; ++seed) {
        const place p;
        for (int i = 0; i < 5; ++i) p.fail(now, seed);
        minutes.insert(p.left_alone(now) / 10s);
    }
    CHECK(minutes.size() >= 5);
}

TEST_CASE("a state that is garbled or too old is removed by the next failed run, another one's is not") {
    const place p;
    p.fail(now);
    auto other = p.open(8);
    other.ask(now + 700h);
    note(other, false);
    other.end(now + 700h, false);
    std::ofstream{p.path() / "lines-0000000000000009.breaker"} << "garbled";
    CHECK(std::distance(fs::directory_iterator{p.path()}, {}) == 3);
    auto third = p.open(10);
    third.ask(now + 721h);
    note(third, false);
    third.end(now + 721h, false);
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator{p.path()}) names.insert(entry.path().filename());
    CHECK(names == std::set<std::string>{"lines-0000000000000008.breaker", "lines-000000000000000a.breaker"});
}

TEST_CASE("a garbled file is none, and one in its place that is no plain file is not followed") {
    const place p;
    const temporary_directory elsewhere;
    for (int i = 0; i < 5; ++i) p.fail(now);
    const auto target = elsewhere.write("target", after(5).text());
    SUBCASE("garbled") { std::ofstream{p.file()} << "garbled"; }
    SUBCASE("empty") { fs::resize_file(p.file(), 0); }
    SUBCASE("enormous") { fs::resize_file(p.file(), 100'000'000); }
    SUBCASE("a link") {
        fs::remove(p.file());
        fs::create_symlink(target, p.file());
    }
    SUBCASE("a second name") {
        fs::remove(p.file());
        fs::create_hard_link(target, p.file());
    }
    CHECK(p.left_alone(now) == 0ms);
    for (int i = 0; i < 5; ++i) p.fail(now);
    CHECK(p.left_alone(now) >= 5min);
    CHECK(fs::file_size(target) == breaker_state::file_size);
}

TEST_CASE("the spool takes it for none of its files, sweeping leaves it, and purging removes it") {
    const place p;
    p.fail(now);
    CHECK_FALSE(candor::detail::spool_name::parse(p.file().filename().string()));
    candor::spool_options options;
    options.directory = p.path();
    options.max_files = 1;
    candor::detail::spool spool{options, {.protocol = "lines", .destination = 7, .writer = 1}};
    std::string line;
    candor::detail::append_spool_line(line, "message", 1);
    REQUIRE(spool.create(line, 0, now));
    CHECK(spool.take_evicted().others == 0);
    CHECK(fs::exists(p.file()));
    CHECK(spool.claim_next(now));
    candor::detail::purge_spool(p.path(), "errors");
    CHECK(fs::exists(p.file()));
    candor::detail::purge_spool(p.path(), "lines");
    CHECK(fs::is_empty(p.path()));
}

TEST_CASE("whichever call fails, a run is left alone only where the runs before it failed, and nothing is left over") {
    for (const bool is_short : {false, true}) {
        for (int n = 0;; ++n) {
            CAPTURE(n);
            REQUIRE(n < 1000);
            const place p;
            failing_calls::error = EIO;
            failing_calls::is_short = is_short;
            failing_calls::left = n;
            for (int i = 0; i < 5; ++i) {
                run_state b{p.path(), "lines", 7, 1, failing_calls::table()};
                CHECK(b.ask(now) == 0ms);
                note(b, false);
                b.end(now, false);
            }
            {
                run_state b{p.path(), "lines", 7, 1, failing_calls::table()};
                CHECK(b.ask(now) <= 10min);
            }
            const bool all_went_well = failing_calls::left >= 0;
            failing_calls::left = -1;
            if (all_went_well) CHECK(p.left_alone(now) >= 5min);
            auto b = p.open();
            b.ask(now);
            note(b, true);
            CHECK_FALSE(fs::exists(p.file()));
            if (all_went_well) break;
        }
    }
}

namespace {

const candor::wall_time moment{std::chrono::sys_days{std::chrono::year{2026} / 1 / 2} + 3h + 4min + 5s + 678ms};

/// A run that delivers something.
void deliver(const fs::path& directory, const std::string& protocol, candor::wall_time at) {
    run_state{directory, protocol, 7, 1}.end(at, true);
}

}  // namespace

TEST_CASE("the last delivery of each protocol is noted in seconds, and the later one stays") {
    const temporary_directory t;
    const auto directory = t.path() / "made";
    CHECK_FALSE(last_delivery::read(directory, "sentry"));
    deliver(directory, "sentry", moment);
    CHECK(last_delivery::read(directory, "sentry") == "2026-01-02T03:04:05Z");
    CHECK_FALSE(last_delivery::read(directory, "rudderstack"));
    deliver(directory, "sentry", moment + 24h);
    CHECK(last_delivery::read(directory, "sentry") == "2026-01-03T03:04:05Z");
    CHECK_FALSE(last_delivery::read({}, "sentry"));
}

TEST_CASE("what is no time is not shown") {
    const temporary_directory t;
    for (const std::string text : {"", "2026-01-02T03:04:05Z", "candor-delivered 1 2026-01-02T03:04:05Z",
                                   "2026-01-02 03:04:05Z\n", "\x1b[2Jxxxxxxxxxxxxxxxx\n"}) {
        CAPTURE(text);
        t.write("sentry-last.delivered", text);
        CHECK_FALSE(last_delivery::read(t.path(), "sentry"));
    }
}

TEST_CASE("nothing is written through a link") {
    const temporary_directory t;
    const auto target = t.write("target", "a text of somebody else's");
    fs::create_symlink(target, t.path() / "sentry-last.delivered");
    fs::create_hard_link(target, t.path() / "rudderstack-last.delivered");
    deliver(t.path(), "sentry", moment);
    deliver(t.path(), "rudderstack", moment);
    CHECK(fs::file_size(target) == 25);
    CHECK_FALSE(last_delivery::read(t.path(), "rudderstack"));
    CHECK_FALSE(last_delivery::read(t.path(), "sentry"));
    deliver(target, "sentry", moment);  // no directory
}

TEST_CASE("the time that the first release wrote is read, also where it wrote over a newer file") {
    const temporary_directory t;
    const std::string old = "2026-01-02T03:04:05Z\n";
    t.write("sentry-last.delivered", old);
    CHECK(last_delivery::read(t.path(), "sentry") == "2026-01-02T03:04:05Z");
    auto text = last_delivery::text(moment + 24h);
    t.write("sentry-last.delivered", text.replace(0, old.size(), old));
    CHECK(last_delivery::read(t.path(), "sentry") == "2026-01-02T03:04:05Z");
}

}  // namespace run_state_test
