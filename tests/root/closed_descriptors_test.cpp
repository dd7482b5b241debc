// Row 50: a program that closes every descriptor that it does not know, as daemons do, and opens files of its own.
#include <candor/candor.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <support/becomes_idle.hpp>
#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/child_server.hpp>
#include <support/socket_server.hpp>
#include <support/temporary_directory.hpp>
#include <support/tls_server.hpp>

#include <doctest/doctest.h>

namespace closed_descriptors_test {

namespace {

using candor::testing::child_server;
using candor::testing::socket_server;
using candor::testing::tls_server;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";

struct counted {
    static constexpr std::string_view event_name = "counted";
    int number = 0;
    static constexpr auto fields() { return std::tuple{candor::field("number", &counted::number, "Which of them")}; }
};

/// What a daemon does with the descriptors that it got: all are closed, and their numbers soon mean its own files.
class own_files {
public:
    /// Where nothing runs meanwhile: a descriptor that is closed between a look at it and its use is beyond anybody's
    /// help. By calls that ThreadSanitizer does not see: it would take them for races, which they are. `last` is kept
    /// open. All numbers become one socket, or one file.
    own_files(const fs::path& directory, int last, bool are_sockets) : kept_{last}, path_{directory / "own"} {
        for (int number = STDERR_FILENO + 1; number < most_; ++number)
            if (number != last) ::syscall(SYS_close, number);
        const int file = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        int sockets[2] = {-1, -1};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets) != 0) ::_exit(90);
        file_ = ::fcntl(file, F_DUPFD_CLOEXEC, most_);
        socket_ = ::fcntl(sockets[0], F_DUPFD_CLOEXEC, most_);
        peer_ = ::fcntl(sockets[1], F_DUPFD_CLOEXEC, most_);
        for (const int low : {file, sockets[0], sockets[1]}) ::close(low);
        const int from = are_sockets ? socket_ : file_;
        for (int number = STDERR_FILENO + 1; number < most_; ++number)
            if (number != last && ::syscall(SYS_dup3, from, number, O_CLOEXEC) != number) ::_exit(91);
        // Something to read.
        if (::pwrite(file_, content.data(), content.size(), 0) < 0 || ::send(peer_, "x", 1, 0) != 1) ::_exit(92);
        facts_ = facts();
    }

    /// Whether they are open, mean what they did, and nothing was written to or read from them, nor was a socket shut
    /// down.
    [[nodiscard]] bool are_untouched() const {
        char byte = 0;
        const bool is_silent = ::recv(peer_, &byte, 1, MSG_PEEK) == -1 && errno == EAGAIN;
        const bool is_open = ::send(peer_, "", 0, MSG_NOSIGNAL) == 0;
        const bool is_unread = ::recv(socket_, &byte, 1, MSG_PEEK) == 1 && ::lseek(file_, 0, SEEK_CUR) == 0;
        return facts() == facts_ && is_silent && is_open && is_unread && fs::file_size(path_) == content.size();
    }

private:
    [[nodiscard]] std::vector<std::tuple<dev_t, ino_t, int>> facts() const {
        std::vector<std::tuple<dev_t, ino_t, int>> out;
        for (int number = STDERR_FILENO + 1; number < most_; ++number) {
            struct stat found {};
            if (number != kept_)
                out.emplace_back(found.st_dev, ::fstat(number, &found) == 0 ? found.st_ino : 0,
                                 ::fcntl(number, F_GETFL));
        }
        return out;
    }

    static constexpr int most_ = 64;
    static constexpr std::string_view content = "own";
    int kept_;
    int file_ = -1;
    int socket_ = -1;
    int peer_ = -1;  ///< of `socket_`
    fs::path path_;
    std::vector<std::tuple<dev_t, ino_t, int>> facts_;
};

candor::telemetry_options options_for(const fs::path& home, const std::string& url) {
    ::setenv("HOME", home.c_str(), 1);
    for (const char* name : {"XDG_STATE_HOME", "XDG_CONFIG_HOME", "ACME_TELEMETRY_LOG", "ACME_TELEMETRY_DEBUG"})
        ::unsetenv(name);
    candor::telemetry_options out{.product = {.name = "acme", .version = "1.4.0", .env_prefix = "ACME"},
                                  .write_key = "key",
                                  .data_plane_url = url,
                                  .sentry_dsn = "http://key@127.0.0.1:1/7",
                                  .capture_crashes = true,
                                  .shutdown_timeout = 20s};
    out.delivery.compress = false;
    return out;
}

