#include <candor/sentry/client_report.hpp>

#include <string>
#include <thread>
#include <vector>

#include <candor/testing.hpp>

#include <doctest/doctest.h>

namespace client_report_test {

using candor::sentry::detail::client_report;
using candor::sentry::detail::discard_reason;
using candor::sentry::detail::discards;

namespace {

const candor::wall_time now = candor::testing::manual_clock{}.wall_now();

}  // namespace

TEST_CASE("a client report says what was discarded and why") {
    discards counts;
    CHECK(client_report(counts.take(), now).empty());
    counts.add(discard_reason::sample_rate, 3);
    counts.add(discard_reason::send_error);
    CHECK(client_report(counts.take(), now) == R"({"timestamp":"2026-01-02T03:04:05Z","discarded_events":[)"
                                               R"({"reason":"sample_rate","category":"error","quantity":3},)"
                                               R"({"reason":"send_error","category":"error","quantity":1}]})");
}

TEST_CASE("what was taken is reported once, unless it is restored") {
    discards counts;
    counts.add(discard_reason::before_send, 2);
    const auto taken = counts.take();
    CHECK(client_report(counts.take(), now).empty());
    counts.add(discard_reason::before_send, 5);
    counts.restore(taken);
    CHECK(client_report(counts.take(), now).find(R"("quantity":7)") != std::string::npos);
}

TEST_CASE("no discard is lost between threads") {
    discards counts;
    std::vector<std::thread> threads;
    std::uint64_t taken = 0;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int j = 0; j < 1000; ++j) counts.add(discard_reason::queue_overflow);
        });
    while (taken < 1000) taken += counts.take()[static_cast<std::size_t>(discard_reason::queue_overflow)];
    for (auto& t : threads) t.join();
    taken += counts.take()[static_cast<std::size_t>(discard_reason::queue_overflow)];
    CHECK(taken == 4000);
}

}  // namespace client_report_test
