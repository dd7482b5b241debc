#ifndef CANDOR_SENTRY_CRASH_EVENT_HPP
#define CANDOR_SENTRY_CRASH_EVENT_HPP

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/sentry/crash_record.hpp>
#include <candor/sentry/event.hpp>
#include <candor/sentry/severity.hpp>
#include <candor/sentry/stack.hpp>

namespace candor::sentry::detail {

/// A signal's name and what it means.
inline std::pair<std::string_view, std::string_view> signal_words(int signal) noexcept {
    switch (signal) {
        case SIGSEGV:
            return {"SIGSEGV", "Segmentation fault"};
        case SIGFPE:
            return {"SIGFPE", "Arithmetic exception"};
        case SIGILL:
            return {"SIGILL", "Illegal instruction"};
        case SIGABRT:
            return {"SIGABRT", "Aborted"};
#ifdef SIGBUS
        case SIGBUS:
            return {"SIGBUS", "Bus error"};
#endif
        default:
            return {"Crash", "The record of the crash is not complete"};
    }
}

/// The event of a crash that an earlier run left a record of. Where this run has loaded the same build of a module, its
/// exported functions are named; a server finds the others by the modules' debug ids.
inline event crash_event(const crash_record& crash) {
    const auto [name, words] = signal_words(crash.signal);
    exception what{
        .type = std::string{name}, .value = std::string{words}, .mechanism = "signalhandler", .handled = false};
    what.mechanism_data.emplace("record", crash.complete ? "complete" : "incomplete");
    if (crash.signal != 0) {
        what.mechanism_data.emplace("signal", std::to_string(crash.signal));
        what.mechanism_data.emplace("code", std::to_string(crash.code));
    }
    if (crash.fault_address != 0) what.value += " at " + hexadecimal(crash.fault_address);

    event out{.id = crash.event_id,
              .timestamp = crash.time,
              .level = severity::fatal,
              .release = crash.release,
              .breadcrumbs = crash.breadcrumbs};
    const auto now = loaded_modules();
    for (const auto address : crash.frames) {
        frame f = make_frame(address, {}, crash.modules, out.modules);
        const auto then = std::find_if(crash.modules.begin(), crash.modules.end(), [&](const module_image& m) {
            return address - m.address < m.size && !m.build_id.empty();
        });
        if (then != crash.modules.end()) {
            const auto same = std::find_if(now.begin(), now.end(),
                                           [&](const module_image& m) { return m.build_id == then->build_id; });
            if (same != now.end()) {
                // The newest is where the thread was, the others are where it would have returned to.
                const std::uint64_t behind = what.frames.empty() ? 1 : 0;
                f.function = symbol_name(reinterpret_cast<const void*>(
                    static_cast<std::uintptr_t>(address + behind - then->address + same->address)));
            }
        }
        what.frames.push_back(std::move(f));
    }
    out.exceptions.push_back(std::move(what));
    return out;
}

}  // namespace candor::sentry::detail

#endif
