// row 46: what a callback may do to its own telemetry, and to the process, whatever another thread does at that moment.
#include <candor/core.hpp>
#include <candor/testing.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

#include <unistd.h>

#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/stopwatch.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace callback_lifetime_test {

using candor::admission;
using namespace std::chrono_literals;

namespace {

enum class callback { on_delivered, on_dropped, on_attempt, diagnostics, account, before_send };
enum class act { nothing, shutdown, revoke, destroy, exit, quick_exit, terminate };

constexpr std::array all_callbacks{callback::on_delivered, callback::on_dropped, callback::on_attempt,
                                   callback::diagnostics,  callback::account,    callback::before_send};
constexpr std::array all_acts{act::nothing, act::shutdown,   act::revoke,   act::destroy,
                              act::exit,    act::quick_exit, act::terminate};

std::string name_of(callback of) {
    constexpr std::array names{"on_delivered", "on_dropped", "on_attempt", "diagnostics", "account", "before_send"};
    return names[static_cast<std::size_t>(of)];
}
std::string name_of(act of) {
    constexpr std::array names{"nothing", "shutdown", "revoke", "destroy", "exit", "quick_exit", "terminate"};
    return names[static_cast<std::size_t>(of)];
}
constexpr bool ends_process(act of) { return of >= act::exit; }

constexpr std::chrono::milliseconds budget = 1s;
constexpr int ended_by_callback = 7, ended_by_main = 8, terminated = 9;

struct noted {
    static constexpr std::string_view event_name = "noted";
    std::string note{};
    static constexpr auto fields() { return std::tuple{candor::field("note", &noted::note, "Which of them")}; }
};

/// What each child process waits to see delivered or stored.
constexpr std::array notes{"first-event", "second-event", "first-error", "second-error"};

/// All that the program of a child has. Nothing of it is destroyed when it ends.
struct child {
    callback where;
    act in_callback;
    act in_main;
    int output;
    std::atomic<bool> is_called{false};    ///< the callback
    std::atomic<bool> is_prepared{false};  ///< all that is to be delivered was handed over
    std::atomic<bool> has_acted{false};    ///< the callback
};
child* the_child = nullptr;

/// Says what it delivers. Only one that lives may be used.
class saying_transport {
public:
    saying_transport() = default;
    saying_transport(const saying_transport&) = delete;
    saying_transport& operator=(const saying_transport&) = delete;
    ~saying_transport() { is_alive_ = false; }

