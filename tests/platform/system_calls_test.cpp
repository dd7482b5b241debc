#include <candor/platform/system_calls.hpp>

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <string>

#include <support/child_process.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace system_calls_test {

namespace {

using candor::detail::file_access;
using candor::detail::file_facts;
using candor::detail::file_type;
using candor::detail::system_calls;

const system_calls& calls = system_calls::real();

/// What `call` left in `errno` where it failed.
template <class Call>
int error_of(Call call) {
    errno = 0;
    return call() == -1 ? errno : 0;
}

}  // namespace

TEST_CASE("a file is made, written, read, synced, renamed and removed in a directory") {
    const temporary_directory t;
    const auto path = t.path() / "made";
    REQUIRE(calls.mkdir(path.c_str()) == 0);
    const int directory = calls.open_directory(path.c_str());
    REQUIRE(directory >= 0);
    file_facts facts;
    REQUIRE(calls.fstat(directory, &facts) == 0);
    CHECK(facts.type == file_type::directory);
    CHECK(facts.permissions == 0700);
    CHECK(facts.is_own);

    CHECK(error_of([&] { return calls.openat(directory, "a", file_access::update); }) == ENOENT);
    const int file = calls.openat(directory, "a", file_access::create_new);
    REQUIRE(file >= 0);
    CHECK(error_of([&] { return calls.openat(directory, "a", file_access::create_new); }) == EEXIST);
    CHECK(calls.pwrite(file, "hello", 5, 1) == 5);
    CHECK(calls.fsync(file) == 0);
    CHECK(calls.fchmod(file, 0640) == 0);
    REQUIRE(calls.fstat(file, &facts) == 0);
    CHECK(facts.type == file_type::regular);
    CHECK(facts.size == 6);
    CHECK(facts.links == 1);
    CHECK(facts.permissions == 0640);
    CHECK(facts.is_own);
    CHECK(calls.renameat(directory, "a", "b") == 0);

    const int other = calls.openat(directory, "b", file_access::read);
    REQUIRE(other >= 0);
    char bytes[8] = {};
    CHECK(calls.pread(other, bytes, sizeof bytes, 1) == 5);
    CHECK(std::string{bytes} == "hello");
    CHECK(error_of([&] { return calls.pwrite(other, "x", 1, 0); }) == EBADF);
    file_facts named;
    REQUIRE(calls.fstatat(directory, "b", &named) == 0);
    CHECK(named.is_same_file(facts));
    CHECK(calls.flock(file) == 0);
    CHECK(error_of([&] { return calls.flock(other); }) == EWOULDBLOCK);

    std::set<std::string> names;
    void* const entries = calls.opendir(directory);
    REQUIRE(entries != nullptr);
    while (const char* name = calls.readdir(entries)) names.insert(name);
    calls.closedir(entries);
    CHECK(names == std::set<std::string>{".", "..", "b"});
    CHECK(calls.unlinkat(directory, "b") == 0);
    CHECK(error_of([&] { return calls.fstatat(directory, "b", &named); }) == ENOENT);
    for (const int each : {other, file, directory}) CHECK(calls.close(each) == 0);
    CHECK(error_of([&] { return calls.close(directory); }) == EBADF);
}

TEST_CASE("no call follows a symbolic link") {
    const temporary_directory t;
    t.write("there/file", "x");
    std::filesystem::create_directory_symlink(t.path() / "there", t.path() / "link");
    std::filesystem::create_symlink(t.path() / "there/file", t.path() / "file");
    CHECK(error_of([&] { return calls.open_directory((t.path() / "link").c_str()); }) != 0);
    const int directory = calls.open_directory(t.path().c_str());
    REQUIRE(directory >= 0);
    for (const auto access : {file_access::read, file_access::update, file_access::create, file_access::create_new})
        CHECK(error_of([&] { return calls.openat(directory, "file", access); }) != 0);
    file_facts facts;
    REQUIRE(calls.fstatat(directory, "link", &facts) == 0);
    CHECK(facts.type == file_type::link);
    CHECK(calls.close(directory) == 0);
}

TEST_CASE("a test puts a call of its own into the table") {
    system_calls failing = system_calls::real();
    failing.fsync = [](int) noexcept {
        errno = EIO;
        return -1;
    };
    CHECK(error_of([&] { return failing.fsync(STDOUT_FILENO); }) == EIO);
    CHECK(error_of([&] { return failing.close(-1); }) == EBADF);
}

TEST_CASE("numbers are above those of the standard streams, also where they are closed") {
    CHECK(run_in_child([](int output) {
              const int directory = calls.open_directory("/");
              ::close(STDIN_FILENO);
              ::close(STDERR_FILENO);
              const int copy = calls.duplicate(directory);
              void* const entries = calls.opendir(directory);
              say(output, copy > STDERR_FILENO && entries != nullptr ? "high" : "low");
              for (const int standard : {STDIN_FILENO, STDERR_FILENO}) {
                  file_facts facts;
                  say(output, calls.fstat(standard, &facts) == 0 ? " taken" : " free");
              }
              return 0;
          }).said == "high taken taken");
}

}  // namespace system_calls_test
