#ifndef CANDOR_CONSENT_NOTICE_HPP
#define CANDOR_CONSENT_NOTICE_HPP

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <candor/consent/ci.hpp>
#include <candor/consent/level.hpp>
#include <candor/consent/resolver.hpp>
#include <candor/platform/directories.hpp>
#include <candor/platform/errno_guard.hpp>
#include <candor/platform/new_file.hpp>
#include <candor/platform/terminal.hpp>
#include <candor/policy/config_file.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/product.hpp>

namespace candor {

namespace detail {

/// What a program says that has no words of its own.
inline std::string default_notice(const product& program) {
    const auto name = printable(program.name);
    return name +
           " sends usage events, errors and crash reports to its developers.\n"
           "To see what is sent, where and why: " +
           name + " telemetry status\nTo turn it off: " + name + " telemetry off, or set " +
           (program.env_prefix.empty() ? "" : program.variable("TELEMETRY_LEVEL=none") + " or ") +
           "DO_NOT_TRACK=1\nNothing is sent in this run.\n";
}

/// The file that says that the notice was shown.
struct notice_marker {
    std::filesystem::path file{};
    bool was_there = false;
    std::string problem{};  ///< why it is not there even now, one line
};

/// Leaves the marker. Of several programs at once, one finds that it was not there.
template <environment Environment>
notice_marker leave_notice_marker(const Environment& variables, std::string_view product_name) {
    notice_marker out;
    const auto directory = makeable_state_directory(variables, product_name);
    if (!directory) {
        out.problem = "there is no state directory";
        return out;
    }
    out.file = *directory / "telemetry-notice";
    const auto failed = [&out](const std::error_code& error) {
        out.problem = printable_path(out.file) + " cannot be created: " + error.message();
    };
    std::error_code error;
    if (std::filesystem::create_directories(*directory, error))
        std::filesystem::permissions(*directory, std::filesystem::perms::owner_all, error);
    if (error) {
        failed(error);
    } else if (const int why = make_new_file(out.file); why == EEXIST) {
        out.was_there = true;
    } else if (why != 0) {
        failed({why, std::generic_category()});
    }
    return out;
}

/// `show` writes a text and says whether it came out whole.
template <environment Environment, class Show>
resolution show_notice_once(const product& program, resolution consent, const Environment& variables, bool is_terminal,
                            std::string_view words, const Show& show) {
    const bool is_due = consent.source == level_source::default_value && consent.level != level::none &&
                        !consent.development && is_terminal && !find_ci_system(variables);
    if (!is_due) return consent;
    std::string text = words.empty() ? default_notice(program) : std::string{words};
    if (!text.ends_with('\n')) text += '\n';
    const auto marker = leave_notice_marker(variables, program.name);
    if (marker.was_there) return consent;

    if (!marker.problem.empty())
        text +=
            "This notice will appear again, because it cannot be recorded that you have seen it: " + marker.problem +
            "\n";
    const bool is_shown = show(text);
    if (!is_shown && marker.problem.empty()) {
        std::error_code ignored;
        std::filesystem::remove(marker.file, ignored);
    }
    consent.level = level::none;
    consent.reason =
        is_shown ? "the notice was shown in this run; the next one sends" : "the notice could not be shown in this run";
    if (is_shown && !marker.problem.empty()) consent.reason = "the notice was shown in this run; " + marker.problem;
    return consent;
}

}  // namespace detail

/// Tells the user of the program's telemetry, once, before anything of it is sent: what is reported, how to see it and
/// how to turn it off. Call it between `resolve_level` and the construction of the telemetry:
///
///     consent = candor::show_notice_once(product, consent);
///
/// Returns the resolution to go on with. On the run that shows the notice its level is `none`: nothing is sent, and
/// what earlier runs left is removed, as at any `none`. On every other run it is `consent` as it was.
///
/// The notice is shown where nobody has said anything: not where `consent` comes from a flag, a variable or the saved
/// choice, whose user knows already. It is shown to persons only: not where `is_terminal` is false, not in a continuous
/// integration system. It is not shown at level `none` or by a development build, which send nothing.
///
/// A file `telemetry-notice` in the product's state directory says that it was shown; of several first runs at once,
/// one shows it. Where that file cannot be created, every run shows the notice, says why, and sends nothing. A notice
/// that cannot be written to `out` counts as not shown; that run sends nothing either.
///
/// `words` replace the text that is made from the product, which a program without the command `telemetry` needs. They
/// should say that nothing is sent in this run. Throws only `std::bad_alloc`. Thread-safe but for `out`. Not in a
/// signal handler.
template <environment Environment>
[[nodiscard]] resolution show_notice_once(const product& program, resolution consent, std::ostream& out,
                                          bool is_terminal, const Environment& variables, std::string_view words = {}) {
    const detail::errno_guard guard;
    return detail::show_notice_once(program, std::move(consent), variables, is_terminal, words,
                                    [&out](const std::string& text) {
                                        try {
                                            return static_cast<bool>(out << text << std::flush);
                                        } catch (...) {  // a stream that is set to throw
                                            return false;
                                        }
                                    });
}

/// The same, on standard error where that is a terminal, with the variables of this process. Not in a signal handler.
[[nodiscard]] inline resolution show_notice_once(const product& program, resolution consent,
                                                 std::string_view words = {}) {
    const detail::errno_guard guard;
    return detail::show_notice_once(program, std::move(consent), process_environment{},
                                    detail::standard_error_is_terminal(), words, [](const std::string& text) {
                                        return std::fwrite(text.data(), 1, text.size(), stderr) == text.size() &&
                                               std::fflush(stderr) == 0;
                                    });
}

}  // namespace candor

#endif
