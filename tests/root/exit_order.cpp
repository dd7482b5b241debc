// Ends after a delivery, in each order in which its telemetry and what that stands on are made and destroyed.
// usage: exit_order serve FILE | exit_order WAY URL; `exit_order.sh` says what has to come of it.
#include <candor/candor.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include <unistd.h>

#include "../support/socket_server.hpp"
#include "../support/tls_server.hpp"

namespace {

struct ended {
    static constexpr std::string_view event_name = "ended";
    std::string way{};
    std::string when{};
    static constexpr auto fields() {
        return std::tuple{candor::field("way", &ended::way, "How"), candor::field("when", &ended::when, "When")};
    }
};

candor::telemetry_options options_for(const std::string& url) {
    return {.product = {.name = "exit_order", .version = "1.0.0", .env_prefix = "EXIT_ORDER"},
            .write_key = "exit-order-key",
            .data_plane_url = url,
            .shutdown_timeout = std::chrono::seconds{10},
            .delivery = {.compress = false}};
}

/// Constructed before main, by what the environment says of it.
std::optional<candor::telemetry> global = [] {
    const char* const url = std::getenv("EXIT_ORDER_GLOBAL");
    return url == nullptr ? std::optional<candor::telemetry>{}
                          : std::optional<candor::telemetry>{std::in_place, options_for(url)};
}();

/// Prints the events that come, over http and https, until it is killed. `file` gets both ports and the name of the
/// authority's certificate.
int serve(const std::string& file) {
    std::mutex printing;
    const auto print = [&](const std::string& request) {
        const std::lock_guard guard{printing};
        for (auto at = request.find("\"when\":\""); at != request.npos; at = request.find("\"when\":\"", at + 1))
            std::cout << request.substr(at, request.find('"', at + 8) - at + 1) << std::endl;
    };
    constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nOK";
    const candor::testing::socket_server plain{[&](auto& peer) {
        while (const auto request = peer.read_request()) {
            print(*request);
            peer.write(answer);
        }
    }};
    const candor::testing::trusted_authority authority;
    const candor::testing::tls_server secure{authority.issue("IP:127.0.0.1"), [&](auto& stream, auto&) {
                                                 while (const auto request = stream.read_request()) {
                                                     print(*request);
                                                     stream.write(answer);
                                                 }
                                             }};
    std::ofstream{file + ".new"} << plain.port() << ' ' << secure.port() << ' ' << std::getenv("SSL_CERT_FILE") << '\n';
    std::rename((file + ".new").c_str(), file.c_str());
    ::pause();
    return 0;
}

/// The first event is delivered before the end begins, the second at the end.
void use(candor::telemetry& telemetry, const std::string& way) {
    telemetry.track(ended{.way = way, .when = "before"});
    if (!telemetry.flush(std::chrono::seconds{10})) std::cout << "not delivered\n";
    telemetry.track(ended{.way = way, .when = "at the end"});
}

}  // namespace

int main(int argc, char** argv) {
    const std::string way = argv[1], url = argv[argc - 1];
    if (way == "serve") return serve(url);
    if (way == "global") {
        use(*global, way);
        return 0;
    }
    if (way == "function_static") {
        static candor::telemetry telemetry{options_for(url)};
        use(telemetry, way);
        return 0;
    }
    if (way == "leaked") {
        use(*new candor::telemetry{options_for(url)}, way);
        return 0;
    }
    candor::telemetry telemetry{options_for(url)};
    use(telemetry, way);
    if (way == "exit") std::exit(0);
    if (way == "quick_exit") std::quick_exit(0);
    return 2;
}
