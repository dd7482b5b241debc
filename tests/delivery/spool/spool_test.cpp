#include <candor/delivery/spool/spool.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#ifdef __linux__
#include <sched.h>
#include <sys/mount.h>
#endif

#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/rounds.hpp>
#include <support/temporary_directory.hpp>

#include <delivery/failing_calls.hpp>

#include <doctest/doctest.h>

namespace spool_test {

namespace {

using namespace std::chrono_literals;
using namespace candor::detail;
using candor::spool_options;
using candor::wall_time;
using candor::tests::failing_calls;
namespace fs = std::filesystem;

const wall_time now{1'767'323'045s};

/// Messages, as lines of a file.
std::string lines(const std::vector<std::string>& texts) {
    std::string out;
    for (const auto& text : texts) append_spool_line(out, text, 1);
    return out;
}

/// Stores messages for whoever comes first.
bool store(spool& in, const std::vector<std::string>& texts, wall_time at) {
    return in.create(lines(texts), 0, at).has_value();
}
bool store(spool&& in, const std::vector<std::string>& texts, wall_time at) { return store(in, texts, at); }

std::vector<std::string> texts_of(const spool::claim& claimed) {
    const message_range range{claimed.content, claimed.messages};
    std::vector<std::string> out;
    for (const auto& m : claimed.messages) out.emplace_back(range.text(m));
    return out;
}

/// All that a later run finds, removed while it reads.
std::vector<std::string> drain(spool& from, wall_time at = now) {
    std::vector<std::string> out;
    while (auto found = from.claim_next(at)) {
        for (auto& text : texts_of(*found)) out.push_back(std::move(text));
        from.remove(found->file);
    }
    return out;
}

struct place {
    [[nodiscard]] spool open(std::uint64_t writer = 1, spool_options options = {}) const {
        options.directory = t.path();
        return spool{options, {.protocol = "lines", .destination = 7, .writer = writer}};
    }
    [[nodiscard]] std::size_t files() const {
        return static_cast<std::size_t>(std::distance(fs::directory_iterator{t.path()}, {}));
    }
    const temporary_directory t{};
};

}  // namespace

TEST_CASE("what one run stores a later one finds, oldest first, once") {
    const place p;
    auto writer = p.open(1);
    REQUIRE(store(writer, {"c"}, now + 2s));
    REQUIRE(store(writer, {"d"}, now + 2s));
    REQUIRE(store(writer, {"a", "b"}, now));
    auto reader = p.open(2);
    CHECK(drain(reader, now + 3s) == std::vector<std::string>{"a", "b", "c", "d"});
    CHECK(p.files() == 0);
    CHECK_FALSE(reader.claim_next(now));
}

TEST_CASE("another destination's files, and another protocol's, are left where they are") {
    const place p;
    REQUIRE(store(p.open(), {"a"}, now));
    spool_options options;
    options.directory = p.t.path();
    spool elsewhere{options, {.protocol = "lines", .destination = 8, .writer = 2}};
    spool other{options, {.protocol = "errors", .destination = 7, .writer = 2}};
    CHECK_FALSE(elsewhere.claim_next(now));
    CHECK_FALSE(other.claim_next(now));
    CHECK(p.files() == 1);
}

TEST_CASE("a file is one process's, and everybody's when that has died") {
    const place p;
    const auto end = run_in_child([&](int) {
        auto writer = p.open(1);
        if (!store(writer, {"a"}, now)) return 1;
        auto held = writer.claim_next(now);
        if (!held || p.open(2).claim_next(now)) return 2;
        ::raise(SIGKILL);
        return 3;
    });
    REQUIRE(end.signal() == SIGKILL);
    auto heir = p.open(3);
    CHECK(drain(heir) == std::vector<std::string>{"a"});
}

TEST_CASE("what this writer stored is told from what others left") {
    const place p;
    auto a = p.open(1);
    REQUIRE(store(a, {"a"}, now));
    CHECK(a.claim_next(now)->is_own);
    CHECK_FALSE(p.open(2).claim_next(now)->is_own);
}

TEST_CASE("a file is claimed once a round") {
    const place p;
    auto s = p.open();
    REQUIRE(store(s, {"a"}, now));
    CHECK(s.claim_next(now));
    CHECK_FALSE(s.claim_next(now));
    s.start_over();
    CHECK(s.claim_next(now));
}

TEST_CASE("a file in hand takes more messages, is nobody else's, and everybody's when it is let go") {
    const place p;
    auto writer = p.open(1);
    auto reader = p.open(2);
    auto made = writer.create(lines({"a"}), 0, now);
    REQUIRE(made);
    REQUIRE(writer.append(*made, lines({"b", "c"})));
    CHECK_FALSE(reader.claim_next(now));
    CHECK_FALSE(writer.claim_next(now));
    REQUIRE(writer.append(*made, lines({"d"})));
    made.reset();
    CHECK(drain(reader) == std::vector<std::string>{"a", "b", "c", "d"});
}

TEST_CASE("a file in hand survives that another spool looks for what is too old, too much or left over") {
    const place p;
    auto writer = p.open(1);
    auto made = writer.create(lines({"a"}), 0, now);
    REQUIRE(made);
    auto other = p.open(2, {.max_files = 1});
    for (const auto at : {now + 721h, now + 800h}) {
        CHECK(drain(other, at).empty());
        REQUIRE(store(other, {"x"}, at));
        CHECK(drain(other, at) == std::vector<std::string>{"x"});
    }
    CHECK(other.take_expired().others == 0);
    REQUIRE(writer.append(*made, lines({"b"})));
    made.reset();
    auto heir = p.open(3);
    CHECK(texts_of(*heir.claim_next(now)) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("what is settled of a file is not found again, and nothing of one that is settled wholly") {
    const place p;
    auto writer = p.open(1);
    auto made = writer.create(lines({"a", "b", "c"}), 0, now);
    REQUIRE(made);
    REQUIRE(writer.mark_settled(made->file, 2));
    REQUIRE(writer.append(*made, lines({"d"})));
    made.reset();
    {
        auto found = p.open(2).claim_next(now);
        REQUIRE(found);
        CHECK(texts_of(*found) == std::vector<std::string>{"c", "d"});
        CHECK(found->settled == 2);
        CHECK(found->messages[0].index == 2);
        CHECK(found->messages[1].index == 3);
        CHECK(writer.mark_settled(found->file, 4));
    }
    CHECK_FALSE(p.open(3).claim_next(now));
    CHECK(p.files() == 0);
}

TEST_CASE("drafts are stored with the user whom their run had named, also where that came later") {
    const place p;
    auto writer = p.open(1);
    std::string both = lines({"a"});
    append_spool_draft(both, "a draft");
    const auto claimed = [&] {
        auto found = p.open(2).claim_next(now);
        REQUIRE(found);
        CHECK(texts_of(*found) == std::vector<std::string>{"a", "a draft"});
        CHECK_FALSE(found->messages[0].is_draft);
        CHECK(found->messages[1].is_draft);
        return found->named;
    };
    auto made = writer.create(both, 0, now);
    REQUIRE(made);
    SUBCASE("never") {
        made.reset();
        CHECK(claimed() == 0);
    }
    SUBCASE("later") {
        REQUIRE(writer.mark_named(made->file, 0xfedcba9876543210));
        made.reset();
        CHECK(claimed() == 0xfedcba9876543210);
    }
    SUBCASE("before") {
        writer.remove(made->file);
        REQUIRE(writer.create(both, 7, now));
        CHECK(claimed() == 7);
    }
}

TEST_CASE("of a writer that was killed while it added to a file, the last line is left out and the others are good") {
    const place p;
    auto writer = p.open(1);
    auto made = writer.create(lines({"a", "b"}), 0, now);
    REQUIRE(made);
    const auto torn = lines({"never"});
    REQUIRE(made->file.overwrite(made->size, std::string_view{torn}.substr(0, torn.size() - 3)));
    made.reset();
    auto s = p.open(2);
    CHECK(drain(s) == std::vector<std::string>{"a", "b"});
    CHECK(p.files() == 0);
}

TEST_CASE("what cannot be added leaves the file as it was") {
    const place p;
    SUBCASE("because the disk is full") {
        for (const bool is_short : {false, true}) {
            spool_options options;
            options.directory = p.t.path();
            spool s{options, {.protocol = "lines", .destination = 7, .writer = 1}, failing_calls::table()};
            auto made = s.create(lines({"a"}), 0, now);
            REQUIRE(made);
            failing_calls::error = ENOSPC;
            failing_calls::is_short = is_short;
            failing_calls::left = 1;  // one call looks whether the file is still there
            CHECK_FALSE(s.append(*made, lines({"b", "c"})));
            CHECK(fs::file_size(p.t.path() / made->file.name()) == made->size);
            CHECK(s.append(*made, lines({"d"})));
            made.reset();
            CHECK(drain(s) == std::vector<std::string>{"a", "d"});
        }
    }
    SUBCASE("because it would be larger than all may be, for which nothing else is given up") {
        REQUIRE(store(p.open(2), {"o"}, now));
        auto s = p.open(1, {.max_bytes = 200});
        auto made = s.create(lines({"a"}), 0, now);
        REQUIRE(made);
        CHECK_FALSE(s.append(*made, lines({std::string(200, 'x')})));
        CHECK(s.append(*made, lines({"b"})));
        CHECK(drain(s) == std::vector<std::string>{"o"});
    }
    SUBCASE("because others have too much in hand") {
        auto other = p.open(2);
        const auto held = other.create(lines({std::string(500, 'x')}), 0, now);
        auto s = p.open(1, {.max_bytes = 800});
        auto made = s.create(lines({"a"}), 0, now);
        REQUIRE(made);
        CHECK_FALSE(s.append(*made, lines({std::string(200, 'x')})));
        CHECK(s.append(*made, lines({"b"})));
        CHECK_FALSE(s.create(lines({std::string(200, 'x')}), 0, now));
    }
    SUBCASE("because somebody has removed the file") {
        auto s = p.open(1);
        auto made = s.create(lines({"a"}), 0, now);
        REQUIRE(made);
        fs::remove(p.t.path() / made->file.name());
        CHECK_FALSE(s.append(*made, lines({"b"})));
    }
}

TEST_CASE("once it is revoked, nothing is made or added to") {
    const place p;
    std::atomic<bool> is_revoked = false;
    spool_options options;
    options.directory = p.t.path();
    spool s{options, {.protocol = "lines", .destination = 7, .writer = 1}, system_calls::real(), is_revoked};
    auto made = s.create(lines({"a"}), 0, now);
    REQUIRE(made);
    is_revoked = true;
    CHECK_FALSE(s.append(*made, lines({"b"})));
    CHECK_FALSE(s.create(lines({"c"}), 0, now));
    CHECK(p.files() == 1);
}

TEST_CASE("attempts are on disk") {
    const place p;
    REQUIRE(store(p.open(1), {"a"}, now));
    for (unsigned attempt = 1; attempt <= 4; ++attempt) {
        auto s = p.open(2);
        auto found = s.claim_next(now);
        REQUIRE(found);
        CHECK(found->attempts == attempt - 1);
        s.mark_attempts(found->file, attempt);
    }
    CHECK(p.open(3).claim_next(now)->attempts == 4);
}

TEST_CASE("the caps hold, the oldest go first and are counted") {
    const place p;
    SUBCASE("in bytes") {
        auto old = p.open(1);
        for (int i = 0; i < 4; ++i) REQUIRE(store(old, {std::string(300, 'o'), "x"}, now + i * 1s));
        auto s = p.open(2, {.max_bytes = 1600});
        REQUIRE(store(s, {std::string(300, 'n')}, now + 10s));
        CHECK(s.take_evicted().others == 2);
        REQUIRE(store(s, {std::string(1200, 'm')}, now + 11s));
        const auto lost = s.take_evicted();
        CHECK(lost.others == 6);
        CHECK(lost.own == 1);
        CHECK(drain(s, now + 12s) == std::vector<std::string>{std::string(1200, 'm')});
    }
    SUBCASE("in files") {
        auto s = p.open(1, {.max_files = 2});
        for (const char* text : {"a", "b", "c"}) REQUIRE(store(s, {text}, now));
        CHECK(s.take_evicted().own == 1);
        CHECK(drain(s) == std::vector<std::string>{"b", "c"});
    }
    SUBCASE("what is larger than all may be is not stored") {
        auto s = p.open(1, {.max_bytes = 1000});
        REQUIRE(store(s, {"a"}, now));
        CHECK_FALSE(store(s, {std::string(1000, 'x')}, now));
        CHECK(drain(s) == std::vector<std::string>{"a"});
    }
    SUBCASE("in age") {
        auto s = p.open(1, {.max_age = 24h});
        REQUIRE(store(s, {"a", "b"}, now));
        REQUIRE(store(s, {"c"}, now + 1h));
        CHECK(drain(s, now + 24h + 1min) == std::vector<std::string>{"c"});
        CHECK(s.take_expired().own == 2);
    }
}

TEST_CASE("a file that another process has in hand is not evicted") {
    const place p;
    auto holder = p.open(1);
    REQUIRE(store(holder, {"a"}, now));
    const auto held = holder.claim_next(now);
    auto s = p.open(2, {.max_files = 1});
    REQUIRE(store(s, {"b"}, now + 1s));
    CHECK(s.take_evicted().others == 0);
    CHECK(p.files() == 2);
}

TEST_CASE("a file from the future is dated now, so that it expires") {
    const place p;
    REQUIRE(store(p.open(1), {"a"}, now + 10'000h));
    CHECK(p.open(2).claim_next(now));
    auto later = p.open(3);
    CHECK_FALSE(later.claim_next(now + 721h));
    CHECK(later.take_expired().others == 1);
}

TEST_CASE("a newer release's file, however large, drives none of ours out, is left alone, and goes when it is old") {
    const place p;
    spool_options options{.max_bytes = 300};
    auto first = p.open(1, options);
    CHECK(store(first, {"ours"}, now));
    const spool_name name{.protocol = "lines", .destination = 7, .created = milliseconds_of(now), .writer = 2};
    const auto newer = p.t.write(name.text(), "candor-spool 3 " + std::string(1000, 'x'));
    CHECK(store(first, {"ours too"}, now));
    auto second = p.open(3, options);
    CHECK(drain(second).size() == 2);
    CHECK(fs::file_size(newer) == 1015);
    CHECK_FALSE(second.claim_next(now + options.max_age + 1h));
    CHECK_FALSE(fs::exists(newer));
}

TEST_CASE("hundreds of runs of one event lose none") {
    const place p;
    for (std::uint64_t run = 1; run <= 320; ++run) REQUIRE(store(p.open(run), {std::to_string(run)}, now + run * 1s));
    auto s = p.open(1000);
    CHECK(drain(s, now + 1h).size() == 320);
}

TEST_CASE("what is added to a full spool of small files does not wait for a look at them all") {
    const place p;
    {
        auto s = p.open(1);
        for (int i = 0; i < 1100; ++i) REQUIRE(store(s, {"x"}, now));
    }
    static int looks = 0;
    auto calls = system_calls::real();
    calls.opendir = [](int directory) noexcept {
        ++looks;
        return system_calls::real().opendir(directory);
    };
    spool_options options;
    options.directory = p.t.path();
    spool s{options, {.protocol = "lines", .destination = 7, .writer = 2}, calls};
    auto made = s.create(lines({"a"}), 0, now);
    REQUIRE(made);
    looks = 0;
    for (int i = 0; i < 100; ++i) REQUIRE(s.append(*made, lines({std::string(100, 'x')})));
    for (int i = 0; i < 100; ++i) REQUIRE(store(s, {"x"}, now));
    CHECK(looks == 0);
    options.max_files = 1100;
    spool full{options, {.protocol = "lines", .destination = 7, .writer = 3}, calls};
    for (int i = 0; i < 60; ++i) REQUIRE(store(full, {"x"}, now));
    CHECK(looks == 1);
    CHECK(full.take_evicted().others == 170);  // to 1,100, and room for 68 more
}

TEST_CASE("a report of an error outlives events when room is made") {
    const place p;
    spool_options options{.max_bytes = 2000};
    options.directory = p.t.path();
    spool errors{options, {.protocol = "sentry", .destination = 7, .writer = 1}};
    const std::string large(500, 'x');
    REQUIRE(store(errors, {"report"}, now - 2h));
    REQUIRE(store(errors, {"report 2"}, now - 1h));
    auto s = p.open(2, options);
    for (const char digit : {'1', '2', '3', '4', '5'}) REQUIRE(store(s, {digit + large}, now));
    CHECK(s.take_evicted().own > 0);
    CHECK(s.take_evicted().others == 0);
    REQUIRE(store(errors, {std::string(1200, 'x')}, now));
    CHECK(drain(s).size() < 2);
    CHECK(drain(errors) == std::vector<std::string>{"report", "report 2", std::string(1200, 'x')});
    // Where nothing else is left, the oldest report.
    REQUIRE(store(errors, {"report"}, now - 2h));
    REQUIRE(store(errors, {"report 2"}, now - 1h));
    REQUIRE(store(errors, {std::string(1800, 'x')}, now));
    CHECK(errors.take_evicted().own == 1);
}

TEST_CASE("a locked file is claimed once its holder lets it go") {
    const place p;
    auto writer = p.open(1);
    auto made = writer.create(lines({"a"}), 0, now);
    auto reader = p.open(2);
    CHECK_FALSE(reader.claim_next(now));
    made.reset();
    CHECK(reader.claim_next(now));
}

TEST_CASE("two spools of one writer make files of two names") {
    const place p;
    auto a = p.open(1), b = p.open(1);
    REQUIRE(store(a, {"a"}, now));
    REQUIRE(store(b, {"b"}, now));
    CHECK(drain(a) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("two spools on two threads, one that stores and one that takes up what the other lets go") {
    const place p;
    std::multiset<std::string> stored;
    std::thread writer{[&] {
        auto s = p.open(1);
        std::optional<spool_file> made;
        for (int i = 0; i < 400; ++i) {
            const auto text = std::to_string(i);
            const bool is_stored = made && i % 4 != 0 ? s.append(*made, lines({text}))
                                                      : (made = s.create(lines({text}), 0, now)).has_value();
            if (is_stored) stored.insert(text);
        }
    }};
    std::multiset<std::string> found;
    auto reader = p.open(2);
    CHECK(becomes_true([&] {
        for (auto& text : drain(reader)) found.insert(std::move(text));
        return found.size() >= 400;
    }));
    writer.join();
    CHECK(found == stored);
    CHECK(p.files() == 0);
}

TEST_CASE("a file of release 0.1 is claimed as one of today's") {
    const place p;
    const spool_name name{
        .protocol = "lines", .destination = 7, .created = milliseconds_of(now), .writer = 9, .messages = 2};
    const std::string format_1 =
        "candor-spool 1 attempts=3 messages=00000002 checksum=761b4f02ed201297\n6 {\"a\":1}\n0 {\"b\":\"\xc3\xa9\"}\n";
    p.t.write(name.text(), format_1);
    {
        auto s = p.open(1);
        auto found = s.claim_next(now);
        REQUIRE(found);
        CHECK(texts_of(*found) == std::vector<std::string>{"{\"a\":1}", "{\"b\":\"\xc3\xa9\"}"});
        CHECK(found->attempts == 3);
        CHECK_FALSE(p.open(2).claim_next(now));
        CHECK(s.mark_settled(found->file, 1));
        s.mark_attempts(found->file, 4);
    }
    CHECK(p.files() == 1);
    auto found = p.open(3).claim_next(now);
    REQUIRE(found);
    CHECK(texts_of(*found) == std::vector<std::string>{"{\"b\":\"\xc3\xa9\"}"});
    CHECK(found->attempts == 4);
}

TEST_CASE("a file of release 0.1 waits as it is where the disk is full") {
    const place p;
    const spool_name name{
        .protocol = "lines", .destination = 7, .created = milliseconds_of(now), .writer = 9, .messages = 1};
    const std::string format_1 = "candor-spool 1 attempts=0 messages=00000001 checksum=36b37bf99c17e94f\n0 x\n";
    const auto file = p.t.write(name.text(), format_1);
    static const auto full = [] {
        auto calls = system_calls::real();
        calls.pwrite = [](int, const void*, std::size_t, std::uint64_t) noexcept -> std::ptrdiff_t {
            errno = ENOSPC;
            return -1;
        };
        return calls;
    }();
    spool_options options;
    options.directory = p.t.path();
    spool s{options, {.protocol = "lines", .destination = 7, .writer = 1}, full};
    CHECK_FALSE(s.claim_next(now));
    CHECK(fs::file_size(file) == format_1.size());
    CHECK(p.files() == 1);
    auto later = p.open(2);
    CHECK(drain(later) == std::vector<std::string>{"x"});
}

TEST_CASE("a run whose clock is far ahead loses nothing") {
    const place p;
    REQUIRE(store(p.open(1), {"a", "b"}, now));
    auto ahead = p.open(2);
    CHECK_FALSE(ahead.claim_next(now + 960h));
    CHECK(ahead.take_expired().others == 2);
    REQUIRE(store(ahead, {"c"}, now + 960h));
    {
        auto again = p.open(3);
        REQUIRE(again.claim_next(now + 961h));
    }
    auto s = p.open(4);
    CHECK(drain(s, now + 1h) == std::vector<std::string>{"a", "b", "c"});
    CHECK(s.take_expired().others == 0);
    CHECK(p.files() == 0);
}

TEST_CASE("what is too old is gone a day later") {
    const place p;
    auto own = p.open(1);
    REQUIRE(store(own, {"a"}, now));
    CHECK_FALSE(own.claim_next(now + 744h));
    CHECK(own.take_expired().own == 1);
    CHECK_FALSE(p.open(2).claim_next(now + 767h));
    CHECK(p.files() == 1);
    auto later = p.open(3);
    CHECK_FALSE(later.claim_next(now + 769h));
    CHECK(later.take_expired().others == 0);
    CHECK(p.files() == 0);
}

TEST_CASE("what a run has counted as too old is for another one to take back") {
    const place p;
    auto own = p.open(1);
    REQUIRE(store(own, {"a"}, now));
    CHECK_FALSE(own.claim_next(now + 744h));
    CHECK_FALSE(own.claim_next(now));
    CHECK(p.open(2).claim_next(now));
}

TEST_CASE("what was too old by a clock that was further ahead is kept no longer than a day") {
    const place p;
    REQUIRE(store(p.open(1), {"a"}, now));
    CHECK_FALSE(p.open(2).claim_next(now + 90'000h));
    CHECK_FALSE(p.open(3).claim_next(now + 744h));
    CHECK(p.files() == 1);
    CHECK_FALSE(p.open(4).claim_next(now + 769h));
    CHECK(p.files() == 0);
}

TEST_CASE("what was set aside counts in the caps, goes first, and goes when it is old") {
    const place p;
    const auto name = [](std::uint64_t serial, std::chrono::hours ahead) {
        return spool_name{.protocol = "lines",
                          .destination = 7,
                          .created = milliseconds_of(now + ahead),
                          .writer = 9,
                          .serial = serial}
                   .text() +
               ".damaged";
    };
    SUBCASE("in bytes") {
        auto s = p.open(1, {.max_bytes = 1000});
        REQUIRE(store(s, {std::string(100, 'a')}, now - 1h));
        const auto damaged = p.t.write(name(1, 0h), std::string(700, 'x'));
        REQUIRE(store(s, {std::string(100, 'b')}, now));
        CHECK_FALSE(fs::exists(damaged));
        CHECK(s.take_evicted().others == 0);
        CHECK(drain(s).size() == 2);
    }
    SUBCASE("what is larger than all may be, in the next run") {
        const auto damaged = p.t.write(name(1, 0h), std::string(1001, 'x'));
        CHECK_FALSE(p.open(1, {.max_bytes = 1000}).claim_next(now));
        CHECK_FALSE(fs::exists(damaged));
    }
    SUBCASE("in age") {
        const auto damaged = p.t.write(name(1, 0h), "x");
        CHECK_FALSE(p.open(1).claim_next(now + 719h));
        CHECK(fs::exists(damaged));
        CHECK_FALSE(p.open(2).claim_next(now + 721h));
        CHECK_FALSE(fs::exists(damaged));
    }
    SUBCASE("in age, from the future") {
        p.t.write(name(1, 9'000h), "x");
        CHECK_FALSE(p.open(1).claim_next(now));
        CHECK(p.files() == 1);
        CHECK_FALSE(p.open(2).claim_next(now + 721h));
        CHECK(p.files() == 0);
    }
}

TEST_CASE("thousands of files of others hide none of ours") {
    const place p;
    static int others = 0;
    static const auto crowded = [] {
        auto calls = system_calls::real();
        calls.opendir = [](int directory) noexcept {
            others = 1'000'000;
            return system_calls::real().opendir(directory);
        };
        calls.readdir = [](void* entries) noexcept {
            return others-- > 0 ? "another" : system_calls::real().readdir(entries);
        };
        return calls;
    }();
    spool_options options;
    options.directory = p.t.path();
    spool s{options, {.protocol = "lines", .destination = 7, .writer = 1}, crowded};
    REQUIRE(store(s, {"a"}, now));
    CHECK(drain(s) == std::vector<std::string>{"a"});
}

TEST_CASE("a damaged file is set aside, the others are found") {
    const place p;
    auto s = p.open();
    for (const char* text : {"a", "b", "c"}) REQUIRE(store(s, {text}, now));
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator{p.t.path()}) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    REQUIRE(files.size() == 3);
    SUBCASE("cut") { fs::resize_file(files[1], fs::file_size(files[1]) - 1); }
    SUBCASE("empty") { fs::resize_file(files[1], 0); }
    SUBCASE("changed") { std::fstream{files[1]}.seekp(-2, std::ios::end) << '!'; }
    SUBCASE("changed in its head") { std::fstream{files[1]}.seekp(30) << '!'; }
    SUBCASE("too large") { fs::resize_file(files[1], 100'000'000); }
    CHECK(drain(s) == std::vector<std::string>{"a", "c"});
    CHECK(p.files() == 1);
    CHECK(fs::directory_iterator { p.t.path() } -> path().string().ends_with(".damaged"));
}

TEST_CASE("a line that is damaged is left out, and its neighbours are found") {
    const place p;
    auto s = p.open();
    auto made = s.create(lines({"a", "b", "c"}), 0, now);
    REQUIRE(made);
    REQUIRE(made->file.overwrite(spool_head.size() + lines({"a"}).size() + 3, "!"));
    made.reset();
    auto found = s.claim_next(now);
    REQUIRE(found);
    CHECK(texts_of(*found) == std::vector<std::string>{"a", "c"});
    CHECK(found->messages[1].index == 2);
}

TEST_CASE("in the place of a file, what is no plain file of this user is neither opened nor removed") {
    const place p;
    const temporary_directory elsewhere;
    const auto target = elsewhere.write("target", make_spool_file(lines({"theirs"})));
    const auto name = [](std::uint64_t serial) {
        return spool_name{.protocol = "lines",
                          .destination = 7,
                          .created = 1'767'323'045'000,
                          .writer = 9,
                          .serial = serial,
                          .messages = 1}
            .text();
    };
    fs::create_symlink(target, p.t.path() / name(1));
    fs::create_hard_link(target, p.t.path() / name(2));
    REQUIRE(::mkfifo((p.t.path() / name(3)).c_str(), 0600) == 0);
    auto s = p.open(1, {.max_files = 1});
    CHECK_FALSE(s.claim_next(now));
    REQUIRE(store(s, {"mine"}, now));
    CHECK(p.files() == 4);
    CHECK(fs::file_size(target) > 0);
}

TEST_CASE("on a disk of 64 KiB that is full, nothing half-written stays and what was stored is whole") {
#ifdef __linux__
    const place p;
    const auto end = run_in_child([&](int) {
        const auto user = std::to_string(::geteuid());
        if (::unshare(CLONE_NEWNS) != 0) {
            if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 77;
            std::ofstream{"/proc/self/uid_map"} << user << ' ' << user << " 1";
        }
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
        if (::mount("candor", p.t.path().c_str(), "tmpfs", 0, "size=64k,mode=0700") != 0) return 77;
        auto s = p.open(1);
        std::size_t stored = 0;
        while (stored < 100 && store(s, {std::string(10'000, 'x')}, now)) ++stored;
        if (stored == 0 || stored == 100 || p.files() != stored) return 1;
        return drain(s).size() == stored && store(s, {"again"}, now) ? 0 : 2;
    });
    if (end.exit_code() == 77) {
        MESSAGE("not looked at: no tmpfs may be mounted here");
    } else {
        CHECK(end.exit_code() == 0);
    }
#endif
}

TEST_CASE("where nothing can be made, nothing is stored and nothing harmed") {
    const temporary_directory t;
    t.write("file", "x");
    for (const fs::path& path : {t.path() / "file", t.path() / "file" / "below", fs::path{"/proc/nothing/here"}}) {
        CAPTURE(path.string());
        spool_options options;
        options.directory = path;
        spool s{options, {.protocol = "lines", .destination = 7, .writer = 1}};
        CHECK_FALSE(store(s, {"a"}, now));
        CHECK_FALSE(s.claim_next(now));
    }
}

TEST_CASE("what is the matter with the disk is said once, and is forgotten when it is over") {
    const temporary_directory t;
    spool_options options;
    options.directory = t.path() / "spool";
    static int error = 0;
    auto calls = system_calls::real();
    std::optional<spool> opened;
    const auto check = [&](const std::string& why) {
        auto& s = opened.emplace(options, spool_owner{.protocol = "lines", .destination = 7, .writer = 1}, calls);
        CHECK_FALSE(s.take_trouble());
        CHECK_FALSE(store(s, {"a"}, now));
        const auto said = s.take_trouble();
        REQUIRE(said);
        CHECK(*said == "cannot store in " + options.directory.string() + ": " + why);
        CHECK_FALSE(s.take_trouble());
        CHECK_FALSE(s.create(lines({"a"}), 0, now));
        CHECK_FALSE(s.take_trouble());
    };
    SUBCASE("it is full for a while") {
        calls.pwrite = [](int file, const void* bytes, std::size_t size, std::uint64_t at) noexcept {
            errno = error;
            return error != 0 ? -1 : system_calls::real().pwrite(file, bytes, size, at);
        };
        error = ENOSPC;
        check("No space left on device");
        auto& s = *opened;
        error = EFBIG;
        CHECK_FALSE(store(s, {"a"}, now));
        CHECK(s.take_trouble() == "cannot store in " + options.directory.string() + ": File too large");
        error = 0;
        CHECK(store(s, {"a"}, now));
        CHECK_FALSE(s.take_trouble());
    }
    SUBCASE("it may not be written to") {
        calls.mkdir = [](const char*) noexcept {
            errno = EROFS;
            return -1;
        };
        check("Read-only file system");
    }
    SUBCASE("it has no locks") {
        calls.flock = [](int) noexcept {
            errno = ENOSYS;
            return -1;
        };
        check("this file system has no locks");
        CHECK(fs::is_empty(options.directory));
    }
    SUBCASE("a file is in the place of the directory") {
        t.write("spool", "x");
        check("Not a directory");
    }
    SUBCASE("a file is in the place of a directory above") {
        t.write("file", "x");
        options.directory = t.path() / "file" / "spool";
        check("Not a directory");
    }
    SUBCASE("it is another user's") {
        if (::geteuid() != 0) return;
        fs::create_directory(options.directory);
        REQUIRE(::chown(options.directory.c_str(), 1, 1) == 0);
        check("it belongs to another user");
    }
}

TEST_CASE("whichever call fails, what was said to be added is there, and nothing else") {
    for (const bool is_short : {false, true}) {
        for (int n = 0;; ++n) {
            CAPTURE(n);
            REQUIRE(n < 1000);
            const place p;
            spool_options options;
            options.directory = p.t.path();
            std::vector<std::string> added;
            bool all_went_well = false;
            {
                spool s{options, {.protocol = "lines", .destination = 7, .writer = 1}, failing_calls::table()};
                failing_calls::error = EDQUOT;
                failing_calls::is_short = is_short;
                failing_calls::left = n;
                std::optional<spool_file> made;
                for (const char* text : {"a", "b", "c", "d"}) {
                    if (made && s.append(*made, lines({text}))) {
                        added.emplace_back(text);
                        continue;
                    }
                    made = s.create(lines({text}), 0, now);
                    if (made) added.emplace_back(text);
                }
                all_went_well = failing_calls::left >= 0;
                failing_calls::left = -1;
            }
            auto later = p.open(2);
            CHECK(drain(later) == added);
            if (all_went_well) break;
        }
    }
}

TEST_CASE("whichever call fails, what is said to be stored is there, and nothing is there twice") {
    for (const bool is_short : {false, true}) {
        for (const int error : {ENOSPC, EIO, EACCES}) {
            for (int n = 0;; ++n) {
                CAPTURE(error);
                CAPTURE(n);
                REQUIRE(n < 1000);
                const place p;
                spool_options options;
                options.directory = p.t.path() / "spool";
                std::set<std::string> stored;
                std::multiset<std::string> found;
                bool all_went_well = false;
                {
                    failing_calls::error = error;
                    failing_calls::is_short = is_short;
                    failing_calls::left = n;
                    spool s{options, {.protocol = "lines", .destination = 7, .writer = 1}, failing_calls::table()};
                    for (const char* text : {"a", "b", "c"})
                        if (store(s, {text}, now)) stored.insert(text);
                    if (auto claimed = s.claim_next(now)) {
                        for (auto& text : texts_of(*claimed)) found.insert(text);
                        s.mark_attempts(claimed->file, 1);
                        s.remove(claimed->file);
                    }
                    all_went_well = failing_calls::left >= 0;
                    failing_calls::left = -1;
                }
                options.directory = p.t.path() / "spool";
                spool later{options, {.protocol = "lines", .destination = 7, .writer = 2}};
                for (auto& text : drain(later)) found.insert(text);
                for (const auto& text : stored) CHECK(found.contains(text));
                // A file whose removal failed is found again, under the same ids.
                for (const char* text : {"a", "b", "c"})
                    CHECK(found.count(text) <= (text == std::string{"a"} ? 2U : 1U));
                if (all_went_well) {
                    CHECK(found.size() == 3);
                    break;
                }
            }
        }
    }
}

TEST_CASE("of writers that are killed at any moment nothing is lost that was acknowledged, and nothing is torn") {
    const place p;
    std::mt19937 random{20261123};
    std::set<std::string> acknowledged;
    std::size_t killed = 0;
    const auto kills = static_cast<std::size_t>(candor::testing::rounds(300));
    struct writer_process {
        pid_t process;
        int output;
    };
    std::size_t started = 0;
    const std::string padding(2000, 'x');
    const auto start = [&] {
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        const auto id = started++;
        const pid_t process = ::fork();
        REQUIRE(process >= 0);
        if (process == 0) {
            ::close(ends[0]);
            auto s = p.open(1000 + id, {.max_bytes = 100'000'000, .max_files = 100'000});
            std::optional<spool_file> made;
            for (int i = 0;; ++i) {
                const std::string text = std::to_string(id) + "." + std::to_string(i);
                const auto line = text + "\n";
                const auto added = lines({text + padding});
                if (made && i % 8 != 0 ? !s.append(*made, added) : !(made = s.create(added, 0, now))) ::_exit(1);
                if (::write(ends[1], line.data(), line.size()) < 0) ::_exit(2);
            }
        }
        ::close(ends[1]);
        return writer_process{process, ends[0]};
    };
    const auto finish = [&](const writer_process& w) {
        ::kill(w.process, SIGKILL);
        int status = 0;
        ::waitpid(w.process, &status, 0);
        killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 1 : 0;
        std::string said;
        char block[4096];
        for (ssize_t got = 0; (got = ::read(w.output, block, sizeof block)) > 0;)
            said.append(block, static_cast<std::size_t>(got));
        ::close(w.output);
        std::istringstream lines{said};
        for (std::string line; std::getline(lines, line);) acknowledged.insert(line);
    };
    std::set<std::string> found;
    const auto read_all = [&] {
        auto reader = p.open(1, {.max_bytes = 100'000'000, .max_files = 100'000});
        while (auto claimed = reader.claim_next(now)) {
            for (auto& text : texts_of(*claimed)) {
                REQUIRE(text.ends_with(padding));
                text.resize(text.size() - padding.size());
                CHECK(found.insert(text).second);
            }
            reader.remove(claimed->file);
        }
    };
    while (killed < kills) {
        std::vector<writer_process> running{start(), start()};
        // A random moment: every other time one after the first acknowledgement.
        pollfd first{running[0].output, POLLIN, 0};
        if (random() % 2 == 0) ::poll(&first, 1, 10'000);
        ::poll(nullptr, 0, static_cast<int>(random() % 3));
        for (const auto& w : running) finish(w);
        if (killed % 20 == 0) read_all();
    }
    read_all();
    for (const auto& id : acknowledged) CHECK(found.contains(id));
    CHECK(acknowledged.size() > kills / 10);
    for (const auto& entry : fs::directory_iterator{p.t.path()}) {
        CAPTURE(entry.path().string());
        CHECK_FALSE(entry.path().string().ends_with(".damaged"));
    }
    CHECK_MESSAGE(p.files() == 0, "what was half-written has been swept");
}

}  // namespace spool_test
