#ifndef CANDOR_COMMAND_HPP
#define CANDOR_COMMAND_HPP

#include <chrono>
#include <concepts>
#include <cstdint>
#include <exception>
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
#include <candor/delivery/last_delivery.hpp>
#include <candor/delivery/payload_log.hpp>
#include <candor/delivery/spool.hpp>
#include <candor/delivery/spool_directory.hpp>
#include <candor/delivery/spool_file.hpp>
#include <candor/event/catalog.hpp>
#include <candor/event/fields.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/system_calls.hpp>
#include <candor/policy/transport.hpp>
#include <candor/rudderstack/protocol.hpp>
#include <candor/sentry/crash_recovery.hpp>
#include <candor/sentry/dsn.hpp>
#include <candor/sentry/severity.hpp>
#include <candor/telemetry.hpp>
#include <candor/telemetry_options.hpp>

namespace candor {

namespace detail {

inline nlohmann::ordered_json or_null(const std::optional<std::string>& text) {
    return text ? nlohmann::ordered_json(*text) : nlohmann::ordered_json(nullptr);
}

/// What a telemetry command knows of its program. One thread.
template <environment Environment>
class telemetry_report {
public:
    telemetry_report(const telemetry_options& options, int argc, const char* const* argv,
                     const Environment& environment)
        : options_{options},
          environment_{environment},
          resolved_{resolve_level(options.product, argc, argv, environment)},
          sources_{ask_all_level_sources(options.product, argc, argv, environment)},
          spool_{spool_of(options, environment)},
          is_debugging_{is_debugging(options.product, environment)},
          log_{override_of(options.product, environment, "TELEMETRY_LOG")} {
        try {
            if (const auto to = data_plane_of(options, environment); !to.text.empty())
                data_plane_ = rudderstack::detail::checked_data_plane_url(to.text).origin();
            if (const auto to = sentry_dsn_of(options, environment); !to.text.empty())
                errors_ = sentry::detail::checked_dsn("sentry_dsn", to.text).server.origin();
        } catch (const configuration_error& error) {
            problem_ = error.what();
        }
    }

    [[nodiscard]] const resolution& resolved() const noexcept { return resolved_; }
    [[nodiscard]] const spool_options& spool() const noexcept { return spool_; }

    [[nodiscard]] bool sends_events() const noexcept {
        return data_plane_ && !is_debugging_ && candor::sends_analytics(resolved_.level);
    }
    [[nodiscard]] bool sends_errors() const noexcept {
        return errors_ && !is_debugging_ && candor::sends_errors(resolved_.level);
    }

    /// Where what is sent is logged.
    [[nodiscard]] const std::optional<std::string>& log() const noexcept { return log_; }

    /// How many messages wait on disk.
    [[nodiscard]] std::uint64_t spooled() const {
        std::uint64_t out = 0;
        if (!spool_.enabled || spool_.directory.empty()) return out;
        for (const auto& entry : spool_directory<system_calls>{spool_.directory}.list())
            if (const auto name = spool_name::parse(entry.name)) out += name->messages;
        return out;
    }

    [[nodiscard]] nlohmann::ordered_json json() const {
        auto sources = nlohmann::ordered_json::array();
        for (const auto& source : sources_) {
            nlohmann::ordered_json one{{"source", to_string(source.source)}, {"level", nullptr}, {"reason", nullptr}};
            if (source.said) {
                one["level"] = to_string(source.said->level);
                one["reason"] = source.said->reason;
            }
            one["decides"] = source.decides;
            sources.push_back(std::move(one));
        }
        return {{"level", to_string(resolved_.level)},
                {"source", to_string(resolved_.source)},
                {"reason", resolved_.reason},
                {"development", resolved_.development},
                {"sources", sources},
                {"sends", {{"analytics", sends_events()}, {"errors", sends_errors()}}},
                {"endpoint", or_null(data_plane_)},
                {"errors_endpoint", or_null(errors_)},
                {"spooled", spooled()},
                {"spool", spool_.directory.empty() ? nlohmann::ordered_json(nullptr)
                                                   : nlohmann::ordered_json(printable_path(spool_.directory))},
                {"last_delivery",
                 {{"analytics", or_null(delivered("rudderstack"))}, {"errors", or_null(delivered("sentry"))}}},
                {"debug", is_debugging_},
                {"log", or_null(log_)},
                {"warnings", resolved_.warnings},
                {"error", or_null(resolved_.error ? resolved_.error : problem_)}};
    }

