// tally: counts the lines of the files in a directory. A small program that uses candor the way any program would.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <candor/candor.hpp>

#include "tally_files.hpp"

namespace {

const candor::product product{.name = "tally", .version = "1.0.0", .env_prefix = "TALLY"};

constexpr std::string_view help =
    "usage: tally sync [--exclude=NAME]... DIR   count the rows of every file under DIR\n"
    "       tally login                          log in as TALLY_USER_ID of the team TALLY_TEAM_ID\n"
    "       tally --help | --version\n"
    "\n"
    "  --exclude=NAME          leave out files and directories of that name\n"
    "  --verbose               say on standard error what telemetry did\n"
    "  --telemetry-level=L     none, errors, stats or all\n"
    "\n"
    "Each regular file is a table, each line a row. Links are not followed.\n"
    "\n"
    "tally reports that it ran, how many rows, errors and warnings it counted and how long that took: never a name\n"
    "or a path. The report goes to the data plane at TALLY_RUDDERSTACK_DATA_PLANE_URL, and nowhere without it.\n"
    "TALLY_TELEMETRY_LEVEL=none or DO_NOT_TRACK=1 turns it off.\n"
    "\n"
    "Exit status: 0 done, 1 not done, 2 wrong usage.\n";

enum exit_status { done = 0, not_done = 1, wrong_usage = 2 };

struct command_line {
    std::string command{};
    std::string directory{};
    std::vector<std::string> excluded{};
    bool verbose = false;
    std::string complaint{};  ///< what is wrong with the arguments, where something is
};

/// `--telemetry-level` is left to candor, which reads it from the same arguments.
command_line parse(int argc, char** argv) {
    constexpr std::string_view exclude = "--exclude=";
    command_line out;
    std::vector<std::string> words;
    bool options = true;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (!options || argument.size() < 2 || argument[0] != '-') {
            words.emplace_back(argument);
        } else if (argument == "--") {
            options = false;
        } else if (argument == "--help" || argument == "--version") {
            out.command = argument;
            return out;
        } else if (argument == "--verbose") {
            out.verbose = true;
        } else if (argument == "--telemetry-level") {
            ++i;
        } else if (argument.starts_with(exclude) && argument.size() > exclude.size()) {
            out.excluded.emplace_back(argument.substr(exclude.size()));
        } else if (!argument.starts_with("--telemetry-level=")) {
            out.complaint = "unknown option " + tally::visible(argument);
            return out;
        }
    }
    if (words.empty()) {
        out.complaint = "no command given";
        return out;
    }
    out.command = words[0];
    const std::size_t wanted = out.command == "sync" ? 2 : 1;
    if (out.command != "sync" && out.command != "login") {
        out.complaint = "unknown command " + tally::visible(out.command);
    } else if (words.size() < wanted || (wanted == 2 && words[1].empty())) {
        out.complaint = "sync needs a directory";
    } else if (words.size() > wanted) {
        out.complaint = "one argument too many: " + tally::visible(words[wanted]);
    } else if (wanted == 2) {
        out.directory = words[1];
    }
    return out;
}

/// Whoever the environment names. candor asks for it late, on a thread of its own.
std::optional<candor::account> account() {
    const char* user = std::getenv("TALLY_USER_ID");
    const char* team = std::getenv("TALLY_TEAM_ID");
    if (user == nullptr || team == nullptr) return std::nullopt;
    return candor::account{.user_id = user, .team_id = team};
}

int run_login(candor::telemetry& telemetry) {
    const auto who = account();
    if (!who || who->user_id.empty() || who->team_id.empty()) {
        std::cerr << "tally: set TALLY_USER_ID and TALLY_TEAM_ID to log in\n";
        return not_done;
    }
    std::cout << "logged in as " << tally::visible(who->user_id) << " of the team " << tally::visible(who->team_id)
              << '\n';
    telemetry.track(candor::login_succeeded{});
    return done;
}

void print(const tally::contents& found, std::chrono::nanoseconds duration) {
    std::cout << std::setw(12) << "rows"
              << "  table\n";
    for (const auto& table : found.tables)
        std::cout << std::setw(12) << table.rows << "  " << tally::visible(table.name) << '\n';
    std::cout << '\n'
              << found.tables.size() << " tables, " << found.rows << " rows, " << found.failures.size() << " errors, "
              << found.skipped.size() << " skipped, "
              << std::chrono::duration_cast<std::chrono::milliseconds>(duration).count() << " ms\n";
    for (const auto& failure : found.failures)
        std::cerr << "tally: " << tally::visible(failure.name) << ": " << failure.error.message() << '\n';
}

