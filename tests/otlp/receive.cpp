// A program that runs candor's receiver until its standard input ends. It prints the endpoint, and then what it
// received: each row as JSON on a line of its own, and how many data points and requests did not count.
#include <exception>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include <candor/candor.hpp>

namespace {

template <class Time>
nlohmann::json nanoseconds(const std::optional<Time>& time) {
    if (!time) return nullptr;
    if constexpr (requires { time->time_since_epoch(); }) {
        return time->time_since_epoch().count();
    } else {
        return time->count();
    }
}

}  // namespace

int main() {
    try {
        candor::otlp::receiver receiver{{}};
        std::cout << receiver.endpoint() << std::endl;
        std::cin.ignore(std::numeric_limits<std::streamsize>::max());
        receiver.shutdown();
        for (const auto& row : receiver.table().rows())
            std::cout << nlohmann::json{{"table", row.table},
                                        {"client_id", row.client_id},
                                        {"resources", row.resources},
                                        {"errors", row.errors},
                                        {"panics", row.panics},
                                        {"start_time", nanoseconds(row.start_time)},
                                        {"end_time", nanoseconds(row.end_time)},
                                        {"duration", nanoseconds(row.duration)}}
                      << '\n';
        const auto counts = receiver.statistics();
        std::cout << nlohmann::json{{"rejected_points", counts.rejected_points.total()},
                                    {"refused_requests", counts.requests.refused}}
                  << '\n';
    } catch (const std::exception& failure) {
        std::cerr << "receive: " << failure.what() << '\n';
        return 1;
    }
}
