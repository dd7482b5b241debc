#include <candor/candor.hpp>

#include <poll.h>
#include <sys/mount.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <candor/testing.hpp>

#include <examples/data_plane.hpp>
#include <support/becomes_true.hpp>
#include <support/exchange.hpp>
#ifdef CPPHTTPLIB_ZLIB_SUPPORT
#include <support/gunzip.hpp>
#endif
#include <support/lossy.hpp>
#include <support/own_namespaces.hpp>
#include <support/socket_server.hpp>
#ifdef CPPHTTPLIB_OPENSSL_SUPPORT
#include <support/tls_server.hpp>
#endif

#include "fault_program.hpp"

#include <doctest/doctest.h>

// What a network and a server can do to telemetry, over real sockets. The program itself is in program_faults_test.cpp,
// the disk in disk_faults_test.cpp, the receiver in receiver_faults_test.cpp.
namespace faults_test {

namespace {

using namespace std::chrono_literals;
using candor::admission;
using candor::drop_reason;
using candor::examples::data_plane;
using candor::testing::closed_port;
using candor::testing::fixed_resolver;
#ifdef CPPHTTPLIB_ZLIB_SUPPORT
using candor::testing::gunzip;
#endif
using candor::testing::in_own_namespaces;
using candor::testing::manual_clock;
using candor::testing::slack;
using candor::testing::socket_server;
using candor::testing::stopwatch;
using candor::tests::machine;
using candor::tests::noted;
using nlohmann::json;
namespace behaviours = candor::testing::behaviours;
namespace rs = candor::rudderstack;

const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";

/// The batch of a request as a `socket_server` has read it.
json batch_of(const std::string& request) {
    return json::parse(request.substr(request.find("\r\n\r\n") + 4)).at("batch");
}

/// Counts what a real transport is asked to send.
struct counting_transport : candor::httplib_transport {
    candor::http_response send(const candor::http_request& request) {
        ++sent;
        return candor::httplib_transport::send(request);
    }
    std::atomic<int> sent{0};
};

}  // namespace

TEST_CASE(
    "row 1: with a nameserver that never answers, or none, the program ends in time and the event waits on disk") {
    for (const bool is_there : {true, false}) {
        CAPTURE(is_there);
        const machine m;
        const auto configuration = m.directory.write("resolv.conf", "nameserver 127.0.0.1\n");
        CHECK(in_own_namespaces([&]() -> std::string {
                  if (::mount(configuration.c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr) != 0)
                      return "cannot mount";
                  const candor::testing::detail::descriptor silent{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
                  const auto address = candor::testing::detail::loopback(53);
                  if (is_there &&
                      ::bind(silent.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
                      return "cannot bind";
                  auto options = m.options("http://plane.example");
                  options.delivery.connect_timeout = 1min;
                  candor::telemetry t{options};
                  if (t.track(noted{}) != admission::accepted) return "not accepted";
                  static_cast<void>(t.flush(0ms));
                  pollfd asked{silent.get(), POLLIN, 0};
                  if (is_there && ::poll(&asked, 1, 10'000) != 1) return "nobody asked for the name";
                  const stopwatch watch;
                  for (int i = 0; i < 1000; ++i) t.track(noted{});
                  t.shutdown();
                  if (watch.elapsed() > 500ms + slack) return "shutdown takes too long";
                  return t.statistics().spooled == 1001 ? "" : "not in the spool";
              }) == "");
        CHECK(m.files().size() == 5);
    }
}

TEST_CASE("row 2: the first connection that is refused ends the draining of the spool") {
    const machine m;
    std::uint16_t port = 0;
    {
        const closed_port nobody;
        port = nobody.port();
        m.leave(nobody.url(""), {"a", "b", "c"});
    }
    REQUIRE(m.files().size() == 3);
    candor::testing::detail::descriptor listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const int on = 1;
    ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const auto address = candor::testing::detail::loopback(port);
    REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    std::thread server{[&] {  // takes one connection, answers one request, and is gone
        const candor::testing::detail::descriptor peer{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        listener = candor::testing::detail::descriptor{};
        char bytes[4096];
        for (std::string seen; seen.find("]}") == seen.npos;) {
            const auto size = ::recv(peer.get(), bytes, sizeof bytes, 0);
            if (size <= 0) return;
            seen.append(bytes, static_cast<std::size_t>(size));
        }
        const std::string answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        ::send(peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    }};
    counting_transport transport;
    candor::system_clock clock;
    {
        candor::basic_telemetry<counting_transport, candor::system_clock> t{
            m.options("http://127.0.0.1:" + std::to_string(port)), transport, clock};
        t.track(noted{});
        CHECK(t.flush(10s));
        t.shutdown();
        CHECK(t.statistics().delivered == 1);
    }
    server.join();
    CHECK(transport.sent == 2);  // the fresh one, and the first of three files
    CHECK(m.files().size() == 3);
}

TEST_CASE(
    "row 3: at an address where nobody is, the deadline of the connect holds, and the end of the program is in time") {
    const machine m;
    CHECK(in_own_namespaces([&]() -> std::string {
              // Whatever is sent to 192.0.2.1 goes over a cable to a machine that has no address.
              for (const char* command :
                   {"ip link add near type veth peer name far", "ip addr add 192.0.2.2/24 dev near",
                    "ip link set near up", "ip link set far up",
                    "ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev near"})
                  if (std::system(command) != 0) return command;
              candor::httplib_transport transport;
              auto request = candor::testing::post("http://192.0.2.1/");
              request.connect_timeout = 200ms;  // of 20 s for all
              const stopwatch connecting;
              if (transport.send(request).error != candor::transport_error::timeout) return "no timeout";
              if (connecting.elapsed() > 200ms + slack) return "connects for too long";
              auto options = m.options("http://192.0.2.1");
              options.delivery.connect_timeout = 1min;
              candor::telemetry t{options};
              t.track(noted{});
              const stopwatch ending;
              t.shutdown();
              if (ending.elapsed() > 500ms + slack) return "shutdown takes too long";
              return t.statistics().spooled == 1 ? "" : "not in the spool";
          }) == "");
    CHECK(m.files().size() == 1);
}

TEST_CASE("row 4: over a network that loses every third packet each event arrives, under one id") {
    std::atomic<int> count{0};
    socket_server server{[&](socket_server::peer& p) {
        candor::testing::lose_packets(p.socket(), 3);
        while (p.read_request()) {
            if (++count == 3) return p.hold();  // as where chance takes every packet of an answer
            if (!p.write(ok)) return;
        }
    }};
    const machine m;
    auto options = m.options(server.url(""));
    options.delivery.batch_messages = 1;
    options.delivery.request_timeout = 500ms;  // some answers come too late
    options.delivery.flush_interval = 1ms;
    candor::telemetry t{options};
    for (double i = 0; i < 10; ++i) t.track(noted{.number = i});
    CHECK(becomes_true([&] { return t.flush(1s) && t.statistics().pending == 0; }));
    CHECK(t.statistics().delivered == 10);
    std::set<std::pair<double, std::string>> arrived;
    for (const auto& request : server.requests())
        for (const auto& message : batch_of(request))
            arrived.emplace(message["properties"]["number"].get<double>(), message["messageId"].get<std::string>());
    CHECK(arrived.size() == 10);
    CHECK(server.requests().size() > 10);
}

#ifdef CPPHTTPLIB_OPENSSL_SUPPORT
TEST_CASE("row 5: to a server that cannot be trusted nothing is sent, it is said once, and the events wait on disk") {
    const candor::testing::trusted_authority authority;
    for (const auto& shown :
         {std::pair{std::string{"expired"}, authority.issue("IP:127.0.0.1", -60)},
          std::pair{std::string{"wrong host"}, authority.issue("DNS:other.example")},
          std::pair{std::string{"signed by itself"}, candor::testing::make_identity("IP:127.0.0.1", nullptr)}}) {
        CAPTURE(shown.first);
        candor::testing::tls_server server{shown.second,
                                           [&](candor::testing::tls_stream& stream, socket_server::peer&) {
                                               if (stream.read_until("]}")) server.connections().record("a request");
                                           }};
        const machine m;
        std::vector<std::string> said;
        auto options = m.options("https://127.0.0.1:" + std::to_string(server.port()));
        options.diagnostics = [&](std::string_view text) { said.emplace_back(text); };
        candor::telemetry t{options};
        for (int i = 0; i < 3; ++i) {
            t.track(noted{});
            CHECK_FALSE(t.flush(0ms));
            REQUIRE(server.connections().wait_for_connections(i + 1));
        }
        t.shutdown();
        CHECK(server.connections().requests().empty());
        CHECK(said.size() == 1);
        CHECK(t.statistics().spooled == 3);
        CHECK_FALSE(m.files().empty());
    }
}
#endif

TEST_CASE("row 43: what a server took is delivered once, whatever becomes of its answer's body") {
    const std::string head = "HTTP/1.1 200 OK\r\n", chunked = head + "Transfer-Encoding: chunked\r\n\r\n";
    const std::string cut = head + "Content-Length: 5\r\n\r\nab", trailers = chunked + "0\r\nX-A: b\r\n\r\n",
                      misframed = chunked + "zz\r\n\r\n";
    struct example {
        std::string name;
        std::string bytes;
        bool stays_open;
    };
    const example examples[] = {{"cut", cut, false},
                                {"hangs", cut, true},
                                {"misframed", misframed, true},
                                {"trailers", trailers, true},
                                {"extensions", chunked + "2;a=b\r\nok\r\n0\r\n\r\n", true}};
    for (const auto& e : examples) {
        CAPTURE(e.name);
        socket_server server{[&](socket_server::peer& p) {
            while (p.read_request() && p.write(e.bytes) && e.stays_open) {
            }
        }};
        const machine m;
        auto options = m.options(server.url(""));
        options.sentry_dsn = "http://key@127.0.0.1:" + std::to_string(server.port()) + "/7";
        options.shutdown_timeout = 20s;
        {
            candor::telemetry t{options};
            t.track(noted{});
            t.capture(std::runtime_error{"an error"});
            const stopwatch watch;
            CHECK(t.flush(20s));
            CHECK(watch.elapsed() < 2s + slack);  // a body that does not come is not waited for
            t.shutdown();
            CHECK(t.statistics().delivered == 2);
        }
        CHECK(server.requests().size() == 2);
        CHECK(m.files().empty());
    }
#ifdef CPPHTTPLIB_OPENSSL_SUPPORT
    const candor::testing::trusted_authority authority;
    for (const auto& e : examples) {
        CAPTURE(e.name);
        std::atomic<int> requests{0};
        candor::testing::tls_server server{authority.issue("IP:127.0.0.1"),
                                           [&](candor::testing::tls_stream& stream, socket_server::peer& p) {
                                               while (stream.read_request()) {
                                                   ++requests;
                                                   if (!stream.write(e.bytes) || !e.stays_open) return;
                                               }
                                               p.hold();
                                           }};
        const machine m;
        candor::telemetry t{m.options("https://127.0.0.1:" + std::to_string(server.port()))};
        t.track(noted{});
        const stopwatch watch;
        CHECK(t.flush(20s));
        CHECK(watch.elapsed() < 2s + slack);
        t.shutdown();
        CHECK(t.statistics().delivered == 1);
        CHECK(requests == 1);
    }
#endif
}

TEST_CASE("row 43: where a network's login page answers, the server was not reached and the event waits on disk") {
    socket_server server{behaviours::answer(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 6\r\n\r\n<html>")};
    const machine m;
    std::vector<std::string> said;
    auto options = m.options(server.url(""));
    options.diagnostics = [&](std::string_view text) { said.emplace_back(text); };
    candor::telemetry t{options};
    t.track(noted{});
    t.shutdown();
    CHECK(t.statistics().delivered == 0);
    CHECK(t.statistics().spooled == 1);
    REQUIRE(said.size() == 1);
    CHECK(said[0].find("a web page answers in its place") != std::string::npos);
}

#ifdef CPPHTTPLIB_ZLIB_SUPPORT
TEST_CASE("row 44: a server that does not know gzip gets the same ids uncompressed, and from then on all that way") {
    for (const std::string refusal : {"400 Bad Request", "415 Unsupported Media Type"}) {
        CAPTURE(refusal);
        const auto is_compressed = [](const std::string& request) {
            return request.find("Content-Encoding: gzip") != request.npos;
        };
        socket_server server{[&](socket_server::peer& p) {
            while (const auto request = p.read_request()) {
                if (!p.write(is_compressed(*request) ? "HTTP/1.1 " + refusal + "\r\nContent-Length: 0\r\n\r\n" : ok))
                    return;
            }
        }};
        const machine m;
        auto options = m.options(server.url(""));
        options.sentry_dsn = "http://key@127.0.0.1:" + std::to_string(server.port()) + "/7";
        options.delivery.compress = true;
        candor::telemetry t{options};
        for (int i = 0; i < 3; ++i) {
            t.track(noted{});
            CHECK(t.flush(20s));
        }
        for (int i = 0; i < 2; ++i) {
            t.capture(std::runtime_error{"error " + std::to_string(i)});
            CHECK(t.flush(20s));
        }
        t.shutdown();
        const auto counts = t.statistics();
        CHECK(counts.delivered == 5);
        CHECK(counts.dropped.total() == 0);
        const auto requests = server.requests();
        REQUIRE(requests.size() == 7);
        std::set<std::string> ids;
        for (std::size_t i = 0; i < requests.size(); ++i) {
            CHECK(is_compressed(requests[i]) == (i == 0 || i == 4));
            if (i > 0 && i < 4) ids.insert(batch_of(requests[i]).at(0).at("messageId"));
        }
        CHECK(ids.size() == 3);
        CHECK(gunzip(requests[0].substr(requests[0].find("\r\n\r\n") + 4)) ==
              requests[1].substr(requests[1].find("\r\n\r\n") + 4));
    }
}
#endif

TEST_CASE("row 10: of a 5xx an event is sent again, an error is dropped and told of with the next one") {
    std::atomic<int> failures{2};
    socket_server server{[&](socket_server::peer& p) {
        while (p.read_request()) {
            if (!p.write(failures-- > 0 ? "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n" : ok)) return;
        }
    }};
    const machine m;
    auto options = m.options(server.url(""));
    options.sentry_dsn = "http://key@127.0.0.1:" + std::to_string(server.port()) + "/7";
    candor::telemetry t{options};
    t.capture(std::runtime_error{"first"});
    CHECK_FALSE(t.flush(10s));
    CHECK(t.statistics().dropped[drop_reason::rejected] == 1);
    t.track(noted{});
    CHECK(t.flush(10s));
    t.capture(std::runtime_error{"second"});
    CHECK(t.flush(10s));
    CHECK(t.statistics().delivered == 2);
    const auto requests = server.requests();
    REQUIRE(requests.size() == 4);
    CHECK(batch_of(requests[1])[0]["messageId"] == batch_of(requests[2])[0]["messageId"]);
    const auto has = [](const std::string& request, const char* text) {
        return request.find(text) != std::string::npos;
    };
    CHECK(has(requests[0], "first"));
    CHECK_FALSE(has(requests[3], "first"));
    CHECK(has(requests[3], R"({"reason":"send_error","category":"error","quantity":1})"));
}

TEST_CASE("row 12: a huge Retry-After is a day, a date is waited for, and what is neither is the usual wait") {
    struct example {
        const char* told;
        std::chrono::nanoseconds least, most;
    };
    for (const auto& e : {example{"99999999999999999999", 24h, 24h}, example{"Fri, 01 Jan 2100 00:00:00 GMT", 24h, 24h},
                          example{"Fri, 02 Jan 2026 03:05:05 GMT", 59s, 60s},
                          example{"Fri, 02 Jan 2015 03:05:05 GMT", 0s, 0s}, example{"7", 7s, 7s},
                          example{"-7", 100ms, 300ms}, example{"soon", 100ms, 300ms}, example{"", 100ms, 300ms}}) {
        CAPTURE(e.told);
        data_plane server;
        server.answer_next(429, {{"Retry-After", e.told}});
        candor::httplib_transport transport;
        manual_clock clock;
        rs::basic_client<candor::httplib_transport, manual_clock> client{
            {.write_key = "write-key", .data_plane_url = server.url()}, transport, clock};
        client.enqueue(rs::track{.user_id = "u", .event = "E"});
        CHECK(client.flush(25h));
        CHECK(clock.now() >= candor::steady_time{e.least});
        CHECK(clock.now() <= candor::steady_time{e.most});
        CHECK(server.messages().size() == 1);
    }
}

TEST_CASE("row 14: a calendar that jumps ten years, on or back, changes no wait") {
    for (const auto jump : {87'600h, -87'600h}) {
        data_plane server;
        server.answer_next(429, {{"Retry-After", "60"}});
        candor::httplib_transport transport;
        manual_clock clock;
        rs::basic_client<candor::httplib_transport, manual_clock> client{
            {.write_key = "write-key", .data_plane_url = server.url()}, transport, clock};
        client.enqueue(rs::track{.user_id = "u", .event = "E"});
        CHECK_FALSE(client.flush(59s));
        clock.set_wall(clock.wall_now() + jump);
        CHECK_FALSE(client.flush(59s));
        CHECK(server.requests().size() == 1);
        CHECK(client.flush(61s));
        CHECK(clock.now() == candor::steady_time{60s});
    }
}

}  // namespace faults_test
