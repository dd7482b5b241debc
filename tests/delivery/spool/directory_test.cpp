#include <candor/delivery/spool/directory.hpp>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <support/child_process.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace directory_test {

namespace {

namespace fs = std::filesystem;
using directory = candor::detail::spool_directory;

mode_t mode_of(const fs::path& path) {
    struct stat found {};
    REQUIRE(::lstat(path.c_str(), &found) == 0);
    return found.st_mode & 07777;
}

std::string content_of(const fs::path& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

/// Another process sweeps as often as `before_lock` says, each time between a file's creation and its lock.
struct swept_calls {
    static const candor::detail::system_calls& table() {
        static const auto out = [] {
            auto calls = candor::detail::system_calls::real();
            calls.flock = [](int file) noexcept {
                if (before_lock > 0) {
                    --before_lock;
                    directory swept{path};
                    swept.sweep(swept.list());
                }
                return candor::detail::system_calls::real().flock(file);
            };
            return calls;
        }();
        return out;
    }
    static inline int before_lock = 0;
    static inline fs::path path{};
};

std::size_t count_in(const fs::path& path) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator{path}, {}));
}

}  // namespace

TEST_CASE("nothing is made before something is written, then a 0700 directory with a 0600 file") {
    const temporary_directory t;
    const auto path = t.path() / "state" / "acme" / "telemetry";
    directory d{path};
    CHECK(d.list().empty());
    CHECK_FALSE(fs::exists(t.path() / "state"));
    REQUIRE(d.write("one", "content"));
    CHECK(mode_of(path) == 0700);
    CHECK(mode_of(path / "one") == 0600);
    CHECK(content_of(path / "one") == "content");
    CHECK(count_in(path) == 1);
    REQUIRE(d.list().size() == 1);
    CHECK(d.list()[0].name == "one");
    CHECK(d.list()[0].size == 7);
}

TEST_CASE("a directory that others may look into is closed to them, and one that is a link is not used") {
    const temporary_directory t;
    const auto path = t.path() / "open";
    fs::create_directory(path);
    fs::permissions(path, fs::perms::all);
    directory d{path};
    CHECK(d.write("one", "x"));
    CHECK(mode_of(path) == 0700);
    fs::create_directory_symlink(path, t.path() / "link");
    directory through_link{t.path() / "link"};
    CHECK_FALSE(through_link.write("two", "x"));
    CHECK(through_link.list().empty());
    CHECK(count_in(path) == 1);
}

TEST_CASE("a file is one claim's at a time, and a removed one nobody's") {
    const temporary_directory t;
    directory a{t.path()};
    directory b{t.path()};
    REQUIRE(a.write("one", "x"));
    auto held = a.claim("one");
    REQUIRE(held.is_open());
    CHECK_FALSE(b.claim("one").is_open());
    held = {};
    auto again = b.claim("one");
    REQUIRE(again.is_open());
    b.remove(again);
    CHECK_FALSE(fs::exists(t.path() / "one"));
    CHECK_FALSE(a.claim("one").is_open());
}

TEST_CASE("a file is replaced whole, and read also while somebody has it in hand") {
    const temporary_directory t;
    directory d{t.path()};
    REQUIRE(d.write("one", "long ago"));
    const auto held = d.claim("one");
    REQUIRE(held.is_open());
    directory other{t.path()};
    REQUIRE(other.write("one", "now"));
    CHECK(other.read("one", 100) == "now");
    CHECK(other.read("one", 2) == "no");
    CHECK(count_in(t.path()) == 1);
    const auto held_too = d.claim("one");
    REQUIRE(held_too.is_open());
    CHECK(other.read("one", 100) == "now");
    CHECK_FALSE(directory{t.path() / "absent"}.read("one", 100));
}

TEST_CASE("a link, a second name, a FIFO, a directory and a stranger's file are left alone") {
    const temporary_directory t;
    const temporary_directory elsewhere;
    const auto target = elsewhere.write("target", "precious");
    fs::create_symlink(target, t.path() / "symlink");
    fs::create_hard_link(target, t.path() / "hardlink");
    REQUIRE(::mkfifo((t.path() / "fifo").c_str(), 0600) == 0);
    fs::create_directory(t.path() / "directory");
    directory d{t.path()};
    for (const char* name : {"symlink", "hardlink", "fifo", "directory", "absent"}) {
        CAPTURE(name);
        CHECK_FALSE(d.claim(name).is_open());
        CHECK_FALSE(d.read(name, 100));
    }
    if (::geteuid() == 0) {
        t.write("stranger", "x");
        REQUIRE(::chown((t.path() / "stranger").c_str(), 1, 1) == 0);
        CHECK_FALSE(d.claim("stranger").is_open());
        CHECK_FALSE(d.read("stranger", 100));
    }
    CHECK(content_of(target) == "precious");
    CHECK(fs::is_symlink(t.path() / "symlink"));
}

