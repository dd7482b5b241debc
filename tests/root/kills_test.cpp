// Programs that are killed at any moment of their work, and runs that deliver afterwards, over real sockets.
#include <candor/candor.hpp>

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/diary.hpp>
#include <support/gateway_process.hpp>
#include <support/in_two_days.hpp>
#include <support/rounds.hpp>
#include <support/socket_server.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace kills_test {

namespace {

using candor::admission;
using candor::drop_reason;
using candor::testing::diary;
using candor::testing::in_two_days;
using candor::testing::rounds;
using state = gateway_process::state;
using namespace std::chrono_literals;

struct wrote {
    static constexpr std::string_view event_name = "wrote";
    std::uint64_t process = 0;
    std::uint64_t serial = 0;
    static constexpr auto fields() {
        return std::tuple{candor::field("process", &wrote::process, "Whose"),
                          candor::field("serial", &wrote::serial, "Which of them")};
    }
};

candor::account_source account_of(const char* user) {
    return [user] { return std::optional<candor::account>{{user, "team"}}; };
}

/// The same of a program that has to wait so long for it.
candor::account_source account_of(const char* user, std::chrono::milliseconds time, const diary& mine) {
    return [user, time, &mine] {
        mine.live_for(time);
        return account_of(user)();
    };
}

/// A machine on which programs share a spool and are killed, and a server that does as it likes meanwhile.
class machine {
public:
    static constexpr std::uint64_t deliverer = 0;  ///< as the number of a process

    using program = std::function<void(std::uint64_t process, const candor::telemetry_options&, const diary&)>;

    [[nodiscard]] candor::telemetry_options options() const {
        candor::telemetry_options out{.product = {.name = "kills", .version = "1.0.0", .env_prefix = "KILLS_TEST"},
                                      .write_key = "write-key",
                                      .data_plane_url = "http://127.0.0.1:" + std::to_string(port_),
                                      .internal_team = [](const auto&) { return false; },
                                      .shutdown_timeout = 1s};
        out.delivery.spool.directory = directory_.path() / "spool";
        out.delivery.spool.max_bytes = 1 << 30;
        out.delivery.spool.max_files = 100'000;
        return out;
    }

    /// Until then nobody listens. Not while programs run: they have the port too.
    gateway_process& start_server() {
        nobody_.reset();
        return server_.emplace(directory_.path() / "notes", port_);
    }

    struct killing {
        int runs = 0;
        std::size_t at_once = 1;                        ///< so many run at any time
        std::chrono::milliseconds least{0}, most{500};  ///< each is killed after it has lived so long
        /// What was accepted so long before has to arrive.
        std::chrono::milliseconds promise = 200ms;
    };

    /// Kills runs of a program at random moments, by one of the signals that end a program.
    void kill(const killing& how, const program& run) {
        static constexpr int signals[] = {SIGKILL, SIGKILL, SIGKILL, SIGTERM, SIGKILL, SIGKILL, SIGABRT, SIGSEGV};
        struct running {
            running(std::uint64_t n, candor::telemetry_options options, const program& run)
                : number{n}, process{[&](int pipe) {
                      const diary mine{pipe};
                      options.delivery.on_delivered = [&](std::string_view message) { mine.delivered(message); };
                      run(n, options, mine);
                      return 0;
                  }} {}
            std::uint64_t number;
            child_process process;
        };
        std::list<running> programs;
        for (int left = how.runs; left > 0 || !programs.empty();) {
            for (; left > 0 && programs.size() < how.at_once; --left) programs.emplace_back(++started_, options(), run);
            auto chosen = programs.begin();
            std::advance(chosen, random_() % programs.size());
            std::uniform_int_distribution<std::chrono::milliseconds::rep> life{how.least.count(), how.most.count()};
            let_live(chosen->process, how.least, std::chrono::milliseconds{life(random_)});
            for (auto turns = random_() % 2000; turns > 0; --turns) std::this_thread::yield();
            const int signal = signals[kills_++ % std::size(signals)];
            const auto killed_at = diary::now();
            ::kill(chosen->process.id(), signal);
            const auto end = chosen->process.wait();
            REQUIRE(end.signal() == signal);
            const auto notes = diary::read(end.said);
            for (const auto serial : diary::accepted_for(how.promise, killed_at, notes))
                promised_.insert({chosen->number, serial});
            for (const auto& one : notes)
                if (one.what == diary::note::kind::delivered) ++heard_[one.which];
            programs.erase(chosen);
        }
    }

