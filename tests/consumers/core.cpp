// What a program can do with the core alone, which needs no HTTP library: every part that sends is given a transport.
#include <candor/core.hpp>

#include <chrono>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

namespace {

struct build_finished {
    static constexpr std::string_view event_name = "build_finished";
    std::string target;
    std::chrono::milliseconds duration{};
    std::optional<std::string> error{};

    static constexpr auto fields() {
        return std::tuple{
            candor::field("target", &build_finished::target, "Name of the build target"),
            candor::field("duration", &build_finished::duration, "Wall time"),
            candor::free_text("error", &build_finished::error, "Error message, secrets redacted"),
        };
    }
};

}  // namespace

int main(int argc, char** argv) {
    const candor::product product{.name = "consumer", .version = "1.0.0", .env_prefix = "CONSUMER"};
    const auto consent = candor::resolve_level(product, argc, argv);
    std::cout << candor::to_string(consent.level) << ": " << consent.reason << '\n';

    candor::null_transport transport;
    candor::system_clock clock;
    candor::rudderstack::basic_client<candor::null_transport, candor::system_clock> client{
        {.write_key = "key", .data_plane_url = "http://plane"}, transport, clock};
    client.enqueue(candor::rudderstack::track{.user_id = "u1", .event = "Download"});
    if (!client.flush(std::chrono::seconds{10})) return 1;

    candor::basic_telemetry<candor::null_transport, candor::system_clock> telemetry{
        {.product = product, .level = candor::level::all, .write_key = "key", .data_plane_url = "http://plane"},
        transport,
        clock};
    telemetry.track(build_finished{.target = "all", .duration = std::chrono::milliseconds{1200}});
    if (!telemetry.flush(std::chrono::seconds{10})) return 1;
    return telemetry.statistics().delivered == 1 ? 0 : 1;
}
