#include <candor/delivery/payload_log.hpp>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <support/child_process.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace payload_log_test {

namespace fs = std::filesystem;
using candor::http_request;
using candor::http_response;
using candor::transport_error;
using candor::detail::payload_log;

namespace {

http_request request_of(std::string body) { return {.url = "http://plane/v1/batch", .body = std::move(body)}; }

}  // namespace

TEST_CASE("what may have reached the server is logged with its answer, byte for byte, for the owner alone") {
    const temporary_directory t;
    const auto file = t.path() / "sent.log";
    std::vector<std::string> said;
    payload_log log{file, [&](std::string_view text) { said.emplace_back(text); }};
    CHECK(payload_log::read(file).empty());
    for (const auto error : {transport_error::unreachable, transport_error::tls})
        log.append(request_of("never left"), {.error = error});
    CHECK_FALSE(fs::exists(file));
    log.append(request_of("{\"a\":\"\u00fc\n\"}\nsecond line\n"), {.status = 200});
    log.append(request_of("b"), {.status = 503});
    log.append(request_of("c"), {.error = transport_error::timeout});
    log.append(request_of("d"), {.error = transport_error::broken});
    log.append(request_of("e"), {.error = transport_error::cancelled});
    struct stat found {};
    REQUIRE(::stat(file.c_str(), &found) == 0);
    CHECK((found.st_mode & 07777) == 0600);
    const auto all = payload_log::read(file);
    REQUIRE(all.size() == 5);
    CHECK(all[0].url == "http://plane/v1/batch");
    CHECK(all[0].body == "{\"a\":\"\u00fc\n\"}\nsecond line\n");
    CHECK(all[0].answer == "200");
    CHECK(all[1].answer == "503");
    CHECK(all[2].answer == "timed out");
    CHECK(all[3].answer == "the connection broke");
    CHECK(all[4].answer == "cancelled");
    CHECK(said.empty());
}

TEST_CASE("a file that others could read is theirs no longer") {
    const temporary_directory t;
    const auto file = t.write("sent.log", "a line of somebody else's\n");
    REQUIRE(::chmod(file.c_str(), 0666) == 0);
    payload_log{file, {}}.append(request_of("a"), {.status = 200});
    struct stat found {};
    REQUIRE(::stat(file.c_str(), &found) == 0);
    CHECK((found.st_mode & 07777) == 0600);
    CHECK(payload_log::read(file).size() == 1);
}

TEST_CASE("it is bounded, and keeps as much again") {
    const temporary_directory t;
    const auto file = t.path() / "sent.log";
    const auto old = t.path() / "sent.log.old";
    payload_log log{file, {}};
    const auto fill = [&](std::size_t left) {
        fs::resize_file(file, payload_log::max_bytes - left);  // with zeros, in one line that is none of ours
        std::ofstream{file, std::ios::app} << '\n';
    };
    log.append(request_of("first"), {.status = 200});
    fill(200);
    log.append(request_of("second"), {.status = 200});
    CHECK_FALSE(fs::exists(old));
    fill(20);
    log.append(request_of("third"), {.status = 200});
    CHECK(fs::file_size(old) <= payload_log::max_bytes);
    CHECK(fs::file_size(file) < 200);
    auto all = payload_log::read(file);
    REQUIRE(all.size() == 3);
    CHECK(all[0].body == "first");
    CHECK(all[2].body == "third");
    fill(20);
    log.append(request_of("fourth"), {.status = 200});
    all = payload_log::read(file);
    REQUIRE(all.size() == 2);
    CHECK(all[0].body == "third");
    CHECK(all[1].body == "fourth");
}

TEST_CASE("what is no plain file of this user's is left alone, and that is said once") {
    const temporary_directory t;
    const auto target = t.write("target", "somebody else's");
    fs::create_symlink(target, t.path() / "link");
    REQUIRE(::mkfifo((t.path() / "fifo").c_str(), 0600) == 0);
    fs::create_directory(t.path() / "directory");
    for (const char* name : {"link", "fifo", "directory", "no/such/directory"}) {
        CAPTURE(name);
        std::vector<std::string> said;
        payload_log log{t.path() / name, [&](std::string_view text) { said.emplace_back(text); }};
        for (int i = 0; i < 3; ++i) log.append(request_of("a"), {.status = 200});
        REQUIRE(said.size() == 1);
        CHECK(said[0].starts_with("what is sent is not logged: " + (t.path() / name).string() + " "));
    }
    CHECK(fs::file_size(target) == 15);
}

TEST_CASE("a limit of the size of files harms nobody") {
    const temporary_directory t;
    child_process limited{[&](int) {
        const rlimit limit{1000, 1000};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        bool has_complained = false;
        payload_log log{t.path() / "sent.log", [&](std::string_view) { has_complained = true; }};
        for (int i = 0; i < 10; ++i) log.append(request_of(std::string(300, 'x')), {.status = 200});
        return has_complained ? 0 : 1;
    }};
    CHECK(limited.wait().exit_code() == 0);
    CHECK(payload_log::read(t.path() / "sent.log").size() == 2);
}

TEST_CASE("several writers make whole lines") {
    const temporary_directory t;
    const auto file = t.path() / "sent.log";
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            payload_log log{file, {}};
            for (int n = 0; n < 100; ++n) log.append(request_of(std::string(1000, 'x')), {.status = 200});
        });
    }
    for (auto& thread : threads) thread.join();
    const auto all = payload_log::read(file);
    CHECK(all.size() == 400);
    for (const auto& request : all) CHECK(request.body.size() == 1000);
}

TEST_CASE("a request for a person has each line of JSON indented, and no control characters") {
    CHECK(candor::detail::readable_request("http://plane/v1/batch", "{\"a\":[1]}") ==
          "POST http://plane/v1/batch\n{\n  \"a\": [\n    1\n  ]\n}\n");
    CHECK(candor::detail::readable_request("http://errors/", "{}\n\x1b[2J\n") == "POST http://errors/\n{}\n\\x1b[2J\n");
}

}  // namespace payload_log_test
