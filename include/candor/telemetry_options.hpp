#ifndef CANDOR_TELEMETRY_OPTIONS_HPP
#define CANDOR_TELEMETRY_OPTIONS_HPP

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <candor/consent/level.hpp>
#include <candor/delivery/options.hpp>
#include <candor/delivery/payload_log.hpp>
#include <candor/delivery/spool/spool.hpp>
#include <candor/identity/account.hpp>
#include <candor/identity/internal_team.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/platform/directories.hpp>
#include <candor/platform/disk_call.hpp>
#include <candor/policy/ascii.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/product.hpp>
#include <candor/rudderstack/protocol.hpp>
#include <candor/sentry/crash_recovery.hpp>
#include <candor/sentry/dsn.hpp>
#include <candor/sentry/protocol.hpp>

namespace candor {

/// What a program says about its telemetry. Only `product` is required; a destination without a URL is off.
///
/// With `<PREFIX>_TELEMETRY_DEBUG` set, each payload is printed to standard error, readable, and nothing is sent,
/// stored or taken from the spool; there need be no destination. `<PREFIX>_TELEMETRY_LOG` names a file (0600, at most 5
/// MiB, and as much before it under the same name with `.old`) to which each payload that was sent is appended.
struct telemetry_options {
    candor::product product{};
    candor::level level = level::all;      ///< from `resolve_level`
    std::string write_key{};               ///< `<PREFIX>_RUDDERSTACK_WRITE_KEY` overrides
    std::string data_plane_url{};          ///< `<PREFIX>_RUDDERSTACK_DATA_PLANE_URL` overrides
    std::string sentry_dsn{};              ///< `<PREFIX>_SENTRY_DSN` overrides
    account_source account{};              ///< called on the worker thread; empty: always anonymous
    internal_team_filter internal_team{};  ///< empty: `team_internal` of the configuration file
    std::vector<std::string> secrets{};    ///< to be redacted in all free texts and errors, such as tokens
    /// Sees each error before it is sent, on the worker thread; a crash of an earlier run on the constructing one.
    sentry::before_send_hook before_send{};
    /// Reports an exception that nobody catches, within `shutdown_timeout`, before the program ends.
    bool capture_uncaught = false;
    /// Leaves a record of a crash in `$XDG_STATE_HOME/<name>/telemetry`, and reports it at the next start.
    bool capture_crashes = false;
    std::optional<uuid> invocation_id{};  ///< of this run, if the program has one already; random otherwise
    /// For delivery at the end, from 0 ms. The destructor takes up to 200 ms more to store what is left.
    std::chrono::milliseconds shutdown_timeout{500};
    /// Of events. Errors, which travel one by one, take its timeouts, `compress`, the spool, `on_attempt` and
    /// `dry_run`.
    delivery_options delivery{};
    /// Called on the constructing thread, and on the workers of events and of errors, perhaps at the same time.
    diagnostic_sink diagnostics{};
};

namespace detail {

/// Throws for what is wrong whatever the environment says.
inline void check(const telemetry_options& options) {
    if (!is_file_name(options.product.name))
        throw configuration_error{"product.name", options.product.name, "a name that can be used for a directory"};
    const std::string_view prefix = options.product.env_prefix;
    const auto is_of_a_variable = [](char c) { return is_letter(c) || is_digit(c) || c == '_'; };
    if (!std::all_of(prefix.begin(), prefix.end(), is_of_a_variable) || (!prefix.empty() && is_digit(prefix.front())))
        throw configuration_error{"product.env_prefix", options.product.env_prefix,
                                  "letters, digits and underscores, beginning with no digit"};
    check_not_negative("shutdown_timeout", options.shutdown_timeout);
    check(options.delivery);
    if (!options.data_plane_url.empty()) rudderstack::detail::checked_data_plane_url(options.data_plane_url);
    if (!options.write_key.empty()) rudderstack::detail::check_write_key(options.write_key);
    if (!options.sentry_dsn.empty()) sentry::detail::checked_dsn("sentry_dsn", options.sentry_dsn);
}

/// The variable of the product with that name after its prefix.
template <environment Environment>
std::optional<std::string> variable_of(const product& of, const Environment& variables, const char* suffix) {
    if (of.env_prefix.empty()) return std::nullopt;
    return variables.get(of.variable(suffix).c_str());
}

/// The same where it overrides an option: an empty one counts as unset.
template <environment Environment>
std::optional<std::string> override_of(const product& of, const Environment& variables, const char* suffix) {
    auto value = variable_of(of, variables, suffix);
    if (value && value->empty()) value.reset();
    return value;
}

/// Whether `<PREFIX>_TELEMETRY_DEBUG` is set, to anything but `0`: payloads are printed and not sent.
template <environment Environment>
bool is_debugging(const product& of, const Environment& variables) {
    return override_of(of, variables, "TELEMETRY_DEBUG").value_or("0") != "0";
}

/// Where something is sent, as it was written; nowhere where it is empty.
struct endpoint_text {
    std::string text{};
    bool is_override = false;  ///< it stands in the environment
};

/// A development build has only what stands in the environment.
template <environment Environment>
endpoint_text endpoint_of(const product& of, const std::string& option, const Environment& variables,
                          const char* suffix) {
    if (auto value = override_of(of, variables, suffix)) return {*std::move(value), true};
    return {of.is_development() ? std::string{} : option, false};
}

template <environment Environment>
endpoint_text data_plane_of(const telemetry_options& options, const Environment& variables) {
    return endpoint_of(options.product, options.data_plane_url, variables, "RUDDERSTACK_DATA_PLANE_URL");
}

template <environment Environment>
endpoint_text sentry_dsn_of(const telemetry_options& options, const Environment& variables) {
    return endpoint_of(options.product, options.sentry_dsn, variables, "SENTRY_DSN");
}

/// Where the spool and the records of crashes are.
template <environment Environment>
std::optional<std::filesystem::path> telemetry_directory(const Environment& variables, std::string_view product_name) {
    auto directory = makeable_state_directory(variables, product_name);
    if (directory) *directory /= "telemetry";
    return directory;
}

/// The spool of a program: in its telemetry directory, unless it says another.
template <environment Environment>
spool_options spool_of(const telemetry_options& options, const Environment& variables) {
    spool_options out = options.delivery.spool;
    if (!out.directory.empty()) return out;
    if (auto directory = telemetry_directory(variables, options.product.name)) out.directory = *std::move(directory);
    return out;
}

/// How a program delivers: as it says, with its spool, and with what the user wants to see of it. A program that sends
/// nothing anyway is left alone.
template <environment Environment>
delivery_options delivery_of(const telemetry_options& options, const Environment& variables) {
    delivery_options out = options.delivery;
    out.spool = spool_of(options, variables);
    if (out.dry_run) return out;
    if (is_debugging(options.product, variables)) {
        out.dry_run = true;
        out.on_attempt = [](const http_request& request, const http_response&) {
            const auto text = readable_request(request.url, request.body);
            std::fwrite(text.data(), 1, text.size(), stderr);
        };
    } else if (const auto file = override_of(options.product, variables, "TELEMETRY_LOG")) {
        out.on_attempt = [log = std::make_shared<payload_log>(*file, options.diagnostics), next = out.on_attempt](
                             const http_request& request, const http_response& answer) {
            log->append(request, answer);
            if (next) next(request, answer);
        };
    }
    return out;
}

/// Removes what any run left in these directories and the level does not allow. Uses the disk on this thread.
inline void remove_forbidden(level allowed, const std::filesystem::path& spool,
                             const std::optional<std::filesystem::path>& crashes) noexcept {
    if (sends_analytics(allowed) && sends_errors(allowed)) return;
    std::error_code ignored;
    if (std::filesystem::is_directory(spool, ignored)) {
        if (!sends_analytics(allowed)) purge_spool(spool, "rudderstack");
        if (!sends_errors(allowed)) purge_spool(spool, "sentry");
    }
    if (sends_errors(allowed) || !crashes || !std::filesystem::is_directory(*crashes, ignored)) return;
    try {
        sentry::purge_crashes(*crashes);
    } catch (...) {  // no memory: they stay until the next start
    }
}

/// The same, and waits for that as `use_disk` does.
inline void purge(level allowed, const std::filesystem::path& spool,
                  const std::optional<std::filesystem::path>& crashes, bool does_answer = true) noexcept {
    try {
        use_disk(does_answer, [=]() noexcept { remove_forbidden(allowed, spool, crashes); });
    } catch (...) {  // no memory
        remove_forbidden(allowed, spool, crashes);
    }
}

/// The same when a run begins: a look into the directories is all where nothing was left there, as by a program that
/// never had consent; no thread is made for that.
inline void purge_forbidden(level allowed, const std::filesystem::path& spool,
                            const std::optional<std::filesystem::path>& crashes) noexcept {
    if (sends_analytics(allowed) && sends_errors(allowed)) return;
    const auto holds_something = [](const std::filesystem::path& directory) {
        std::error_code ignored;
        return std::filesystem::is_directory(directory, ignored) && !std::filesystem::is_empty(directory, ignored);
    };
    try {
        if (holds_something(spool) || (crashes && holds_something(*crashes))) purge(allowed, spool, crashes);
    } catch (...) {  // no memory: it stays until the next start
    }
}

}  // namespace detail

}  // namespace candor

#endif
