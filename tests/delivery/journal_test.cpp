#include <candor/delivery/journal.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <candor/delivery/pipeline.hpp>
#include <candor/testing.hpp>

#include <support/becomes_true.hpp>
#include <support/temporary_directory.hpp>

#include "lent.hpp"

#include <doctest/doctest.h>

namespace journal_test {

namespace {

using namespace std::chrono_literals;
using candor::admission;
using candor::transport_error;
using candor::testing::manual_clock;
using candor::testing::recording_transport;
using candor::tests::line_protocol;
namespace fs = std::filesystem;

constexpr auto copy_delay = candor::detail::scheduler::copy_delay;

/// One run of a program with a spool.
struct run {
    explicit run(const temporary_directory& place, candor::delivery_options options = {})
        : directory{place.path() / "spool"}, delivery{"lines",
                                                      with_spool(std::move(options)),
                                                      [this](std::string_view text) { diagnostics.emplace_back(text); },
                                                      1,
                                                      std::make_unique<line_protocol>(),
                                                      transport,
                                                      clock} {}

    candor::delivery_options with_spool(candor::delivery_options out) const {
        out.spool.directory = directory;
        return out;
    }

    admission enqueue(std::string_view text) { return delivery.enqueue(std::array{text}); }

    [[nodiscard]] std::vector<std::string> files() const {
        std::vector<std::string> out;
        if (!fs::exists(directory)) return out;
        for (const auto& entry : fs::directory_iterator{directory}) {
            if (entry.path().extension() != ".spool") continue;
            std::ifstream in{entry.path()};
            out.emplace_back(std::istreambuf_iterator<char>{in}, std::istreambuf_iterator<char>{});
        }
        return out;
    }

    /// Whether that is on disk, or comes to be there.
    [[nodiscard]] bool is_copied(std::string_view text) const {
        return becomes_true([&] {
            for (const auto& file : files())
                if (file.find(text) != file.npos) return true;
            return false;
        });
    }

    [[nodiscard]] candor::statistics statistics() const {
        const auto s = delivery.statistics();
        CHECK(s.accepted == s.delivered + s.pending + s.spooled + s.dropped.total());
        return s;
    }

