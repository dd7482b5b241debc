#include <candor/sentry/breadcrumbs.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#ifndef _WIN32
#include <signal.h>
#include <sys/time.h>

#include <support/child_process.hpp>
#endif

#include <doctest/doctest.h>

namespace breadcrumbs_test {

namespace {

using candor::sentry::breadcrumb;
using candor::sentry::breadcrumb_ring;
using candor::sentry::detail::breadcrumb_image;
using candor::sentry::detail::breadcrumb_slot;
using candor::sentry::detail::cut_text;

candor::wall_time at(int seconds) { return candor::wall_time{std::chrono::seconds{seconds}}; }

}  // namespace

TEST_CASE("breadcrumbs come back oldest first") {
    breadcrumb_ring ring;
    CHECK(ring.snapshot().empty());
    ring.add(at(1), "info", "http", "GET /");
    ring.add(at(2), "", "", "");
    ring.add(at(-3), "fatal", "ui", std::string("a\0b", 3));
    CHECK(ring.snapshot() == std::vector<breadcrumb>{
                                 {at(1), "info", "http", "GET /"},
                                 {at(2), "", "", ""},
                                 {at(-3), "fatal", "ui", std::string("a\0b", 3)},
                             });
}

TEST_CASE("the ring keeps the newest breadcrumbs") {
    breadcrumb_ring ring;
    constexpr int count = 3 * breadcrumb_ring::capacity + 5;
    for (int i = 0; i < count; ++i) ring.add(at(i), "info", "loop", std::to_string(i));
    const auto kept = ring.snapshot();
    REQUIRE(kept.size() == breadcrumb_ring::capacity);
    int next = count - static_cast<int>(breadcrumb_ring::capacity);
    for (const auto& crumb : kept) {
        CHECK(crumb.message == std::to_string(next));
        CHECK(crumb.time == at(next++));
    }
}

TEST_CASE("long texts are cut between characters") {
    breadcrumb_ring ring;
    std::string euros;
    while (euros.size() < 1000) euros += "\u20ac";  // three bytes each
    ring.add(at(0), euros, euros, euros);
    const auto kept = ring.snapshot();
    REQUIRE(kept.size() == 1);
    CHECK(kept[0].level == euros.substr(0, 15));
    CHECK(kept[0].category == euros.substr(0, 30));
    CHECK(kept[0].message == euros.substr(0, (breadcrumb_image::size - breadcrumb_image::head - 45) / 3 * 3));
}

TEST_CASE("a text is cut at a byte where it is no UTF-8") {
    CHECK(cut_text("abc", 3) == "abc");
    CHECK(cut_text("abc", 2) == "ab");
    CHECK(cut_text("abc", 0).empty());
    CHECK(cut_text("a\u20ac", 3) == "a");
    CHECK(cut_text("a\u20ac", 2) == "a");
    CHECK(cut_text("\U0001f600", 3).empty());
    CHECK(cut_text("a\U0001f600", 4) == "a");
    CHECK(cut_text("\x80\x80\x80\x80\x80\x80\x80\x80", 6).size() == 6);
}

TEST_CASE("a breadcrumb is read from whole bytes only") {
    breadcrumb_image image;
    image.write(at(7), "info", "http", "GET /");
    const std::string_view whole{image.bytes.data(), image.used()};
    for (std::size_t size = 0; size < whole.size(); ++size) {
        auto bytes = whole.substr(0, size);
        CHECK_FALSE(candor::sentry::detail::read_breadcrumb(bytes));
    }
    auto bytes = whole;
    CHECK(candor::sentry::detail::read_breadcrumb(bytes) == breadcrumb{at(7), "info", "http", "GET /"});
    CHECK(bytes.empty());
}

TEST_CASE("a place has one writer at a time, and what it holds only gets newer") {
    breadcrumb_slot slot;
    breadcrumb_image image, read;
    image.write(at(7), "info", "http", "GET /");
    CHECK_FALSE(slot.read(0, read));
    REQUIRE(slot.claim(5));
    CHECK_FALSE(slot.claim(5));
    CHECK_FALSE(slot.claim(37));
    CHECK_FALSE(slot.read(5, read));
    slot.write(5, image);
    REQUIRE(slot.read(5, read));
    CHECK(read.bytes == image.bytes);
    CHECK_FALSE(slot.read(37, read));
    REQUIRE(slot.claim(37));
    CHECK_FALSE(slot.read(5, read));
    slot.write(37, image);
    CHECK_FALSE(slot.claim(5));
    CHECK(slot.read(37, read));
}

TEST_CASE("what is read while many threads write is whole") {
    breadcrumb_ring ring;
    std::atomic<bool> is_done{false};
    std::vector<std::thread> writers;
    for (int writer = 0; writer < 4; ++writer) {
        writers.emplace_back([&, writer] {
            const std::string text(static_cast<std::size_t>(20 + 50 * writer), static_cast<char>('a' + writer));
            const auto category = text.substr(0, 4);
            for (int i = 0; i < 20'000; ++i) ring.add(at(writer), category, category, text);
        });
    }
    std::size_t seen = 0, torn = 0;
    std::thread reader{[&] {
        do {
            for (const auto& crumb : ring.snapshot()) {
                ++seen;
                const auto writer = static_cast<std::size_t>(crumb.time.time_since_epoch() / std::chrono::seconds{1});
                const std::string text(20 + 50 * writer, static_cast<char>('a' + writer));
                if (crumb.message != text || crumb.level != text.substr(0, 4) || crumb.category != crumb.level) ++torn;
            }
        } while (!is_done);
    }};
    for (auto& writer : writers) writer.join();
    is_done = true;
    reader.join();
    CHECK(seen > 0);
    CHECK(torn == 0);
    const auto left = ring.snapshot();
    CHECK(left.size() > breadcrumb_ring::capacity / 2);  // one is lost where two threads met in its place
}

#ifndef _WIN32
TEST_CASE("breadcrumbs that come from a signal handler in the midst of others leave all whole") {
    // In a child: the timer interrupts this thread wherever it is, while it adds and while it reads.
    const auto end = run_in_child([](int) {
        static breadcrumb_ring ring;
        static volatile sig_atomic_t interrupts = 0;
        static const auto add = [](char letter, std::size_t size) {
            std::array<char, 200> text;
            text.fill(letter);
            ring.add(at(letter), {text.data(), 4}, {text.data(), 4}, {text.data(), size});
        };
        static const auto is_whole = [](const breadcrumb& crumb) {
            const auto letter = static_cast<char>(crumb.time.time_since_epoch() / std::chrono::seconds{1});
            return crumb.message == std::string(letter == 'h' ? 190 : 100, letter) &&
                   crumb.level == crumb.message.substr(0, 4) && crumb.category == crumb.level;
        };
        std::signal(SIGALRM, [](int) {
            for (std::size_t i = 0; i <= breadcrumb_ring::capacity; ++i) add('h', 190);
            interrupts = interrupts + 1;
        });
        sigset_t alarm;
        ::sigemptyset(&alarm);
        ::sigaddset(&alarm, SIGALRM);
        ::pthread_sigmask(SIG_BLOCK, &alarm, nullptr);
        std::atomic<bool> is_done{false}, is_torn{false};
        std::thread reader{[&] {
            while (!is_done) {
                for (const auto& crumb : ring.snapshot()) is_torn = is_torn || !is_whole(crumb);
            }
        }};
        ::pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
        const struct itimerval timer {
            {0, 200}, { 0, 200 }
        };
        ::setitimer(ITIMER_REAL, &timer, nullptr);
        for (int round = 0; interrupts < 1000 && !is_torn; ++round) {
            for (int i = 0; i < 20; ++i) add('m', 100);
            if (round % 8 != 0) continue;
            for (const auto& crumb : ring.snapshot()) is_torn = is_torn || !is_whole(crumb);
        }
        is_done = true;
        reader.join();
        return is_torn ? 1 : 0;
    });
    CHECK(end.exit_code() == 0);
}
#endif

}  // namespace breadcrumbs_test
