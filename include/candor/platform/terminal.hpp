#ifndef CANDOR_PLATFORM_TERMINAL_HPP
#define CANDOR_PLATFORM_TERMINAL_HPP

#ifdef _WIN32
#include <io.h>
#include <stdio.h>
#else
#include <unistd.h>
#endif

namespace candor::detail {

/// Whether a person may see what is written to standard error. Thread-safe.
inline bool standard_error_is_terminal() noexcept {
#ifdef _WIN32
    return ::_isatty(::_fileno(stderr)) != 0;
#else
    return ::isatty(STDERR_FILENO) == 1;
#endif
}

}  // namespace candor::detail

#endif
