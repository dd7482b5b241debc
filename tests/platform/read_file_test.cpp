#include <candor/platform/read_file.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

namespace read_file_test {

namespace {

using candor::detail::file_status;
namespace fs = std::filesystem;

}  // namespace

TEST_CASE("a file is read whole, byte by byte") {
    const temporary_directory dir;
    const std::string bytes{"a\0\r\n\xff", 5};
    const auto got = candor::detail::read_file(dir.write("f", bytes), 100);
    CHECK(got.status == file_status::read);
    CHECK(got.content == bytes);
    CHECK(got.problem.empty());
    CHECK(candor::detail::read_file(dir.write("empty", ""), 100).status == file_status::read);
    const std::string large(100'000, 'x');
    CHECK(candor::detail::read_file(dir.write("large", large), 100'000).content == large);
}

TEST_CASE("a file of the limit is read and one byte more is too large") {
    const temporary_directory dir;
    for (const std::size_t limit : {0U, 1U, 4095U, 4096U, 4097U}) {
        CAPTURE(limit);
        CHECK(candor::detail::read_file(dir.write("f", std::string(limit, 'x')), limit).status == file_status::read);
        const auto over = candor::detail::read_file(dir.write("f", std::string(limit + 1, 'x')), limit);
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
        CHECK(candor::detail::read_file(file, 1000).status == file_status::too_large);
}

TEST_CASE("a missing file is absent, also where the directory is missing or is a file") {
    const temporary_directory dir;
    dir.write("file", "x");
    for (const auto* name : {"no", "no/no", "file/no"}) {
        CAPTURE(name);
        const auto got = candor::detail::read_file(dir.path() / name, 100);
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
        const auto got = candor::detail::read_file(dir.path() / name, 100);
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
    const auto got = candor::detail::read_file(path, 100);
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
    CHECK(candor::detail::read_file(dir.path() / "good", 100).content == "content");
    CHECK(candor::detail::read_file(dir.path() / "dangling", 100).status == file_status::unreadable);
    CHECK(candor::detail::read_file(dir.path() / "circle", 100).status == file_status::unreadable);
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
    CHECK(candor::detail::read_file(file, 100).status == file_status::read);
    CHECK(candor::detail::read_file(file, 0).status == file_status::too_large);
    CHECK(candor::detail::read_file(dir.path(), 100).status == file_status::unreadable);
    CHECK(next_descriptor() == before);
}

}  // namespace read_file_test
