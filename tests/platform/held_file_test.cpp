#include <candor/platform/held_file.hpp>

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <support/child_process.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace held_file_test {

namespace fs = std::filesystem;
using candor::detail::held_file;

namespace {

struct stat facts_of(const fs::path& path) {
    struct stat out {};
    REQUIRE(::stat(path.c_str(), &out) == 0);
    return out;
}

}  // namespace

TEST_CASE("a new file is the user's alone, has all its space, and is held") {
    const temporary_directory scratch;
    const auto path = scratch.path() / "a" / "b" / "held";
    std::error_code error;
    auto file = held_file::create(path, "begin", 100'000, error);
    REQUIRE_FALSE(error);
    REQUIRE(file.is_open());
    CHECK(file.is_intact());
    const auto facts = facts_of(path);
    CHECK((facts.st_mode & 0777) == 0600);
    CHECK((facts_of(path.parent_path()).st_mode & 0777) == 0700);
    CHECK(facts.st_size == 100'000);
    CHECK(facts.st_blocks * 512 >= 100'000);
    CHECK(file.read(10) == std::string("begin\0\0\0\0\0", 10));
    CHECK_FALSE(held_file::claim(path).is_open());

    CHECK(file.write(3, "xyz", 3));
    CHECK(file.read(8) == std::string("begxyz\0\0", 8));
    CHECK(file.read(1'000'000)->size() == 100'000);

    file.close();
    CHECK_FALSE(file.is_open());
    CHECK_FALSE(file.write(0, "x", 1));
    auto claimed = held_file::claim(path);
    REQUIRE(claimed.is_open());
    CHECK_FALSE(held_file::claim(path).is_open());
    claimed.remove();
    CHECK_FALSE(fs::exists(path));
    CHECK_FALSE(held_file::claim(path).is_open());
}

TEST_CASE("a file that moves stays held until its last owner closes it") {
    const temporary_directory scratch;
    const auto path = scratch.path() / "held";
    std::error_code error;
    {
        held_file outer;
        {
            auto inner = held_file::create(path, "", 10, error);
            outer = std::move(inner);
        }
        CHECK(outer.is_intact());
        CHECK_FALSE(held_file::claim(path).is_open());
    }
    CHECK(held_file::claim(path).is_open());
}

TEST_CASE("it is not made where others may write or what is there is in the way") {
    const temporary_directory scratch;
    std::error_code error;
    const auto refused = [&](const fs::path& path) {
        error.clear();
        CHECK_FALSE(held_file::create(path, "x", 100, error).is_open());
        return error;
    };
    const auto open_to_all = scratch.path() / "open";
    fs::create_directory(open_to_all);
    REQUIRE(::chmod(open_to_all.c_str(), 0777) == 0);
    CHECK(refused(open_to_all / "held") == std::errc::operation_not_permitted);
    CHECK(fs::is_empty(open_to_all));

    const auto file = scratch.write("file", "kept");
    CHECK(refused(file) == std::errc::file_exists);
    CHECK(refused(file / "held") == std::errc::not_a_directory);
    CHECK(refused("/proc/self/no/such/record"));
    fs::create_symlink(scratch.path() / "elsewhere", scratch.path() / "link");
    CHECK(refused(scratch.path() / "link") == std::errc::file_exists);
    CHECK_FALSE(fs::exists(scratch.path() / "elsewhere"));
    CHECK(facts_of(file).st_size == 4);
}

TEST_CASE("a limit on the size of files refuses it and does not end the program") {
    const temporary_directory scratch;
    const auto end = run_in_child([&](int) {
        const struct rlimit small { 4096, 4096 };
        if (::setrlimit(RLIMIT_FSIZE, &small) != 0) return 1;
        std::error_code error;
        if (held_file::create(scratch.path() / "held", "x", 8192, error).is_open()) return 2;
        return error == std::errc::file_too_large ? 0 : 3;
    });
    CHECK(end.exit_code() == 0);
    CHECK(fs::is_empty(scratch.path()));
}

TEST_CASE("it is never one of the standard streams") {
    const temporary_directory scratch;
    const auto end = run_in_child([&](int output) {
        for (int stream = 0; stream <= 2; ++stream) {
            if (stream != output) ::close(stream);
        }
        std::error_code error;
        const auto file = held_file::create(scratch.path() / "held", "begin", 100, error);
        if (!file.is_open() || !file.is_intact()) return 1;
        for (int stream = 0; stream <= 2; ++stream) {
            if (stream != output) static_cast<void>(!::write(stream, "oops", 4));
        }
        if (file.read(100) != "begin" + std::string(95, '\0')) return 2;
        return file.read(5) == "begin" && !held_file::claim(scratch.path() / "held").is_open() ? 0 : 3;
    });
    CHECK(end.exit_code() == 0);
}

TEST_CASE("a descriptor that has become another file's is left alone") {
    const temporary_directory scratch;
    const auto path = scratch.path() / "held";
    const auto other = scratch.write("other", "kept");
    const auto end = run_in_child([&](int output) {
        std::error_code error;
        auto file = held_file::create(path, "begin", 100, error);
        if (!file.is_open()) return 1;
        for (int i = 3; i < 64; ++i) {  // as a daemon does
            if (i != output) ::close(i);
        }
        if (file.is_intact()) return 2;
        int last = -1;
        for (int i = 0; i < 64; ++i) last = ::open(other.c_str(), O_RDWR);
        if (last < 0 || file.is_intact()) return 3;
        file.remove();
        return ::fcntl(last, F_GETFD) >= 0 && ::fcntl(last - 63, F_GETFD) >= 0 ? 0 : 4;
    });
    CHECK(end.exit_code() == 0);
    CHECK(fs::exists(path));
    CHECK(facts_of(other).st_size == 4);
}

TEST_CASE("only a plain file of the user is claimed") {
    const temporary_directory scratch;
    const auto plain = scratch.write("plain", "x");
    CHECK(held_file::claim(plain).is_open());
    CHECK_FALSE(held_file::claim(scratch.path() / "none").is_open());
    CHECK_FALSE(held_file::claim(scratch.path()).is_open());

    const auto link = scratch.path() / "link";
    fs::create_symlink(plain, link);
    CHECK_FALSE(held_file::claim(link).is_open());
    const auto fifo = scratch.path() / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    CHECK_FALSE(held_file::claim(fifo).is_open());
    fs::create_hard_link(plain, scratch.path() / "hard");
    CHECK_FALSE(held_file::claim(plain).is_open());
    fs::remove(scratch.path() / "hard");
    REQUIRE(::chmod(plain.c_str(), 0620) == 0);
    CHECK_FALSE(held_file::claim(plain).is_open());
    REQUIRE(::chmod(plain.c_str(), 0600) == 0);
    CHECK(held_file::claim(plain).is_open());
    if (::geteuid() == 0) {
        REQUIRE(::chown(plain.c_str(), 12345, 12345) == 0);
        CHECK_FALSE(held_file::claim(plain).is_open());
    }
}

}  // namespace held_file_test