    candor::http_response send(const candor::http_request& request) {
        if (!is_alive_) say(the_child->output, "used after its end\n");
        if (is_cancelled_) return {.error = candor::transport_error::cancelled};
        const bool is_analytics = request.url.find("/v1/batch") != std::string::npos;
        if (is_analytics && !has_answered_.exchange(true)) {
            if (the_child->where == callback::on_dropped) return {.status = 400};
            if (the_child->where == callback::diagnostics) return {.status = 503};
        }
        for (const std::string note : notes)
            if (request.body.find(note) != std::string::npos) say(the_child->output, note + "\n");
        return {.status = 200};
    }
    void cancel() noexcept { is_cancelled_ = true; }

private:
    std::atomic<bool> is_alive_{true}, is_cancelled_{false}, has_answered_{false};
};

using telemetry = candor::basic_telemetry<saying_transport, candor::system_clock, candor::testing::fixed_environment>;
telemetry* the_telemetry = nullptr;

void perform(act what, int exit_code) {
    switch (what) {
        case act::nothing:
            return;
        case act::shutdown:
            return the_telemetry->shutdown();
        case act::revoke:
            return the_telemetry->revoke();
        case act::destroy:
            delete the_telemetry;
            return;
        case act::exit:
            std::exit(exit_code);
        case act::quick_exit:
            std::quick_exit(exit_code);
        case act::terminate:
            std::terminate();
    }
}

/// The callback: acts when main does.
void called_back() {
    auto& my = *the_child;
    if (my.is_called.exchange(true)) return;
    while (!my.is_prepared) std::this_thread::yield();
    if (my.in_main != act::nothing)
        while (the_telemetry->capture(std::exception_ptr{}) != admission::closed) std::this_thread::yield();
    perform(my.in_callback, ended_by_callback);
    my.has_acted = true;
}

candor::telemetry_options options_for(const child& of, const std::filesystem::path& spool) {
    const auto at = [&of](callback which) {
        return [is_meant = which == of.where] {
            if (is_meant) called_back();
        };
    };
    candor::telemetry_options out{.product = {.name = "acme", .version = "1.0.0", .env_prefix = "ACME"},
                                  .write_key = "write-key",
                                  .data_plane_url = "http://plane",
                                  .sentry_dsn = "http://key@errors/1",
                                  .shutdown_timeout = budget};
    out.account = [call = at(callback::account)] {
        call();
        return std::optional<candor::account>{{"u1", "t1"}};
    };
    if (of.where == callback::before_send) {
        out.before_send = [](auto&) {
            called_back();
            return true;
        };
    }
    out.capture_uncaught = true;
    out.delivery.batch_messages = 1;
    out.delivery.flush_interval = 1ms;
    out.delivery.spool.directory = spool;
    out.delivery.on_delivered = [call = at(callback::on_delivered)](auto) { call(); };
    out.delivery.on_dropped = [call = at(callback::on_dropped)](auto, auto) { call(); };
    out.delivery.on_attempt = [call = at(callback::on_attempt)](const auto&, const auto&) { call(); };
    out.diagnostics = [call = at(callback::diagnostics)](auto) { call(); };
    return out;
}

int run(child& my, const std::filesystem::path& spool) {
    the_child = &my;
    std::set_terminate([] { ::_exit(terminated); });
    the_telemetry = new telemetry{options_for(my, spool)};
    the_telemetry->track(noted{.note = notes[0]});
    the_telemetry->capture_message(candor::sentry::severity::error, notes[2]);
    while (!my.is_called) std::this_thread::yield();
    the_telemetry->track(noted{.note = notes[1]});
    the_telemetry->capture_message(candor::sentry::severity::error, notes[3]);
    my.is_prepared = true;
    perform(my.in_main, ended_by_main);
    if (ends_process(my.in_callback)) ::pause();
    while (!my.has_acted) std::this_thread::yield();
    if (my.in_main == act::destroy || my.in_callback == act::destroy) std::exit(0);
    the_telemetry->shutdown();
    const auto counts = the_telemetry->statistics();
    if (counts.accepted != counts.delivered + counts.pending + counts.spooled + counts.dropped.total())
        say(my.output, "the account does not add up\n");
    delete the_telemetry;
    std::exit(0);
}

/// How often each note was delivered or stored.
std::map<std::string, int> found(std::string text, const std::filesystem::path& spool) {
    if (std::filesystem::exists(spool)) {
        for (const auto& entry : std::filesystem::directory_iterator{spool}) {
            std::ifstream file{entry.path(), std::ios::binary};
            text.append(std::istreambuf_iterator<char>{file}, {});
        }
    }
    std::map<std::string, int> out;
    for (const std::string note : notes)
        for (auto at = text.find(note); at != text.npos; at = text.find(note, at + 1)) ++out[note];
    return out;
}

void check(callback where, act in_callback, act in_main) {
    const temporary_directory directory;
    const auto spool = directory.path() / "spool";
    const auto end = run_in_child([&](int output) {
        return run(*new child{where, in_callback, in_main, output}, spool);
    });
    CAPTURE(name_of(where));
    CAPTURE(name_of(in_callback));
    CAPTURE(name_of(in_main));
    CAPTURE(end.said);
    CAPTURE(end.signal());
    const int code = end.exit_code();
    const auto code_of = [](act of, int exit_code) { return of == act::terminate ? terminated : exit_code; };
    const bool is_expected = (ends_process(in_callback) && code == code_of(in_callback, ended_by_callback)) ||
                             (ends_process(in_main) && code == code_of(in_main, ended_by_main)) ||
                             (!ends_process(in_callback) && !ends_process(in_main) && code == 0);
    CHECK(is_expected);
    CHECK(end.took < budget + candor::testing::slack);
    CHECK(end.said.find("after its end") == end.said.npos);
    CHECK(end.said.find("add up") == end.said.npos);

    const auto all = found(end.said, spool);
    const bool is_revoked = in_callback == act::revoke || in_main == act::revoke;
    // What a callback that never returns was to make into a message cannot be made any more, nor what comes after it.
    const bool is_cut_short = ends_process(in_callback) || in_callback == act::destroy;
    // A report of the end waits for nobody who terminates too, nor for what nobody owns any more.
    const bool is_reporting = in_main == act::terminate && is_cut_short;
    for (const std::string note : notes) {
        const bool is_error = note.find("error") != note.npos;
        const bool may_be_lost = is_revoked || (where == callback::on_dropped && note == notes[0]) || is_reporting ||
                                 (is_cut_short && where == (is_error ? callback::before_send : callback::account));
        const auto at = all.find(note);
        const int count = at == all.end() ? 0 : at->second;
        CAPTURE(note);
        CHECK(count <= 1);
        if (!may_be_lost) CHECK(count == 1);
    }
}

}  // namespace

