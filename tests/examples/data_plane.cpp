// A RudderStack data plane on loopback that prints what it receives, errors for Sentry too. Ends on SIGINT or SIGTERM.
#include "data_plane.hpp"
#include "tally_files.hpp"

#ifndef _WIN32
#include <signal.h>
#endif

#include <charconv>
#include <exception>
#include <fstream>
#include <iostream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace {

constexpr std::string_view usage =
    "usage: data_plane [--port N] [--write-key K] [--port-file FILE] [--print]\n"
    "  --port N          listen on 127.0.0.1:N (default: a free port)\n"
    "  --write-key K     the key that clients must send (default: tally-example-key)\n"
    "  --port-file FILE  write the port to FILE, which may be a FIFO, once requests are taken\n"
    "  --print           print each message that is taken as one line of JSON, and each error as a line of words\n";

struct command_line {
    candor::examples::data_plane_options server{.write_key = "tally-example-key"};
    std::string port_file{};
    bool print = false;
};

/// Nothing where the arguments are wrong.
std::optional<command_line> parse(int argc, char** argv) {
    command_line out;
    for (int i = 1; i < argc; ++i) {
        const std::string_view option = argv[i];
        if (option == "--print") {
            out.print = true;
            continue;
        }
        if (++i >= argc) return std::nullopt;
        const std::string_view value = argv[i];
        if (option == "--write-key" && !value.empty()) {
            out.server.write_key = value;
        } else if (option == "--port-file" && !value.empty()) {
            out.port_file = value;
        } else if (option == "--port") {
            const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out.server.port);
            if (error != std::errc{} || end != value.data() + value.size() || out.server.port < 0 ||
                out.server.port > 65535)
                return std::nullopt;
        } else {
            return std::nullopt;
        }
    }
    return out;
}

#ifdef _WIN32

void hold_ending_signals() {}
void wait_for_the_end() { std::cin.ignore(std::numeric_limits<std::streamsize>::max()); }  // of standard input

#else

sigset_t ending_signals() {
    sigset_t out;
    sigemptyset(&out);
    sigaddset(&out, SIGINT);
    sigaddset(&out, SIGTERM);
    return out;
}

/// To be called before any thread starts: each inherits it, and the signals wait for `wait_for_the_end`.
void hold_ending_signals() {
    const auto signals = ending_signals();
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

void wait_for_the_end() {
    const auto signals = ending_signals();
    int received = 0;
    sigwait(&signals, &received);
}

#endif

/// "error: tally@1.0.0: std::runtime_error: no (caused by ...), at tally.cpp:12, fatal, nobody handled it".
std::string describe(const nlohmann::json& event) {
    const auto text = [](const nlohmann::json& object, const char* member) {
        const auto found = object.find(member);
        return found != object.end() && found->is_string() ? tally::visible(found->get<std::string>()) : std::string{};
    };
    std::string out = "error: " + text(event, "release") + ": ";
    if (event.contains("message")) out += text(event["message"], "formatted");
    const auto values = event.value("/exception/values"_json_pointer, nlohmann::json::array());
    for (auto value = values.rbegin(); value != values.rend(); ++value) {
        if (value != values.rbegin()) out += ", caused by ";
        out += text(*value, "type") + ": " + text(*value, "value");
    }
    if (values.empty()) return out + ", " + text(event, "level");
    const auto& outermost = values.back();
    const auto frames = outermost.value("/stacktrace/frames"_json_pointer, nlohmann::json::array());
    if (!frames.empty() && frames.back().contains("lineno"))
        out += ", at " + text(frames.back(), "filename") + ":" + frames.back()["lineno"].dump();
    out += ", " + std::to_string(frames.size()) + " frames, " + text(event, "level");
    if (!outermost.value("/mechanism/handled"_json_pointer, true)) out += ", not handled";
    return out;
}

int serve(command_line options) {
    options.server.on_request = [](const candor::examples::received_request& request) {
        std::cerr << "data_plane: " << request.method << ' ' << request.path << ": " << request.body_bytes
                  << " bytes, answered " << request.status << '\n';
    };
    if (options.print) {
        options.server.on_message = [](const nlohmann::json& message) {
            std::cout << message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
        };
        options.server.on_error = [](const nlohmann::json& event) { std::cout << describe(event) << std::endl; };
    }
    candor::examples::data_plane plane{std::move(options.server)};
    std::cerr << "data_plane: listening on " << plane.url() << std::endl;
    if (!options.port_file.empty()) {
        std::ofstream file{options.port_file};
        file << plane.port() << std::endl;
        if (!file) {
            std::cerr << "data_plane: cannot write " << options.port_file << '\n';
            return 1;
        }
    }
    wait_for_the_end();
    plane.stop();
    std::cerr << "data_plane: took " << plane.messages().size() << " messages, answered " << plane.requests().size()
              << " requests\n";
    std::cerr << "data_plane: took " << plane.errors().size() << " errors\n";
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    hold_ending_signals();
    const auto options = parse(argc, argv);
    if (!options) {
        std::cerr << usage;
        return 2;
    }
    try {
        return serve(*options);
    } catch (const std::exception& error) {
        std::cerr << "data_plane: " << error.what() << '\n';
        return 1;
    }
}
