#ifndef CANDOR_PLATFORM_STANDARD_STREAMS_HPP
#define CANDOR_PLATFORM_STANDARD_STREAMS_HPP

#ifndef _WIN32
#include <fcntl.h>
#include <unistd.h>

#include <initializer_list>

#include <candor/platform/errno_guard.hpp>
#endif

namespace candor::detail {

/// Opens `/dev/null`, for good, in the place of each standard stream that the program was started without. Called
/// before anything is opened: what is opened next takes the lowest free number, and what the program prints would get
/// into a file or a socket of ours, or of the libraries that we use. Programs that this one starts do not inherit it.
/// Leaves `errno` alone. Thread-safe; does nothing on Windows, where streams have no such numbers.
inline void occupy_standard_streams() noexcept {
#ifndef _WIN32
    const errno_guard guard;
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(stream, F_GETFD) != -1) continue;
        int made = ::open("/dev/null", O_RDWR | O_CLOEXEC);
        if (made < 0) made = ::open("/", O_RDONLY | O_CLOEXEC);  // a root directory without devices
        if (made > STDERR_FILENO) ::close(made);                 // another thread was faster
    }
#endif
}

}  // namespace candor::detail

#endif
