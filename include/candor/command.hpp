#ifndef CANDOR_COMMAND_HPP
#define CANDOR_COMMAND_HPP

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <candor/consent/choice.hpp>
#include <candor/consent/level.hpp>
#include <candor/consent/resolver.hpp>
#include <candor/delivery/payload_log.hpp>
#include <candor/delivery/spool/spool.hpp>
#include <candor/event/catalog.hpp>
#include <candor/event/fields.hpp>
#include <candor/platform/errno_guard.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/transport.hpp>
#include <candor/sentry/crash_recovery.hpp>
#include <candor/sentry/severity.hpp>
#include <candor/telemetry.hpp>
#include <candor/telemetry_options.hpp>
#include <candor/telemetry_report.hpp>

namespace candor {

namespace detail {

/// The requests that a run would make that tracked each event once and captured an error.
template <clock Clock, environment Environment, event... Events>
std::vector<logged_request> preview_requests(telemetry_options options, level allowed, Clock& clock,
                                             const Environment& environment) {
    std::mutex mutex;  // events and errors have a worker each
    std::vector<logged_request> out;
    options.level = allowed;
    options.capture_uncaught = false;
    options.delivery.dry_run = true;
    options.delivery.on_delivered = nullptr;
    options.delivery.on_dropped = nullptr;
    options.delivery.on_attempt = [&](const http_request& request, const http_response&) {
        const std::lock_guard guard{mutex};
        out.push_back({.url = request.url, .body = request.body});
    };
    null_transport transport;
    basic_telemetry<null_transport, Clock, Environment> telemetry{options, transport, clock, environment};
    (telemetry.track(Events{}), ...);
    telemetry.capture_message(sentry::severity::error, "an error");
    telemetry.flush(std::chrono::seconds{5});
    telemetry.shutdown();
    return out;
}

/// The words of a telemetry command, without the flags.
struct command_words {
    std::vector<std::string_view> words{};
    bool as_json = false;
    std::string complaint{};
};

inline command_words read_command(int argc, const char* const* argv) {
    command_words out;
    for (int i = 1; i < argc && argv != nullptr && argv[i] != nullptr; ++i) {
        const std::string_view word = argv[i];
        if (word == "--json") {
            out.as_json = true;
        } else if (word == level_flag) {
            ++i;
        } else if (word.starts_with("-") && !word.starts_with(std::string{level_flag} + "=")) {
            out.complaint = "unknown option \"" + printable(word) + '"';
        } else if (!word.starts_with("-")) {
            out.words.push_back(word);
        }
    }
    if (!out.complaint.empty()) return out;
    if (out.words.empty()) out.words.push_back("status");
    const bool takes_level = out.words[0] == "level";
    if (out.words.size() > (takes_level ? 2U : 1U))
        out.complaint = "unexpected argument \"" + printable(out.words[takes_level ? 2 : 1]) + '"';
    if (takes_level && (out.words.size() < 2 || !parse_level(out.words[1])))
        out.complaint = "level takes one of " + std::string{allowed_levels} +
                        (out.words.size() < 2 ? "" : ", not " + printable(out.words[1]));
    return out;
}

inline constexpr std::string_view command_usage =
    "usage: telemetry [status]  shows what is sent, where, and who decided that\n"
    "       telemetry on        allows everything to be sent from now on\n"
    "       telemetry off       sends nothing from now on, and removes what waits\n"
    "       telemetry level L   sets the level: none, errors, stats or all\n"
    "       telemetry preview   shows exactly what a run would send, and sends nothing\n"
    "       telemetry log       shows what has been sent, if it is logged\n"
    "       telemetry catalog   lists every event and field that can be sent\n"
    "       telemetry purge     removes what waits to be sent\n"
    "Each takes --json.\n";

/// What a purge has done.
struct purge_result {
    std::uint64_t removed = 0;  ///< messages and crash reports
    std::uint64_t left = 0;     ///< messages that could not be removed
};

/// Removes what waits to be sent of what the level does not allow.
template <environment Environment>
purge_result purge_what_waits(const telemetry_options& options, level allowed, const Environment& environment) {
    const auto spool = spool_of(options, environment);
    const auto& directory = spool.directory;
    purge_result out;
    const auto purge = [&](std::string_view protocol) {
        const auto before = count_spooled(spool, protocol);
        purge_spool(directory, protocol);
        const auto left = count_spooled(spool, protocol);
        out.left += left;
        out.removed += before - std::min(before, left);
    };
    if (!directory.empty() && !candor::sends_analytics(allowed)) purge("rudderstack");
    if (!directory.empty() && !candor::sends_errors(allowed)) purge("sentry");
    const auto crashes = telemetry_directory(environment, options.product.name);
    if (crashes && !candor::sends_errors(allowed)) out.removed += sentry::purge_crashes(*crashes);
    return out;
}

}  // namespace detail

/// The command `telemetry`, for a program to mount: what is sent and why, the user's choice, what would be sent.
///
///     if (argc > 1 && std::string_view{argv[1]} == "telemetry")
///         return candor::telemetry_command(options, candor::event_list<sync_started, sync_completed>{}, argc - 1,
///                                          argv + 1, std::cout, std::cerr);
///
/// `argv[0]` is the command's own name, what follows are its words: nothing or `status`, `on`, `off`, `level L`,
/// `preview`, `log`, `catalog`, `purge`, each with `--json` where that is wanted; `--telemetry-level` is read as in any
/// run. `options` are those of the program's telemetry, whose level is not looked at; the events are all that it can
/// send.
///
/// `preview` makes the requests that a run would make that tracked each event once, with its default values, and
/// captured one error, and prints them instead of sending them; the account source and the hooks of `options` are
/// called. `off`, and a level that forbids something, remove what waits of that.
///
/// Returns the exit status of a program: 0 done; 1 not done, such as a choice that could not be saved; 2 wrong usage,
/// and `status` where a flag or variable has an unknown level. Complaints go to `errors`. Throws `std::bad_alloc`, and
/// what the streams are set to throw. One thread. Not in a signal handler.
template <event... Events, clock Clock, environment Environment>
int telemetry_command(const telemetry_options& options, event_list<Events...> events, int argc, const char* const* argv,
                      std::ostream& out, std::ostream& errors, Clock& clock, const Environment& environment) {
    static_assert((std::default_initializable<Events> && ...),
                  "an event of the list needs default values, for preview");
    constexpr int done = 0, not_done = 1, wrong_usage = 2;
    const detail::errno_guard guard;
    const auto read = detail::read_command(argc, argv);
    if (!read.complaint.empty()) {
        errors << read.complaint << '\n' << detail::command_usage;
        return wrong_usage;
    }
    const auto command = read.words[0];
    const auto show = [&](const nlohmann::ordered_json& json, const std::string& text) {
        if (read.as_json) {
            out << json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
        } else {
            out << text;
        }
    };
    if (command == "catalog") {
        show(to_json(make_catalog(events)), telemetry_document(options.product.name, events));
        return done;
    }
    const detail::telemetry_report report{options, argc, argv, environment};
    if (command == "status") {
        show(report.json(), report.text());
        return report.resolved().error ? wrong_usage : done;
    }
    if (command == "preview") {
        auto requests = nlohmann::ordered_json::array();
        std::string text;
        for (const auto& request : detail::preview_requests<Clock, Environment, Events...>(
                 options, report.resolved().level, clock, environment)) {
            requests.push_back({{"url", request.url}, {"body", request.body}});
            text += "POST " + request.url + "\n" + request.body + (request.body.ends_with('\n') ? "\n" : "\n\n");
        }
        if (text.empty()) text = "Nothing would be sent.\n";
        show({{"requests", requests}}, text);
        return done;
    }
    if (command == "log") {
        auto requests = nlohmann::ordered_json::array();
        std::string text;
        if (report.log()) {
            for (const auto& request : detail::payload_log::read(*report.log())) {
                requests.push_back({{"url", request.url}, {"answer", request.answer}, {"body", request.body}});
                text += detail::readable_request(request.url, request.body) +
                        "answer: " + detail::printable(request.answer) + "\n\n";
            }
            if (text.empty())
                text = "Nothing has been sent since the log " + detail::printable(*report.log()) + " was begun.\n";
        } else {
            text = "No log is kept.";
            if (!options.product.env_prefix.empty())
                text += " " + options.product.variable("TELEMETRY_LOG") + " names a file to keep one in.";
            text += '\n';
        }
        show({{"log", detail::or_null(report.log())}, {"requests", requests}}, text);
        return done;
    }
    if (command == "purge") {
        const auto [removed, left] = detail::purge_what_waits(options, level::none, environment);
        show({{"purged", left == 0}, {"removed", removed}},
             removed > 0 ? "Removed what waited to be sent: " + std::to_string(removed) + ".\n"
             : left == 0 ? "Nothing waits to be sent.\n"
                         : "");
        if (left > 0)
            errors << "not everything could be removed in " << detail::printable_path(report.spool().directory) << '\n';
        return left == 0 ? done : not_done;
    }
    const auto chosen = command == "on"      ? std::optional{level::all}
                        : command == "off"   ? std::optional{level::none}
                        : command == "level" ? parse_level(read.words[1])
                                             : std::nullopt;
    if (!chosen) {
        errors << "unknown command \"" << detail::printable(command) << "\"\n" << detail::command_usage;
        return wrong_usage;
    }
    const auto saved = save_choice(environment, options.product.name, *chosen);
    if (saved.problem) {
        errors << *saved.problem << '\n';
        return not_done;
    }
    const bool is_gone = detail::purge_what_waits(options, *chosen, environment).left == 0;
    const detail::telemetry_report now{options, argc, argv, environment};
    std::string text =
        "Saved: " + std::string{to_string(*chosen)} + ", in " + detail::printable_path(saved.file) + ".\n";
    if (now.resolved().source != level_source::saved_choice)
        text += "In this environment " + now.resolved().reason + " takes precedence.\n";
    show(now.json(), text);
    if (!is_gone) errors << "not everything that waits could be removed\n";
    return is_gone ? done : not_done;
}

/// The same, with the clock of the system and the variables of this process. Not in a signal handler.
template <event... Events>
int telemetry_command(const telemetry_options& options, event_list<Events...> events, int argc, const char* const* argv,
                      std::ostream& out, std::ostream& errors) {
    system_clock clock;
    return telemetry_command(options, events, argc, argv, out, errors, clock, process_environment{});
}

/// The same, of the words that follow the command's name, as a parser of command lines leaves them. Not in a signal
/// handler.
template <event... Events>
int telemetry_command(const telemetry_options& options, event_list<Events...> events,
                      const std::vector<std::string>& words, std::ostream& out, std::ostream& errors) {
    std::vector<const char*> argv{"telemetry"};
    for (const auto& word : words) argv.push_back(word.c_str());
    return telemetry_command(options, events, static_cast<int>(argv.size()), argv.data(), out, errors);
}

}  // namespace candor

#endif
