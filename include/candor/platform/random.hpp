#ifndef CANDOR_PLATFORM_RANDOM_HPP
#define CANDOR_PLATFORM_RANDOM_HPP

#include <cstddef>
#include <cstdint>

#if defined(_WIN32)
#include <random>
#elif defined(__linux__)
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

#include <candor/platform/descriptor.hpp>
#else
#include <stdlib.h>
#endif

#include <candor/platform/standard_streams.hpp>

namespace candor::detail {

/// Fills a buffer with the operating system's randomness, or throws `std::system_error`. Thread-safe.
inline void fill_random(std::uint8_t* out, std::size_t size) {
#if defined(_WIN32)
    std::random_device device;  // the system's generator, with nothing to link
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(device());
#elif defined(__linux__)
    std::size_t done = 0;
    // Does not wait for the kernel's first entropy after a boot: an id needs to be unique, not unguessable.
    while (done < size) {
        const ssize_t got = ::getrandom(out + done, size - done, GRND_NONBLOCK);
        if (got > 0) {
            done += static_cast<std::size_t>(got);
        } else if (got == 0 || errno != EINTR) {
            break;
        }
    }
    if (done == size) return;
    occupy_standard_streams();
    const descriptor device{::open("/dev/urandom", O_RDONLY | O_CLOEXEC)};  // no such call, or a sandbox forbids it
    int error = device ? 0 : errno;
    while (error == 0 && done < size) {
        const ssize_t got = ::read(device.get(), out + done, size - done);
        if (got > 0) {
            done += static_cast<std::size_t>(got);
        } else if (got == 0 || errno != EINTR) {
            error = got == 0 ? EIO : errno;
        }
    }
    if (error != 0) throw std::system_error{error, std::generic_category(), "no randomness from the system"};
#else
    ::arc4random_buf(out, size);  // macOS and the BSDs: cannot fail
#endif
}

}  // namespace candor::detail

#endif
