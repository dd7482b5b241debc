#include <candor/policy/system_calls.hpp>

#include <cerrno>
#include <filesystem>

#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace system_calls_test {

TEST_CASE("no call follows a symbolic link") {
    using calls = candor::system_calls;
    const temporary_directory t;
    std::filesystem::create_directory(t.path() / "there");
    std::filesystem::create_directory_symlink(t.path() / "there", t.path() / "link");
    CHECK(calls::open_directory((t.path() / "link").c_str()) == -1);
    const int directory = calls::open_directory(t.path().c_str());
    REQUIRE(directory >= 0);
    struct stat found {};
    REQUIRE(calls::fstatat(directory, "link", &found) == 0);
    CHECK(S_ISLNK(found.st_mode));
    CHECK(calls::close(directory) == 0);
    CHECK(calls::close(directory) == -1);
    CHECK(errno == EBADF);
}

}  // namespace system_calls_test