TEST_CASE("row 46: a callback may end its telemetry or the process, whatever main does") {
    for (const auto in_callback : all_acts) {
        for (const auto in_main : all_acts) {
            if (in_callback == act::destroy && in_main == act::destroy) continue;  // nobody destroys an object twice
            check(callback::on_delivered, in_callback, in_main);
        }
    }
}

TEST_CASE("row 46: every callback may, while main destroys the telemetry or does nothing") {
    for (const auto where : all_callbacks) {
        for (const auto in_callback : all_acts) {
            if (where != callback::on_delivered) check(where, in_callback, act::nothing);
            if (in_callback != act::destroy) check(where, in_callback, act::destroy);
        }
    }
}

TEST_CASE(
    "row 46: a client by itself may be destroyed in its callback; what waits is stored, and nothing is called after") {
    const temporary_directory directory;
    const auto spool = directory.path() / "spool";
    candor::testing::recording_transport transport;
    candor::system_clock clock;
    using client = candor::rudderstack::basic_client<candor::testing::recording_transport, candor::system_clock>;
    std::atomic<bool> is_prepared{false}, is_destroyed{false};
    std::atomic<int> calls{0};
    std::unique_ptr<client> analytics;
    candor::rudderstack::client_options options{.write_key = "write-key", .data_plane_url = "http://plane"};
    options.delivery.batch_messages = 1;
    options.delivery.spool.directory = spool;
    options.delivery.on_delivered = [&](auto) {
        ++calls;
        while (!is_prepared) std::this_thread::yield();
        analytics.reset();
        is_destroyed = true;
    };
    analytics = std::make_unique<client>(options, transport, clock);
    for (const auto* note : {notes[0], notes[1]})
        analytics->enqueue(candor::rudderstack::track{.user_id = "u1", .event = note});
    is_prepared = true;
    REQUIRE(becomes_true([&] { return is_destroyed.load(); }));
    REQUIRE(becomes_true([&] { return found("", spool)[notes[1]] == 1; }));
    CHECK(calls == 1);
    CHECK(transport.requests().size() == 1);
}

