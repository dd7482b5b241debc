#ifndef CANDOR_TESTS_SUPPORT_CHILD_SERVER_HPP
#define CANDOR_TESTS_SUPPORT_CHILD_SERVER_HPP

#include <unistd.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "child_process.hpp"

namespace candor::testing {

/// A server in a process of its own, so that a process under test shares no thread and no descriptor with it. Make it
/// while the process has one thread.
class child_server {
public:
    /// `make()` gives a server with a `port()`, which lives until this is destroyed.
    template <class Make>
    explicit child_server(Make make)
        : process_{[&make](int output) {
              const auto server = make();
              say(output, std::to_string(server->port()) + "\n");
              ::pause();
              return 0;
          }} {
        std::string said;
        for (std::size_t i = 1; said.empty() || said.back() != '\n'; ++i) {
            said = process_.read(i);
            if (said.size() < i) throw std::runtime_error{"the server ended"};
        }
        port_ = static_cast<std::uint16_t>(std::stoi(said));
    }

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

private:
    child_process process_;
    std::uint16_t port_ = 0;
};

}  // namespace candor::testing

#endif
