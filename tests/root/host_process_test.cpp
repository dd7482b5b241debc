// What candor does to the process that it runs in: each line of the README's section on it.
#include <candor/candor.hpp>

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <clocale>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/child_server.hpp>
#include <support/otlp_writer.hpp>
#include <support/socket_server.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace host_process_test {

namespace {

using candor::testing::child_server;
using candor::testing::socket_server;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

struct counted {
    static constexpr std::string_view event_name = "counted";
    int number = 0;
    static constexpr auto fields() { return std::tuple{candor::field("number", &counted::number, "Which of them")}; }
};

/// What the kernel says of a thread.
struct thread_facts {
    std::string name{};
    std::string blocked_signals{};  ///< the mask, in hexadecimal
    long times_woken = 0;
};

/// Of all threads of candor's, by their ids.
std::map<std::string, thread_facts> threads() {
    std::map<std::string, thread_facts> out;
    for (const auto& task : fs::directory_iterator{"/proc/self/task"}) {
        const std::string id = task.path().filename();
        std::ifstream status{task.path() / "status"};
        thread_facts facts;
        for (std::string key, value; status >> key && std::getline(status >> std::ws, value);) {
            if (key == "Name:") facts.name = value;
            if (key == "SigBlk:") facts.blocked_signals = value;
            if (key == "voluntary_ctxt_switches:") facts.times_woken = std::stol(value);
        }
        if (facts.name.starts_with("candor-")) out[id] = facts;  // else it starts or ends just now, or is a sanitizer's
    }
    return out;
}

candor::telemetry_options options_for(const fs::path& home, const std::string& url) {
    candor::telemetry_options out{.product = {.name = "acme", .version = "1.4.0", .env_prefix = "ACME"},
                                  .write_key = "key",
                                  .data_plane_url = url,
                                  .sentry_dsn = "http://key@" + url.substr(7) + "/7",
                                  .shutdown_timeout = 20s};
    out.delivery.spool.directory = home / "spool";
    out.delivery.flush_interval = 10ms;
    return out;
}

/// Its answers have no length, so that a thread keeps their deadlines.
child_server answering_server() {
    return child_server{[] {
        return std::make_unique<socket_server>(candor::testing::behaviours::answer(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n"));
    }};
}

}  // namespace

TEST_CASE("an idle program is not woken, after a delivery and with a receiver that has heard something too") {
    const temporary_directory t;
    const auto server = answering_server();
    const auto url = "http://127.0.0.1:" + std::to_string(server.port());
    const auto child = run_in_child([&](int output) {
        candor::otlp::receiver receiver{{.metrics_file = t.path() / "metrics.txt", .write_interval = 10ms}};
        candor::telemetry telemetry{options_for(t.path(), url)};
        telemetry.track(counted{1});
        telemetry.capture_message(candor::sentry::severity::error, "an error");
        if (!telemetry.flush(20s)) return 1;
        otlp_writer::metric resources{.name = "sync.table.resources"};
        resources.points.push_back({.attributes = {{"sync.table.name", "users"}}, .start = 1, .time = 2, .value = 3});
        candor::httplib_transport worker;
        const auto answer = worker.send({.method = "POST",
                                         .url = "http://" + receiver.endpoint() + "/v1/metrics",
                                         .headers = {{"Content-Type", "application/x-protobuf"}},
                                         .body = otlp_writer::to_protobuf(otlp_writer::request{
                                             .resources = {{.scopes = {{.metrics = {resources}}}}}})});
        if (answer.status != 200) return 3;
        std::map<std::string, thread_facts> at_first, later;
        // That nothing happens is only seen by letting time pass. On a busy machine it takes a while until all has
        // settled.
        for (int attempt = 0; attempt < 20; ++attempt) {
            at_first = threads();
            std::this_thread::sleep_for(1s);
            later = threads();
            bool is_idle = at_first.size() == later.size();
            for (const auto& [id, facts] : later) is_idle = is_idle && at_first[id].times_woken == facts.times_woken;
            if (is_idle) return 0;
        }
        for (const auto& [id, facts] : later)
            say(output,
                facts.name + " was woken " + std::to_string(facts.times_woken - at_first[id].times_woken) + " times\n");
        return 2;
    });
    CHECK(child.said == "");
    CHECK(child.exit_code() == 0);
}

TEST_CASE("threads have names and stacks of a known size, take no signals, and are as many as is said") {
    const temporary_directory t;
    const auto server = answering_server();
    const auto url = "http://localhost:" + std::to_string(server.port());
    const auto child = run_in_child([&](int output) {
        std::map<std::string, thread_facts> seen;
        std::atomic<std::size_t> stack{0};
        candor::otlp::receiver receiver{{.metrics_file = t.path() / "metrics.txt"}};
        auto options = options_for(t.path(), url);
        options.delivery.on_delivered = [&](std::string_view) {
            pthread_attr_t attributes;
            std::size_t size = 0;
            if (::pthread_getattr_np(::pthread_self(), &attributes) == 0) {
                ::pthread_attr_getstacksize(&attributes, &size);
                ::pthread_attr_destroy(&attributes);
            }
            stack = size;
        };
        candor::telemetry telemetry{options};
        for (int i = 0; i < 5; ++i) {
            telemetry.track(counted{i});
            telemetry.capture_message(candor::sentry::severity::error, "an error");
            static_cast<void>(telemetry.flush(0s));
            seen.merge(threads());
            if (!telemetry.flush(20s)) return 1;
            seen.merge(threads());
        }
        std::map<std::string, int> count;
        // A thread has its creator's name until it has run for the first time.
        const bool are_as_said = becomes_true([&] {
            count.clear();
            for (const auto& [id, facts] : threads()) ++count[facts.name];
            return count["candor-events"] == 1 && count["candor-errors"] == 1 && count["candor-deadline"] == 1 &&
                   count["candor-metrics"] == 1;
        });
        for (const auto& [name, times] : count) say(output, std::to_string(times) + " " + name + "\n");
        if (!are_as_said) return 2;
        if (seen.empty()) return 3;
        for (const auto& [id, facts] : seen) {
            const auto blocked = std::stoull(facts.blocked_signals, nullptr, 16);
            for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGCHLD, SIGALRM, SIGUSR1, SIGUSR2, SIGPIPE, SIGWINCH})
                if ((blocked & (1ULL << (signal - 1))) == 0) return 5;
        }
        return stack >= candor::detail::thread_stack_size ? 0 : 6;  // it may be that of a thread that has ended
    });
    CAPTURE(child.said);
    CHECK(child.exit_code() == 0);
}

