#include <candor/delivery/pipeline.hpp>

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <candor/candor.hpp>
#include <candor/testing.hpp>

#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/socket_server.hpp>
#include <support/temporary_directory.hpp>

#include "lent.hpp"

#include <doctest/doctest.h>

namespace pipeline_spool_test {

namespace {

using namespace std::chrono_literals;
using candor::admission;
using candor::drop_reason;
using candor::transport_error;
using candor::testing::manual_clock;
using candor::testing::recording_transport;
using candor::tests::line_protocol;
namespace fs = std::filesystem;

/// Programs that run one after the other, or at the same time, on one spool.
struct place {
    /// Files of the spool, with messages or (`.breaker`) without.
    [[nodiscard]] std::size_t files(std::string_view end = ".spool") const {
        const auto path = t.path() / "spool";
        std::size_t out = 0;
        if (!fs::exists(path)) return out;
        for (const auto& entry : fs::directory_iterator{path}) out += entry.path().string().ends_with(end) ? 1U : 0U;
        return out;
    }
    [[nodiscard]] candor::delivery_options options(candor::delivery_options out = {}) const {
        out.spool.directory = t.path() / "spool";
        return out;
    }
    const temporary_directory t{};
    mutable int runs = 0;  ///< each starts a second after the one before
};

/// One run of a program.
struct run {
    run(const place& p, candor::delivery_options options, std::string url = "http://plane")
        : clock{candor::wall_time{std::chrono::seconds{1'767'323'045 + p.runs++}}},
          delivery{"lines",
                   std::move(options),
                   [this](std::string_view text) { diagnostics.emplace_back(text); },
                   1,
                   std::make_unique<line_protocol>(std::move(url)),
                   transport,
                   clock} {}

    admission enqueue(std::string_view text) { return delivery.enqueue(std::array{text}); }

    /// What the server has got, request by request.
    [[nodiscard]] std::vector<std::string> bodies() const {
        std::vector<std::string> out;
        for (const auto& request : transport.requests()) out.push_back(request.body);
        return out;
    }

    [[nodiscard]] candor::statistics statistics() const {
        const auto s = delivery.statistics();
        CHECK(s.accepted == s.delivered + s.pending + s.spooled + s.dropped.total());
        return s;
    }

    std::vector<std::string> diagnostics{};  // the worker's until it has ended
    manual_clock clock;
    recording_transport transport{};
    candor::tests::lent_pipeline<recording_transport, manual_clock> delivery;
};

/// A run in which the server cannot be reached leaves these.
void leave(const place& p, const std::vector<std::string>& texts, candor::delivery_options options = {}) {
    run r{p, p.options(std::move(options))};
    for (int i = 0; i < 3; ++i) r.transport.fail(transport_error::unreachable);
    for (const auto& text : texts) r.enqueue(text);
    r.delivery.shutdown(1s);
    CHECK(r.statistics().spooled == texts.size());
    CHECK(r.statistics().dropped.total() == 0);
}

}  // namespace

TEST_CASE("row 1: what cannot be delivered before the program ends waits in the spool, and the next run delivers it") {
    const place p;
    leave(p, {"a", "b"});
    CHECK(p.files() == 1);
    run next{p, p.options()};
    next.enqueue("c");
    CHECK(next.delivery.flush(1s));
    next.delivery.shutdown(1s);
    CHECK(next.bodies() == std::vector<std::string>{"c\n", "a\nb\n"});
    const auto s = next.statistics();
    CHECK(s.delivered == 3);
    CHECK(s.accepted == 3);
    CHECK(s.recovered == 2);
    CHECK(p.files() == 0);
}

TEST_CASE("what waits behind the batch at hand is stored too, in files of a batch") {
    const place p;
    leave(p, {"a", "b", "c", "d", "e"}, {.batch_messages = 2});
    CHECK(p.files() == 3);
}

TEST_CASE("nothing of the spool is sent before something fresh was delivered") {
    const place p;
    leave(p, {"a"});
    run next{p, p.options()};
    next.transport.fail(transport_error::unreachable);
    next.transport.fail(transport_error::unreachable);
    next.enqueue("b");
    next.delivery.shutdown(1s);
    for (const auto& body : next.bodies()) CHECK(body == "b\n");
    CHECK(next.statistics().spooled == 1);
    CHECK(next.statistics().recovered == 0);
    CHECK(p.files() == 2);
}

TEST_CASE("a run without a message of its own sends what earlier ones have left once it has lasted some seconds") {
    const place p;
    leave(p, {"a"});
    {
        run r{p, p.options()};
        REQUIRE(r.clock.wait_for_idle());
        r.delivery.shutdown(1s);
        CHECK(r.transport.requests().empty());  // that was too short
    }
    run r{p, p.options()};
    REQUIRE(r.clock.wait_for_idle());
    CHECK(r.clock.next_wake() == candor::steady_time{candor::detail::scheduler::settling_in});
    r.clock.advance(candor::detail::scheduler::settling_in);
    REQUIRE(becomes_true([&] { return r.statistics().delivered == 1; }));
    CHECK(p.files() == 0);
    r.delivery.shutdown(1s);
    run nothing_left{p, p.options()};
    CHECK(nothing_left.clock.next_wake() == candor::steady_time::max());
}

TEST_CASE("a run that had something to deliver has time for what others have left when it ends") {
    const place p;
    leave(p, {"a"});
    run r{p, p.options()};
    REQUIRE(r.clock.wait_for_idle());
    r.delivery.try_stored();  // as where another destination had something
    r.delivery.shutdown(1s);
    CHECK(r.statistics().delivered == 1);
    CHECK(p.files() == 0);
}

TEST_CASE("row 2: the first failure ends the draining until something fresh is delivered again") {
    const place p;
    leave(p, {"a"});
    leave(p, {"b"});
    run next{p, p.options()};
    next.transport.respond(200);
    next.transport.fail(transport_error::unreachable);
    next.enqueue("c");
    REQUIRE(next.delivery.flush(1s));
    REQUIRE(next.transport.wait_for_requests(2));
    REQUIRE(next.clock.wait_for_idle());
    CHECK(next.bodies() == std::vector<std::string>{"c\n", "a\nb\n"});
    CHECK(next.statistics().recovered == 0);  // they are another run's again
    CHECK(p.files() == 2);
    next.enqueue("d");
    REQUIRE(next.delivery.flush(1s));
    next.delivery.shutdown(1s);
    CHECK(next.bodies() == std::vector<std::string>{"c\n", "a\nb\n", "d\n", "a\nb\n"});
    CHECK(next.statistics().delivered == 4);
    CHECK(p.files() == 0);
}

TEST_CASE(
    "row 23: a file that the server answers and does not take is given up after five answers, network failures aside") {
    const place p;
    leave(p, {"a"});
    for (int attempt = 1; attempt <= 5; ++attempt) {
        CAPTURE(attempt);
        CHECK(p.files() == 1);
        for (const bool answers : {false, true}) {
            run r{p, p.options()};
            r.transport.respond(200);
            if (answers) {
                r.transport.respond(500);
            } else {
                r.transport.fail(transport_error::timeout);
            }
            r.enqueue("fresh");
            r.delivery.shutdown(1s);
            CHECK(r.transport.requests().size() == 2);
            CHECK(r.statistics().dropped[drop_reason::exhausted] == (attempt == 5 && answers ? 1 : 0));
        }
    }
    CHECK(p.files() == 0);
}

TEST_CASE("row 23: files that were sent together are blamed one by one, and the others are delivered") {
    const place p;
    leave(p, {"good"});
    leave(p, {"bad"});
    for (int attempt = 1; attempt <= 5; ++attempt) {
        CAPTURE(attempt);
        run r{p, p.options()};
        r.transport.respond(200);                    // to what is fresh
        if (attempt == 2) r.transport.respond(200);  // to the good one, which goes alone now
        r.transport.respond(500);
        r.enqueue("fresh");
        r.delivery.shutdown(1s);
        CHECK(r.bodies().back() == (attempt == 1 ? "good\nbad\n" : "bad\n"));
        CHECK(r.statistics().recovered == (attempt == 2 || attempt == 5 ? 1 : 0));
        CHECK(r.statistics().dropped[drop_reason::exhausted] == (attempt == 5 ? 1 : 0));
    }
    CHECK(p.files() == 0);
}

TEST_CASE("row 6: of a stored batch the culprit alone is dropped") {
    const place p;
    leave(p, {"a", "bad", "c"});
    run r{p, p.options()};
    for (const int status : {200, 400, 200, 400, 400, 200}) r.transport.respond(status);
    r.enqueue("fresh");
    r.delivery.shutdown(1s);
    CHECK(r.bodies() == std::vector<std::string>{"fresh\n", "a\nbad\nc\n", "a\n", "bad\nc\n", "bad\n", "c\n"});
    CHECK(r.statistics().delivered == 3);
    CHECK(r.statistics().dropped[drop_reason::rejected] == 1);
    CHECK(p.files() == 0);
}

TEST_CASE("of a stored batch of which a part was delivered, the rest alone is kept, with its age") {
    const place p;
    leave(p, {"a", "b"});
    {
        run r{p, p.options()};
        for (const int status : {200, 400, 200}) r.transport.respond(status);
        r.transport.fail(transport_error::broken);
        r.enqueue("fresh");
        r.delivery.shutdown(1s);
        CHECK(r.statistics().delivered == 2);
        CHECK(r.statistics().recovered == 1);
        CHECK(r.statistics().accepted == 2);
    }
    REQUIRE(p.files() == 1);
    run next{p, p.options()};
    next.enqueue("fresh");
    next.delivery.shutdown(1s);
    CHECK(next.bodies() == std::vector<std::string>{"fresh\n", "b\n"});
}

TEST_CASE("when half of the queue waits for a server that is not there, it is stored and makes room") {
    const place p;
    run r{p, p.options({.batch_messages = 2, .queue_messages = 8})};
    r.transport.fail(transport_error::unreachable);
    for (int i = 0; i < 40; ++i) {
        CAPTURE(i);
        CHECK(r.enqueue("m" + std::to_string(i)) == admission::accepted);
        REQUIRE(becomes_true([&] { return r.statistics().pending < 8; }));
    }
    CHECK(r.transport.requests().size() == 1);
    CHECK(r.statistics().spooled > 30);
    CHECK(r.statistics().dropped.total() == 0);
    CHECK_FALSE(r.delivery.flush(0s));
    r.clock.advance(1h);
    r.enqueue("last");
    static_cast<void>(r.delivery.flush(1s));
    r.delivery.shutdown(1min);  // what is stored takes its turns
    CHECK(r.statistics().delivered == 41);
    CHECK(r.statistics().recovered == 0);
    CHECK(p.files() == 0);
}

TEST_CASE("row 20: where nothing can be stored, the queue goes on in memory, and what is lost is counted") {
    const place p;
    p.t.write("spool", "no directory");
    run r{p, p.options({.batch_messages = 2, .queue_messages = 8})};
    for (int i = 0; i < 4; ++i) r.transport.fail(transport_error::unreachable);
    for (int i = 0; i < 8; ++i) CHECK(r.enqueue("m") == admission::accepted);
    CHECK(r.enqueue("m") == admission::full);
    r.delivery.shutdown(1s);
    CHECK(r.statistics().spooled == 0);
    CHECK(r.statistics().dropped[drop_reason::shutdown] == 8);
}

TEST_CASE("a spool that is off, or has no directory, stores nothing") {
    const place p;
    for (const bool enabled : {false, true}) {
        auto options = p.options();
        options.spool.enabled = enabled;
        if (enabled) options.spool.directory.clear();
        run r{p, options};
        r.transport.fail(transport_error::unreachable);
        r.transport.fail(transport_error::unreachable);
        r.enqueue("a");
        r.delivery.shutdown(1s);
        CHECK(r.statistics().dropped[drop_reason::shutdown] == 1);
        CHECK(p.files() == 0);
    }
}

TEST_CASE("row 33: revoked in flight, nothing is sent or stored afterwards, and all is counted") {
    const place p;
    run r{p, p.options()};
    r.transport.hang();
    r.enqueue("a");
    r.enqueue("b");
    CHECK_FALSE(r.delivery.flush(0s));
    REQUIRE(r.transport.wait_for_requests(1));
    r.enqueue("c");
    r.delivery.revoke();
    r.delivery.shutdown(0s);
    CHECK(r.enqueue("d") == admission::closed);
    CHECK(r.transport.requests().size() == 1);
    CHECK(r.statistics().dropped[drop_reason::revoked] == 3);
    CHECK(r.statistics().pending == 0);
    CHECK(p.files() == 0);
}

TEST_CASE("row 24: two programs that deliver at the same time send each stored message once") {
    const place p;
    for (int i = 0; i < 20; ++i) leave(p, {"m" + std::to_string(i)});
    std::vector<std::string> sent;
    {
        run a{p, p.options()};
        run b{p, p.options()};
        for (auto* r : {&a, &b}) r->clock.advance(24h);  // after so many runs that failed
        a.enqueue("fresh");
        b.enqueue("fresh");
        a.delivery.close(1s);
        b.delivery.close(1s);
        a.delivery.shutdown(1s);
        b.delivery.shutdown(1s);
        for (const auto* r : {&a, &b})
            for (const auto& body : r->bodies())
                for (std::size_t at = 0; at < body.size();) {
                    const auto end = body.find('\n', at);
                    sent.push_back(body.substr(at, end - at));
                    at = end + 1;
                }
        CHECK(a.statistics().recovered + b.statistics().recovered == 20);
    }
    std::sort(sent.begin(), sent.end());
    CHECK(sent.size() == 22);
    CHECK(std::unique(sent.begin(), sent.end()) - sent.begin() == 21);
    CHECK(p.files() == 0);
}

TEST_CASE("a full spool gives up its oldest, which is counted") {
    const place p;
    leave(p, {"o"});
    const auto size_of_one_file = [](const place& in) {
        for (const auto& entry : fs::directory_iterator{in.t.path() / "spool"})
            if (entry.path().extension() == ".spool") return static_cast<std::size_t>(entry.file_size());
        return std::size_t{1};
    };
    run r{p, [&] {
              auto options = p.options({.batch_messages = 1});
              options.spool.max_bytes = 2 * size_of_one_file(p);
              return options;
          }()};
    for (int i = 0; i < 3; ++i) r.transport.fail(transport_error::unreachable);
    for (const char* text : {"a", "b", "c"}) r.enqueue(text);
    r.delivery.shutdown(1s);
    CHECK(r.statistics().spooled == 2);
    CHECK(r.statistics().recovered == 1);
    CHECK(r.statistics().dropped[drop_reason::evicted] == 2);
}

namespace {

constexpr std::string_view not_tried = "lines: not tried for another";

bool says_not_tried(const run& r) {
    return std::any_of(r.diagnostics.begin(), r.diagnostics.end(),
                       [](const auto& text) { return text.starts_with(not_tried); });
}

/// Five runs that cannot reach the server.
void fail_five_times(const place& p) {
    for (int i = 0; i < 5; ++i) leave(p, {"m" + std::to_string(i)});
}

}  // namespace

TEST_CASE("after five failed runs the next asks nothing, stores at once and says so") {
    const place p;
    fail_five_times(p);
    run sixth{p, p.options()};
    sixth.enqueue("a");
    CHECK_FALSE(sixth.delivery.flush(4min));
    CHECK(sixth.clock.now() == candor::steady_time{});  // it did not wait
    sixth.enqueue("b");
    sixth.delivery.shutdown(10min);
    CHECK(sixth.clock.now() == candor::steady_time{});
    CHECK(sixth.transport.requests().empty());
    CHECK(sixth.statistics().spooled == 2);
    REQUIRE(sixth.diagnostics.size() == 1);
    CHECK(sixth.diagnostics[0].starts_with(not_tried));
    CHECK(sixth.diagnostics[0].ends_with(" min: the last 5 runs could deliver nothing to it"));
}

TEST_CASE("a run that fails says so on disk before it waits, and no longer when it reached the server or ended") {
    const place p;
    for (const bool reaches : {true, false}) {
        run r{p, p.options()};
        r.transport.fail(transport_error::unreachable);
        r.enqueue("a");
        CHECK_FALSE(r.delivery.flush(0s));
        REQUIRE(r.transport.wait_for_requests(1));
        REQUIRE(r.clock.wait_for_idle());
        CHECK(p.files(".failing") == 1);
        CHECK(p.files(".breaker") == 0);
        if (reaches) {
            CHECK(r.delivery.flush(1s));
        } else {
            r.transport.fail(transport_error::unreachable);
            r.delivery.shutdown(0s);
        }
        CHECK(p.files(".failing") == 0);
        CHECK(p.files(".breaker") == (reaches ? 0 : 1));
    }
}

TEST_CASE("five runs that are killed while they wait for the server keep the next away") {
    const place p;
    for (int i = 0; i < 5; ++i) {
        child_process child{[&](int output) {
            run r{p, p.options()};
            r.transport.fail(transport_error::unreachable);
            r.enqueue("a");
            static_cast<void>(r.delivery.flush(0s));
            if (!r.transport.wait_for_requests(1) || !r.clock.wait_for_idle()) return 1;
            say(output, "!");
            ::pause();
            return 0;
        }};
        CHECK(child.read(1) == "!");
        ::kill(child.id(), SIGKILL);
        CHECK(child.wait().signal() == SIGKILL);
    }
    run sixth{p, p.options()};
    sixth.enqueue("a");
    CHECK_FALSE(sixth.delivery.flush(4min));
    CHECK(sixth.transport.requests().empty());
    CHECK(says_not_tried(sixth));
}

TEST_CASE("four failed runs do not keep the next away, nor do five that a success interrupts") {
    const place p;
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 4; ++i) leave(p, {"m"});
        CHECK(p.files(".breaker") == 1);
        run r{p, p.options()};
        r.enqueue("a");
        CHECK(r.delivery.flush(1s));
        CHECK(p.files(".breaker") == 0);
        r.delivery.shutdown(1s);
        CHECK(r.statistics().delivered == 5);
        CHECK_FALSE(says_not_tried(r));
        CHECK(p.files() == 0);
    }
}

TEST_CASE("when the time is over a run tries again: a success delivers all, a failure makes it longer") {
    const place p;
    fail_five_times(p);
    bool succeeds = false;
    SUBCASE("a success") { succeeds = true; }
    SUBCASE("a failure") {}
    run probe{p, p.options()};
    probe.clock.advance(11min);
    if (!succeeds) {
        for (int i = 0; i < 3; ++i) probe.transport.fail(transport_error::unreachable);
    }
    probe.enqueue("a");
    probe.delivery.shutdown(1s);
    CHECK_FALSE(probe.transport.requests().empty());
    if (succeeds) {
        CHECK(probe.statistics().delivered == 6);
        CHECK(p.files("") == p.files("-last.delivered"));
        return;
    }
    CHECK(p.files(".breaker") == 1);
    run next{p, p.options()};
    next.clock.advance(11min + 9min);
    next.enqueue("b");
    next.delivery.shutdown(1s);
    CHECK(next.transport.requests().empty());
    run later{p, p.options()};
    later.clock.advance(11min + 21min);
    later.enqueue("c");
    later.delivery.shutdown(1s);
    CHECK(later.statistics().delivered == 8);
    CHECK(p.files("") == p.files("-last.delivered"));
}

TEST_CASE("a run that goes on when the time is over tries then, and delivers what it held and what was stored") {
    const place p;
    fail_five_times(p);
    run r{p, p.options()};
    r.enqueue("a");
    CHECK_FALSE(r.delivery.flush(0s));
    REQUIRE(r.clock.wait_for_idle());
    CHECK(r.transport.requests().empty());
    CHECK(r.statistics().spooled == 0);
    r.clock.advance(11min);
    r.enqueue("b");
    CHECK(r.delivery.flush(1s));
    r.delivery.shutdown(1s);
    CHECK(r.statistics().delivered == 7);
    CHECK(p.files("") == p.files("-last.delivered"));
}

TEST_CASE("while it asks nothing a run stores what fills its queue") {
    const place p;
    fail_five_times(p);
    run r{p, p.options({.batch_messages = 2, .queue_messages = 8})};
    for (int i = 0; i < 40; ++i) {
        CHECK(r.enqueue("m") == admission::accepted);
        REQUIRE(becomes_true([&] { return r.statistics().pending < 8; }));
    }
    r.delivery.shutdown(1s);
    CHECK(r.transport.requests().empty());
    CHECK(r.statistics().spooled == 40);
}

TEST_CASE("what cannot be stored is tried even so") {
    const place p;
    fail_five_times(p);
    auto options = p.options();
    options.spool.max_bytes = 1;
    run r{p, options};
    r.enqueue("a");
    r.delivery.shutdown(1s);
    CHECK(r.statistics().delivered == 1);
    CHECK(r.bodies()[0] == "a\n");
}

TEST_CASE("another endpoint, a clock that was set back and a spool that is off are no reason not to try") {
    const place p;
    fail_five_times(p);
    auto options = p.options();
    std::string url = "http://plane";
    bool is_set_back = false;
    SUBCASE("another endpoint") { url = "http://other"; }
    SUBCASE("a clock that was set back") { is_set_back = true; }
    SUBCASE("a spool that is off") { options.spool.enabled = false; }
    run r{p, options, url};
    if (is_set_back) r.clock.set_wall(r.clock.wall_now() - 1h);
    r.enqueue("a");
    CHECK(r.delivery.flush(1s));
}

TEST_CASE("answers of a server that is there do not add up to a failed run, those that say later do") {
    struct answer {
        int status;
        bool counts;
    };
    for (const auto& [answered, counts] : {answer{400, false}, {401, false}, {429, true}, {503, true}}) {
        const int status = answered;
        CAPTURE(status);
        const place p;
        for (int i = 0; i < 5; ++i) {
            run r{p, p.options()};
            for (int k = 0; k < 20; ++k) r.transport.respond(status);
            r.enqueue("m");
            r.delivery.shutdown(1s);
        }
        run sixth{p, p.options()};
        sixth.enqueue("a");
        sixth.delivery.shutdown(1s);
        CHECK(says_not_tried(sixth) == counts);
    }
}

TEST_CASE("row 3: a run that ends while the server does not answer has failed, unless it gave it no time") {
    const place p;
    for (const auto timeout : {100ms, 1000ms}) {
        for (int i = 0; i < 5; ++i) {
            run r{p, p.options()};
            r.transport.hang();
            r.enqueue("m");
            r.delivery.close(timeout);
            REQUIRE(r.transport.wait_for_requests(1));
            r.clock.advance(timeout);
            r.delivery.shutdown(timeout);
            CHECK(r.statistics().spooled == 1);
        }
        run sixth{p, p.options()};
        sixth.enqueue("a");
        sixth.delivery.shutdown(1s);
        CHECK(says_not_tried(sixth) == (timeout == 1000ms));
    }
}

TEST_CASE("row 2: after five real refusals the sixth run makes no connection, though somebody listens by then") {
    const temporary_directory t;
    const auto socket = candor::testing::detail::bound_socket();
    candor::rudderstack::client_options options{.write_key = "key", .shutdown_timeout = 500ms};
    options.data_plane_url = "http://127.0.0.1:" + std::to_string(candor::testing::detail::port_of(socket));
    options.delivery.spool.directory = t.path() / "spool";
    const auto run_once = [&] {
        candor::rudderstack::client client{options};
        CHECK(client.enqueue(candor::rudderstack::track{.user_id = "u", .event = "e"}) == admission::accepted);
        const auto started = std::chrono::steady_clock::now();
        client.shutdown();
        CHECK(client.statistics().spooled == 1);
        return std::chrono::steady_clock::now() - started;
    };
    const auto has_connection = [&] {
        pollfd waiting{socket.get(), POLLIN, 0};
        return ::poll(&waiting, 1, 0) == 1;
    };
    for (int i = 0; i < 5; ++i) run_once();
    REQUIRE(::listen(socket.get(), 1) == 0);
    CHECK(run_once() < 400ms);
    CHECK_FALSE(has_connection());
    for (const auto& entry : fs::directory_iterator{options.delivery.spool.directory})
        if (entry.path().extension() == ".breaker") fs::remove(entry);
    run_once();
    CHECK(has_connection());
}

TEST_CASE("without consent no run is counted") {
    const place p;
    run r{p, p.options()};
    for (int i = 0; i < 2; ++i) r.transport.fail(transport_error::unreachable);
    r.enqueue("a");
    CHECK_FALSE(r.delivery.flush(0s));
    REQUIRE(r.transport.wait_for_requests(1));
    r.delivery.revoke();
    r.delivery.shutdown(0s);
    CHECK(p.files("") == 0);
}

TEST_CASE("a worker that has ended leaves no file for whoever destroys the pipeline to close") {
    const place p;
    const auto open_files = [&] {
        int out = 0;
        std::error_code closed_meanwhile;
        for (const auto& entry : fs::directory_iterator{"/proc/self/fd"})
            if (fs::read_symlink(entry, closed_meanwhile).string().starts_with(p.t.path().string())) ++out;
        return out;
    };
    leave(p, {"a"});
    run r{p, p.options()};
    r.enqueue("b");
    CHECK(r.delivery.flush(1s));
    CHECK(open_files() > 0);
    r.delivery.shutdown(1s);
    CHECK(open_files() == 0);
}

}  // namespace pipeline_spool_test
