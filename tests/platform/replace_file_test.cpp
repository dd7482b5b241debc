#include <candor/platform/replace_file.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <candor/platform/read_file.hpp>

#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

namespace replace_file_test {

namespace {

/// The C library's call, as the tests see it: what it was asked, what happens meanwhile, and what it answers instead of
/// doing it.
thread_local std::vector<bool> synced_directories;
thread_local std::function<void()> while_syncing;
thread_local std::vector<int> sync_errors;

}  // namespace

extern "C" int fsync(int fd) {
    struct stat found {};
    synced_directories.push_back(::fstat(fd, &found) == 0 && S_ISDIR(found.st_mode));
    if (while_syncing) while_syncing();
    if (sync_errors.empty()) return static_cast<int>(::syscall(SYS_fsync, fd));
    errno = sync_errors.back();
    sync_errors.pop_back();
    return -1;
}

namespace {

using candor::detail::replace_file;
namespace fs = std::filesystem;

std::string content_of(const fs::path& file) {
    const auto got = candor::detail::read_file(file, 100'000'000);
    REQUIRE(got.status == candor::detail::file_status::read);
    return got.content;
}

int mode_of(const fs::path& file) {
    struct stat found {};
    REQUIRE(::lstat(file.c_str(), &found) == 0);
    return static_cast<int>(found.st_mode & 07777);
}

std::size_t entries_in(const fs::path& directory) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator{directory}, fs::directory_iterator{}));
}

fs::path leftover_in(const temporary_directory& dir, const char* end) {
    return dir.path() / (std::string{candor::detail::replacement_prefix} + end);
}

/// The limit of a file's size, for the time of a test.
class file_size_limit {
public:
    explicit file_size_limit(rlim_t bytes) {
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
        const rlimit limit{bytes, before_.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    }
    file_size_limit(const file_size_limit&) = delete;
    file_size_limit& operator=(const file_size_limit&) = delete;
    ~file_size_limit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

private:
    rlimit before_{};
};

}  // namespace

TEST_CASE("row 26: a file is made, for its owner only, whatever the umask") {
    const temporary_directory dir;
    const auto umask_before = ::umask(0);
    CHECK(replace_file(dir.path() / "f", "content\n").empty());
    ::umask(umask_before);
    CHECK(content_of(dir.path() / "f") == "content\n");
    CHECK(mode_of(dir.path() / "f") == 0600);
    CHECK(entries_in(dir.path()) == 1);
}

