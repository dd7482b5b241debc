#include <candor/otlp/metrics_file.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <candor/otlp/text_table.hpp>
#include <candor/platform/read_file.hpp>
#include <candor/policy/error.hpp>

#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

extern char** environ;

namespace metrics_file_test {

namespace {

using candor::otlp::metrics_file;
using candor::otlp::row;
using candor::otlp::text_table;
namespace fs = std::filesystem;

std::string content_of(const fs::path& file) { return candor::detail::read_file(file, 100'000'000).content; }

std::vector<std::string> names_in(const fs::path& directory) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator{directory}) names.push_back(entry.path().filename().string());
    return names;
}

std::string table_of(int rows) {
    std::vector<row> all;
    for (int i = 0; i < rows; ++i) all.push_back({.table = "table_" + std::to_string(i), .resources = i});
    return text_table(std::move(all));
}

/// What the constructor says of a path where no file can be.
std::string refusal_of(const fs::path& path) {
    try {
        const metrics_file file{path, ""};
    } catch (const candor::configuration_error& e) {
        CHECK(e.field() == "metrics_file");
        return e.what();
    }
    return "";
}

constexpr const char* rewritten_file = "CANDOR_TEST_REWRITTEN_FILE";

/// What the process does that is to be killed: says with a byte on the standard error that it has begun again.
[[noreturn]] void rewrite_for_ever(const char* path) {
    const std::string large = table_of(500), small = table_of(3);
    metrics_file file{path, large};
    while (file.write(small) && file.write(large) && ::write(STDERR_FILENO, ".", 1) == 1) {
    }
    std::abort();
}

}  // namespace

TEST_CASE("the file is there as soon as it has been named") {
    const temporary_directory dir;
    const metrics_file file{dir.path() / "m.txt", text_table({})};
    CHECK(file.path() == dir.path() / "m.txt");
    CHECK(content_of(file.path()) == text_table({}));
    CHECK(file.failures() == 0);
    CHECK(names_in(dir.path()) == std::vector<std::string>{"m.txt"});
}

TEST_CASE("a table that shrinks leaves no tail") {
    const temporary_directory dir;
    metrics_file file{dir.path() / "m.txt", text_table({})};
    CHECK(file.write(table_of(1000)));
    CHECK(content_of(file.path()) == table_of(1000));
    CHECK(file.write(table_of(2)));
    std::ifstream golden{"otlp/golden/shrunk.txt", std::ios::binary};
    CHECK(content_of(file.path()) == std::string{std::istreambuf_iterator<char>{golden}, {}});
}

TEST_CASE("a relative path is below the working directory of the construction") {
    const temporary_directory dir, other;
    const auto before = fs::current_path();
    fs::current_path(dir.path());
    metrics_file file{"m.txt", "first"};
    fs::current_path(other.path());
    CHECK(file.write("second"));
    fs::current_path(before);
    CHECK(file.path().is_absolute());
    CHECK(content_of(dir.path() / "m.txt") == "second");
    CHECK(names_in(other.path()).empty());
}

TEST_CASE("a place where no file can be is said at construction") {
    const temporary_directory dir;
    dir.write("file", "x");
    CHECK(refusal_of(dir.path() / "no" / "m.txt") ==
          "metrics_file is \"" + (dir.path() / "no" / "m.txt").string() +
              "\"; allowed: a path where a file can be written; this one cannot be written: No such file or directory");
    CHECK(refusal_of(dir.path() / "file" / "m.txt").ends_with("Not a directory"));
    CHECK(refusal_of(dir.path()).ends_with("this one is a directory"));
    CHECK(refusal_of("/dev/null").ends_with("this one is not a regular file"));
    CHECK(refusal_of("").ends_with("this one is not the name of a file"));
    CHECK(refusal_of(dir.path() / "").ends_with("this one is not the name of a file"));
    CHECK(refusal_of(fs::path{std::string{"a\0b", 3}}).starts_with("metrics_file is \"a\\x00b\";"));
    CHECK(names_in(dir.path()) == std::vector<std::string>{"file"});
}

