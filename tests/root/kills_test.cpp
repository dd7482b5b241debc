// Programs that are killed while they deliver to nobody, and one that delivers afterwards, over real sockets.
#include <candor/candor.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/gateway_process.hpp>
#include <support/rounds.hpp>
#include <support/socket_server.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace kills_test {

using candor::admission;
using namespace std::chrono_literals;

namespace {

struct wrote {
    static constexpr std::string_view event_name = "wrote";
    std::uint64_t process = 0;
    std::uint64_t serial = 0;
    static constexpr auto fields() {
        return std::tuple{candor::field("process", &wrote::process, "Whose"),
                          candor::field("serial", &wrote::serial, "Which of them")};
    }
};

candor::telemetry_options options_for(const std::string& url, const std::filesystem::path& spool) {
    candor::telemetry_options out{.product = {.name = "kills", .version = "1.0.0", .env_prefix = "KILLS_TEST"},
                                  .write_key = "write-key",
                                  .data_plane_url = url,
                                  .shutdown_timeout = 1s};
    out.delivery.spool.directory = spool;
    out.delivery.spool.max_bytes = 64 * 1024 * 1024;
    out.delivery.spool.max_files = 100'000;
    return out;
}

/// The system's, two days later: what waited long enough for the server to be asked again.
struct in_two_days : candor::system_clock {
    [[nodiscard]] candor::wall_time wall_now() const noexcept { return candor::system_clock::wall_now() + 48h; }
};

/// Runs that each track a few events, end, and say which were stored, until the process is killed.
[[noreturn]] void write_until_killed(std::uint64_t process, const candor::telemetry_options& options, int output) {
    constexpr std::uint64_t events_a_run = 3;
    for (std::uint64_t serial = 0;; serial += events_a_run) {
        candor::telemetry telemetry{options};
        for (std::uint64_t i = 0; i < events_a_run; ++i)
            telemetry.track(wrote{.process = process, .serial = serial + i});
        telemetry.shutdown();
        if (telemetry.statistics().spooled != events_a_run) ::_exit(1);
        const auto line = std::to_string(serial) + "\n";
        if (::write(output, line.data(), line.size()) < 0) ::_exit(2);
    }
}

}  // namespace

TEST_CASE(
    "row 27: of programs that share a spool and are killed at any moment, all that was stored is delivered, each "
    "event under one id") {
    const temporary_directory directory;
    const auto notes = directory.path() / "notes";
    const auto spool = directory.path() / "spool";
    std::optional<candor::testing::closed_port> nobody{std::in_place};
    const auto url = nobody->url("");
    const int port = std::stoi(url.substr(url.rfind(':') + 1));
    std::mt19937 random{27};
    std::set<std::pair<std::uint64_t, std::uint64_t>> stored;
    const auto kills = static_cast<std::uint64_t>(candor::testing::rounds(300));
    constexpr std::size_t at_once = 3;
    struct writer {
        std::uint64_t number;
        pid_t process;
        int output;
    };
    std::vector<writer> writers;
    std::uint64_t started = 0, killed = 0;
    while (killed < kills) {
        while (writers.size() < at_once) {
            int ends[2];
            REQUIRE(::pipe(ends) == 0);
            const auto number = ++started;
            const pid_t process = ::fork();
            REQUIRE(process >= 0);
            if (process == 0) {
                ::close(ends[0]);
                write_until_killed(number, options_for(url, spool), ends[1]);
            }
            ::close(ends[1]);
            writers.push_back({number, process, ends[0]});
        }
        // A random moment of its work, which begins when it has said something.
        auto chosen = writers.begin() + static_cast<std::ptrdiff_t>(random() % writers.size());
        std::string said(random() % 64 + 1, '\0');
        said.resize(static_cast<std::size_t>(std::max<ssize_t>(::read(chosen->output, said.data(), said.size()), 0)));
        for (auto left = random() % 2000; left > 0; --left) std::this_thread::yield();
        ::kill(chosen->process, SIGKILL);
        int status = 0;
        ::waitpid(chosen->process, &status, 0);
        CAPTURE(status);
        REQUIRE(WIFSIGNALED(status));
        ++killed;
        for (char block[256];;) {
            const auto got = ::read(chosen->output, block, sizeof block);
            if (got <= 0) break;
            said.append(block, static_cast<std::size_t>(got));
        }
        for (std::size_t at = 0, end = 0; (end = said.find('\n', at)) != said.npos; at = end + 1) {
            const auto serial = std::stoull(said.substr(at, end - at));
            for (std::uint64_t i = 0; i < 3; ++i) stored.insert({chosen->number, serial + i});
        }
        ::close(chosen->output);
        writers.erase(chosen);
    }
    for (const auto& left : writers) {
        ::kill(left.process, SIGKILL);
        ::waitpid(left.process, nullptr, 0);
        ::close(left.output);
    }

    nobody.reset();
    const gateway_process plane{notes, port};
    candor::httplib_transport transport;
    in_two_days clock;
    {
        auto options = options_for(url, spool);
        options.shutdown_timeout = 20s;
        candor::basic_telemetry<candor::httplib_transport, in_two_days> reader{options, transport, clock};
        REQUIRE(reader.track(wrote{.process = 0}) == admission::accepted);
        reader.flush(10s);
        const auto is_over = [&] {
            for (const auto& entry : std::filesystem::directory_iterator{spool})
                if (entry.path().extension() == ".spool") return false;
            return true;
        };
        // Thousands of files: each wait is for one more of them.
        for (auto delivered = reader.statistics().delivered; !is_over(); delivered = reader.statistics().delivered)
            REQUIRE(becomes_true([&] { return reader.statistics().delivered > delivered || is_over(); }));
        reader.shutdown();
        const auto done = reader.statistics();
        CHECK(done.delivered == done.accepted);
        CHECK(done.spooled == 0);
    }
    const auto arrived = plane.events();
    for (const auto& event : stored) CHECK(arrived.contains(event));
    for (const auto& [event, times] : arrived) CHECK(times == 1);
    const auto ids = plane.ids();
    CHECK(std::set<std::string>(ids.begin(), ids.end()).size() == arrived.size());
    for (const auto& entry : std::filesystem::directory_iterator{spool})
        CHECK_MESSAGE(entry.path().extension() != ".damaged", entry.path().string());
    MESSAGE(stored.size() << " acknowledged, " << arrived.size() << " arrived, from " << started << " processes");
}

}  // namespace kills_test
