#ifndef CANDOR_SENTRY_CRASH_FILE_HPP
#define CANDOR_SENTRY_CRASH_FILE_HPP

#include <string>
#include <string_view>

#include <candor/identity/uuid.hpp>
#include <candor/platform/held_file.hpp>

namespace candor::sentry::detail {

/// A record of a crash, on disk.
using record_file = candor::detail::held_file;

/// `crash-<event id>`
inline std::string record_name(uuid event_id) { return "crash-" + event_id.to_string(); }

inline bool is_record_name(std::string_view name) noexcept {
    return name.starts_with("crash-") && uuid::parse(name.substr(6)).has_value();
}

}  // namespace candor::sentry::detail

#endif