TEST_CASE("no locale, umask, signal, directory or variable of the process is changed") {
    const temporary_directory t;
    const auto server = answering_server();
    const auto url = "http://localhost:" + std::to_string(server.port());
    CHECK(run_in_child([&](int output) {
              const auto state = [] {
                  std::ostringstream out;
                  out << std::setlocale(LC_ALL, nullptr) << '\n' << fs::current_path() << '\n';
                  const mode_t mask = ::umask(0);
                  ::umask(mask);
                  out << mask << '\n';
                  for (int signal = 1; signal < SIGRTMAX; ++signal) {
                      struct sigaction now {};
                      if (::sigaction(signal, nullptr, &now) == 0)
                          out << reinterpret_cast<std::uintptr_t>(now.sa_handler) << ' ' << now.sa_flags << '\n';
                  }
                  sigset_t blocked;
                  ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
                  for (int signal = 1; signal < SIGRTMAX; ++signal) out << sigismember(&blocked, signal);
                  for (char** variable = environ; *variable != nullptr; ++variable) out << *variable << '\n';
                  return out.str();
              };
              const auto before = state();
              bool is_same = true;
              {
                  candor::otlp::receiver receiver{{.metrics_file = t.path() / "metrics.txt"}};
                  candor::telemetry telemetry{options_for(t.path(), url)};
                  telemetry.track(counted{1});
                  telemetry.capture_message(candor::sentry::severity::error, "an error");
                  if (!telemetry.flush(20s)) say(output, "nothing was delivered");
                  is_same = state() == before;
              }
              if (is_same && state() == before) return 0;
              say(output, before + "\nbecame\n" + state());
              return 2;
          }).said == "");
}

