#include <candor/httplib/transport.hpp>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>
#include <type_traits>

#include "../support/becomes_true.hpp"
#include "../support/exchange.hpp"
#include "../support/socket_server.hpp"

#include <doctest/doctest.h>

namespace transport_test {

using candor::httplib_transport;
using candor::transport_error;
using candor::testing::cancel_when;
using candor::testing::fixed_resolver;
using candor::testing::hanging_resolver;
using candor::testing::post;
using candor::testing::post_within;
using candor::testing::slack;
using candor::testing::socket_server;
using candor::testing::stopwatch;
namespace behaviours = candor::testing::behaviours;
using namespace std::chrono_literals;

namespace {

using table_transport = candor::basic_httplib_transport<fixed_resolver>;
using hanging_transport = candor::basic_httplib_transport<hanging_resolver>;

std::ptrdiff_t entries(const char* directory) {
    return std::distance(std::filesystem::directory_iterator{directory}, std::filesystem::directory_iterator{});
}

/// Whether the directory comes down to so many entries: a thread that has ended stays there for a moment.
bool comes_down_to(std::ptrdiff_t number, const char* directory) {
    const stopwatch watch;
    while (entries(directory) > number && watch.elapsed() < candor::testing::patience) std::this_thread::yield();
    return entries(directory) <= number;
}

/// How many threads keep deadlines.
int watchdogs() {
    int out = 0;
    for (const auto& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
        std::ifstream file{task.path() / "comm"};
        std::string name;
        out += std::getline(file, name) && name == "candor-deadline";
    }
    return out;
}

/// Waits until this machine has sent a SYN to `port` and got no answer yet; false: it did not.
bool wait_for_pending_connect(std::uint16_t port) {
    char wanted[32];
    std::snprintf(wanted, sizeof wanted, "0100007F:%04X 02 ", port);
    const stopwatch watch;
    while (watch.elapsed() < candor::testing::patience) {
        std::ifstream table{"/proc/net/tcp"};
        std::string line;
        std::size_t found = 0;
        while (std::getline(table, line)) found += line.find(wanted) != line.npos;
        if (found > 1) return true;  // the first is the one that filled the queue
        std::this_thread::yield();
    }
    return false;
}

}  // namespace

static_assert(candor::transport<httplib_transport>);
static_assert(!std::is_copy_constructible_v<httplib_transport>);
static_assert(!std::is_move_constructible_v<httplib_transport>);

TEST_CASE("a transport that sends nothing starts no thread and opens nothing") {
    const auto threads = entries("/proc/self/task");
    const auto descriptors = entries("/proc/self/fd");
    const httplib_transport transport;
    CHECK(entries("/proc/self/task") <= threads);
    CHECK(entries("/proc/self/fd") == descriptors);
}

TEST_CASE("a transport leaves no thread and no descriptor behind") {
    std::thread{[] {}}.join();  // a sanitizer starts a thread of its own with the first
    const auto threads = entries("/proc/self/task");
    const auto descriptors = entries("/proc/self/fd");
    {
        socket_server server{behaviours::answer()};
        httplib_transport transport;
        for (int i = 0; i < 3; ++i) CHECK(transport.send(post(server.url(), std::string(100'000, 'x'))).status == 200);
        CHECK(entries("/proc/self/task") > threads);
    }
    CHECK(comes_down_to(threads, "/proc/self/task"));
    CHECK(comes_down_to(descriptors, "/proc/self/fd"));
}

TEST_CASE("a thread keeps the deadline where an exchange cannot do so itself, and not elsewhere") {
    struct example {
        std::string name;
        std::string answer;
        std::string body;
        int watchdogs;
    };
    const std::string head = "HTTP/1.1 200 OK\r\n";
    for (const auto& e :
         {example{"an answer that comes at once", head + "Content-Length: 2\r\n\r\nOK", "{}", 0},
          example{"one without a body", head + "Content-Length: 0\r\n\r\n", "{}", 0},
          example{"a large request", head + "Content-Length: 2\r\n\r\nOK", std::string(100'000, 'x'), 1},
          example{"a request without a body", head + "Content-Length: 2\r\n\r\nOK", "", 1},
          example{"a body of chunks", head + "Transfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n", "{}", 1},
          example{"a long body", head + "Content-Length: 60000\r\n\r\n" + std::string(60'000, 'x'), "{}", 1}}) {
        CAPTURE(e.name);
        socket_server server{behaviours::answer(e.answer)};
        httplib_transport transport;
        CHECK(transport.send(post(server.url(), e.body)).status == 200);
        CHECK(transport.send(post(server.url(), e.body)).status == 200);
        CHECK(becomes_true([&] { return watchdogs() == e.watchdogs; }));  // a thread is named when it runs
    }
}

TEST_CASE("row 2: a refused connection is unreachable, at once") {
    const candor::testing::closed_port nobody;
    httplib_transport transport;
    const stopwatch watch;
    const auto response = transport.send(post(nobody.url()));
    CHECK(response.error == transport_error::unreachable);
    CHECK(response.status == 0);
    CHECK(response.message.find("127.0.0.1:" + std::to_string(nobody.port())) != std::string::npos);
    CHECK(watch.elapsed() < slack);
}

TEST_CASE("a name that does not resolve is unreachable, and the message says why") {
    table_transport transport{fixed_resolver{}};
    const auto response = transport.send(post("http://plane.example/"));
    CHECK(response.error == transport_error::unreachable);
    CHECK(response.message.find("plane.example") != std::string::npos);
    CHECK(response.message.find("no such name") != std::string::npos);
}

TEST_CASE("a URL that is none is unreachable, not an exception") {
    httplib_transport transport;
    for (const char* url : {"", "/", "plane.example", "ftp://plane.example/", "http://", "http://a b/", "http:///x"}) {
        CAPTURE(url);
        const auto response = transport.send(post(url));
        CHECK(response.error == transport_error::unreachable);
        CHECK_FALSE(response.message.empty());
    }
}

TEST_CASE("localhost works with the system's resolver") {
    socket_server server{behaviours::answer()};
    httplib_transport transport;
    CHECK(transport.send(post("http://localhost:" + std::to_string(server.port()) + "/")).status == 200);
}

TEST_CASE("the addresses of a name are tried in turn") {
    socket_server server{behaviours::answer()};
    table_transport transport{fixed_resolver{{{"plane.example", {"::1", "127.0.0.2", "127.0.0.1"}}}}};
    CHECK(transport.send(post("http://plane.example:" + std::to_string(server.port()) + "/")).status == 200);
    CHECK(server.connections() == 1);
}

TEST_CASE("an address that does not answer leaves its share of the connect timeout to the next") {
    const candor::testing::full_backlog silent;
    // 127.0.0.2 refuses: the verdict is that of the last address, before the connect timeout has passed.
    table_transport transport{fixed_resolver{{{"plane.example", {"127.0.0.1", "127.0.0.2"}}}}};
    auto request = post("http://plane.example:" + std::to_string(silent.port()) + "/");
    request.connect_timeout = 400ms;
    const stopwatch watch;
    CHECK(transport.send(request).error == transport_error::unreachable);
    CHECK(watch.elapsed() >= 190ms);
    CHECK(watch.elapsed() < slack);
}

TEST_CASE(
    "row 1: a name that never resolves is given up at the connect deadline, and holds one thread for all attempts") {
    const hanging_resolver names;
    hanging_transport transport{names};
    auto request = post("http://plane.example/");
    request.connect_timeout = 100ms;
    for (int i = 0; i < 3; ++i) {
        const stopwatch watch;
        const auto response = transport.send(request);
        CHECK(response.error == transport_error::timeout);
        CHECK(watch.elapsed() >= 100ms);
        CHECK(watch.elapsed() < slack);
    }
    CHECK(names.calls() == 1);
    names.release();
}

TEST_CASE("the deadline of the whole exchange holds for the name as well") {
    const hanging_resolver names;
    hanging_transport transport{names};
    const stopwatch watch;
    CHECK(transport.send(post_within(100ms, "http://plane.example/")).error == transport_error::timeout);
    CHECK(watch.elapsed() < slack);
    names.release();
}

TEST_CASE("row 3: a connection that nobody accepts is given up at the connect deadline") {
    const candor::testing::full_backlog silent;
    httplib_transport transport;
    auto request = post(silent.url());
    request.connect_timeout = 200ms;
    const stopwatch watch;
    CHECK(transport.send(request).error == transport_error::timeout);
    CHECK(watch.elapsed() >= 190ms);
    CHECK(watch.elapsed() < slack);
}

TEST_CASE("row 3: the deadline of the whole exchange holds whatever the server does") {
    const std::string large(16 * 1024 * 1024, 'x');
    struct example {
        const char* name;
        socket_server::behaviour behaviour;
        std::string body;
    };
    for (const auto& e :
         {example{"never answers", behaviours::never_answer(), "{}"},
          example{"never reads", behaviours::never_read(), large},
          example{"drips the first line", behaviours::drip("HTTP/1.1 ", '2'), "{}"},
          example{"drips a header", behaviours::drip("HTTP/1.1 200 OK\r\nX-A: ", 'a'), "{}"},
          example{"drips a header, a byte a second", behaviours::drip("HTTP/1.1 200 OK\r\nX-A: ", 'a', 1s), "{}"},
          example{"drips interim answers",
                  [](socket_server::peer& p) {
                      if (!p.read_request()) return;
                      while (p.write("HTTP/1.1 100 Continue\r\n\r\n") && p.pause(5ms)) {
                      }
                  },
                  "{}"}}) {
        CAPTURE(e.name);
        socket_server server{e.behaviour};
        httplib_transport transport;
        const stopwatch watch;
        const auto response = transport.send(post_within(200ms, server.url(), e.body));
        CHECK(response.error == transport_error::timeout);
        CHECK(watch.elapsed() >= 190ms);
        CHECK(watch.elapsed() < slack);
    }
}

TEST_CASE("a deadline is kept on a connection that has been used, after one that was further off") {
    socket_server server{[](socket_server::peer& p) {
        if (p.read_request()) p.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        if (p.read_request()) p.hold();
    }};
    httplib_transport transport;
    CHECK(transport.send(post_within(1h, server.url())).status == 200);
    const stopwatch watch;
    CHECK(transport.send(post_within(150ms, server.url())).error == transport_error::timeout);
    CHECK(watch.elapsed() < slack);
    CHECK(server.connections() == 1);
}

TEST_CASE("timeouts without sense are deadlines that have passed, or are far away") {
    socket_server server{behaviours::answer()};
    httplib_transport transport;
    CHECK(transport.send(post_within(0ms, server.url())).error == transport_error::timeout);
    CHECK(transport.send(post_within(std::chrono::milliseconds::min(), server.url())).error ==
          transport_error::timeout);
    auto request = post_within(std::chrono::milliseconds::max(), server.url());
    request.connect_timeout = std::chrono::milliseconds::max();
    CHECK(transport.send(request).status == 200);
}

TEST_CASE("row 4: a connection that ends before the head of an answer came is broken") {
    struct example {
        const char* name;
        socket_server::behaviour behaviour;
    };
    for (const auto& e : {example{"reset before the answer", behaviours::reset_after("")},
                          example{"reset in the first line", behaviours::reset_after("HTTP/1.")},
                          example{"closed before the answer", behaviours::answer_and_close("")},
                          example{"closed in a header", behaviours::answer_and_close("HTTP/1.1 200 OK\r\nX-A")},
                          example{"not HTTP", behaviours::answer_and_close("SSH-2.0-OpenSSH_9.2\r\n")}}) {
        CAPTURE(e.name);
        socket_server server{e.behaviour};
        httplib_transport transport;
        const auto response = transport.send(post(server.url()));
        CHECK(response.error == transport_error::broken);
        CHECK(response.status == 0);
        CHECK_FALSE(response.message.empty());
        CHECK(server.connections() == 1);  // a new connection is not tried again behind the caller's back
    }
}

TEST_CASE("row 43: the head of an answer is the answer, whatever becomes of its body") {
    const std::string head = "HTTP/1.1 202 Accepted\r\nX-A: b\r\n";
    const std::string chunked = head + "Transfer-Encoding: chunked\r\n\r\n";
    struct example {
        const char* name;
        socket_server::behaviour behaviour;
    };
    for (const auto& e :
         {example{"reset", behaviours::reset_after(head + "Content-Length: 5\r\n\r\nab")},
          example{"reset before the first byte", behaviours::reset_after(head + "Content-Length: 5\r\n\r\n")},
          example{"closed", behaviours::answer_and_close(head + "Content-Length: 5\r\n\r\nab")},
          example{"closed in a chunk", behaviours::answer_and_close(chunked + "5\r\nab")},
          example{"closed before the last chunk", behaviours::answer_and_close(chunked + "2\r\nab\r\n")},
          example{"a chunk size that is none", behaviours::answer(chunked + "zz\r\nab\r\n0\r\n\r\n")},
          example{"a chunk that is longer than it says", behaviours::answer(chunked + "1\r\nabc\r\n0\r\n\r\n")},
          example{"chunk extensions", behaviours::answer(chunked + "2;a=b\r\nab\r\n0;c\r\n\r\n")},
          example{"trailers", behaviours::answer(chunked + "2\r\nab\r\n0\r\nX-B: c\r\n\r\n")},
          example{"a length that is none", behaviours::answer_and_close(head + "Content-Length: abc\r\n\r\nab")},
          example{"an enormous length",
                  behaviours::answer_and_close(head + "Content-Length: 99999999999999999999\r\n\r\nab")},
          example{"two lengths",
                  behaviours::answer_and_close(head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nab")},
          example{"a broken gzip body",
                  behaviours::answer(head + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab")},
          example{"hangs", behaviours::drip(head + "Content-Length: 5\r\n\r\n", 'a', 1h)},
          example{"drips", behaviours::drip(head + "Content-Length: 60000\r\n\r\n", 'a')},
          example{"drips without a length", behaviours::drip(head + "\r\n", 'a')},
          example{"drips a chunk", behaviours::drip(chunked + "8000\r\n", 'a')}}) {
        CAPTURE(e.name);
        socket_server server{e.behaviour};
        httplib_transport transport;
        const stopwatch watch;
        const auto response = transport.send(post_within(200ms, server.url()));
        CHECK(response.error == transport_error::none);
        CHECK(response.status == 202);
        REQUIRE(response.header("x-a") != nullptr);
        CHECK(*response.header("x-a") == "b");
        CHECK(watch.elapsed() < slack);
        CHECK(server.wait_for_requests(1));
        CHECK(transport.send(post(server.url())).status == 202);  // and the next one has its own
        CHECK(server.requests().size() == 2);
    }
}

TEST_CASE("row 43: cancel() ends a wait for the body of an answer, which is one") {
    std::atomic<bool> has_come = false;
    socket_server server{[&](socket_server::peer& p) {
        if (!p.read_request() || !p.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na")) return;
        has_come = becomes_true([&] {
            int unacknowledged = 0;
            return ::ioctl(p.socket(), TIOCOUTQ, &unacknowledged) == 0 && unacknowledged == 0;
        });
        p.hold();
    }};
    httplib_transport transport;
    const auto [response, delay] =
        cancel_when(transport, post(server.url()), [&] { return becomes_true([&] { return has_come.load(); }); });
    CHECK(response.status == 200);
    CHECK(delay < slack);
}

TEST_CASE("with one descriptor left a request fails at once, since nobody could end it") {
    socket_server server{behaviours::never_answer()};
    httplib_transport transport;
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    const int spare = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);  // the lowest number that is free
    const rlimit few{static_cast<rlim_t>(spare) + 1, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
    ::close(spare);
    const stopwatch watch;
    const auto response = transport.send(post(server.url()));
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK(response.error == transport_error::broken);
    CHECK(watch.elapsed() < slack);
}

TEST_CASE("a server that resets while it is being sent to does not kill the program") {
    const candor::testing::deadly_sigpipe deadly;
    socket_server server{[](socket_server::peer& p) {
        if (p.read_some()) p.reset();
    }};
    httplib_transport transport;
    const std::string large(4 * 1024 * 1024, 'x');
    for (int i = 0; i < 20; ++i) CHECK(transport.send(post(server.url(), large)).error == transport_error::broken);
}

TEST_CASE("cancel() ends a wait for a name") {
    const hanging_resolver names;
    hanging_transport transport{names};
    const auto [response, delay] =
        cancel_when(transport, post("http://plane.example/"), [&] { return names.wait_for_calls(1); });
    CHECK(response.error == transport_error::cancelled);
    CHECK(delay < slack);
    names.release();
}

TEST_CASE("cancel() ends a pending connect") {
    const candor::testing::full_backlog silent;
    httplib_transport transport;
    const auto [response, delay] =
        cancel_when(transport, post(silent.url()), [&] { return wait_for_pending_connect(silent.port()); });
    CHECK(response.error == transport_error::cancelled);
    CHECK(delay < slack);
}

TEST_CASE("row 3: cancel() ends a wait for an answer, and one that drips in") {
    for (const auto& behaviour : {behaviours::never_answer(), behaviours::drip("HTTP/1.1 200 OK\r\nX-A: ", 'a')}) {
        socket_server server{behaviour};
        httplib_transport transport;
        const auto [response, delay] =
            cancel_when(transport, post(server.url()), [&] { return server.wait_for_requests(1); });
        CHECK(response.error == transport_error::cancelled);
        CHECK(delay < slack);
    }
}

TEST_CASE("cancel() ends the sending of a body that nobody reads, without a SIGPIPE") {
    const candor::testing::deadly_sigpipe deadly;
    socket_server server{[](socket_server::peer& p) {
        if (p.read_some()) p.hold();
    }};
    httplib_transport transport;
    const auto [response, delay] = cancel_when(transport, post(server.url(), std::string(64 * 1024 * 1024, 'x')),
                                               [&] { return server.wait_for_connections(1); });
    CHECK(response.error == transport_error::cancelled);
    CHECK(delay < slack);
}

TEST_CASE("cancel() ends a wait for another thread's exchange with the same server") {
    socket_server server{behaviours::never_answer()};
    httplib_transport transport;
    auto waiting = std::async(std::launch::async, [&] {
        server.wait_for_requests(1);
        return transport.send(post(server.url()));
    });
    const auto [response, delay] =
        cancel_when(transport, post(server.url()), [&] { return server.wait_for_requests(1); });
    CHECK(response.error == transport_error::cancelled);
    CHECK(waiting.get().error == transport_error::cancelled);
    CHECK(delay < slack);
    CHECK(server.connections() == 1);
}

TEST_CASE("cancel() works at any moment of an exchange, from any thread, and is final") {
    socket_server server{behaviours::answer()};
    const candor::testing::full_backlog silent;
    std::vector<std::chrono::milliseconds> delays;
    for (int round = 0; round < 400; ++round) {
        const std::string url = round < 200 ? server.url() : silent.url();
        httplib_transport transport;
        std::atomic<bool> go = false;
        auto sending = std::async(std::launch::async, [&] {
            go = true;
            return transport.send(post(url));
        });
        while (!go) std::this_thread::yield();
        for (int i = 0; i < round % 200 * 10; ++i) std::this_thread::yield();
        const stopwatch watch;
        transport.cancel();
        const auto response = sending.get();
        delays.push_back(watch.elapsed());
        CHECK(delays.back() < slack);
        CHECK((response.status == 200) != (response.error == transport_error::cancelled));
        CHECK(transport.send(post(server.url())).error == transport_error::cancelled);
    }
    std::nth_element(delays.begin(), delays.begin() + 200, delays.end());
    CHECK(delays[200] <= 50ms);  // as promised, but for what a busy machine adds
}

TEST_CASE("after cancel() nothing is sent") {
    socket_server server{behaviours::answer()};
    httplib_transport transport;
    transport.cancel();
    transport.cancel();
    CHECK(transport.send(post(server.url())).error == transport_error::cancelled);
    CHECK(server.connections() == 0);
}

TEST_CASE("a request that waits for its turn until its deadline times out") {
    socket_server server{behaviours::never_answer()};
    httplib_transport transport;
    auto first = std::async(std::launch::async, [&] { return transport.send(post(server.url())); });
    REQUIRE(server.wait_for_requests(1));
    const stopwatch watch;
    CHECK(transport.send(post_within(100ms, server.url())).error == transport_error::timeout);
    CHECK(watch.elapsed() < slack);
    transport.cancel();
    CHECK(first.get().error == transport_error::cancelled);
}

TEST_CASE("an exchange with one server does not hold up another's") {
    socket_server slow{behaviours::never_answer()};
    socket_server quick{behaviours::answer()};
    httplib_transport transport;
    auto first = std::async(std::launch::async, [&] { return transport.send(post(slow.url())); });
    REQUIRE(slow.wait_for_requests(1));
    CHECK(transport.send(post(quick.url())).status == 200);
    transport.cancel();
    CHECK(first.get().error == transport_error::cancelled);
}

TEST_CASE("eight threads share a transport; every request arrives once and gets its own answer") {
    const auto echo = [](socket_server::peer& p) {
        while (const auto request = p.read_request()) {
            const std::string body = request->substr(request->find("\r\n\r\n") + 4);
            if (!p.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body))
                return;
        }
    };
    socket_server one{echo};
    socket_server two{echo};
    httplib_transport transport;
    std::vector<std::future<int>> threads;
    for (int t = 0; t < 8; ++t) {
        threads.push_back(std::async(std::launch::async, [&, t] {
            int right = 0;
            for (int i = 0; i < 50; ++i) {
                const std::string body = std::to_string(t) + "/" + std::to_string(i);
                right += transport.send(post((i % 2 == 0 ? one : two).url(), body)).body == body;
            }
            return right;
        }));
    }
    for (auto& thread : threads) CHECK(thread.get() == 50);
    CHECK(one.connections() == 1);
    CHECK(two.connections() == 1);
    std::multiset<std::string> bodies;
    for (const auto* server : {&one, &two}) {
        for (const auto& request : server->requests()) bodies.insert(request.substr(request.find("\r\n\r\n") + 4));
    }
    CHECK(bodies.size() == 400);
    CHECK(std::set<std::string>(bodies.begin(), bodies.end()).size() == 400);
}

TEST_CASE("https is refused at once where TLS is not compiled in, and says how to get it") {
    const httplib_transport transport;
    const auto secure = candor::detail::parse_url("https://plane.example");
    const auto plain = candor::detail::parse_url("http://plane.example");
    REQUIRE((secure && plain));
    CHECK_NOTHROW(transport.check(*plain));
#if defined(CPPHTTPLIB_OPENSSL_SUPPORT) || defined(CPPHTTPLIB_SSL_ENABLED)
    CHECK_NOTHROW(transport.check(*secure));
#else
    CHECK_THROWS_WITH_AS(transport.check(*secure), doctest::Contains("CPPHTTPLIB_OPENSSL_SUPPORT"),
                         candor::configuration_error);
    httplib_transport sender;
    CHECK(sender.send(post("https://127.0.0.1/")).error == transport_error::tls);
#endif
}

TEST_CASE("a proxy variable that cannot be used makes everything unreachable, never direct") {
    socket_server server{behaviours::answer()};
    candor::basic_httplib_transport<> transport{
        candor::system_resolver{}, candor::testing::fixed_environment{{{"http_proxy", "socks5://user:secret@p:1"}}}};
    const auto response = transport.send(post(server.url()));
    CHECK(response.error == transport_error::unreachable);
    CHECK(response.message.find("http_proxy") != std::string::npos);
    CHECK(response.message.find("secret") == std::string::npos);
    CHECK(server.connections() == 0);
}

}  // namespace transport_test
