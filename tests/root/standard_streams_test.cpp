// Row 49: a program that was started without standard streams.
#include <candor/candor.hpp>

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include <support/child_process.hpp>
#include <support/child_server.hpp>
#include <support/socket_server.hpp>
#include <support/temporary_directory.hpp>
#include <support/tls_server.hpp>

#include <doctest/doctest.h>

namespace root_standard_streams_test {

namespace {

using candor::testing::child_server;
using candor::testing::socket_server;
using candor::testing::tls_server;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr std::string_view printed = "what the program prints\n";
constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";

struct started {
    static constexpr std::string_view event_name = "started";
    static constexpr auto fields() { return std::tuple{}; }
};

std::string content_of(const fs::path& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

/// What the program does all the time. False where a standard stream has become something of candor's.
bool print() {
    bool is_well = true;
    for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
        static_cast<void>(!::write(stream, printed.data(), printed.size()));
    }
    for (const char* stream : {"/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"}) {
        std::array<char, 256> target{};
        const auto size = ::readlink(stream, target.data(), target.size());
        const std::string_view where{target.data(), size < 0 ? 0 : static_cast<std::size_t>(size)};
        is_well = is_well && (where.empty() || where == "/dev/null" || where.ends_with("/terminal"));
    }
    return is_well;
}

struct everything {
    fs::path home;
    std::string url;
    int missing = 0;  ///< a bit for each standard stream

    /// A program that uses all of candor. 0 where all went well.
    int operator()(int) const {
        { std::ofstream terminal{home / "terminal"}; }
        for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
            std::FILE* const file = std::fopen((home / "terminal").c_str(), "a+");
            ::dup2(::fileno(file), stream);
            std::fclose(file);
        }
        for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
            if ((missing & (1 << stream)) != 0) ::close(stream);
        ::setenv("HOME", home.c_str(), 1);
        ::unsetenv("XDG_STATE_HOME");
        ::unsetenv("XDG_CONFIG_HOME");
        ::setenv("ACME_TELEMETRY_LOG", (home / "sent.log").c_str(), 1);
        ::unsetenv("ACME_TELEMETRY_DEBUG");
        const candor::product product{.name = "acme", .version = "1.4.0", .env_prefix = "ACME"};
        static_cast<void>(candor::save_choice(candor::process_environment{}, product.name, candor::level::all));
        std::atomic<bool> is_well{print()};
        const auto look = [&is_well] {
            if (!print()) is_well = false;
        };
        candor::otlp::receiver receiver{{.metrics_file = home / "metrics.txt"}};
        look();
        candor::telemetry_options options{.product = product,
                                          .write_key = "key",
                                          .data_plane_url = url,
                                          .sentry_dsn = "http://key@127.0.0.1:1/7",
                                          .account =
                                              [&] {
                                                  look();
                                                  return std::optional<candor::account>{};
                                              },
                                          .capture_crashes = true,
                                          .shutdown_timeout = 20s};
        options.delivery.compress = false;
        options.delivery.on_attempt = [&](const auto&, const auto&) { look(); };
        bool is_delivered = false;
        {
            candor::telemetry telemetry{options};
            look();
            telemetry.track(started{});
            is_delivered = telemetry.flush(20s);
            telemetry.track(started{});
            is_delivered = telemetry.flush(20s) && is_delivered;
            telemetry.capture_message(candor::sentry::severity::error, "to be stored");
        }
        receiver.shutdown();
        look();
        return !is_delivered ? 1 : is_well ? 0 : 2;
    }
};

/// Whether nothing that was printed is in a file of the program's, but the one that stands for its terminal.
bool is_clean(const fs::path& home) {
    int files = 0;
    for (const auto& entry : fs::recursive_directory_iterator{home}) {
        if (!entry.is_regular_file() || entry.path().filename() == "terminal") continue;
        ++files;
        if (content_of(entry.path()).find(printed) != std::string::npos) return false;
    }
    return files >= 5;  // the choice, the metrics, the log, the last delivery, what is stored, what was received
}

}  // namespace

TEST_CASE("row 49: what a program prints that was started without standard streams gets into nothing of candor's") {
    for (int missing = 0; missing < 8; ++missing) {
        CAPTURE(missing);
        const temporary_directory t;
        const child_server server{[&t] {
            return std::make_unique<socket_server>([&t](socket_server::peer& peer) {
                std::ofstream notes{t.path() / "received"};
                while (const auto request = peer.read_request()) {
                    notes << *request << std::flush;
                    if (!peer.write(answer)) return;
                }
            });
        }};
        const auto url = "http://localhost:" + std::to_string(server.port());
        CHECK(run_in_child(everything{t.path(), url, missing}).exit_code() == 0);
        CHECK(content_of(t.path() / "received").starts_with("POST /v1/batch HTTP/1.1\r\n"));
        CHECK(is_clean(t.path()));
    }
}

TEST_CASE("row 49: the same over TLS") {
    const temporary_directory t;
    const candor::testing::trusted_authority authority;
    const child_server server{[&] {
        return std::make_unique<tls_server>(authority.issue("DNS:localhost"), [&t](auto& stream, auto&) {
            std::ofstream notes{t.path() / "received"};
            while (const auto request = stream.read_request()) {
                notes << *request << std::flush;
                if (!stream.write(answer)) return;
            }
        });
    }};
    const auto url = "https://localhost:" + std::to_string(server.port());
    CHECK(run_in_child(everything{t.path(), url, 7}).exit_code() == 0);
    CHECK(content_of(t.path() / "received").starts_with("POST /v1/batch HTTP/1.1\r\n"));
    CHECK(is_clean(t.path()));
}

}  // namespace root_standard_streams_test