TEST_CASE("what is set aside is kept once, and what a dead process left half-written is swept") {
    const temporary_directory t;
    directory d{t.path()};
    for (const std::string name : {"a-1.spool", "a-2.spool"}) {
        REQUIRE(d.write(name, "x"));
        auto held = d.claim(name);
        d.set_aside(held);
        CHECK(fs::exists(t.path() / (name + ".damaged")));
    }
    t.write(".new-a-3.spool", "half");
    t.write("crash-record", "another's");
    d.sweep(d.list());
    CHECK(count_in(t.path()) == 2);
    CHECK(fs::exists(t.path() / "crash-record"));
}

TEST_CASE("sweeping leaves a writer at work alone") {
    const temporary_directory t;
    directory writer{t.path()};
    directory sweeper{t.path()};
    t.write(".new-a-1.spool", "half");
    auto held = writer.claim(".new-a-1.spool");
    REQUIRE(held.is_open());
    sweeper.sweep(sweeper.list());
    CHECK(fs::exists(t.path() / ".new-a-1.spool"));
    held = {};
    sweeper.sweep(sweeper.list());
    CHECK_FALSE(fs::exists(t.path() / ".new-a-1.spool"));
}

TEST_CASE("a file that is swept away while it is made is made again, in the end given up") {
    const temporary_directory t;
    swept_calls::path = t.path();
    directory writer{t.path(), swept_calls::table()};
    REQUIRE(writer.write("a-0.spool", "there is a directory"));
    swept_calls::before_lock = 2;
    CHECK(writer.write("a-1.spool", "whole"));
    CHECK(content_of(t.path() / "a-1.spool") == "whole");
    swept_calls::before_lock = 3;
    CHECK_FALSE(writer.write("a-2.spool", "never"));
    CHECK(swept_calls::before_lock == 0);
    CHECK(count_in(t.path()) == 2);
}

TEST_CASE("what became unwanted while it was made is not left, and is no trouble") {
    const temporary_directory t;
    directory d{t.path()};
    const std::atomic<bool> is_unwanted = true;
    CHECK_FALSE(d.make("a-1.spool", "x", is_unwanted).is_open());
    CHECK(count_in(t.path()) == 0);
    CHECK(d.take_trouble() == 0);
}

TEST_CASE("purging removes one protocol's files, those in use and half-written too") {
    const temporary_directory t;
    directory d{t.path()};
    for (const char* name : {"a-1.spool", "a-2.spool", "b-1.spool"}) REQUIRE(d.write(name, "x"));
    t.write("a-0.spool.damaged", "x");
    t.write(".new-a-3.spool", "half");
    t.write("crash-record", "another's");
    const auto held = d.claim("a-1.spool");
    directory{t.path()}.purge("a-");
    CHECK(count_in(t.path()) == 2);
    CHECK(fs::exists(t.path() / "b-1.spool"));
}

TEST_CASE("a claimed file that the program has closed is written to no more, and is removed all the same") {
    const temporary_directory t;
    const auto spool = t.path() / "spool";
    fs::create_directory(spool);
    directory d{spool};
    REQUIRE(d.write("a-1.spool", "x"));
    auto held = d.claim("a-1.spool");
    REQUIRE(held.is_open());
    const int other = ::open(t.write("other", "of the program").c_str(), O_RDWR | O_CLOEXEC);
    for (int number = 3; number < other; ++number) {
        struct stat found {};
        if (::fstat(number, &found) == 0 && (S_ISDIR(found.st_mode) || number == held.get())) ::dup2(other, number);
    }
    CHECK_FALSE(held.overwrite(0, "y"));
    d.remove(held);
    CHECK(content_of(t.path() / "other") == "of the program");
    CHECK_FALSE(fs::exists(spool / "a-1.spool"));
    const int number = held.get();
    held = {};
    CHECK(::close(number) == 0);
    ::close(other);
}

TEST_CASE("a directory that is removed while it is open is made anew") {
    const temporary_directory t;
    directory d{t.path() / "spool"};
    REQUIRE(d.write("one", "x"));
    fs::remove_all(t.path() / "spool");
    CHECK(d.write("two", "y"));
    CHECK(content_of(t.path() / "spool" / "two") == "y");
}

TEST_CASE("where the process may write no more, nothing is left of the file and no signal ends it") {
    const temporary_directory t;
    child_process child{[&](int) {
        const rlimit limit{1000, 1000};
        if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
        directory d{t.path()};
        if (d.write("large", std::string(2000, 'x'))) return 2;
        return d.write("small", "x") ? 0 : 3;
    }};
    CHECK(child.wait().exit_code() == 0);
    CHECK(count_in(t.path()) == 1);
}

}  // namespace directory_test
