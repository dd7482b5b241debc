// As many events as come, over real sockets, with the server away for a while.
#include <candor/candor.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/rounds.hpp>
#include <support/sanitizer.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace load_test {

using candor::admission;
using namespace std::chrono_literals;

namespace {

struct counted {
    static constexpr std::string_view event_name = "counted";
    std::uint64_t serial = 0;
    std::string text = "as long as what a program says of a run of its own, more or less: some words and a number";
    static constexpr auto fields() {
        return std::tuple{candor::field("serial", &counted::serial, "Which of them"),
                          candor::field("text", &counted::text, "Something of a usual length")};
    }
};

/// A server in a process of its own, so that its memory is not ours, which counts the events by their serial. It can be
/// taken away and brought back. Make it while the process has one thread.
class counting_server {
public:
    struct count {
        std::uint64_t events = 0;
        std::uint64_t distinct = 0;
    };

    explicit counting_server(std::uint64_t serials) : process_{[&](int) { return serve(serials); }} {
        ::close(ends_[1]);
        port_ = answer<std::uint16_t>('p');
    }
    counting_server(const counting_server&) = delete;
    counting_server& operator=(const counting_server&) = delete;
    ~counting_server() { ::close(ends_[0]); }

    [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
    void go_away() { static_cast<void>(answer<char>('d')); }
    void come_back() { static_cast<void>(answer<char>('u')); }
    [[nodiscard]] count report() { return answer<count>('r'); }

private:
    struct service : candor::http_service {
        explicit service(std::uint64_t serials) : seen(serials) {}
        std::optional<candor::http_response> begin(const candor::http_request_head&) noexcept override { return {}; }
        candor::http_response complete(const candor::http_request_head&, std::string_view body) noexcept override {
            constexpr std::string_view key = "\"serial\":";
            for (auto at = body.find(key); at != body.npos; at = body.find(key, at)) {
                at += key.size();
                std::uint64_t serial = 0;
                std::from_chars(body.data() + at, body.data() + body.size(), serial);
                ++events;
                if (serial < seen.size() && !seen[serial].exchange(true)) ++distinct;
            }
            return {.status = 200};
        }
        candor::http_response refuse(const candor::http_request_head&, candor::body_error) noexcept override {
            return {.status = 400};
        }
        std::vector<std::atomic<bool>> seen;
        std::atomic<std::uint64_t> events{0}, distinct{0};
    };

    int serve(std::uint64_t serials) {
        ::close(ends_[0]);
        service counter{serials};
        std::optional<candor::httplib_server> server{std::in_place, candor::server_options{}, counter};
        const auto port = server->port();
        const auto say = [&](const auto& what) { return ::write(ends_[1], &what, sizeof what) == sizeof what; };
        for (char command = 0; ::read(ends_[1], &command, 1) == 1;) {
            if (command == 'd') server.reset();
            if (command == 'u') server.emplace(candor::server_options{.port = port}, counter);
            const bool said = command == 'p'   ? say(port)
                              : command == 'r' ? say(count{counter.events, counter.distinct})
                                               : say(command);
            if (!said) return 1;
        }
        return 0;
    }

    template <class Answer>
    Answer answer(char command) {
        Answer out{};
        if (::write(ends_[0], &command, 1) != 1 || ::read(ends_[0], &out, sizeof out) != sizeof out)
            throw std::runtime_error{"the server has ended"};
        return out;
    }

    const std::array<int, 2> ends_ = [] {
        std::array<int, 2> out{};
        if (::socketpair(AF_UNIX, SOCK_STREAM, 0, out.data()) != 0) throw std::runtime_error{"socketpair"};
        return out;
    }();
    child_process process_;
    std::uint16_t port_ = 0;
};

/// The most memory that this process has had since `forget_peak`.
std::size_t peak_bytes() {
    std::ifstream status{"/proc/self/status"};
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmHWM:")) return std::stoul(line.substr(6)) * 1024;
    return 0;
}

void forget_peak() { std::ofstream{"/proc/self/clear_refs"} << "5"; }

}  // namespace

TEST_CASE(
    "row 19: a million events from 8 threads, the server away for the middle third: nothing blocks or grows, all "
    "is counted") {
    const temporary_directory directory;
    const auto events = static_cast<std::uint64_t>(candor::testing::rounds(1'000'000));
    counting_server server{events + 1};
    candor::telemetry_options options{.product = {.name = "load", .version = "1.0.0", .env_prefix = "LOAD_TEST"},
                                      .write_key = "write-key",
                                      .data_plane_url = server.url(),
                                      .shutdown_timeout = 10s};
    options.delivery.spool.directory = directory.path() / "spool";
    forget_peak();  // of the tests before
    const auto peak_before = peak_bytes();
    std::uint64_t sent = 0, left = 0, given_up = 0;
    {
        candor::telemetry telemetry{options};
        std::atomic<std::uint64_t> next{0};
        std::atomic<std::uint64_t> allowed{events / 3};
        std::vector<std::thread> threads;
        for (int i = 0; i < 8; ++i) {
            threads.emplace_back([&] {
                for (;;) {
                    const auto serial = next.fetch_add(1);
                    if (serial >= events) return;
                    while (serial >= allowed) std::this_thread::yield();
                    while (telemetry.track(counted{.serial = serial}) != admission::accepted) std::this_thread::yield();
                }
            });
        }
        const auto third_is_over = [&] {
            const auto until = std::chrono::steady_clock::now() + 120s;
            while (telemetry.statistics().accepted < allowed && std::chrono::steady_clock::now() < until)
                std::this_thread::yield();
            return telemetry.statistics().accepted >= allowed;
        };
        CHECK(third_is_over());
        server.go_away();
        allowed = 2 * events / 3;
        CHECK(third_is_over());
        server.come_back();
        telemetry.flush(10s);  // which does not wait for the backoff to be over
        allowed = events;
        for (auto& thread : threads) thread.join();
        telemetry.shutdown();
        const auto done = telemetry.statistics();
        CHECK(done.accepted == events + done.recovered);
        CHECK(done.pending == 0);
        CHECK(done.accepted == done.delivered + done.spooled + done.dropped.total());
        CHECK(done.dropped.total() == done.dropped[candor::drop_reason::evicted]);
        CHECK(done.delivered > events / 2);
        sent = done.delivered;
        left = done.spooled;
        given_up = done.dropped.total();
    }
    const auto peak = peak_bytes();
#if !defined(CANDOR_TESTS_ADDRESS_SANITIZER) && !defined(CANDOR_TESTS_THREAD_SANITIZER)
    CHECK(peak - peak_before < 48 * 1024 * 1024);  // the tests before have left some memory with the allocator
#endif
    const auto first = server.report();
    CHECK(first.distinct == sent);
    // What is left in the spool comes with the next run, and then all that was not given up is there.
    candor::telemetry next_run{options};
    REQUIRE(next_run.track(counted{.serial = events}) == admission::accepted);
    CHECK(becomes_true([&] { return next_run.statistics().delivered == left + 1; }));
    const auto last = server.report();
    CHECK(last.distinct == events + 1 - given_up);
    MESSAGE("delivered " << sent << ", spooled " << left << ", evicted " << given_up << "; " << last.events
                         << " arrived; peak of memory " << peak / 1024 << " KiB, before " << peak_before / 1024);
}

}  // namespace load_test