    /// A run that has the time to deliver all that the others have left.
    candor::statistics deliver(const candor::account_source& account = {}) {
        candor::httplib_transport transport;
        in_two_days clock;
        auto options = this->options();
        options.account = account;
        options.shutdown_timeout = 20s;
        options.delivery.on_delivered = [this](std::string_view message) { ++heard_[diary::hash_of_id(message)]; };
        candor::basic_telemetry<candor::httplib_transport, in_two_days> run{options, transport, clock};
        REQUIRE(run.track(wrote{.process = deliverer}) == admission::accepted);
        run.flush(10s);
        // Thousands of messages: each wait is for some more of them.
        for (auto before = run.statistics().delivered; has_files(); before = run.statistics().delivered)
            REQUIRE(becomes_true([&] { return run.statistics().delivered > before || !has_files(); }));
        run.shutdown();
        const auto done = run.statistics();
        CHECK(done.delivered + done.dropped[drop_reason::no_account] == done.accepted);
        return done;
    }

    /// Whether all has arrived that was promised, and each message once. What is under way when its program is killed
    /// may have been taken: the next program cannot know, and sends it again. But what a program has heard to be
    /// delivered is not sent by another one.
    void check() const {
        std::map<std::string, int> arrivals;
        std::set<std::pair<std::uint64_t, std::uint64_t>> arrived;
        for (const auto& one : server_->messages()) {
            ++arrivals[one.id];
            arrived.insert({one.process, one.serial});
        }
        std::size_t missing = 0, twice = 0, heard_twice = 0;
        for (const auto& event : promised_) missing += !arrived.contains(event);
        for (const auto& [id, times] : arrivals) twice += times > 1;
        for (const auto& [id, times] : heard_) heard_twice += times > 1;
        MESSAGE(kills_ << " kills; promised " << promised_.size() << ", missing " << missing << "; arrived "
                       << arrivals.size() << ", twice " << twice << ", twice though delivery was heard of "
                       << heard_twice);
        CHECK(missing == 0);
        CHECK(heard_twice == 0);
        CHECK(arrivals.size() == arrived.size());  // each under one id
        CHECK_FALSE(has_files(".damaged"));
    }

private:
    /// At least so long, and on a machine that gives the program little time not more than twice as long as wanted.
    static void let_live(child_process& process, std::chrono::nanoseconds least, std::chrono::nanoseconds time) {
        std::vector<diary::note> notes;
        do {
            const auto before = notes.size();
            notes = diary::read(process.read((before + 1) * sizeof(diary::note)));
            if (notes.size() == before) return;  // it has ended
        } while (diary::life(notes) < least ||
                 (diary::life(notes) < time && notes.back().at - notes.front().at < 2 * time.count()));
    }

    /// In the spool, of that kind.
    [[nodiscard]] bool has_files(std::string_view ending = ".spool") const {
        std::error_code none;
        const std::filesystem::directory_iterator found{options().delivery.spool.directory, none};
        return std::any_of(begin(found), end(found), [&](const auto& one) { return one.path().extension() == ending; });
    }

    const temporary_directory directory_{};
    std::optional<candor::testing::closed_port> nobody_{std::in_place};
    const int port_ = nobody_->port();
    std::optional<gateway_process> server_{};
    std::mt19937 random_{27};
    std::uint64_t started_ = 0;
    std::size_t kills_ = 0;
    std::set<std::pair<std::uint64_t, std::uint64_t>> promised_{};
    std::map<std::uint64_t, int> heard_{};  ///< how many programs have heard that a message was delivered
};

/// Tracks some events every other millisecond, until the program is killed.
void write_on(std::uint64_t process, const candor::telemetry_options& options, const diary& mine) {
    candor::telemetry telemetry{options};
    std::minstd_rand random{static_cast<std::uint32_t>(process)};
    for (std::uint64_t serial = 0;;) {
        for (auto burst = random() % 3; burst > 0; --burst, ++serial)
            if (telemetry.track(wrote{.process = process, .serial = serial}) == admission::accepted)
                mine.accepted(serial);
        std::this_thread::sleep_for(std::chrono::milliseconds{random() % 5});
    }
}

/// The same: some programs send at once, some wait for more.
void work(std::uint64_t process, candor::telemetry_options options, const diary& mine) {
    static constexpr std::chrono::milliseconds intervals[] = {1ms, 50ms, 5s};
    options.delivery.flush_interval = intervals[process % std::size(intervals)];
    write_on(process, options, mine);
}

/// Runs that each track some events and store them, as nobody listens. Notes what was stored.
void store(std::uint64_t process, const candor::telemetry_options& options, const diary& mine) {
    constexpr std::uint64_t events_a_run = 3;
    for (std::uint64_t serial = 0;; serial += events_a_run) {
        candor::telemetry telemetry{options};
        for (std::uint64_t i = 0; i < events_a_run; ++i)
            telemetry.track(wrote{.process = process, .serial = serial + i});
        telemetry.shutdown();
        if (telemetry.statistics().spooled != events_a_run) ::_exit(1);
        for (std::uint64_t i = 0; i < events_a_run; ++i) mine.accepted(serial + i);
    }
}

/// With servers of all kinds, in turns, and at first none.
void kill_beside_every_server(machine& m, int kills, std::size_t at_once) {
    m.kill({.runs = kills / 6, .at_once = at_once}, &work);
    auto& server = m.start_server();
    for (const auto next :
         {state::healthy, state::without_database, state::silent, state::hanging_up, state::limiting}) {
        server.become(next);
        m.kill({.runs = kills / 6, .at_once = at_once}, &work);
    }
    server.become(state::healthy);
}

}  // namespace