    const fs::path directory;
    std::vector<std::string> diagnostics{};  // the worker's until it has ended
    manual_clock clock{};
    recording_transport transport{};
    candor::tests::lent_pipeline<recording_transport, manual_clock> delivery;
};

}  // namespace

TEST_CASE("what waits is copied to disk once it has waited, and is pending all the same") {
    const temporary_directory place;
    run r{place};
    r.enqueue("message-a");
    REQUIRE(r.clock.wait_for_idle());
    r.clock.advance(copy_delay - 1ms);
    REQUIRE(r.clock.wait_for_idle());
    CHECK(r.files().empty());
    r.clock.advance(1ms);
    CHECK(r.is_copied("message-a"));
    CHECK(r.statistics().pending == 1);
    CHECK(r.statistics().spooled == 0);
    r.enqueue("message-b");
    REQUIRE(r.clock.wait_for_idle());
    r.clock.advance(copy_delay);
    CHECK(r.is_copied("message-b"));
    CHECK(r.files().size() == 1);  // which was added to
    CHECK(r.delivery.flush(1s));
    CHECK(r.files().empty());
    CHECK(r.statistics().delivered == 2);
}

TEST_CASE("what is delivered at once makes no file, nor a directory") {
    const temporary_directory place;
    run r{place};
    for (int i = 0; i < 10; ++i) {
        r.enqueue("a");
        CHECK(r.delivery.flush(1s));
    }
    r.delivery.shutdown(1s);
    CHECK(r.files().empty());
}

TEST_CASE("a batch that failed once is on disk before it waits") {
    const temporary_directory place;
    run r{place};
    r.transport.fail(transport_error::unreachable);
    r.enqueue("message-a");
    CHECK_FALSE(r.delivery.flush(0s));
    CHECK(r.is_copied("message-a"));
    CHECK(r.clock.now() == candor::steady_time{});
    CHECK(r.statistics().pending == 1);
    CHECK(r.delivery.flush(1s));
    CHECK(r.files().empty());
}

TEST_CASE("what comes while a request takes its time is copied beside it") {
    const temporary_directory place;
    run r{place};
    r.transport.hang();
    r.enqueue("message-a");
    CHECK_FALSE(r.delivery.flush(0s));
    REQUIRE(r.transport.wait_for_requests(1));
    r.enqueue("message-b");
    r.clock.advance(copy_delay);
    CHECK(r.is_copied("message-a"));
    CHECK(r.is_copied("message-b"));
    CHECK(r.statistics().pending == 2);
    r.delivery.shutdown(0s);
    CHECK(r.statistics().spooled == 2);
    CHECK(r.statistics().pending == 0);
    run next{place};
    next.enqueue("message-c");
    CHECK(next.delivery.flush(1s));
    next.delivery.shutdown(1s);
    CHECK(next.statistics().delivered == 3);
    CHECK(next.statistics().recovered == 2);
    CHECK(next.files().empty());
}

TEST_CASE("of a file of which a part was delivered, the rest alone is left") {
    const temporary_directory place;
    {
        run r{place, {.batch_messages = 3}};
        r.enqueue("message-a");
        r.enqueue("message-b");
        REQUIRE(r.clock.wait_for_idle());
        r.clock.advance(copy_delay);
        REQUIRE(r.is_copied("message-b"));
        for (const int status : {400, 200}) r.transport.respond(status);  // of both, and of the first alone
        r.transport.fail(transport_error::broken);
        CHECK_FALSE(r.delivery.flush(0s));
        REQUIRE(r.transport.wait_for_requests(3));
        r.delivery.shutdown(0s);
        CHECK(r.statistics().delivered == 1);
        CHECK(r.statistics().spooled == 1);
    }
    run next{place};
    next.enqueue("message-c");
    CHECK(next.delivery.flush(1s));
    next.delivery.shutdown(1s);
    CHECK(next.transport.requests().back().body == "message-b\n");
}

TEST_CASE("where nothing can be stored, it is said once, tried again later, and nothing else suffers") {
    const temporary_directory place;
    place.write("spool", "no directory");
    run r{place};
    for (int i = 0; i < 10; ++i) r.transport.fail(transport_error::unreachable);
    r.enqueue("message-a");
    CHECK_FALSE(r.delivery.flush(0s));
    for (int i = 0; i < 3; ++i) {
        REQUIRE(r.clock.wait_for_idle());
        r.clock.advance(100ms);
    }
    fs::remove(r.directory);
    REQUIRE(r.clock.wait_for_idle());
    r.clock.advance(2s);
    CHECK(r.is_copied("message-a"));
    r.delivery.shutdown(0s);
    CHECK(r.statistics().spooled == 1);
    std::size_t said = 0;
    for (const auto& text : r.diagnostics) said += text.find("cannot store in") != text.npos ? 1U : 0U;
    CHECK(said == 1);
}

TEST_CASE("row 45: a program that is killed has on disk what it accepted 200 ms before, whatever it was doing") {
    for (const bool is_in_request : {false, true}) {
        CAPTURE(is_in_request);
        const temporary_directory place;
        const pid_t process = ::fork();
        REQUIRE(process >= 0);
        if (process == 0) {
            recording_transport transport;
            candor::system_clock clock;
            transport.hang();
            candor::delivery_options options;
            options.spool.directory = place.path() / "spool";
            candor::tests::lent_pipeline<recording_transport, candor::system_clock> delivery{
                "lines", options, nullptr, 1, std::make_unique<line_protocol>(), transport, clock};
            delivery.enqueue(std::array{std::string_view{"message-a"}});
            if (is_in_request) {
                static_cast<void>(delivery.flush(0s));
                static_cast<void>(transport.wait_for_requests(1));
            }
            delivery.enqueue(std::array{std::string_view{"message-b"}});
            for (;;) ::pause();
        }
        const run after{place};
        CHECK(after.is_copied("message-a"));
        CHECK(after.is_copied("message-b"));
        ::kill(process, SIGKILL);
        ::waitpid(process, nullptr, 0);
        run next{place};
        next.enqueue("message-c");
        CHECK(next.delivery.flush(1s));
        next.delivery.shutdown(1s);
        CHECK(next.statistics().recovered == 2);
        CHECK(next.files().empty());
    }
}

}  // namespace journal_test
