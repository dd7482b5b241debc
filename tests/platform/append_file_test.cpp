#include <candor/platform/append_file.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <candor/platform/read_file.hpp>

#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace append_file_test {

namespace fs = std::filesystem;
using candor::detail::append_to_file;

namespace {

/// A file of at most 100 bytes.
struct small_file {
    [[nodiscard]] std::string append(const std::string& text) const { return append_to_file(file, aside, text, 100); }
    [[nodiscard]] static std::string content(const fs::path& of) {
        return candor::detail::read_file(of, 10'000).content;
    }

    temporary_directory scratch{};
    fs::path file = scratch.path() / "log";
    fs::path aside = scratch.path() / "log.old";
};

}  // namespace

TEST_CASE("what is appended is there, one after the other, for the owner alone") {
    const small_file log;
    CHECK(log.append("one\n").empty());
    CHECK(log.append("two\n").empty());
    CHECK(log.content(log.file) == "one\ntwo\n");
    CHECK_FALSE(fs::exists(log.aside));
    REQUIRE(::chmod(log.file.c_str(), 0666) == 0);
    CHECK(log.append("three\n").empty());
    CHECK((fs::status(log.file).permissions() & fs::perms::mask) == (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("a full file is set aside, in the place of the last one") {
    const small_file log;
    const std::string half(50, 'a'), more(51, 'b'), most(100, 'c');
    CHECK(log.append(half).empty());
    CHECK(log.append(half).empty());
    CHECK_FALSE(fs::exists(log.aside));
    CHECK(log.append(more).empty());
    CHECK(log.content(log.aside) == half + half);
    CHECK(log.content(log.file) == more);
    CHECK(log.append(most).empty());
    CHECK(log.content(log.aside) == more);
    CHECK(log.content(log.file) == most);
}

TEST_CASE("what is no plain file is left alone, and the answer says why") {
    const small_file log;
    const auto target = log.scratch.write("target", "kept");
    fs::create_symlink(target, log.file);
    CHECK(log.append("a").starts_with("cannot be written: "));
    CHECK(log.content(target) == "kept");
    fs::remove(log.file);
    REQUIRE(::mkfifo(log.file.c_str(), 0600) == 0);
    CHECK_FALSE(log.append("a").empty());
    fs::remove(log.file);
    fs::create_directory(log.file);
    CHECK(log.append("a").starts_with("cannot be written: "));
    CHECK(append_to_file(log.scratch.path() / "no" / "log", log.aside, "a", 100).starts_with("cannot be written: "));
}

TEST_CASE("what several append at once stays whole") {
    const small_file log;
    const std::string line(999, 'x');
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < 20; ++n) static_cast<void>(append_to_file(log.file, log.aside, line + '\n', 1'000'000));
        });
    }
    for (auto& thread : threads) thread.join();
    const auto all = candor::detail::read_file(log.file, 1'000'000).content;
    CHECK(all.size() == 4 * 20 * 1000);
    for (std::size_t at = 0; at < all.size(); at += 1000) CHECK(all.compare(at, 1000, line + '\n') == 0);
}

}  // namespace append_file_test