TEST_CASE("every call leaves errno as it was, whatever fails in it") {
    const temporary_directory t;
    const auto server = answering_server();
    const auto url = "http://localhost:" + std::to_string(server.port());
    const auto child = run_in_child([&](int output) {
        ::setenv("HOME", t.path().c_str(), 1);
        for (const char* name : {"XDG_STATE_HOME", "XDG_CONFIG_HOME", "DO_NOT_TRACK"}) ::unsetenv(name);
        t.write(".config/acme/telemetry.json/is", "a directory");
        t.write(".local", "no directory");
        int failures = 0;
        const auto check = [&](const char* what, const auto& call) {
            errno = ERANGE;
            call();
            if (errno == ERANGE) return;
            say(output, std::string{what} + " set errno to " + std::to_string(errno) + "\n");
            ++failures;
        };
        const candor::product product{.name = "acme", .version = "1.4.0", .env_prefix = "ACME"};
        check("resolve_level", [&] { static_cast<void>(candor::resolve_level(product, 0, nullptr)); });
        check("show_notice_once", [&] { static_cast<void>(candor::show_notice_once(product, {})); });
        check("save_choice", [&] {
            static_cast<void>(candor::save_choice(candor::process_environment{}, "acme", candor::level::all));
        });
        check("uuid", [&] { static_cast<void>(candor::uuid::random()); });
        for (const bool is_reached : {true, false}) {
            auto options = options_for(t.path(), is_reached ? url : "http://127.0.0.1:1");
            options.delivery.spool.directory = t.path() / ".local" / "spool";
            options.capture_uncaught = true;
            options.capture_crashes = true;
            options.shutdown_timeout = is_reached ? 5000ms : 10ms;
            for (const char* word : {"status", "preview", "log", "catalog", "purge", "on", "nonsense"}) {
                check(word, [&] {
                    std::ostringstream out, errors;
                    static_cast<void>(candor::telemetry_command(options, candor::event_list<counted>{},
                                                                std::vector<std::string>{word}, out, errors));
                });
            }
            std::optional<candor::telemetry> telemetry;
            check("construction", [&] { telemetry.emplace(options); });
            check("track", [&] { telemetry->track(counted{1}); });
            check("add_breadcrumb", [&] { telemetry->add_breadcrumb("a", "b"); });
            check("capture", [&] { telemetry->capture(std::runtime_error{"disk full"}); });
            check("capture_message", [&] { telemetry->capture_message(candor::sentry::severity::error, "text"); });
            check("flush", [&] { static_cast<void>(telemetry->flush(is_reached ? 5000ms : 10ms)); });
            check("statistics", [&] { static_cast<void>(telemetry->statistics()); });
            check("revoke", [&] { telemetry->revoke(); });
            check("shutdown", [&] { telemetry->shutdown(); });
            check("destruction", [&] { telemetry.reset(); });
            std::optional<candor::rudderstack::client> analytics;
            check("rudderstack::client", [&] {
                analytics.emplace(candor::rudderstack::client_options{
                    .write_key = "key", .data_plane_url = options.data_plane_url, .shutdown_timeout = 10ms});
            });
            check("enqueue", [&] { analytics->enqueue(candor::rudderstack::track{.user_id = "u", .event = "e"}); });
            check("its flush", [&] { static_cast<void>(analytics->flush(10ms)); });
            check("its destruction", [&] { analytics.reset(); });
            std::optional<candor::sentry::client> errors;
            check("sentry::client", [&] {
                errors.emplace(candor::sentry::client_options{.dsn = options.sentry_dsn, .shutdown_timeout = 10ms});
            });
            check("its capture", [&] { errors->capture(std::runtime_error{"disk full"}); });
            check("its flush", [&] { static_cast<void>(errors->flush(10ms)); });
            check("its shutdown", [&] { errors->shutdown(); });
            check("its destruction", [&] { errors.reset(); });
        }
        std::optional<candor::otlp::receiver> receiver;
        check("otlp::receiver",
              [&] { receiver.emplace(candor::otlp::receiver_options{.metrics_file = t.path() / "metrics.txt"}); });
        check("its shutdown", [&] { receiver->shutdown(); });
        check("its destruction", [&] { receiver.reset(); });
        return failures == 0 ? 0 : 1;
    });
    CHECK(child.said == "");
    CHECK(child.exit_code() == 0);
}

}  // namespace host_process_test
