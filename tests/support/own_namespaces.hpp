#ifndef CANDOR_TESTS_SUPPORT_OWN_NAMESPACES_HPP
#define CANDOR_TESTS_SUPPORT_OWN_NAMESPACES_HPP

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "child_process.hpp"

namespace candor::testing {

namespace detail {

/// Gives this process, whatever its user, a network with nothing but loopback in it, and mounts of its own.
inline bool enter_own_namespaces() {
    const auto user = std::to_string(::geteuid());
    if (::unshare(CLONE_NEWNS | CLONE_NEWNET) != 0) {
        if (::unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) != 0) return false;
        std::ofstream{"/proc/self/uid_map"} << "0 " << user << " 1";
    }
    const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq loopback{};
    loopback.ifr_name[0] = 'l';
    loopback.ifr_name[1] = 'o';
    loopback.ifr_flags = IFF_UP;
    const bool is_up = ::ioctl(socket, SIOCSIFFLAGS, &loopback) == 0;
    ::close(socket);
    return is_up && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

}  // namespace detail

/// Runs `program()` in a child process that has a network and mounts of its own. What it returns says what is wrong;
/// empty: nothing. It must not run while this process has threads, which ThreadSanitizer does not bear.
template <class Program>
std::string in_own_namespaces(Program program) {
    const auto end = run_in_child([&](int descriptor) {
        say(descriptor,
            detail::enter_own_namespaces() ? program() : "no network namespace and no mount can be had here");
        return 0;
    });
    return end.exit_code() == 0 ? end.said : "it ended with status " + std::to_string(end.status) + " " + end.said;
}

}  // namespace candor::testing

#endif
