#include <candor/platform/signals.hpp>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include <doctest/doctest.h>

namespace signal_guard_test {

namespace {

using candor::detail::signal_guard;

bool is_blocked(int signal) {
    sigset_t set;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &set);
    return sigismember(&set, signal) == 1;
}

bool is_pending(int signal) {
    sigset_t set;
    ::sigpending(&set);
    return sigismember(&set, signal) == 1;
}

/// Writes to a pipe that nobody reads, which ends a process that does not expect it.
int write_to_nobody() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    ::close(ends[0]);
    const auto written = ::write(ends[1], "x", 1);
    const int error = written < 0 ? errno : 0;
    ::close(ends[1]);
    return error;
}

}  // namespace

TEST_CASE("a guarded call fails and raises nothing") {
    {
        const auto guard = signal_guard::broken_pipe();
        CHECK(is_blocked(SIGPIPE));
        CHECK(write_to_nobody() == EPIPE);
        CHECK(is_pending(SIGPIPE));
    }
    CHECK_FALSE(is_pending(SIGPIPE));
    CHECK_FALSE(is_blocked(SIGPIPE));
}

TEST_CASE("guards nest") {
    {
        const auto outer = signal_guard::broken_pipe();
        {
            const auto inner = signal_guard::broken_pipe();
            CHECK(write_to_nobody() == EPIPE);
        }
        CHECK(is_blocked(SIGPIPE));
        CHECK_FALSE(is_pending(SIGPIPE));
        CHECK(write_to_nobody() == EPIPE);
    }
    CHECK_FALSE(is_pending(SIGPIPE));
}

TEST_CASE("a signal that the host was waiting for is left to it") {
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    ::pthread_sigmask(SIG_BLOCK, &set, &before);
    ::pthread_kill(::pthread_self(), SIGXFSZ);
    { const auto guard = signal_guard::file_size(); }
    CHECK(is_blocked(SIGXFSZ));
    CHECK(is_pending(SIGXFSZ));
    int taken = 0;
    sigwait(&set, &taken);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    CHECK(taken == SIGXFSZ);
}

TEST_CASE("a guard keeps errno") {
    errno = ENOSPC;
    { const auto guard = signal_guard::file_size(); }
    CHECK(errno == ENOSPC);
}

TEST_CASE("while the program's signals are held back, those of a fault are not") {
    sigset_t before, during, after;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &before);
    {
        const candor::detail::no_signals held;
        ::pthread_sigmask(SIG_BLOCK, nullptr, &during);
    }
    ::pthread_sigmask(SIG_BLOCK, nullptr, &after);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGALRM, SIGUSR1, SIGPIPE, SIGWINCH, SIGXFSZ}) {
        CAPTURE(signal);
        CHECK(sigismember(&during, signal) == 1);
        CHECK(sigismember(&after, signal) == sigismember(&before, signal));
    }
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) {
        CAPTURE(fault);
        CHECK(sigismember(&during, fault) == 0);
    }
}

}  // namespace signal_guard_test
