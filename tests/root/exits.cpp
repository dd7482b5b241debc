// Ends in each of the ways in which a program ends, with an event on its way.
// usage: exits WAY URL; `exits.sh` says what has to come of it.
#include <candor/candor.hpp>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>

#include <sys/wait.h>
#include <unistd.h>

namespace {

struct ended {
    static constexpr std::string_view event_name = "ended";
    std::string way{};
    static constexpr auto fields() { return std::tuple{candor::field("way", &ended::way, "How")}; }
};

candor::telemetry_options options_for(const std::string& url) {
    return {.product = {.name = "exits", .version = "1.0.0", .env_prefix = "EXITS"},
            .write_key = "tally-example-key",
            .data_plane_url = url,
            .shutdown_timeout = std::chrono::milliseconds{300},
            .delivery = {.connect_timeout = std::chrono::minutes{1}, .request_timeout = std::chrono::minutes{1}}};
}

/// Tracks when it is destroyed, which is after telemetry was shut down.
struct latecomer {
    ~latecomer() {
        if (telemetry) std::cout << "late: " << to_string(telemetry->track(ended{.way = "late"})) << '\n';
    }
    candor::telemetry* telemetry = nullptr;
};

volatile std::sig_atomic_t is_terminated = 0;

}  // namespace

int main(int, char** argv) {
    const std::string way = argv[1];
    const auto options = options_for(argv[2]);
    if (way == "static") {
        static candor::telemetry telemetry{options};
        telemetry.track(ended{.way = way});
        return 0;
    }
    if (way == "late") {
        static std::optional<candor::telemetry> telemetry{options};
        static latecomer after;  // destroyed first: telemetry is there, and was shut down below
        after.telemetry = &*telemetry;
        telemetry->track(ended{.way = way});
        telemetry->shutdown();
        return 0;
    }
    candor::telemetry telemetry{options};
    if (way == "sigwait" || way == "flag") {
        sigset_t ending;
        sigemptyset(&ending);
        sigaddset(&ending, SIGTERM);
        if (way == "sigwait") pthread_sigmask(SIG_BLOCK, &ending, nullptr);
        if (way == "flag") std::signal(SIGTERM, [](int) { is_terminated = 1; });
        telemetry.track(ended{.way = way});
        std::raise(SIGTERM);
        int got = 0;
        if (way == "sigwait") sigwait(&ending, &got);
        if (way == "flag" && is_terminated == 0) return 2;
        telemetry.flush(std::chrono::milliseconds{100});
        return 0;
    }
    if (way == "in_child") {
        const pid_t child = ::fork();
        if (child != 0) return ::waitpid(child, nullptr, 0) == child ? 0 : 2;
    }
    telemetry.track(ended{.way = way});
    if (way == "exit" || way == "in_child") std::exit(0);
    if (way == "quick_exit") std::quick_exit(0);
    if (way == "during_flush") {
        std::thread{[&] { telemetry.flush(std::chrono::seconds{10}); }}.detach();
        std::exit(0);
    }
    return way == "destructor" ? 0 : 2;
}
