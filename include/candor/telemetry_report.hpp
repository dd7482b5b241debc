#ifndef CANDOR_TELEMETRY_REPORT_HPP
#define CANDOR_TELEMETRY_REPORT_HPP

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <candor/consent/level.hpp>
#include <candor/consent/resolver.hpp>
#include <candor/delivery/options.hpp>
#include <candor/delivery/spool/directory.hpp>
#include <candor/delivery/spool/file_name.hpp>
#include <candor/delivery/spool/run_state.hpp>
#include <candor/policy/config_file.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/error.hpp>
#include <candor/rudderstack/protocol.hpp>
#include <candor/sentry/dsn.hpp>
#include <candor/telemetry_options.hpp>

namespace candor::detail {

inline nlohmann::ordered_json or_null(const std::optional<std::string>& text) {
    return text ? nlohmann::ordered_json(*text) : nlohmann::ordered_json(nullptr);
}

/// How many messages wait in a spool's directory, of that protocol or of all.
inline std::uint64_t count_spooled(const spool_options& options, std::string_view protocol = {}) {
    spool_directory directory{options.directory};
    std::uint64_t out = 0;
    const auto found = directory.list(
        [&](std::string_view name) { return name.starts_with(protocol) && spool_name::parse(name).has_value(); });
    for (const auto& entry : found)
        if (const auto content = directory.read(entry.name, options.max_bytes))
            out += count_waiting(*spool_name::parse(entry.name), *content);
    return out;
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
          log_{override_of(options.product, environment, "TELEMETRY_LOG")},
          data_plane_{judge_data_plane()},
          errors_{judge_sentry_dsn()} {}

    [[nodiscard]] const resolution& resolved() const noexcept { return resolved_; }
    [[nodiscard]] const spool_options& spool() const noexcept { return spool_; }

    [[nodiscard]] bool sends_events() const noexcept {
        return data_plane_.endpoint && !is_debugging_ && candor::sends_analytics(resolved_.level);
    }
    [[nodiscard]] bool sends_errors() const noexcept {
        return errors_.endpoint && !is_debugging_ && candor::sends_errors(resolved_.level);
    }

    /// Where what is sent is logged.
    [[nodiscard]] const std::optional<std::string>& log() const noexcept { return log_; }

    /// How many messages wait on disk.
    [[nodiscard]] std::uint64_t spooled() const {
        return spool_.enabled && !spool_.directory.empty() ? count_spooled(spool_) : 0;
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
        std::string problems;
        for (const auto& problem : {resolved_.error, data_plane_.problem, errors_.problem})
            if (problem) problems += (problems.empty() ? "" : "; ") + *problem;
        return {{"level", to_string(resolved_.level)},
                {"source", to_string(resolved_.source)},
                {"reason", resolved_.reason},
                {"development", resolved_.development},
                {"sources", sources},
                {"sends", {{"analytics", sends_events()}, {"errors", sends_errors()}}},
                {"endpoint", or_null(data_plane_.endpoint)},
                {"errors_endpoint", or_null(errors_.endpoint)},
                {"spooled", spooled()},
                {"spool", spool_.directory.empty() ? nlohmann::ordered_json(nullptr)
                                                   : nlohmann::ordered_json(printable_path(spool_.directory))},
                {"last_delivery",
                 {{"analytics", or_null(delivered("rudderstack"))}, {"errors", or_null(delivered("sentry"))}}},
                {"debug", is_debugging_},
                {"log", or_null(log_)},
                {"warnings", resolved_.warnings},
                {"error", problems.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(problems)}};
    }

    [[nodiscard]] std::string text() const {
        const auto& product = options_.product;
        std::string_view reason = resolved_.reason;
        if (resolved_.source == level_source::default_value) reason.remove_prefix(std::string_view{"the "}.size());
        std::string out = "Telemetry of " + product.name + (product.version.empty() ? "" : " " + product.version) +
                          ": " + std::string{to_string(resolved_.level)} + ", by " + std::string{reason} + ".\n\n";
        for (const auto& warning : resolved_.warnings) out += "Warning: " + warning + ".\n\n";
        for (const auto& error : {resolved_.error, data_plane_.problem, errors_.problem})
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
    /// Where something goes, or why it cannot.
    struct destination {
        std::optional<std::string> endpoint{};
        std::optional<std::string> problem{};
        std::string invalid{};  ///< the variable, or the program's option, that is the problem
    };

    // Each is judged by itself, as the program's telemetry does it.
    [[nodiscard]] destination judge_data_plane() const {
        destination out;
        const auto to = data_plane_of(options_, environment_);
        const auto key = override_of(options_.product, environment_, "RUDDERSTACK_WRITE_KEY");
        if (to.text.empty()) return out;
        try {
            auto origin = rudderstack::detail::checked_data_plane_url(to.text).origin();
            rudderstack::detail::check_write_key(key.value_or(options_.write_key));
            out.endpoint = std::move(origin);
        } catch (const configuration_error& error) {
            const bool is_key = error.field() == "write_key";
            blame(out, error, is_key ? "RUDDERSTACK_WRITE_KEY" : "RUDDERSTACK_DATA_PLANE_URL",
                  is_key ? key.has_value() : to.is_override);
        }
        return out;
    }

    [[nodiscard]] destination judge_sentry_dsn() const {
        destination out;
        const auto to = sentry_dsn_of(options_, environment_);
        if (to.text.empty()) return out;
        try {
            out.endpoint = sentry::detail::checked_dsn("sentry_dsn", to.text).server.origin();
        } catch (const configuration_error& error) {
            blame(out, error, "SENTRY_DSN", to.is_override);
        }
        return out;
    }

    void blame(destination& of, const configuration_error& error, const char* variable, bool is_override) const {
        of.problem = error.what();
        of.invalid = is_override ? options_.product.variable(variable) : error.field();
    }

    [[nodiscard]] std::optional<std::string> delivered(std::string_view protocol) const {
        return last_delivery::read(spool_.directory, protocol);
    }

    /// One line on where something goes, or why it does not.
    std::string place(bool is_sent, const destination& to, bool is_allowed) const {
        if (is_sent) return "sent to " + *to.endpoint + ".\n";
        if (!is_allowed) return "not sent, the level does not allow it.\n";
        if (to.problem) return "not sent, " + to.invalid + " is invalid.\n";
        if (is_debugging_)
            return "printed and not sent, " + options_.product.variable("TELEMETRY_DEBUG") + " is set.\n";
        return options_.product.is_development() ? "not sent, this is a development build.\n"
                                                 : "not sent, no endpoint is configured.\n";
    }

    const telemetry_options& options_;
    const Environment& environment_;
    resolution resolved_;
    std::vector<level_answer> sources_;
    spool_options spool_;
    bool is_debugging_;
    std::optional<std::string> log_;
    destination data_plane_;
    destination errors_;
};

}  // namespace candor::detail

#endif