/// A program that closes all descriptors between its first delivery and the next. 0 where its files are untouched and
/// both events were delivered.
int deliver_around(const fs::path& home, const std::string& url, int output, bool are_sockets) {
    std::atomic<int> attempts{0};
    auto options = options_for(home, url);
    options.delivery.on_attempt = [&](const auto&, const auto&) { ++attempts; };
    auto telemetry = std::make_unique<candor::telemetry>(options);
    const auto delivers = [&](std::uint64_t count) {
        static_cast<void>(telemetry->flush(0s));
        return becomes_true([&] { return telemetry->statistics().delivered == count; });
    };
    auto receiver =
        std::make_unique<candor::otlp::receiver>(candor::otlp::receiver_options{.metrics_file = home / "metrics.txt"});
    telemetry->track(counted{1});
    if (!delivers(1)) return 1;
    telemetry->capture_message(candor::sentry::severity::error, "to be stored");
    if (!becomes_true([&] { return attempts == 2; }) || !becomes_idle()) return 2;
    const own_files own{home, output, are_sockets};
    telemetry->track(counted{2});
    if (!delivers(2)) return 3;
    if (!own.are_untouched()) return 4;
    telemetry->capture_message(candor::sentry::severity::error, "to be stored too");
    telemetry->shutdown();
    if (!own.are_untouched()) return 5;
    telemetry.reset();
    receiver.reset();
    return own.are_untouched() ? 0 : 6;
}

/// The same, where nothing is tracked any more.
int only_end(const fs::path& home, const std::string& url, int output, bool are_sockets) {
    auto telemetry = std::make_unique<candor::telemetry>(options_for(home, url));
    telemetry->track(counted{1});
    if (!telemetry->flush(20s) || !becomes_idle()) return 1;
    const own_files own{home, output, are_sockets};
    telemetry.reset();
    return own.are_untouched() ? 0 : 6;
}

}  // namespace

TEST_CASE("row 50: descriptors that a program opens after it has closed all are neither closed nor used") {
    for (const auto& program : {deliver_around, only_end}) {
        for (const bool are_sockets : {false, true}) {
            CAPTURE(are_sockets);
            const temporary_directory t;
            const child_server server{[] {
                return std::make_unique<socket_server>(candor::testing::behaviours::answer(std::string{answer}));
            }};
            const auto url = "http://localhost:" + std::to_string(server.port());
            CHECK(run_in_child([&](int output) { return program(t.path(), url, output, are_sockets); }).exit_code() ==
                  0);
        }
    }
}

TEST_CASE("row 50: the same over TLS") {
    const temporary_directory t;
    const candor::testing::trusted_authority authority;
    const child_server server{[&] {
        return std::make_unique<tls_server>(authority.issue("DNS:localhost"), [](auto& stream, auto&) {
            while (stream.read_request() && stream.write(answer)) {
            }
        });
    }};
    const auto url = "https://localhost:" + std::to_string(server.port());
    for (const auto& program : {deliver_around, only_end})
        for (const bool are_sockets : {false, true})
            CHECK(run_in_child([&](int output) { return program(t.path(), url, output, are_sockets); }).exit_code() ==
                  0);
}

/// A program that closes all descriptors while its first request waits for its answer. The server tells of a request
/// by a file in `home` and answers once there is another.
int request_on_its_way(const fs::path& home, const std::string& url, int output, bool are_sockets) {
    auto telemetry = std::make_unique<candor::telemetry>(options_for(home, url));
    telemetry->track(counted{1});
    static_cast<void>(telemetry->flush(0s));
    if (!becomes_true([&] { return fs::exists(home / "arrived"); }) || !becomes_idle()) return 1;
    const own_files own{home, output, are_sockets};
    const std::ofstream told{home / "answer"};
    if (!telemetry->flush(20s)) return 3;
    if (!own.are_untouched()) return 4;
    telemetry.reset();
    return own.are_untouched() ? 0 : 6;
}

/// Answers the requests of a connection as `request_on_its_way` wants it.
void answer_when_told(const fs::path& home, socket_server::peer& peer) {
    while (peer.read_request()) {
        const std::ofstream arrived{home / "arrived"};
        while (!fs::exists(home / "answer"))
            if (!peer.pause(1ms)) return;
        if (!peer.write(answer)) return;
    }
}

TEST_CASE("row 50: the same while a request is on its way") {
    for (const bool are_sockets : {false, true}) {
        CAPTURE(are_sockets);
        const temporary_directory t;
        const child_server server{[&t] {
            return std::make_unique<socket_server>(
                [&t](socket_server::peer& peer) { answer_when_told(t.path(), peer); });
        }};
        const auto url = "http://localhost:" + std::to_string(server.port());
        CHECK(run_in_child([&](int output) {
                  return request_on_its_way(t.path(), url, output, are_sockets);
              }).exit_code() == 0);
    }
}

}  // namespace closed_descriptors_test
