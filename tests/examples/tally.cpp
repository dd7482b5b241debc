// tally: counts the lines of the files in a directory. A small program that uses candor the way any program would.
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <candor/candor.hpp>

#include "progress.hpp"
#include "tally_events.hpp"
#include "tally_files.hpp"
#ifndef _WIN32
#include "tally_jobs.hpp"
#include "tally_worker.hpp"
#endif

namespace {

const candor::product product{.name = "tally", .version = "1.0.0", .env_prefix = "TALLY"};

constexpr std::string_view help =
    "usage: tally sync [OPTION]... DIR   count the rows of every file under DIR\n"
    "       tally login                  log in as TALLY_USER_ID of the team TALLY_TEAM_ID\n"
    "       tally telemetry [WORD]       what tally reports, and your choice: status, on, off, level L, preview,\n"
    "                                    log, catalog, purge\n"
    "       tally --help | --version\n"
    "\n"
    "  --exclude=NAME          leave out files and directories of that name\n"
    "  --jobs=N                count with N worker processes, 1 to 64\n"
    "  --metrics=FILE          keep a table of what the workers report in FILE\n"
    "  --metrics-interval=MS   write it every MS milliseconds (20000) and at the end\n"
    "  --rows-per-second=N     let each worker count no more than N rows a second\n"
    "  --verbose               say on standard error what telemetry did\n"
    "  --telemetry-level=L     none, errors, stats or all\n"
    "\n"
    "Each regular file is a table, each line a row. Links are not followed.\n"
    "\n"
    "An option about workers without --jobs gets one worker. Workers report over OTLP to the process that started "
    "them,\n"
    "and to nobody else, at every telemetry level. A worker that is lost is an error, and so is each file that it has\n"
    "not counted.\n"
    "\n"
    "tally reports that it ran, how many rows, errors and warnings it counted and how long that took, and where it\n"
    "failed or crashed: never a name or a path of a file. The report goes to the data plane at\n"
    "TALLY_RUDDERSTACK_DATA_PLANE_URL, failures to the server of TALLY_SENTRY_DSN, and nowhere without them.\n"
    "`tally telemetry off`, TALLY_TELEMETRY_LEVEL=none or DO_NOT_TRACK=1 turns it off.\n"
    "\n"
    "Exit status: 0 done, 1 not done or not all of it, 2 wrong usage. A file that cannot be read is an error of a "
    "sync\n"
    "that is done.\n";

enum exit_status { done = 0, not_done = 1, wrong_usage = 2 };

struct command_line {
    std::string command{};
    std::string directory{};
    std::vector<std::string> excluded{};
    std::optional<std::uint64_t> jobs{};
    std::optional<std::string> metrics_file{};
    std::optional<std::uint64_t> metrics_interval{};
    std::optional<std::uint64_t> rows_per_second{};
    bool verbose = false;
    std::string complaint{};  ///< what is wrong with the arguments, where something is

    [[nodiscard]] bool with_workers() const { return jobs || metrics_file || metrics_interval || rows_per_second; }
};

/// The number that an option was given, or a complaint.
std::optional<std::uint64_t> number(std::string_view option, std::string_view text, std::uint64_t max,
                                    std::string& complaint) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc{} && end == text.data() + text.size() && value >= 1 && value <= max) return value;
    complaint = std::string{option} + " takes a number from 1 to " + std::to_string(max) + ", not '" +
                tally::visible(text) + "'";
    return std::nullopt;
}