TEST_CASE("row 27: of programs that share a spool and are killed at any moment, all that was stored is delivered") {
    machine m;
    m.kill({.runs = rounds(100), .at_once = 3, .most = 100ms, .promise = 0ms}, &store);
    m.start_server();
    m.deliver();
    m.check();
}

TEST_CASE("row 45: of a program that is killed at any moment, all that was accepted 200 ms before is delivered") {
    machine m;
    kill_beside_every_server(m, rounds(100), 1);
    m.deliver();
    m.check();
}

TEST_CASE("row 45: of five programs with one spool that are killed at any moment, all is delivered too") {
    machine m;
    kill_beside_every_server(m, rounds(100), 5);
    m.deliver();
    m.check();
}

TEST_CASE("row 45: what programs that are killed at any moment have delivered is not delivered again") {
    machine m;
    m.start_server();
    m.kill({.runs = rounds(100), .at_once = 5}, &work);
    m.deliver();
    m.check();
}

TEST_CASE("row 45: runs that take up what others left are killed at any moment of that, and lose nothing of it") {
    machine m;
    m.kill({.runs = rounds(20), .at_once = 5, .least = 250ms}, &work);
    m.start_server();
    m.kill({.runs = rounds(50), .most = 50ms}, &work);
    m.deliver();
    m.check();
}

TEST_CASE("row 45: a disk that is full when programs are killed keeps what it had taken before") {
    machine m;
    m.kill({.runs = rounds(20), .at_once = 5, .least = 300ms}, [](auto process, const auto& options, const auto& mine) {
        candor::telemetry telemetry{options};
        for (std::uint64_t serial = 0; serial < 50; ++serial)
            if (telemetry.track(wrote{.process = process, .serial = serial}) == admission::accepted)
                mine.accepted(serial);
        mine.live_for(250ms);
        const struct rlimit full {};  // no file may become larger
        ::setrlimit(RLIMIT_FSIZE, &full);
        for (std::uint64_t serial = 50;; ++serial) {
            telemetry.track(wrote{.process = process, .serial = serial});
            mine.live_for(diary::beat);
        }
    });
    m.start_server();
    m.deliver();
    m.check();
}

TEST_CASE("row 45: what is killed before its account is known is delivered for whoever delivers it") {
    for (const char* const user : {"u1", "u2"}) {
        machine m;
        m.kill({.runs = rounds(10), .at_once = 5, .least = 250ms}, [](auto process, auto options, const auto& mine) {
            options.account = account_of("u1", 5s, mine);
            work(process, std::move(options), mine);
        });
        const auto& server = m.start_server();
        m.deliver(account_of(user));
        m.check();
        for (const auto& message : server.messages()) CHECK(message.user == user);
    }
}

TEST_CASE("row 45: what is killed after its account became known is delivered for nobody else") {
    for (const char* const user : {"u1", "u2"}) {
        machine m;
        m.kill({.runs = rounds(10), .at_once = 5, .least = 600ms, .most = 800ms},
               [](auto process, auto options, const auto& mine) {
                   options.account = account_of("u1", 300ms, mine);
                   options.delivery.flush_interval = 1ms;  // it is asked for when something is about to be sent
                   write_on(process, options, mine);
               });
        const auto& server = m.start_server();
        const auto done = m.deliver(account_of(user));
        const bool is_same = user == std::string_view{"u1"};
        CHECK((done.dropped[drop_reason::no_account] == 0) == is_same);
        if (is_same) m.check();
        for (const auto& message : server.messages())
            if (message.process != machine::deliverer) CHECK(message.user == "u1");
    }
}

}  // namespace kills_test
