#ifndef CANDOR_POLICY_DIAGNOSTIC_HPP
#define CANDOR_POLICY_DIAGNOSTIC_HPP

#include <functional>
#include <string_view>

namespace candor {

/// Where candor says what a developer may want to know and no user needs to: a destination that is off, a file that
/// could not be read. May be empty.
///
/// Called on candor's worker or on the thread that constructs an object, never under a lock of candor's. The text is
/// one line without credentials, and is valid during the call only. What the sink throws is swallowed.
using diagnostic_sink = std::function<void(std::string_view text)>;

namespace detail {

/// Tells the sink, where there is one.
inline void report(const diagnostic_sink& sink, std::string_view text) noexcept {
    if (!sink) return;
    try {
        sink(text);
    } catch (...) {  // a sink that fails must not stop the worker, and there is nobody left to tell
    }
}

}  // namespace detail

}  // namespace candor

#endif