    [[nodiscard]] std::string text() const {
        const auto& product = options_.product;
        std::string out = "Telemetry of " + product.name + (product.version.empty() ? "" : " " + product.version) +
                          ": " + std::string{to_string(resolved_.level)} + ", by " + resolved_.reason + ".\n\n";
        for (const auto& warning : resolved_.warnings) out += "Warning: " + warning + ".\n\n";
        for (const auto& error : {resolved_.error, problem_})
            if (error) out += "Error: " + *error + ".\n\n";
        out += "Who was asked, in this order; the first that says anything decides:\n";
        for (const auto& source : sources_) {
            std::string name{to_string(source.source)};
            name.resize(17, ' ');
            out += (source.decides ? "  > " : "    ") + name;
            out += source.said ? std::string{to_string(source.said->level)} + ", " + source.said->reason : "nothing";
            out += '\n';
        }
        out += "\nEvents: " + place(sends_events(), data_plane_, candor::sends_analytics(resolved_.level));
        if (const auto last = delivered("rudderstack")) out += "  last delivered " + *last + ".\n";
        out += "Errors: " + place(sends_errors(), errors_, candor::sends_errors(resolved_.level));
        if (const auto last = delivered("sentry")) out += "  last delivered " + *last + ".\n";
        if (log_) out += "Logged in " + printable(*log_) + ".\n";
        const auto waiting = spooled();
        out += "Waiting to be sent: " + std::to_string(waiting);
        if (waiting > 0) out += ", in " + printable_path(spool_.directory);
        return out + ".\n";
    }

private:
    [[nodiscard]] std::optional<std::string> delivered(std::string_view protocol) const {
        return last_delivery::read(spool_.directory, protocol);
    }

    /// One line on where something goes, or why it does not.
    std::string place(bool is_sent, const std::optional<std::string>& to, bool is_allowed) const {
        if (is_sent) return "sent to " + *to + ".\n";
        if (!is_allowed) return "not sent, the level forbids it.\n";
        if (is_debugging_)
            return "printed and not sent, " + options_.product.variable("TELEMETRY_DEBUG") + " is set.\n";
        return options_.product.is_development() ? "not sent, this is a development build.\n"
                                                 : "not sent, there is no place to send them to.\n";
    }

    const telemetry_options& options_;
    const Environment& environment_;
    resolution resolved_;
    std::vector<level_answer> sources_;
    spool_options spool_;
    bool is_debugging_;
    std::optional<std::string> log_;
    std::optional<std::string> data_plane_;
    std::optional<std::string> errors_;
    std::optional<std::string> problem_;
};

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
            out.complaint = "unknown option " + printable(word);
        } else if (!word.starts_with("-")) {
            out.words.push_back(word);
        }
    }
    if (!out.complaint.empty()) return out;
    if (out.words.empty()) out.words.push_back("status");
    const bool takes_level = out.words[0] == "level";
    if (out.words.size() > (takes_level ? 2U : 1U))
        out.complaint = "too many words: " + printable(out.words[takes_level ? 2 : 1]);
    if (takes_level && (out.words.size() < 2 || !parse_level(out.words[1])))
        out.complaint = "level takes one of " + std::string{allowed_levels} +
                        (out.words.size() < 2 ? "" : ", not " + printable(out.words[1]));
    return out;
}

inline constexpr std::string_view command_usage =
    "usage: telemetry [status]  what is sent, where, and who decided that\n"
    "       telemetry on        from now on everything may be sent\n"
    "       telemetry off       from now on nothing is sent, and what waits is removed\n"
    "       telemetry level L   none, errors, stats or all\n"
    "       telemetry preview   exactly what a run would send; sends nothing\n"
    "       telemetry log       what was sent, where a log is kept\n"
    "       telemetry catalog   every event and field that can be sent\n"
    "       telemetry purge     removes what waits to be sent\n"
    "Each takes --json.\n";