int run_sync(candor::telemetry& telemetry, const command_line& options) {
    const std::string source = "files", destination = "terminal";
    telemetry.track(candor::init_started{
        .source = source, .destination = destination, .accept_defaults = options.excluded.empty()});
    std::error_code error;
    std::filesystem::directory_iterator{options.directory, error};
    candor::init_completed initialised{
        .source = source, .destination = destination, .accept_defaults = options.excluded.empty()};
    if (error) {
        initialised.status = "error";
        initialised.error = error.message();
        telemetry.track(initialised);
        std::cerr << "tally: cannot read " << tally::visible(options.directory) << ": " << error.message() << '\n';
        return not_done;
    }
    telemetry.track(initialised);

    const std::string name = "tally", source_path = "tally/files";
    const std::vector<std::string> destination_paths{"tally/terminal"};
    telemetry.track(
        candor::sync_started{.sync_name = name, .source_path = source_path, .destination_paths = destination_paths});
    candor::sync_completed completed{
        .sync_name = name, .source_path = source_path, .destination_paths = destination_paths};
    const auto started = std::chrono::steady_clock::now();
    try {
        const auto found = tally::read_directory(options.directory, options.excluded);
        completed.duration = std::chrono::steady_clock::now() - started;
        completed.total_rows = static_cast<std::int64_t>(found.rows);
        completed.errors = static_cast<std::int64_t>(found.failures.size());
        completed.warnings = static_cast<std::int64_t>(found.skipped.size());
        print(found, completed.duration);
    } catch (const std::exception& failure) {
        completed.duration = std::chrono::steady_clock::now() - started;
        completed.status = "error";
        completed.errors = 1;
        completed.aborted_due_to_error = true;
        std::cerr << "tally: the sync was given up: " << failure.what() << '\n';
    }
    telemetry.track(completed);
    return completed.aborted_due_to_error ? not_done : done;
}

void print(const candor::statistics& counts) {
    std::cerr << "tally: telemetry: accepted " << counts.accepted << ", delivered " << counts.delivered << ", pending "
              << counts.pending << ", spooled " << counts.spooled << ", dropped " << counts.dropped.total()
              << ", refused " << counts.refused.total() << '\n';
    for (const auto& [reason, count] : counts.dropped)
        if (count > 0) std::cerr << "tally: telemetry: dropped " << to_string(reason) << ' ' << count << '\n';
    for (const auto& [reason, count] : counts.refused)
        if (count > 0) std::cerr << "tally: telemetry: refused " << to_string(reason) << ' ' << count << '\n';
}

int run(const command_line& options, const candor::resolution& consent) {
    candor::diagnostic_sink diagnostics;
    if (options.verbose)
        diagnostics = [](std::string_view text) { std::cerr << "tally: telemetry: " + std::string{text} + '\n'; };
    candor::telemetry telemetry{{
        .product = product,
        .level = consent.level,
        .write_key = "tally-example-key",
        .data_plane_url = "",  // TALLY_RUDDERSTACK_DATA_PLANE_URL, or nothing is sent
        .account = account,
        .shutdown_timeout = std::chrono::milliseconds{500},
        .diagnostics = diagnostics,
    }};
    if (options.verbose) {
        std::cerr << "tally: telemetry level " << to_string(consent.level) << ": " << consent.reason << '\n';
        if (!telemetry.sends_events()) std::cerr << "tally: telemetry: nothing is sent\n";
    }
    const int status = options.command == "login" ? run_login(telemetry) : run_sync(telemetry, options);
    if (options.verbose) {
        telemetry.flush(std::chrono::seconds{5});  // who asks what became of the events waits a little longer for it
        telemetry.shutdown();
        print(telemetry.statistics());
    }
    return status;
}

}  // namespace

int main(int argc, char** argv) {
    const auto options = parse(argc, argv);
    if (!options.complaint.empty()) {
        std::cerr << "tally: " << options.complaint << "; see tally --help\n";
        return wrong_usage;
    }
    if (options.command == "--help") {
        std::cout << help;
        return done;
    }
    if (options.command == "--version") {
        std::cout << product.name << ' ' << product.version << '\n';
        return done;
    }
    const auto consent = candor::resolve_level(product, argc, argv);
    if (consent.error) {
        std::cerr << "tally: " << *consent.error << '\n';
        return wrong_usage;
    }
    for (const auto& warning : consent.warnings) std::cerr << "tally: " << warning << '\n';
    const int status = run(options, consent);
    std::cout.flush();
    if (status == done && !std::cout) {
        std::cerr << "tally: cannot write the output\n";
        return not_done;
    }
    return status;
}
