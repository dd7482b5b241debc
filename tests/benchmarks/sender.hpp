#ifndef CANDOR_TESTS_BENCHMARKS_SENDER_HPP
#define CANDOR_TESTS_BENCHMARKS_SENDER_HPP

#include <poll.h>

#include <candor/candor.hpp>
#include <cstdint>
#include <string>

#include "../support/temporary_directory.hpp"

namespace candor::benchmarks {

/// A program that sends to `port` on this machine and gives up at once when it ends.
inline telemetry_options options_for(std::uint16_t port, bool compress = false) {
    telemetry_options options{.product = {.name = "benchmark", .version = "1.0.0", .env_prefix = "CANDOR_BENCHMARK"},
                              .write_key = "key",
                              .data_plane_url = "http://127.0.0.1:" + std::to_string(port),
                              .shutdown_timeout = std::chrono::milliseconds{0}};
    options.delivery.compress = compress;
    static const temporary_directory home;
    options.delivery.spool.directory = home.path() / "spool";
    return options;
}

/// Lets the other threads work for a moment.
inline void pause() { ::poll(nullptr, 0, 1); }

}  // namespace candor::benchmarks

#endif
