#ifndef CANDOR_TESTS_SUPPORT_HANG_UP_HPP
#define CANDOR_TESTS_SUPPORT_HANG_UP_HPP

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace candor::testing {

/// Closes the connection of a server of this process to a client on this port, so that whatever is answered goes
/// nowhere. cpp-httplib shows its handlers no socket, but who is at its other end.
inline void hang_up(int client) {
    constexpr int most_descriptors = 1024;
    for (int socket = 0; socket < most_descriptors; ++socket) {
        sockaddr_in peer{};
        socklen_t size = sizeof peer;
        if (::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) == 0 && peer.sin_family == AF_INET &&
            ntohs(peer.sin_port) == client)
            ::shutdown(socket, SHUT_RDWR);
    }
}

}  // namespace candor::testing

#endif
