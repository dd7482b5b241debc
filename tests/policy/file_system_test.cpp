#include <candor/policy/file_system.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include <candor/testing.hpp>

#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

namespace file_system_test {

namespace {

using candor::file_status;
using candor::testing::fixed_environment;
namespace fs = std::filesystem;

}  // namespace

TEST_CASE("the configuration directory is below XDG_CONFIG_HOME, else below ~/.config") {
    CHECK(candor::config_directory(fixed_environment{{{"XDG_CONFIG_HOME", "/x"}, {"HOME", "/h"}}}, "acme") ==
          "/x/acme");
    CHECK(candor::config_directory(fixed_environment{{{"HOME", "/h"}}}, "acme") == "/h/.config/acme");
    CHECK(candor::config_directory(fixed_environment{{{"XDG_CONFIG_HOME", ""}, {"HOME", "/h"}}}, "acme") ==
          "/h/.config/acme");
}

TEST_CASE("a relative XDG_CONFIG_HOME is ignored, and a relative home is none") {
    CHECK(candor::config_directory(fixed_environment{{{"XDG_CONFIG_HOME", "x"}, {"HOME", "/h"}}}, "acme") ==
          "/h/.config/acme");
    CHECK_FALSE(candor::config_directory(fixed_environment{{{"XDG_CONFIG_HOME", "./x"}}}, "acme"));
    CHECK_FALSE(candor::config_directory(fixed_environment{{{"HOME", "h"}}}, "acme"));
    CHECK_FALSE(candor::home_directory(fixed_environment{{{"HOME", "h"}}}));
}

TEST_CASE("without variables there is neither a home nor a configuration directory") {
    CHECK_FALSE(candor::home_directory(fixed_environment{}));
    CHECK_FALSE(candor::home_directory(fixed_environment{{{"HOME", ""}}}));
    CHECK_FALSE(candor::config_directory(fixed_environment{}, "acme"));
    CHECK(candor::home_directory(fixed_environment{{{"HOME", "/h"}}}) == "/h");
}

TEST_CASE("the state directory is below XDG_STATE_HOME, else below ~/.local/state") {
    CHECK(candor::state_directory(fixed_environment{{{"XDG_STATE_HOME", "/x"}, {"HOME", "/h"}}}, "acme") == "/x/acme");
    CHECK(candor::state_directory(fixed_environment{{{"HOME", "/h"}}}, "acme") == "/h/.local/state/acme");
    CHECK_FALSE(candor::state_directory(fixed_environment{}, "acme"));
    CHECK_FALSE(candor::state_directory(fixed_environment{{{"HOME", "/h"}}}, ".."));
    // It may be made anywhere but in a home directory that is not there.
    using candor::detail::makeable_state_directory;
    CHECK_FALSE(makeable_state_directory(fixed_environment{{{"HOME", "/no/such/home"}}}, "acme"));
    CHECK(makeable_state_directory(fixed_environment{{{"HOME", "/"}}}, "acme") == "/.local/state/acme");
    CHECK(makeable_state_directory(fixed_environment{{{"HOME", "/no/such/home"}, {"XDG_STATE_HOME", "/x"}}}, "acme") ==
          "/x/acme");
}

TEST_CASE("a product name that is no plain file name has no configuration directory") {
    const fixed_environment home{{{"HOME", "/h"}}};
    for (const std::string_view name :
         {std::string_view{""}, std::string_view{"."}, std::string_view{".."}, std::string_view{"a/b"},
          std::string_view{"../b"}, std::string_view{"a\\b"}, std::string_view{"C:b"}, std::string_view{"a\0b", 3}}) {
        CAPTURE(name);
        CHECK_FALSE(candor::config_directory(home, name));
    }
    CHECK(candor::config_directory(home, "..a"));
}

TEST_CASE("a directory with a NUL in it is none, and not a shorter one") {
    CHECK_FALSE(candor::config_directory(fixed_environment{{{"HOME", std::string{"/h\0/x", 5}}}}, "acme"));
}

TEST_CASE("a file is read whole, byte by byte") {
    const temporary_directory dir;
    const std::string bytes{"a\0\r\n\xff", 5};
    const auto got = candor::read_file(dir.write("f", bytes), 100);
    CHECK(got.status == file_status::read);
    CHECK(got.content == bytes);
    CHECK(got.problem.empty());
    CHECK(candor::read_file(dir.write("empty", ""), 100).status == file_status::read);
    const std::string large(100'000, 'x');
    CHECK(candor::read_file(dir.write("large", large), 100'000).content == large);
}

TEST_CASE("a file of the limit is read and one byte more is too large") {
    const temporary_directory dir;
    for (const std::size_t limit : {0U, 1U, 4095U, 4096U, 4097U}) {
        CAPTURE(limit);
        CHECK(candor::read_file(dir.write("f", std::string(limit, 'x')), limit).status == file_status::read);
        const auto over = candor::read_file(dir.write("f", std::string(limit + 1, 'x')), limit);
        CHECK(over.status == file_status::too_large);
        CHECK(over.content.empty());
        CHECK(over.problem == "is larger than " + std::to_string(limit) + " bytes");
    }
}

TEST_CASE("an endless file is cut at the limit") {
    // A sparse file of 1 TiB: reading it to its end would take longer than any test may.
    const temporary_directory dir;
    const auto file = dir.write("f", "");
    if (::truncate(file.c_str(), off_t{1} << 40) == 0)
        CHECK(candor::read_file(file, 1000).status == file_status::too_large);
}

TEST_CASE("a missing file is absent, also where the directory is missing or is a file") {
    const temporary_directory dir;
    dir.write("file", "x");
    for (const auto* name : {"no", "no/no", "file/no"}) {
        CAPTURE(name);
        const auto got = candor::read_file(dir.path() / name, 100);
        CHECK(got.status == file_status::absent);
        CHECK(got.problem.empty());
    }
}

TEST_CASE("what is no regular file is not read, and nobody waits for it") {
    const temporary_directory dir;
    fs::create_directory(dir.path() / "directory");
    REQUIRE(::mkfifo((dir.path() / "fifo").c_str(), 0600) == 0);
    fs::create_symlink("/dev/zero", dir.path() / "device");
    for (const auto* name : {"directory", "fifo", "device"}) {
        CAPTURE(name);
        const auto got = candor::read_file(dir.path() / name, 100);
        CHECK(got.status == file_status::unreadable);
        CHECK(got.problem == "is not a regular file");
        CHECK(got.content.empty());
    }
}

TEST_CASE("a socket is not read") {
    const temporary_directory dir;
    const auto path = dir.path() / "socket";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(path.native().size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, path.c_str(), path.native().size());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    const auto got = candor::read_file(path, 100);
    ::close(fd);
    CHECK(got.status == file_status::unreadable);
    CHECK(got.problem.starts_with("cannot be read: "));
}

TEST_CASE("a link is followed, and one that leads nowhere or in a circle is unreadable") {
    const temporary_directory dir;
    dir.write("target", "content");
    fs::create_symlink("target", dir.path() / "good");
    fs::create_symlink("missing", dir.path() / "dangling");
    fs::create_symlink("circle", dir.path() / "circle");
    CHECK(candor::read_file(dir.path() / "good", 100).content == "content");
    CHECK(candor::read_file(dir.path() / "dangling", 100).status == file_status::unreadable);
    CHECK(candor::read_file(dir.path() / "circle", 100).status == file_status::unreadable);
}

TEST_CASE("reading leaves no descriptor open") {
    const temporary_directory dir;
    const auto file = dir.write("f", "x");
    const auto next_descriptor = [] {
        const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        ::close(fd);
        return fd;
    };
    const int before = next_descriptor();
    CHECK(candor::read_file(file, 100).status == file_status::read);
    CHECK(candor::read_file(file, 0).status == file_status::too_large);
    CHECK(candor::read_file(dir.path(), 100).status == file_status::unreadable);
    CHECK(next_descriptor() == before);
}

}  // namespace file_system_test