TEST_CASE("row 46: a callback that does not return changes nothing of what the server has taken") {
    using client = candor::rudderstack::basic_client<candor::testing::recording_transport, candor::system_clock>;
    for (const std::string hangs_at : {"fresh", "stored"}) {
        CAPTURE(hangs_at);
        const temporary_directory directory;
        const auto spool = directory.path() / "spool";
        const auto run = [&](candor::testing::recording_transport& transport, const std::vector<std::string>& events,
                             auto on_delivered, auto while_running) {
            candor::system_clock clock;
            candor::rudderstack::client_options options{
                .write_key = "write-key", .data_plane_url = "http://plane", .shutdown_timeout = 300ms};
            options.delivery.spool.directory = spool;
            options.delivery.on_delivered = on_delivered;
            client analytics{options, transport, clock};
            for (const auto& event : events)
                analytics.enqueue(candor::rudderstack::track{.user_id = "u1", .event = event});
            while_running(analytics);
            analytics.shutdown();
            return analytics.statistics();
        };
        const auto spooled = [&] {
            return std::any_of(std::filesystem::directory_iterator{spool}, {},
                               [](const auto& entry) { return entry.path().extension() == ".spool"; });
        };
        candor::testing::recording_transport away, there;
        for (int i = 0; i < 3; ++i) away.fail(candor::transport_error::unreachable);
        run(
            away, {"stored", "stored"}, [](auto) {}, [](client&) {});
        REQUIRE(spooled());

        std::atomic<bool> is_called{false}, may_return{false}, has_returned{false};
        const auto hang = [&](std::string_view message) {
            if (message.find(hangs_at) == message.npos || is_called.exchange(true)) return;
            while (!may_return) std::this_thread::yield();
            has_returned = true;
        };
        const auto counts = run(there, {"fresh", "fresh"}, hang, [&](client& analytics) {
            static_cast<void>(analytics.flush(0ms));
            CHECK(becomes_true([&] { return is_called.load(); }));
        });
        const bool is_fresh = hangs_at == "fresh";
        CHECK(counts.delivered == (is_fresh ? 2 : 4));
        CHECK(counts.dropped.total() == 0);
        CHECK(counts.pending == 0);
        CHECK(spooled() == is_fresh);
        may_return = true;
        CHECK(becomes_true([&] { return has_returned.load(); }));
    }
}

TEST_CASE("row 46: where a callback ends the process while a batch is made, what waits is stored") {
    const temporary_directory directory;
    const auto spool = directory.path() / "spool";
    constexpr int waiting = 600;  // several batches
    const auto end = run_in_child([&](int) {
        static candor::testing::recording_transport transport;
        static candor::system_clock clock;
        candor::telemetry_options options{.product = {.name = "acme", .version = "1.0.0", .env_prefix = "ACME"},
                                          .write_key = "write-key",
                                          .data_plane_url = "http://plane",
                                          .shutdown_timeout = budget};
        options.delivery.spool.directory = spool;
        options.delivery.flush_interval = 1h;
        static std::atomic<bool> is_prepared{false};
        options.delivery.on_dropped = [](auto, auto) {
            while (!is_prepared) std::this_thread::yield();
            std::exit(ended_by_callback);
        };
        auto* const all = new candor::basic_telemetry<candor::testing::recording_transport, candor::system_clock,
                                                      candor::testing::fixed_environment>{options, transport, clock};
        for (int i = 0; i < 3; ++i) all->track(noted{.note = notes[0]});
        all->track(candor::login_succeeded{});  // nobody is logged in
        for (int i = 3; i < waiting; ++i) all->track(noted{.note = notes[0]});
        is_prepared = true;
        static_cast<void>(all->flush(0ms));
        for (;;) ::pause();
        return 0;
    });
    CHECK(end.exit_code() == ended_by_callback);
    CHECK(found("", spool)[notes[0]] == waiting);
}

TEST_CASE("row 46: a client of errors by itself may be destroyed in its callback") {
    candor::testing::recording_transport transport;
    candor::system_clock clock;
    using client = candor::sentry::basic_client<candor::testing::recording_transport, candor::system_clock>;
    std::atomic<bool> is_prepared{false}, is_destroyed{false};
    std::atomic<int> calls{0};
    std::unique_ptr<client> errors;
    const auto destroy = [&](auto&) {
        ++calls;
        while (!is_prepared) std::this_thread::yield();
        errors.reset();
        is_destroyed = true;
        return true;
    };
    errors = std::make_unique<client>(
        candor::sentry::client_options{.dsn = "http://key@errors/1", .before_send = destroy}, transport, clock);
    for (const auto* note : {notes[2], notes[3]}) errors->capture_message(candor::sentry::severity::error, note);
    is_prepared = true;
    REQUIRE(becomes_true([&] { return is_destroyed.load(); }));
    CHECK(calls == 1);
    CHECK(transport.requests().empty());
}

}  // namespace callback_lifetime_test