TEST_CASE("a later failure is counted, said once, and tried again") {
    const temporary_directory dir;
    const auto directory = dir.path() / "d";
    fs::create_directory(directory);
    metrics_file file{directory / "m.txt", "first"};
    std::vector<std::string> said;
    const candor::diagnostic_sink sink = [&](std::string_view text) { said.emplace_back(text); };

    fs::rename(directory, dir.path() / "away");
    CHECK_FALSE(file.write("second", sink));
    CHECK_FALSE(file.write("third", sink));
    CHECK(file.failures() == 2);
    const std::string expected =
        "the metrics file " + file.path().string() + " cannot be written: No such file or directory";
    CHECK(said == std::vector<std::string>{expected});

    fs::rename(dir.path() / "away", directory);
    CHECK(content_of(file.path()) == "first");
    CHECK(file.write("fourth", sink));
    CHECK(content_of(file.path()) == "fourth");
    CHECK(file.failures() == 2);

    fs::rename(directory, dir.path() / "away");
    CHECK_FALSE(file.write("fifth", sink));
    CHECK(said.size() == 2);
    CHECK(file.failures() == 3);
}

TEST_CASE("a file that was taken away comes back") {
    const temporary_directory dir;
    metrics_file file{dir.path() / "m.txt", "first"};
    fs::remove(file.path());
    CHECK(file.write("first"));
    CHECK(content_of(file.path()) == "first");
}

TEST_CASE("row 26: a metrics file that is a link is replaced and not followed, at construction and later") {
    const temporary_directory dir;
    const auto target = dir.write("target", "precious");
    const auto link = dir.path() / "m.txt";
    fs::create_symlink(target, link);
    metrics_file file{link, "first"};
    CHECK(content_of(link) == "first");
    fs::remove(link);
    fs::create_symlink(target, link);
    CHECK(file.write("second"));
    CHECK(content_of(link) == "second");
    CHECK(content_of(target) == "precious");
}

TEST_CASE("construction sweeps what a killed process left") {
    const temporary_directory dir;
    dir.write(std::string{candor::detail::replacement_prefix} + "abcdef", "half a table");
    const metrics_file file{dir.path() / "m.txt", "first"};
    CHECK(names_in(dir.path()) == std::vector<std::string>{"m.txt"});
}

TEST_CASE(
    "row 27: a process that is killed while it rewrites leaves a whole table every time, and what it leaves besides is "
    "swept") {
    if (const char* path = std::getenv(rewritten_file)) rewrite_for_ever(path);  // this program, started below

    const temporary_directory dir;
    const auto path = dir.path() / "m.txt";
    const std::string large = table_of(500), small = table_of(3);
    REQUIRE(::setenv(rewritten_file, path.c_str(), 1) == 0);
    std::string self = fs::read_symlink("/proc/self/exe").string();
    std::string filter = "--test-case=row 27: a process that is killed while it rewrites*";
    const std::array<char*, 3> arguments{self.data(), filter.data(), nullptr};

    int found_small = 0, found_leftover = 0;
    for (int attempt = 0; attempt < 100; ++attempt) {
        CAPTURE(attempt);
        std::array<int, 2> pipe{};
        REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDERR_FILENO);
        pid_t child = -1;
        REQUIRE(::posix_spawn(&child, self.c_str(), &actions, nullptr, arguments.data(), environ) == 0);
        ::posix_spawn_file_actions_destroy(&actions);
        ::close(pipe[1]);

        // Until it rewrites; then until one of three things is seen, each several times.
        char byte = 0;
        pollfd waiting{pipe[0], POLLIN, 0};
        bool reached = ::poll(&waiting, 1, 60'000) == 1 && ::read(pipe[0], &byte, 1) == 1;
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{60};
        for (int times = attempt % 5; reached && times >= 0;) {
            const auto seen = content_of(path);
            CHECK((seen == large || seen == small));
            const bool is_moment = attempt % 3 == 0   ? seen == large
                                   : attempt % 3 == 1 ? seen == small
                                                      : names_in(dir.path()).size() > 1;
            times -= is_moment ? 1 : 0;
            reached = std::chrono::steady_clock::now() < deadline;
        }
        ::kill(child, SIGKILL);
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        ::close(pipe[0]);
        REQUIRE(reached);
        CHECK(WIFSIGNALED(status));

        const auto left = content_of(path);
        REQUIRE((left == large || left == small));
        found_small += left == small ? 1 : 0;
        found_leftover += names_in(dir.path()).size() > 1 ? 1 : 0;

        const metrics_file next{path, large};
        REQUIRE(names_in(dir.path()) == std::vector<std::string>{"m.txt"});
    }
    ::unsetenv(rewritten_file);
    CHECK(found_small > 0);  // both tables were in place
    CHECK(found_small < 100);
    CHECK(found_leftover > 0);  // and some were killed in the middle of a write
}

}  // namespace metrics_file_test
