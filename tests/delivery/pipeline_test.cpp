#include <candor/delivery/pipeline.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <candor/testing.hpp>

#include <support/becomes_true.hpp>

#include "lent.hpp"

namespace pipeline_test {

namespace {

using namespace std::chrono_literals;
using candor::admission;
using candor::drop_reason;
using candor::testing::manual_clock;
using candor::testing::recording_transport;
using candor::tests::line_protocol;

template <class Transport = recording_transport>
struct bench {
    using pipeline = candor::tests::lent_pipeline<Transport, manual_clock>;

    explicit bench(candor::delivery_options options = {})
        : delivery{"test",
                   std::move(options),
                   [this](std::string_view text) { note(text); },
                   1,
                   std::make_unique<line_protocol>(),
                   transport,
                   clock} {}

    admission enqueue(std::string_view text) { return delivery.enqueue(std::array{text}); }

    std::vector<std::string> bodies() const {
        std::vector<std::string> out;
        for (const auto& request : transport.requests()) out.push_back(request.body);
        return out;
    }

    void note(std::string_view text) {
        const std::lock_guard guard{mutex};
        diagnostics.emplace_back(text);
    }

    /// The sum that must hold at every moment.
    bool adds_up() const {
        const auto s = delivery.statistics();
        return s.accepted == s.delivered + s.pending + s.spooled + s.dropped.total();
    }

