#include <candor/otlp/receiver.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string>
#include <vector>

#include <candor/testing.hpp>

#include "../support/becomes_true.hpp"
#include "../support/otlp_writer.hpp"
#include "../support/temporary_directory.hpp"

#include <doctest/doctest.h>

namespace receiver_test {

using candor::otlp::receiver_options;
using candor::testing::manual_clock;
using candor::testing::manual_server;
using namespace std::chrono_literals;

namespace {

using receiver = candor::otlp::basic_receiver<manual_server, manual_clock>;

const candor::http_request_head head{.method = "POST",
                                     .target = "/v1/metrics",
                                     .headers = {{"Host", "localhost"}, {"Content-Type", "application/x-protobuf"}}};

std::string report(const std::string& name, std::int64_t count) {
    otlp_writer::metric resources{.name = "sync.table.resources"};
    resources.points.push_back({.attributes = {{"sync.table.name", name}}, .start = 1, .time = 2, .value = count});
    return otlp_writer::to_protobuf(otlp_writer::request{.resources = {{.scopes = {{.metrics = {resources}}}}}});
}

std::string content(const std::filesystem::path& path) {
    std::ifstream file{path};
    return {std::istreambuf_iterator<char>{file}, {}};
}

std::string field_of(const receiver_options& options) {
    manual_clock clock;
    try {
        const receiver now{options, clock};
    } catch (const candor::configuration_error& e) {
        return e.field();
    }
    return "";
}

}  // namespace

TEST_CASE("what is reported is in the table at once") {
    manual_clock clock;
    receiver now{{}, clock};
    CHECK(now.table().rows().empty());
    CHECK(now.server().receive(head, report("users", 3)).status == 200);
    REQUIRE(now.table().rows().size() == 1);
    CHECK(now.table().rows()[0].resources == 3);
    CHECK(now.statistics().requests.accepted == 1);
    CHECK(now.server().receive(head, "\xff").status == 400);
    CHECK(now.statistics().requests.refused == 1);
    CHECK(now.server().receive(head, report("", 3)).status == 200);
    CHECK(now.statistics().rejected_points.total() == now.table().rejected().total());
}

TEST_CASE("a receiver can be made without a clock, and without any option") {
    const receiver now{{}};
    CHECK(now.endpoint() == "127.0.0.1:4318");
}

TEST_CASE("the endpoint is what a worker on this machine can use") {
    const auto endpoint = [](const char* address) {
        manual_clock clock;
        return receiver{{.address = address, .port = 7}, clock}.endpoint();
    };
    CHECK(endpoint("127.0.0.1") == "127.0.0.1:7");
    CHECK(endpoint("localhost") == "127.0.0.1:7");
    CHECK(endpoint("0.0.0.0") == "127.0.0.1:7");
    CHECK(endpoint("::1") == "[::1]:7");
    CHECK(endpoint("::") == "[::1]:7");
    CHECK(endpoint("192.168.0.7") == "192.168.0.7:7");
}

TEST_CASE("the file is there from the start, is written an interval after there is news, and at shutdown") {
    const temporary_directory directory;
    const auto path = directory.path() / "metrics.txt";
    manual_clock clock;
    receiver now{{.metrics_file = path, .write_interval = 20s}, clock};
    const auto empty = content(path);
    CHECK(empty == candor::otlp::text_table({}));
    CHECK(now.server().receive(head, report("users", 3)).status == 200);
    clock.advance(19s);
    CHECK(now.server().receive(head, report("groups", 4)).status == 200);
    CHECK(content(path) == empty);
    clock.advance(1s);
    const auto both = candor::otlp::text_table(now.table().rows());
    CHECK(becomes_true([&] { return content(path) == both; }));
    CHECK(both.find("users") != both.npos);

    std::filesystem::remove(path);                                                           // so that a write shows
    REQUIRE(becomes_true([&] { return clock.next_wake() == candor::steady_time::max(); }));  // no news
    REQUIRE(clock.wait_for_idle());
    CHECK(now.server().receive(head, report("others", 4)).status == 200);
    CHECK(becomes_true([&] { return clock.next_wake() == clock.now() + 20s; }));
    CHECK_FALSE(std::filesystem::exists(path));
    clock.advance(20s);
    CHECK(becomes_true([&] { return content(path).find("others") != both.npos; }));

    CHECK(now.server().receive(head, report("late", 5)).status == 200);
    now.shutdown();
    CHECK(content(path).find("late") != both.npos);
    CHECK(now.server().receive(head, report("too late", 6)).status == 0);
    now.shutdown();
    CHECK(now.statistics().file_failures == 0);
}

TEST_CASE("the destructor writes the file as well") {
    const temporary_directory directory;
    const auto path = directory.path() / "metrics.txt";
    {
        manual_clock clock;
        receiver now{{.metrics_file = path}, clock};
        CHECK(now.server().receive(head, report("users", 3)).status == 200);
    }
    CHECK(content(path).find("users") != std::string::npos);
}

TEST_CASE("a file that cannot be written later is counted, said once, and written when it can be again") {
    const temporary_directory directory;
    const auto place = directory.path() / "place";
    std::filesystem::create_directory(place);
    manual_clock clock;
    std::mutex mutex;
    std::vector<std::string> said;
    receiver now{{.metrics_file = place / "metrics.txt",
                  .diagnostics =
                      [&](std::string_view text) {
                          const std::lock_guard guard{mutex};
                          said.emplace_back(text);
                      }},
                 clock};
    const auto hear = [&] {
        const std::lock_guard guard{mutex};
        return said;
    };
    std::filesystem::remove_all(place);
    CHECK(now.server().receive(head, report("users", 3)).status == 200);
    for (std::uint64_t i = 1; i <= 3; ++i) {
        clock.advance(20s);
        REQUIRE(becomes_true([&] { return now.statistics().file_failures == i; }));
        REQUIRE(becomes_true([&] { return clock.next_wake() == clock.now() + 20s; }));
    }
    REQUIRE(hear().size() == 1);
    CHECK(hear()[0].find("metrics.txt") != std::string::npos);
    std::filesystem::create_directory(place);
    clock.advance(20s);
    CHECK(becomes_true([&] { return content(place / "metrics.txt").find("users") != std::string::npos; }));
    CHECK(now.statistics().file_failures == 3);
    CHECK(hear().size() == 1);
}

TEST_CASE("a callback sees each duration, and may ask the receiver") {
    manual_clock clock;
    receiver* self = nullptr;
    std::vector<std::string> seen;
    receiver now{{.table = {.on_duration =
                                [&](const candor::otlp::duration_seen& d) {
                                    seen.push_back(std::string{d.table} + " " + std::to_string(d.duration.count()));
                                    CHECK(self->table().rows().size() == 1);
                                    CHECK(self->endpoint() == "127.0.0.1:4318");
                                }}},
                 clock};
    self = &now;
    otlp_writer::metric duration{.name = "sync.table.duration"};
    duration.points.push_back({.attributes = {{"sync.table.name", "users"}}, .start = 1, .time = 2, .value = 1234});
    const otlp_writer::request request{.resources = {{.scopes = {{.metrics = {duration}}}}}};
    CHECK(now.server().receive(head, otlp_writer::to_protobuf(request)).status == 200);
    CHECK(seen == std::vector<std::string>{"users 1234000000"});
}

TEST_CASE("options that cannot work are refused by their names") {
    const temporary_directory directory;
    CHECK(field_of({}).empty());
    CHECK(field_of({.metrics_file = directory.path() / "none" / "metrics.txt"}) == "metrics_file");
    CHECK(field_of({.metrics_file = directory.path()}) == "metrics_file");
    CHECK(field_of({.write_interval = 0ms}) == "write_interval");
    CHECK(field_of({.write_interval = -20s}) == "write_interval");
    CHECK(field_of({.table = {.max_rows = 0}}) == "table.max_rows");
    CHECK(field_of({.table = {.max_name_bytes = 0}}) == "table.max_name_bytes");
}

TEST_CASE("limits and deadlines are handed to the server") {
    manual_clock clock;
    receiver now{{.body_limit = 10}, clock};
    CHECK(now.server().receive(head, std::string(11, 'x')).status == 413);
}

}  // namespace receiver_test