TEST_CASE("a file is replaced as a whole: nothing of a longer one is left") {
    const temporary_directory dir;
    const auto file = dir.write("f", std::string(100'000, 'x'));
    for (const auto& content :
         {std::string{"short"}, std::string{}, std::string{"a\0b", 3}, std::string(1'000'000, 'y')}) {
        CHECK(replace_file(file, content).empty());
        CHECK(content_of(file) == content);
    }
    CHECK(entries_in(dir.path()) == 1);
}

TEST_CASE("the file that is replaced passes its permissions on, and no more than those") {
    const temporary_directory dir;
    const auto file = dir.write("f", "old");
    for (const int mode : {0644, 0640, 0400, 0666, 0755}) {
        CAPTURE(mode);
        REQUIRE(::chmod(file.c_str(), static_cast<mode_t>(mode)) == 0);
        CHECK(replace_file(file, "new").empty());
        CHECK(mode_of(file) == mode);
    }
    REQUIRE(::chmod(file.c_str(), 04755) == 0);
    CHECK(replace_file(file, "new").empty());
    CHECK(mode_of(file) == 0755);
}

TEST_CASE("whoever has the old file open keeps it") {
    const temporary_directory dir;
    const auto file = dir.write("f", "old content");
    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    CHECK(replace_file(file, "new").empty());
    char bytes[64];
    CHECK(::read(fd, bytes, sizeof bytes) == 11);
    ::close(fd);
}

TEST_CASE("row 26: a link is replaced, and where it led is not touched") {
    const temporary_directory dir;
    const auto target = dir.write("elsewhere/target", "precious");
    REQUIRE(::chmod(target.c_str(), 0666) == 0);
    for (const auto* leads_to : {"elsewhere/target", "elsewhere/missing", "link", "/dev/null", "elsewhere"}) {
        CAPTURE(leads_to);
        const auto link = dir.path() / "link";
        fs::remove(link);
        fs::create_symlink(leads_to, link);
        CHECK(replace_file(link, "new").empty());
        CHECK_FALSE(fs::is_symlink(link));
        CHECK(content_of(link) == "new");
        CHECK(mode_of(link) == 0600);
        CHECK(content_of(target) == "precious");
        CHECK(entries_in(dir.path() / "elsewhere") == 1);
    }
}

TEST_CASE("a hard link keeps the old content under its other name") {
    const temporary_directory dir;
    const auto file = dir.write("f", "old");
    fs::create_hard_link(file, dir.path() / "other");
    CHECK(replace_file(file, "new").empty());
    CHECK(content_of(dir.path() / "other") == "old");
}

TEST_CASE("what is neither file nor link is refused and stays") {
    const temporary_directory dir;
    fs::create_directory(dir.path() / "directory");
    REQUIRE(::mkfifo((dir.path() / "fifo").c_str(), 0600) == 0);
    CHECK(replace_file(dir.path() / "directory", "x") == "is a directory");
    CHECK(replace_file(dir.path() / "fifo", "x") == "is not a regular file");
    CHECK(replace_file("/dev/null", "x") == "is not a regular file");
    CHECK(replace_file(dir.path() / "", "x") == "is a directory");
    CHECK(replace_file(dir.path() / ".", "x") == "is a directory");
    CHECK(fs::is_directory(dir.path() / "directory"));
    CHECK(fs::is_fifo(dir.path() / "fifo"));
    CHECK(entries_in(dir.path()) == 2);
}

TEST_CASE("a path where no file can be is said to be so") {
    const temporary_directory dir;
    dir.write("file", "x");
    CHECK(replace_file(dir.path() / "missing" / "f", "x") == "cannot be written: No such file or directory");
    CHECK(replace_file(dir.path() / "file" / "f", "x") == "cannot be written: Not a directory");
    CHECK(replace_file(dir.path() / std::string(300, 'x'), "x") == "cannot be written: File name too long");
    CHECK(replace_file("", "x").starts_with("cannot be written: "));
    CHECK(replace_file(fs::path{std::string{"a\0b", 3}}, "x") == "contains a NUL byte");
    CHECK(entries_in(dir.path()) == 1);
    CHECK(content_of(dir.path() / "file") == "x");
}

TEST_CASE("a file without a directory in its path is below the working directory") {
    const temporary_directory dir;
    const auto before = fs::current_path();
    fs::current_path(dir.path());
    const auto problem = replace_file("f", "content");
    fs::current_path(before);
    CHECK(problem.empty());
    CHECK(content_of(dir.path() / "f") == "content");
}

TEST_CASE("a name of the greatest length is no problem") {
    const temporary_directory dir;
    const auto file = dir.path() / std::string(255, 'x');
    CHECK(replace_file(file, "content").empty());
    CHECK(content_of(file) == "content");
}

TEST_CASE(
    "row 20: where there is no room the old content stays, nothing is left behind and no signal ends the process") {
    const temporary_directory dir;
    const auto file = dir.write("f", "old");
    std::string problem, problem_of_new;
    {
        const file_size_limit limit{4096};
        problem = replace_file(file, std::string(100'000, 'x'));
        problem_of_new = replace_file(dir.path() / "new", std::string(100'000, 'x'));
    }
    CHECK(problem == "cannot be written: File too large");
    CHECK(problem_of_new == problem);
    CHECK(content_of(file) == "old");
    CHECK(entries_in(dir.path()) == 1);
    CHECK(replace_file(file, std::string(100'000, 'x')).empty());
}

TEST_CASE("row 26: the content is on the disk before it has the name, and the name before the call returns") {
    const temporary_directory dir;
    synced_directories.clear();
    CHECK(replace_file(dir.path() / "f", "x").empty());
    CHECK(synced_directories == std::vector<bool>{false, true});
}

TEST_CASE("what is to outlast the process alone is not synced") {
    const temporary_directory dir;
    synced_directories.clear();
    CHECK(replace_file(dir.path() / "f", "content", candor::detail::outlasts::process).empty());
    CHECK(synced_directories.empty());
    CHECK(fs::file_size(dir.path() / "f") == 7);
}

TEST_CASE("content that does not reach the disk replaces nothing") {
    const temporary_directory dir;
    const auto file = dir.write("f", "old");
    sync_errors = {EIO, EINTR};  // the last one comes first
    CHECK(replace_file(file, "new") == "cannot be written: Input/output error");
    CHECK(sync_errors.empty());
    CHECK(content_of(file) == "old");
    CHECK(entries_in(dir.path()) == 1);
}

TEST_CASE("a file system that cannot sync is one to write to all the same") {
    const temporary_directory dir;
    sync_errors = {EIO, EINVAL};  // of the directory, and before that of the file
    CHECK(replace_file(dir.path() / "f", "new").empty());
    CHECK(sync_errors.empty());
    CHECK(content_of(dir.path() / "f") == "new");
}

TEST_CASE("replacing leaves no descriptor open") {
    const temporary_directory dir;
    const auto next_descriptor = [] {
        const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        ::close(fd);
        return fd;
    };
    const int before = next_descriptor();
    CHECK(replace_file(dir.path() / "f", "x").empty());
    CHECK_FALSE(replace_file(dir.path() / "no" / "f", "x").empty());
    CHECK_FALSE(replace_file(dir.path(), "x").empty());
    candor::detail::sweep_replacements(dir.path());
    CHECK(next_descriptor() == before);
}

TEST_CASE("row 26: readers see one whole content or the other, and several writers leave one whole content") {
    const temporary_directory dir;
    const auto file = dir.path() / "f";
    const std::string a(50'000, 'a'), b(10, 'b');
    REQUIRE(replace_file(file, a).empty());
    std::atomic<bool> stopped{false};
    std::atomic<int> problems{0};
    std::vector<std::thread> writers;
    for (int i = 0; i < 2; ++i) {
        writers.emplace_back([&] {
            while (!stopped) {
                if (!replace_file(file, a).empty() || !replace_file(file, b).empty()) ++problems;
                candor::detail::sweep_replacements(dir.path());  // never takes the other's file away for good
            }
        });
    }
    int seen_a = 0, seen_b = 0, torn = 0;
    while (torn == 0 && problems == 0 && (seen_a < 50 || seen_b < 50)) {
        const auto got = candor::detail::read_file(file, 1'000'000);
        ++(got.content == a ? seen_a : got.content == b ? seen_b : torn);
    }
    stopped = true;
    for (auto& writer : writers) writer.join();
    CHECK(torn == 0);
    CHECK(problems == 0);
    CHECK(entries_in(dir.path()) == 1);
}

TEST_CASE("row 27: what a killed process left is swept, and nothing else is") {
    const temporary_directory dir;
    const auto left = leftover_in(dir, "a1B2c3");
    dir.write(left.filename(), "half");
    dir.write("f", "content");
    const auto longer = leftover_in(dir, "a1B2c3d"), elsewhere = dir.path() / ".candor-replacement";
    dir.write(longer.filename(), "somebody's");
    dir.write(elsewhere.filename(), "somebody's");
    const auto directory = leftover_in(dir, "folder");
    fs::create_directory(directory);
    const auto link = leftover_in(dir, "linked");
    fs::create_symlink("f", link);
    const auto fifo = leftover_in(dir, "fifo00");
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);

    candor::detail::sweep_replacements(dir.path());
    CHECK_FALSE(fs::exists(left));
    for (const auto& path : {dir.path() / "f", longer, elsewhere, directory, fifo}) {
        CAPTURE(path);
        CHECK(fs::exists(path));
    }
    CHECK(fs::is_symlink(link));
    CHECK(content_of(dir.path() / "f") == "content");
}

TEST_CASE("a file that somebody is writing is not swept until that is over") {
    const temporary_directory dir;
    const auto file = dir.write(leftover_in(dir, "a1B2c3").filename(), "half");
    const int writer = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
    REQUIRE(::flock(writer, LOCK_EX) == 0);
    candor::detail::sweep_replacements(dir.path());
    CHECK(fs::exists(file));
    ::close(writer);
    candor::detail::sweep_replacements(dir.path());
    CHECK_FALSE(fs::exists(file));
}

TEST_CASE("what this process is writing is not swept by another") {
    const temporary_directory dir;
    synced_directories.clear();
    while_syncing = [&dir] { candor::detail::sweep_replacements(dir.path()); };
    const auto problem = replace_file(dir.path() / "f", "content");
    while_syncing = nullptr;
    CHECK(problem.empty());
    CHECK(synced_directories.size() == 2);  // at the first attempt
}

TEST_CASE("what somebody took away while it was written is written again, a few times") {
    const temporary_directory dir;
    const auto take_away = [&dir] {
        for (const auto& entry : fs::directory_iterator{dir.path()}) {
            if (entry.path().filename() != "f") fs::remove(entry.path());
        }
    };
    while_syncing = [&] {
        take_away();
        while_syncing = nullptr;
    };
    CHECK(replace_file(dir.path() / "f", "content").empty());
    CHECK(content_of(dir.path() / "f") == "content");

    while_syncing = take_away;
    const auto problem = replace_file(dir.path() / "f", "other");
    while_syncing = nullptr;
    CHECK(problem == "cannot be written: No such file or directory");
    CHECK(content_of(dir.path() / "f") == "content");
}

TEST_CASE("a directory that cannot be read is not swept") {
    const temporary_directory dir;
    candor::detail::sweep_replacements(dir.path() / "missing");
    candor::detail::sweep_replacements("/dev/null");
    CHECK(entries_in(dir.path()) == 0);
}

}  // namespace replace_file_test
