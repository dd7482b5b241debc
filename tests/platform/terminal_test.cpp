#include <candor/platform/terminal.hpp>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <support/child_process.hpp>

#include <doctest/doctest.h>

namespace terminal_test {

namespace {

/// What a process says whose standard error is `file`; -1 where it cannot be that.
int answer_at(int file) {
    return run_in_child([file](int) {
               if (::dup2(file, STDERR_FILENO) < 0) return -1;
               return candor::detail::standard_error_is_terminal() ? 1 : 0;
           })
        .exit_code();
}

}  // namespace

TEST_CASE("standard error is a terminal where it leads to one") {
    const int controller = ::posix_openpt(O_RDWR | O_NOCTTY);
    REQUIRE(controller >= 0);
    REQUIRE(::grantpt(controller) == 0);
    REQUIRE(::unlockpt(controller) == 0);
    const int terminal = ::open(::ptsname(controller), O_RDWR | O_NOCTTY);
    REQUIRE(terminal >= 0);
    const int nowhere = ::open("/dev/null", O_RDWR);
    CHECK(answer_at(terminal) == 1);
    CHECK(answer_at(nowhere) == 0);
    for (const int file : {controller, terminal, nowhere}) ::close(file);
}

}  // namespace terminal_test