/// Removes what waits to be sent of what the level does not allow. False where something is left.
template <environment Environment>
bool purge_what_waits(const telemetry_options& options, level allowed, const Environment& environment) {
    const auto spool = spool_of(options, environment);
    const auto purge = [&](std::string_view protocol) {
        purge_spool(spool.directory, protocol);
        for (const auto& entry : spool_directory<system_calls>{spool.directory}.list())
            if (entry.name.starts_with(protocol) && spool_name::parse(entry.name)) return false;
        return true;
    };
    bool is_gone = true;
    if (!spool.directory.empty() && !candor::sends_analytics(allowed)) is_gone = purge("rudderstack");
    if (!spool.directory.empty() && !candor::sends_errors(allowed)) is_gone = purge("sentry") && is_gone;
    const auto crashes = telemetry_directory(environment, options.product.name);
    if (crashes && !candor::sends_errors(allowed))
        sentry::recover_crashes(*crashes, [](const sentry::crash_record&) { return true; });
    return is_gone;
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
/// and `status` where a flag or variable has an unknown level.
/// Complaints go to `errors`. Throws `std::bad_alloc`, and what the streams are set to throw. One thread.
template <event... Events, clock Clock, environment Environment>
int telemetry_command(const telemetry_options& options, event_list<Events...> events, int argc, const char* const* argv,
                      std::ostream& out, std::ostream& errors, Clock& clock, const Environment& environment) {
    static_assert((std::default_initializable<Events> && ...),
                  "an event of the list needs default values, for preview");
    constexpr int done = 0, not_done = 1, wrong_usage = 2;
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
            if (text.empty()) text = "Nothing has been sent since " + detail::printable(*report.log()) + " is kept.\n";
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
        const bool is_gone = detail::purge_what_waits(options, level::none, environment);
        show({{"purged", is_gone}}, is_gone ? "Nothing waits to be sent.\n" : "");
        if (!is_gone)
            errors << "not everything could be removed in " << detail::printable_path(report.spool().directory) << '\n';
        return is_gone ? done : not_done;
    }
    const auto chosen = command == "on"      ? std::optional{level::all}
                        : command == "off"   ? std::optional{level::none}
                        : command == "level" ? parse_level(read.words[1])
                                             : std::nullopt;
    if (!chosen) {
        errors << "unknown command " << detail::printable(command) << '\n' << detail::command_usage;
        return wrong_usage;
    }
    const auto saved = save_choice(environment, options.product.name, *chosen);
    if (saved.problem) {
        errors << *saved.problem << '\n';
        return not_done;
    }
    const bool is_gone = detail::purge_what_waits(options, *chosen, environment);
    const detail::telemetry_report now{options, argc, argv, environment};
    std::string text =
        "Saved: " + std::string{to_string(*chosen)} + ", in " + detail::printable_path(saved.file) + ".\n";
    if (now.resolved().source != level_source::saved_choice)
        text += "In this environment " + now.resolved().reason + " goes before it.\n";
    show(now.json(), text);
    if (!is_gone) errors << "not everything that waits could be removed\n";
    return is_gone ? done : not_done;
}

/// The same, with the clock of the system and the variables of this process.
template <event... Events>
int telemetry_command(const telemetry_options& options, event_list<Events...> events, int argc, const char* const* argv,
                      std::ostream& out, std::ostream& errors) {
    system_clock clock;
    return telemetry_command(options, events, argc, argv, out, errors, clock, process_environment{});
}

/// The same, of the words that follow the command's name, as a parser of command lines leaves them.
template <event... Events>
int telemetry_command(const telemetry_options& options, event_list<Events...> events,
                      const std::vector<std::string>& words, std::ostream& out, std::ostream& errors) {
    std::vector<const char*> argv{"telemetry"};
    for (const auto& word : words) argv.push_back(word.c_str());
    return telemetry_command(options, events, static_cast<int>(argv.size()), argv.data(), out, errors);
}

}  // namespace candor

#endif
