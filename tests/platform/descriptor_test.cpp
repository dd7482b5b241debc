#include <candor/platform/descriptor.hpp>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <candor/platform/read_file.hpp>
#include <candor/platform/replace_file.hpp>

#include <support/child_process.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace descriptor_test {

namespace {

using candor::detail::descriptor;

bool is_open(int number) { return ::fcntl(number, F_GETFD) != -1; }

int open_null() { return ::open("/dev/null", O_RDWR | O_CLOEXEC); }

/// What the program says when it runs in a child: its answer is the exit code, and 0 means yes.
template <class Program>
bool holds_in_child(Program program) {
    return run_in_child([&](int) { return program() ? 0 : 1; }).exit_code() == 0;
}

std::array<int, 2> make_sockets() {
    std::array<int, 2> out{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out.data()) == 0);
    return out;
}

}  // namespace

TEST_CASE("it closes what it owns, once") {
    const int number = open_null();
    {
        descriptor first{number};
        CHECK(first);
        CHECK(first.get() == number);
        CHECK(first.is_ours());
        descriptor second{std::move(first)};
        CHECK_FALSE(first);
        CHECK(second.get() == number);
        descriptor third{open_null()};
        const int other = third.get();
        third = std::move(second);
        CHECK_FALSE(is_open(other));
        CHECK(third.get() == number);
        CHECK(is_open(number));
    }
    CHECK_FALSE(is_open(number));

    const descriptor none;
    CHECK_FALSE(none);
    CHECK_FALSE(none.is_ours());
    descriptor given{open_null()};
    const int released = given.release();
    CHECK_FALSE(given);
    CHECK(is_open(released));
    ::close(released);
}

TEST_CASE("what failed is empty and says why, and nothing else changes errno") {
    errno = 0;
    const descriptor none{::open("/no/such/file", O_RDONLY | O_CLOEXEC)};
    CHECK_FALSE(none);
    CHECK(errno == ENOENT);
    const int closed = open_null();
    ::close(closed);
    const descriptor nothing{closed};
    CHECK_FALSE(nothing);
    CHECK(errno == EBADF);
    errno = ENOSPC;
    {
        const descriptor gone{open_null()};
        ::close(gone.get());
        errno = ENOSPC;
        CHECK_FALSE(gone.is_ours());
    }
    CHECK(errno == ENOSPC);
}

TEST_CASE("its number is above those of the standard streams, which stay as they were") {
    CHECK(holds_in_child([] {
        for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(standard);
        const descriptor first{open_null()};
        std::array<int, 2> ends{};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return false;
        const descriptor second{ends[0]}, third{ends[1]};
        for (const auto* each : {&first, &second, &third}) {
            if (each->get() <= STDERR_FILENO || !each->is_ours() || ::fcntl(each->get(), F_GETFD) != FD_CLOEXEC)
                return false;
        }
        return !is_open(STDIN_FILENO) && !is_open(STDOUT_FILENO) && !is_open(STDERR_FILENO) &&
               ::write(second.get(), "x", 1) == 1;
    }));
}

TEST_CASE("where there is no number for it above those of the standard streams, it is closed") {
    CHECK(holds_in_child([] {
        ::close(STDIN_FILENO);
        const struct rlimit none_above { 3, 3 };
        ::setrlimit(RLIMIT_NOFILE, &none_above);
        errno = 0;
        const descriptor file{open_null()};
        return !file && (errno == EMFILE || errno == EINVAL) && !is_open(STDIN_FILENO);
    }));
}

TEST_CASE("a number that the program closed, and one that means its own file by now, are left alone") {
    const temporary_directory t;
    const auto path = t.write("file", "x");
    const auto open = [&] { return ::open(path.c_str(), O_RDWR | O_CLOEXEC); };
    const auto sockets = make_sockets();
    for (const bool is_socket : {false, true}) {
        CAPTURE(is_socket);
        const int number = is_socket ? sockets[0] : open();
        std::optional<descriptor> own{std::in_place, number};
        REQUIRE(own->get() == number);
        CHECK(own->is_ours());
        const int hosts = open_null();
        REQUIRE(::dup2(hosts, number) == number);
        CHECK_FALSE(own->is_ours());
        own.reset();
        CHECK(is_open(number));
        ::close(hosts);
        ::close(number);
    }
    // Another socket under the number of a socket.
    const auto others = make_sockets();
    std::optional<descriptor> socket{std::in_place, sockets[1]};
    REQUIRE(::dup2(others[0], sockets[1]) == sockets[1]);
    CHECK_FALSE(socket->is_ours());
    socket.reset();
    CHECK(is_open(sockets[1]));
    for (const int each : {sockets[1], others[0], others[1]}) ::close(each);

    descriptor closed{open()};
    ::close(closed.get());
    CHECK_FALSE(closed.is_ours());
}

TEST_CASE("a child closes it at once, with what it was duplicated from, and none that means the program's own") {
    const int original = open_null();
    const descriptor own{open_null()}, copy{descriptor::duplicate(original)}, lost{open_null()};
    descriptor moved{open_null()};
    const descriptor target{std::move(moved)};
    const temporary_directory t;
    const int hosts = ::open(t.string().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(copy.get() != original);
    REQUIRE(::dup2(hosts, lost.get()) == lost.get());
    CHECK(holds_in_child([&] {
        for (const auto* each : {&own, &copy, &target}) {
            if (is_open(each->get()) || each->is_ours()) return false;
        }
        return !is_open(original) && is_open(lost.get()) && is_open(hosts);
    }));
    CHECK(own.is_ours());
    for (const int each : {original, hosts, lost.get()}) ::close(each);
}

TEST_CASE("what a child destroys of its parent's harms none of its own") {
    std::optional<descriptor> parents{std::in_place, open_null()};
    CHECK(holds_in_child([&] {
        const descriptor own{open_null()};  // of the same number and file
        if (own.get() != parents->get()) return false;
        parents.reset();
        if (!own.is_ours()) return false;
        return holds_in_child([&] { return !is_open(own.get()); });
    }));
    CHECK(parents->is_ours());
}

TEST_CASE("no file is read or written under the number of a standard stream") {
    const temporary_directory t;
    const auto path = t.write("file", "content");
    CHECK(holds_in_child([&] {
        for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(standard);
        if (candor::detail::read_file(path, 100).content != "content" ||
            !candor::detail::replace_file(path, "new").empty())
            return false;
        const struct rlimit none_above { 3, 3 };
        ::setrlimit(RLIMIT_NOFILE, &none_above);
        return candor::detail::read_file(path, 100).status == candor::detail::file_status::unreadable &&
               !candor::detail::replace_file(path, "newer").empty();
    }));
    CHECK(candor::detail::read_file(path, 100).content == "new");
}

}  // namespace descriptor_test
