#include <candor/rudderstack/nodes.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <candor/candor.hpp>
#include <candor/testing.hpp>

#include <examples/data_plane.hpp>

#include <doctest/doctest.h>

// A data plane of several nodes, over real sockets.
namespace nodes_test {

namespace {

using namespace std::chrono_literals;
using candor::examples::data_plane;
using candor::examples::received_request;
using candor::rudderstack::detail::crc32_ieee;
using nlohmann::json;

/// What came with one request.
struct arrival {
    received_request request;
    std::vector<json> messages;
};

/// Where the data plane's proxy expects a message.
std::string node_of(const json& message, std::uint32_t nodes) {
    const auto id = [&](const char* of) { return message.value(of, std::string{}); };
    return std::to_string(crc32_ieee(id("userId") + ":" + id("anonymousId")) % nodes);
}

}  // namespace

TEST_CASE("each message goes to its node, and what was refused by a 451 is regrouped and sent again") {
    std::vector<arrival> arrivals;
    std::vector<json> messages;
    data_plane plane{{.on_message = [&](const json& message) { messages.push_back(message); },
                      .on_request =
                          [&](const received_request& request) {
                              arrivals.push_back({request, std::exchange(messages, {})});
                          }}};
    candor::testing::manual_clock clock;
    candor::httplib_transport transport;
    candor::rudderstack::basic_client<candor::httplib_transport, candor::testing::manual_clock> client{
        {.write_key = "write-key", .data_plane_url = plane.url()}, transport, clock};

    std::set<std::string> sent;
    for (const std::uint32_t nodes : {3U, 2U}) {
        CAPTURE(nodes);
        plane.rules().set_node_count(nodes);
        arrivals.clear();
        for (int i = 0; i < 60; ++i) {
            const auto number = std::to_string(i);
            const candor::rudderstack::track track{
                .user_id = i % 3 == 0 ? "" : "u\"\\\n\xc3\xa4\xf0\x9f\x98\x80/" + number,
                .anonymous_id = i % 3 == 1 ? "" : "a\x01" + number,
                .event = "e",
                .message_id = std::to_string(nodes) + "-" + number};
            CHECK(client.enqueue(track) == candor::admission::accepted);
            sent.insert(track.message_id);
        }
        CHECK_FALSE(client.flush(1s));
        REQUIRE(clock.wait_for_idle());
        CHECK_MESSAGE(plane.requests().back().status == 451, "and nothing more is sent before the time");
        clock.advance(5s);
        CHECK(client.flush(1s));

        REQUIRE(arrivals.size() >= 2 + nodes);
        CHECK(arrivals[0].request.status == 451);
        const auto& asked = arrivals[1].request;
        CHECK(asked.method == "GET");
        CHECK(asked.path == "/cluster-info");
        CHECK(asked.header("Authorization") == arrivals[0].request.header("Authorization"));
        CHECK(asked.status == 200);

        std::set<std::string> targets;
        std::size_t delivered = 0;
        for (std::size_t i = 2; i < arrivals.size(); ++i) {
            const auto& [request, batch] = arrivals[i];
            CHECK(request.status == 200);
            CHECK(request.header("RS-nodeCount") == std::to_string(nodes));
            CHECK(request.header("RS-userAgent") == "serverSDK");
            const auto target = request.header("RS-targetNode");
            CHECK_MESSAGE(targets.insert(target).second, "one request a node");
            for (const auto& message : batch) CHECK(node_of(message, nodes) == target);
            delivered += batch.size();
        }
        CHECK(targets.size() == nodes);
        CHECK(delivered == 60);
    }
    client.shutdown();
    std::set<std::string> received;
    for (const auto& message : plane.messages()) CHECK(received.insert(message.at("messageId")).second);
    CHECK(received == sent);
    CHECK(client.statistics().delivered == 120);
}

}  // namespace nodes_test
