// A program as the README has it: candor with its HTTP transport, at the level `none` and to a port on which nobody
// listens.
#include <candor/candor.hpp>

#include <chrono>
#include <iostream>
#include <string_view>
#include <tuple>

namespace {

struct started {
    static constexpr std::string_view event_name = "started";
    int count = 0;
    static constexpr auto fields() { return std::tuple{candor::field("count", &started::count, "How many")}; }
};

}  // namespace

int main() {
    const candor::product product{.name = "consumer", .version = "1.0.0", .env_prefix = "CONSUMER"};
    {
        candor::telemetry silent{{.product = product, .level = candor::level::none, .write_key = "key"}};
        silent.track(started{.count = 1});
        if (silent.statistics().accepted != 0) return 1;
    }
    candor::rudderstack::client refused{{.write_key = "key", .data_plane_url = "http://127.0.0.1:1"}};
    refused.enqueue(candor::rudderstack::track{.user_id = "u1", .event = "Download"});
    const bool delivered = refused.flush(std::chrono::milliseconds{10});
    std::cout << "candor " << CANDOR_VERSION_STRING << '\n';
    return delivered ? 1 : 0;
}