    manual_clock clock;
    Transport transport;
    std::mutex mutex;
    std::vector<std::string> diagnostics;
    pipeline delivery;
};

}  // namespace

TEST_CASE("a pipeline without a record has no worker and ends at once") {
    bench<> b;
    CHECK(b.delivery.flush(1s));
    b.delivery.shutdown(1s);
    CHECK(b.transport.requests().empty());
    CHECK(b.clock.now() == candor::steady_time{});
}

TEST_CASE("flush sends at once, in order, in one request") {
    bench<> b;
    CHECK(b.enqueue("a") == admission::accepted);
    CHECK(b.enqueue("b") == admission::accepted);
    CHECK(b.delivery.flush(1s));
    CHECK(b.bodies() == std::vector<std::string>{"a\nb\n"});
    CHECK(b.delivery.statistics().delivered == 2);
    CHECK(b.adds_up());
    CHECK_MESSAGE(b.clock.now() == candor::steady_time{}, "no time had to pass");
}

TEST_CASE("records wait for the flush interval, counted from the oldest") {
    bench<> b{{.flush_interval = 5s}};
    b.enqueue("a");
    REQUIRE(b.clock.wait_for_idle());
    CHECK(b.clock.next_wake() == candor::steady_time{5s});
    b.clock.advance(4999ms);
    b.enqueue("b");
    REQUIRE(b.clock.wait_for_idle());
    CHECK(b.transport.requests().empty());
    b.clock.advance(1ms);
    REQUIRE(b.transport.wait_for_requests(1));
    CHECK(b.bodies() == std::vector<std::string>{"a\nb\n"});
}

TEST_CASE("a full batch goes without waiting, the rest stays") {
    bench<> b{{.batch_messages = 3}};
    for (const auto* text : {"a", "b", "c"}) b.enqueue(text);
    REQUIRE(b.transport.wait_for_requests(1));
    CHECK(b.bodies() == std::vector<std::string>{"a\nb\nc\n"});
    b.enqueue("d");
    REQUIRE(b.clock.wait_for_idle());
    CHECK(b.transport.requests().size() == 1);
    CHECK(b.delivery.flush(1s));
    CHECK(b.bodies().back() == "d\n");
}

TEST_CASE("a batch is bounded in bytes, and what does not fit goes with the next one") {
    bench<> b{{.batch_bytes = 100, .message_bytes = 60}};
    for (const char c : {'a', 'b', 'c'}) b.enqueue(std::string(40, c));
    CHECK(b.delivery.flush(1s));
    const std::string a(40, 'a'), bb(40, 'b'), c(40, 'c');
    CHECK(b.bodies() == std::vector<std::string>{a + "\n" + bb + "\n", c + "\n"});
    CHECK(b.adds_up());
}

TEST_CASE("waiting bytes make a batch ready as waiting messages do") {
    bench<> b{{.batch_bytes = 100, .message_bytes = 60}};
    for (const char c : {'a', 'b'}) b.enqueue(std::string(49, c));
    REQUIRE(b.clock.wait_for_idle());
    CHECK(b.transport.requests().empty());
    b.enqueue(std::string(49, 'c'));
    REQUIRE(b.transport.wait_for_requests(1));
}

TEST_CASE("a message that grows too large when it is made is dropped and counted; the others go") {
    bench<> b{{.message_bytes = 500}};
    for (const auto* text : {"a", "grow", "b"}) b.enqueue(text);
    CHECK_FALSE(b.delivery.flush(1s));
    CHECK(b.bodies() == std::vector<std::string>{"a\nb\n"});
    CHECK(b.delivery.statistics().dropped[drop_reason::too_large] == 1);
    CHECK(b.adds_up());
}

TEST_CASE("row 19: a full queue refuses, counts, and takes more once something was settled") {
    bench<> b{{.batch_messages = 2, .queue_messages = 2}};
    b.transport.hang();
    CHECK(b.enqueue("a") == admission::accepted);
    CHECK(b.enqueue("b") == admission::accepted);
    REQUIRE(b.transport.wait_for_requests(1));
    CHECK(b.enqueue("c") == admission::full);
    CHECK(b.delivery.statistics().refused[admission::full] == 1);
    CHECK(b.delivery.statistics().accepted == 2);
    CHECK(b.delivery.statistics().pending == 2);
}

TEST_CASE("a queue is bounded in bytes too, what is under way included") {
    bench<> b{{.queue_bytes = 100}};
    CHECK(b.enqueue(std::string(60, 'a')) == admission::accepted);
    CHECK(b.enqueue(std::string(60, 'b')) == admission::full);
    CHECK(b.enqueue(std::string(40, 'c')) == admission::accepted);
    CHECK(b.delivery.flush(1s));
    CHECK(b.enqueue(std::string(100, 'd')) == admission::accepted);
}

TEST_CASE("records larger than a block, and many blocks, arrive whole") {
    bench<> b{{.batch_bytes = 1'000'000, .message_bytes = 500'000}};
    std::string expected;
    for (int i = 0; i < 30; ++i) {
        const std::string text(static_cast<std::size_t>(i) * 5000 + 1, static_cast<char>('a' + i % 26));
        REQUIRE(b.enqueue(text) == admission::accepted);
        expected += text + "\n";
    }
    CHECK(b.delivery.flush(10s));
    std::string sent;
    for (const auto& body : b.bodies()) sent += body;
    CHECK(sent == expected);
}

TEST_CASE("a failed attempt is repeated with the same messages after a wait of 100 to 300 ms") {
    bench<> b;
    b.transport.respond(503);
    b.enqueue("a");
    CHECK(b.delivery.flush(1s));
    CHECK(b.bodies() == std::vector<std::string>{"a\n", "a\n"});
    CHECK(b.clock.now() >= candor::steady_time{100ms});
    CHECK(b.clock.now() <= candor::steady_time{300ms});
}

TEST_CASE("waits grow to at most 30 s, and nothing is lost") {
    bench<> b;
    for (int i = 0; i < 40; ++i) b.transport.fail(candor::transport_error::unreachable);
    b.enqueue("a");
    CHECK(b.delivery.flush(1h));
    CHECK(b.transport.requests().size() == 41);
    CHECK(b.clock.now() > candor::steady_time{30 * 15s});
    CHECK(b.clock.now() < candor::steady_time{40 * 30s});
    CHECK(b.diagnostics == std::vector<std::string>{"test: unreachable"});
}

TEST_CASE("flush gives up as soon as the next wait would end past its deadline") {
    bench<> b;
    b.transport.respond(503);
    b.enqueue("a");
    CHECK_FALSE(b.delivery.flush(99ms));
    CHECK_MESSAGE(b.clock.now() == candor::steady_time{}, "and does not let that time pass");
    CHECK(b.delivery.statistics().pending == 1);
    CHECK_MESSAGE(b.delivery.flush(0ms) == false, "no time at all");
}

TEST_CASE("flush cuts a backoff short, once") {
    bench<> b;
    for (int i = 0; i < 12; ++i) b.transport.respond(503);
    b.enqueue("a");
    CHECK_FALSE(b.delivery.flush(60s));
    const auto before = b.clock.now();
    const auto sent = b.transport.requests().size();
    CHECK_FALSE(b.delivery.flush(1ms));
    CHECK(b.transport.requests().size() == sent + 1);
    CHECK(b.clock.now() == before);
}

TEST_CASE("row 9: a wait that the server asked for is kept by flush and shutdown") {
    bench<> b;
    b.transport.respond(429);
    b.enqueue("a");
    CHECK_FALSE(b.delivery.flush(19s));
    CHECK_FALSE(b.delivery.flush(19s));
    CHECK(b.transport.requests().size() == 1);
    SUBCASE("flush waits for it where it can") {
        CHECK(b.delivery.flush(21s));
        CHECK(b.clock.now() == candor::steady_time{20s});
    }
    SUBCASE("shutdown does not where it cannot") {
        b.delivery.shutdown(500ms);
        CHECK(b.transport.requests().size() == 1);
        CHECK(b.delivery.statistics().dropped[drop_reason::shutdown] == 1);
        CHECK(b.adds_up());
    }
}

TEST_CASE("a bad message is found by halves, and only it is dropped") {
    bench<> b;
    for (const char c : {'a', 'b', 'c', 'd', 'e'}) b.enqueue({&c, 1});
    b.transport.respond(400);  // abcde
    b.transport.respond(200);  // ab
    b.transport.respond(400);  // cde
    b.transport.respond(400);  // c
    CHECK_FALSE(b.delivery.flush(1s));
    CHECK(b.bodies() == std::vector<std::string>{"a\nb\nc\nd\ne\n", "a\nb\n", "c\nd\ne\n", "c\n", "d\ne\n"});
    const auto s = b.delivery.statistics();
    CHECK(s.delivered == 4);
    CHECK(s.dropped[drop_reason::rejected] == 1);
    CHECK(b.adds_up());
}

TEST_CASE("every culprit among 250 is found, wherever they are") {
    struct picky_transport : recording_transport {
        candor::http_response send(const candor::http_request& request) {
            recording_transport::send(request);
            return {.status = request.body.find("bad") == std::string::npos ? 200 : 400};
        }
    };
    bench<picky_transport> b{{.batch_messages = 300}};
    for (int i = 0; i < 250; ++i) b.enqueue(i % 50 == 7 ? "bad" : "good " + std::to_string(i));
    CHECK_FALSE(b.delivery.flush(1s));
    CHECK(b.delivery.statistics().delivered == 245);
    CHECK(b.delivery.statistics().dropped[drop_reason::rejected] == 5);
}

TEST_CASE("a refused key drops the batch, pauses for 5 minutes and is said once") {
    bench<> b;
    b.transport.respond(401);
    b.transport.respond(401);
    b.enqueue("a");
    CHECK_FALSE(b.delivery.flush(1s));
    CHECK(b.delivery.statistics().dropped[drop_reason::unauthorized] == 1);
    b.enqueue("b");
    CHECK_FALSE(b.delivery.flush(1min));
    CHECK(b.transport.requests().size() == 1);
    CHECK_FALSE(b.delivery.flush(6min));
    CHECK(b.transport.requests().size() == 2);
    CHECK(b.diagnostics == std::vector<std::string>{"test: 401"});
    b.enqueue("c");
    b.delivery.shutdown(1s);
    CHECK(b.transport.requests().size() == 2);
    CHECK(b.delivery.statistics().dropped[drop_reason::shutdown] == 1);
    CHECK(b.adds_up());
}

TEST_CASE("what is dropped on purpose does not make flush fail") {
    bench<> b;
    b.enqueue("internal");
    CHECK(b.delivery.flush(1s));
    CHECK(b.transport.requests().empty());
    CHECK(b.delivery.statistics().dropped[drop_reason::internal] == 1);
}

TEST_CASE("a protocol that throws costs one message, or the batch at hand") {
    bench<> b;
    for (const auto* text : {"a", "throw", "b"}) b.enqueue(text);
    CHECK_FALSE(b.delivery.flush(1s));
    CHECK(b.bodies() == std::vector<std::string>{"a\nb\n"});
    b.enqueue("poison");
    CHECK_FALSE(b.delivery.flush(1s));
    CHECK(b.delivery.statistics().dropped[drop_reason::failed] == 2);
    b.enqueue("c");
    CHECK(b.delivery.flush(1s));
    CHECK(b.adds_up());
}

TEST_CASE("row 31: a transport that throws is a broken connection") {
    struct throwing_transport : recording_transport {
        std::atomic<int> throws{2};
        candor::http_response send(const candor::http_request& request) {
            if (throws-- > 0) throw std::runtime_error{"send"};
            return recording_transport::send(request);
        }
    };
    bench<throwing_transport> b;
    b.enqueue("a");
    CHECK(b.delivery.flush(10s));
    CHECK(b.delivery.statistics().delivered == 1);
}

TEST_CASE("callbacks see every message with its fate, may enqueue, and may throw") {
    std::vector<std::string> delivered, dropped;
    std::function<void()> more = [] {};
    bench<> b{{.on_delivered =
                   [&](std::string_view message) {
                       delivered.emplace_back(message);
                       more();
                       throw 1;
                   },
               .on_dropped =
                   [&](std::string_view message, drop_reason reason) {
                       dropped.push_back(std::string{message} + ":" + std::string{to_string(reason)});
                       throw 2;
                   }}};
    more = [&] {
        if (delivered.size() == 1) CHECK(b.enqueue("from a callback") == admission::accepted);
        CHECK_FALSE(b.delivery.flush(1s));
    };
    b.enqueue("a");
    b.enqueue("internal");
    b.enqueue("grow" + std::string(40'000, 'x'));
    CHECK_FALSE(b.delivery.flush(1s));
    b.delivery.shutdown(1s);
    CHECK(delivered == std::vector<std::string>{"a", "from a callback"});
    REQUIRE(dropped.size() == 2);
    CHECK(dropped[0] == ":internal");
    CHECK(dropped[1].ends_with(":too_large"));
}

TEST_CASE("shutdown delivers what waits, then answers closed") {
    bench<> b;
    b.enqueue("a");
    b.delivery.shutdown(1s);
    CHECK(b.bodies() == std::vector<std::string>{"a\n"});
    CHECK(b.enqueue("b") == admission::closed);
    CHECK(b.delivery.statistics().refused[admission::closed] == 1);
    CHECK(b.delivery.flush(1s));
    b.delivery.shutdown(1s);
}

TEST_CASE("shutdown retries within its time") {
    bench<> b;
    b.transport.respond(503);
    b.enqueue("a");
    b.delivery.shutdown(1s);
    CHECK(b.transport.requests().size() == 2);
    CHECK(b.delivery.statistics().delivered == 1);
}

TEST_CASE("shutdown gives up at once when nothing listens, and counts what is left") {
    bench<> b{{.batch_messages = 1}};
    for (int i = 0; i < 5; ++i) b.transport.fail(candor::transport_error::unreachable);
    for (const auto* text : {"a", "b", "c"}) b.enqueue(text);
    b.delivery.shutdown(10s);
    CHECK(b.transport.requests().size() <= 2);  // the one under way and a last one
    CHECK(b.clock.now() < candor::steady_time{1s});
    CHECK(b.delivery.statistics().dropped[drop_reason::shutdown] == 3);
    CHECK(b.adds_up());
}

TEST_CASE("shutdown makes one more attempt when it interrupts a backoff") {
    bench<> b;
    b.transport.fail(candor::transport_error::unreachable);
    b.enqueue("a");
    CHECK_FALSE(b.delivery.flush(1ms));
    b.delivery.shutdown(500ms);
    CHECK(b.delivery.statistics().delivered == 1);
    CHECK(b.clock.now() == candor::steady_time{});
}

TEST_CASE("shutdown cancels a request that hangs, and joins the worker") {
    bench<> b;
    b.transport.hang();
    b.enqueue("a");
    b.enqueue("b");
    b.delivery.shutdown(500ms);
    CHECK(b.delivery.statistics().dropped[drop_reason::shutdown] == 2);
    CHECK(b.adds_up());
}

TEST_CASE("two threads may shut down at once") {
    bench<> b;
    b.enqueue("a");
    std::thread other{[&] { b.delivery.shutdown(1s); }};
    b.delivery.shutdown(1s);
    other.join();
    CHECK(b.delivery.statistics().delivered == 1);
}

TEST_CASE("8 threads at once: nothing lost, nothing doubled, and the sum holds at every moment") {
    constexpr int threads = 8, each = 2000;
    bench<> b{{.batch_messages = 100, .queue_messages = 1'000'000}};
    std::atomic<bool> running{true};
    std::atomic<bool> sums_held{true};
    std::thread auditor{[&] {
        while (running) {
            if (!b.adds_up()) sums_held = false;
            std::this_thread::yield();
        }
    }};
    std::vector<std::thread> producers;
    for (int t = 0; t < threads; ++t) {
        producers.emplace_back([&b, t] {
            for (int i = 0; i < each; ++i) {
                const std::string text = std::to_string(t) + ":" + std::to_string(i);
                while (b.enqueue(text) != admission::accepted) std::this_thread::yield();
            }
        });
    }
    for (auto& producer : producers) producer.join();
    CHECK(b.delivery.flush(10s));
    running = false;
    auditor.join();
    CHECK(sums_held);

    std::array<int, threads> next{};
    std::size_t lines = 0;
    for (const auto& body : b.bodies()) {
        for (std::size_t at = 0; at < body.size(); ++lines) {
            const auto end = body.find('\n', at);
            const auto line = body.substr(at, end - at);
            const auto t = static_cast<std::size_t>(line[0] - '0');
            CHECK(std::stoi(line.substr(2)) == next.at(t)++);  // each thread's own in its own order
            at = end + 1;
        }
    }
    CHECK(lines == threads * each);
}

TEST_CASE("enqueue does not wait for a request that is under way") {
    bench<> b{{.batch_messages = 1}};
    b.transport.hang();
    b.enqueue("a");
    REQUIRE(b.transport.wait_for_requests(1));
    for (int i = 0; i < 1000; ++i) CHECK(b.enqueue("b") == admission::accepted);
    CHECK(becomes_true([&] { return b.delivery.statistics().pending == 1001; }));
}

TEST_CASE("after a batch the next record does not wake the worker, and is sent within its interval") {
    bench<> b{{.flush_interval = 5s}};
    b.enqueue("a");
    REQUIRE(b.delivery.flush(1s));
    REQUIRE(b.clock.wait_for_idle());
    CHECK(b.clock.next_wake() == candor::steady_time{5s});
    b.clock.advance(3s);
    b.enqueue("b");
    CHECK(b.clock.next_wake() == candor::steady_time{5s});
    b.clock.advance(2s);
    REQUIRE(becomes_true([&] { return b.clock.next_wake() == candor::steady_time{8s}; }));
    CHECK(b.transport.requests().size() == 1);
    b.clock.advance(3s);
    REQUIRE(b.transport.wait_for_requests(2));
}

TEST_CASE("a worker with nothing to do sleeps until it is woken") {
    bench<> b{{.flush_interval = 5s}};
    b.enqueue("a");
    REQUIRE(b.delivery.flush(1s));
    REQUIRE(b.clock.wait_for_idle());
    b.clock.advance(5s);
    REQUIRE(becomes_true([&] { return b.clock.next_wake() == candor::steady_time::max(); }));
    REQUIRE(b.clock.wait_for_idle());
    b.enqueue("b");
    REQUIRE(becomes_true([&] { return b.clock.next_wake() == candor::steady_time{10s}; }));
    b.clock.advance(5s);
    REQUIRE(b.transport.wait_for_requests(2));
}

}  // namespace pipeline_test
