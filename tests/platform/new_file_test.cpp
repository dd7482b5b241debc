#include <candor/platform/new_file.hpp>

#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <thread>
#include <vector>

#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace new_file_test {

namespace fs = std::filesystem;
using candor::detail::make_new_file;

TEST_CASE("a new file is empty and its owner's alone, and is made once") {
    const temporary_directory t;
    const auto path = t.path() / "new";
    REQUIRE(make_new_file(path) == 0);
    struct stat found {};
    REQUIRE(::stat(path.c_str(), &found) == 0);
    CHECK(S_ISREG(found.st_mode));
    CHECK((found.st_mode & 0777) == 0600);
    CHECK(found.st_size == 0);
    CHECK(make_new_file(path) == EEXIST);
}

TEST_CASE("what has the name is left alone, and no link is followed") {
    const temporary_directory t;
    fs::create_symlink(t.path() / "elsewhere", t.path() / "link");
    CHECK(make_new_file(t.path() / "link") == EEXIST);
    CHECK_FALSE(fs::exists(t.path() / "elsewhere"));
    const auto file = t.write("file", "kept");
    CHECK(make_new_file(file) == EEXIST);
    CHECK(fs::file_size(file) == 4);
    CHECK(make_new_file(t.path() / "no" / "new") == ENOENT);
}

TEST_CASE("of several at once, one makes it") {
    const temporary_directory t;
    std::atomic<int> made{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) threads.emplace_back([&] { made += make_new_file(t.path() / "new") == 0 ? 1 : 0; });
    for (auto& thread : threads) thread.join();
    CHECK(made == 1);
}

}  // namespace new_file_test
