#ifndef CANDOR_PLATFORM_VARIABLES_HPP
#define CANDOR_PLATFORM_VARIABLES_HPP

#if defined(_WIN32)
#include <stdlib.h>
#elif defined(__APPLE__)
#include <crt_externs.h>
#else
#include <unistd.h>
#endif

namespace candor::detail {

/// The variables of this process, each `name=value`, the last one followed by null; null where there are none. As
/// `std::getenv`, not to be read while another thread changes them.
inline const char* const* environment_variables() noexcept {
#if defined(_WIN32)
    return _environ;
#elif defined(__APPLE__)
    return *_NSGetEnviron();
#else
    return environ;
#endif
}

}  // namespace candor::detail

#endif