/// `--telemetry-level` is left to candor, which reads it from the same arguments.
command_line parse(int argc, char** argv) {
    command_line out;
    std::vector<std::string> words;
    bool options = true;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (!options || argument.size() < 2 || argument[0] != '-') {
            words.emplace_back(argument);
            continue;
        }
        // What an option is given follows a `=` or is the next argument.
        const auto option = argument.substr(0, argument.find('='));
        std::optional<std::string_view> value;
        if (option.size() < argument.size()) value = argument.substr(option.size() + 1);
        const bool takes_value = option == "--exclude" || option == "--jobs" || option == "--metrics" ||
                                 option == "--metrics-interval" || option == "--rows-per-second" ||
                                 option == "--telemetry-level";
        if (takes_value && !value && i + 1 < argc) value = argv[++i];
        if (argument == "--") {
            options = false;
        } else if (argument == "--help" || argument == "--version") {
            out.command = argument;
            return out;
        } else if (argument == "--verbose") {
            out.verbose = true;
        } else if (!takes_value) {
            out.complaint = "unknown option " + tally::visible(argument);
        } else if (option == "--telemetry-level") {
            continue;
        } else if (!value || value->empty()) {
            out.complaint = std::string{option} + " needs a value";
        } else if (option == "--exclude") {
            out.excluded.emplace_back(*value);
        } else if (option == "--metrics") {
            out.metrics_file = *value;
        } else if (option == "--jobs") {
            out.jobs = number(option, *value, 64, out.complaint);
        } else if (option == "--metrics-interval") {
            out.metrics_interval = number(option, *value, 3600000, out.complaint);
        } else {
            out.rows_per_second = number(option, *value, 1000000000, out.complaint);
        }
        if (!out.complaint.empty()) return out;
    }
    if (words.empty()) {
        out.complaint = "no command given";
        return out;
    }
    out.command = words[0];
    const std::size_t wanted = out.command == "sync" ? 2 : 1;
    if (out.command != "sync" && out.command != "login" && out.command != "crash") {
        out.complaint = "unknown command " + tally::visible(out.command);
    } else if (words.size() < wanted || (wanted == 2 && words[1].empty())) {
        out.complaint = "sync needs a directory";
    } else if (words.size() > wanted) {
        out.complaint = "one argument too many: " + tally::visible(words[wanted]);
    } else if (wanted == 2) {
        out.directory = words[1];
    } else if (out.with_workers()) {
        out.complaint = "only sync has workers";
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

candor::telemetry_options telemetry_options(candor::level level, candor::diagnostic_sink diagnostics = {}) {
    return {.product = product,
            .level = level,
            .write_key = "tally-example-key",
            .data_plane_url = "",  // TALLY_RUDDERSTACK_DATA_PLANE_URL, or nothing is sent
            .sentry_dsn = "",      // TALLY_SENTRY_DSN, or no failure is reported
            .account = account,
            .capture_uncaught = true,
            .capture_crashes = true,
            .shutdown_timeout = std::chrono::milliseconds{500},
            .diagnostics = std::move(diagnostics)};
}

int run_login(tally::telemetry& telemetry) {
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
        std::cerr << "tally: " << tally::visible(failure.name) << ": " << failure.reason << '\n';
}

/// Reports why files could not be read, each reason once: many files say no more than one.
void capture(tally::telemetry& telemetry, const std::vector<tally::failure>& failures) {
    std::set<std::string> reported;
    for (const auto& failure : failures)
        if (reported.insert(failure.reason).second)
            telemetry.capture(std::runtime_error{"a file cannot be read: " + failure.reason});
}

/// What the demo shows the report of. Not a fault of the processor: a program that is built with a sanitizer ends by
/// that in another way.
[[noreturn]] void crash() { std::abort(); }

/// Counts in this process, or with workers where an option asks for them.
tally::contents count(const command_line& options, const char* program) {
    if (!options.with_workers()) return tally::read_directory(options.directory, options.excluded);
#ifdef _WIN32
    static_cast<void>(program);
    throw std::runtime_error{"there are no workers on this system"};
#else
    tally::jobs_options jobs{
        .jobs = options.jobs.value_or(1),
        .metrics_file = options.metrics_file.value_or(""),
        .rows_per_second = options.rows_per_second.value_or(0),
        .program = program,
        .diagnostics = [](std::string_view text) { std::cerr << "tally: " + std::string{text} + '\n'; },
    };
    if (options.metrics_interval) jobs.metrics_interval = std::chrono::milliseconds{*options.metrics_interval};
    tally::progress_line line;
    if (tally::progress_line::wanted())
        jobs.progress = [&line](const candor::otlp::table_totals& known, std::size_t files) {
            line.show(std::to_string(known.rows - known.running) + " of " + std::to_string(files) + " tables, " +
                      std::to_string(known.resources) + " rows, " + std::to_string(known.running) + " running");
        };
    return tally::read_directory(options.directory, options.excluded, jobs);
#endif
}

int run_sync(tally::telemetry& telemetry, const command_line& options, const char* program) {
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
        telemetry.capture(std::system_error{error, "cannot read the directory"});
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
    bool complete = false;
    try {
        const auto found = count(options, program);
        complete = found.complete;
        completed.duration = std::chrono::steady_clock::now() - started;
        completed.total_rows = static_cast<std::int64_t>(found.rows);
        completed.errors = static_cast<std::int64_t>(found.failures.size());
        completed.warnings = static_cast<std::int64_t>(found.skipped.size());
        if (!complete) completed.status = "error";
        capture(telemetry, found.failures);
        print(found, completed.duration);
    } catch (const std::exception& failure) {
        completed.duration = std::chrono::steady_clock::now() - started;
        completed.status = "error";
        completed.errors = 1;
        completed.aborted_due_to_error = true;
        telemetry.capture(failure);
        std::cerr << "tally: the sync was given up: " << failure.what() << '\n';
    }
    telemetry.track(completed);
    return complete ? done : not_done;
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

int run(const command_line& options, const candor::resolution& consent, const char* program) {
    candor::diagnostic_sink diagnostics;
    if (options.verbose)
        diagnostics = [](std::string_view text) { std::cerr << "tally: telemetry: " + std::string{text} + '\n'; };
    tally::telemetry telemetry{telemetry_options(consent.level, diagnostics)};
    if (options.verbose) {
        std::cerr << "tally: telemetry level " << to_string(consent.level) << ": " << consent.reason << '\n';
        if (!telemetry.sends_events()) std::cerr << "tally: telemetry: no events are sent\n";
        if (!telemetry.sends_errors()) std::cerr << "tally: telemetry: no errors are sent\n";
    }
    if (options.command == "crash") {
        telemetry.add_breadcrumb("tally", "about to crash");
        crash();
    }
    const int status = options.command == "login" ? run_login(telemetry) : run_sync(telemetry, options, program);
    if (options.verbose) {
        telemetry.flush(std::chrono::seconds{5});  // who asks what became of the events waits a little longer for it
        telemetry.shutdown();
        print(telemetry.statistics());
    }
    return status;
}

#ifndef _WIN32
/// What `tally sync` starts: `tally worker ID ROWS_PER_SECOND`.
int run_worker(const char* id, std::string_view rows_per_second) {
    const char* endpoint = std::getenv("OTEL_EXPORTER_OTLP_ENDPOINT");
    std::uint64_t rate = 0;
    std::from_chars(rows_per_second.data(), rows_per_second.data() + rows_per_second.size(), rate);
    try {
        tally::work(endpoint == nullptr ? "" : endpoint, id, rate);
        return done;
    } catch (const std::exception& failure) {
        std::cerr << "tally: " + std::string{id} + ": " + failure.what() + '\n';
        return not_done;
    }
}
#endif

}  // namespace

int main(int argc, char** argv) {
#ifndef _WIN32
    if (argc == 4 && std::string_view{argv[1]} == "worker") return run_worker(argv[2], argv[3]);
#endif
    if (argc > 1 && std::string_view{argv[1]} == "telemetry")
        return candor::telemetry_command(telemetry_options(candor::level::all), tally::telemetry::events{}, argc - 1,
                                         argv + 1, std::cout, std::cerr);
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
    auto consent = candor::resolve_level(product, argc, argv);
    if (consent.error) {
        std::cerr << "tally: " << *consent.error << '\n';
        return wrong_usage;
    }
    for (const auto& warning : consent.warnings) std::cerr << "tally: " << warning << '\n';
    if (options.command != "crash") consent = candor::show_notice_once(product, std::move(consent));
    const int status = run(options, consent, argv[0]);
    std::cout.flush();
    if (status == done && !std::cout) {
        std::cerr << "tally: cannot write the output\n";
        return not_done;
    }
    return status;
}
