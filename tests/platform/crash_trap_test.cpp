#include <candor/platform/crash_trap.hpp>

#include <atomic>
#include <chrono>
#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <thread>

#include <support/child_process.hpp>
#include <support/stopwatch.hpp>

#include <doctest/doctest.h>

namespace crash_trap_test {

using namespace candor::detail;

namespace {

/// As in the handler, on the thread that writes: goes into `hang`, which has no end, and out of it by the alarm.
template <class Hang>
void be_given_up(Hang hang) {
    the_trap.thread = this_thread_id();
    set_crash_alarm();
    unblock_crash_signals();
    if (sigsetjmp(the_trap.retreat, 1) == 0) {
        the_trap.can_retreat = 1;
        hang();
    }
    unset_crash_alarm();
}

siginfo_t sent(int code, pid_t sender) {
    siginfo_t out{};
    out.si_code = code;
    out.si_pid = sender;
    return out;
}

}  // namespace

TEST_CASE("a step that hangs is given up") {
    const auto end = run_in_child([](int) {
        be_given_up([] {
            for (;;) ::poll(nullptr, 0, 10'000);
        });
        return the_trap.can_retreat == 0 ? 0 : 1;
    });
    CHECK(end.exit_code() == 0);
    CHECK(end.took >= std::chrono::milliseconds{300});
    CHECK(end.took < candor::testing::slack);
}

TEST_CASE("a step that hangs is given up when another thread gets the signal of the timer") {
    const auto end = run_in_child([](int) {
        std::thread writer{[] {
            be_given_up([] {
                sigset_t alarm, pending;
                ::sigemptyset(&alarm);
                ::sigaddset(&alarm, SIGALRM);
                ::pthread_sigmask(SIG_BLOCK, &alarm, nullptr);
                // What comes for the process, the main thread takes at once; what that passes on, waits for this one.
                for (int seen = 0; seen < 3;) {
                    ::poll(nullptr, 0, 20);
                    ::sigpending(&pending);
                    seen = ::sigismember(&pending, SIGALRM) == 1 ? seen + 1 : 0;
                }
                ::pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
            });
        }};
        writer.join();
        return 0;
    });
    CHECK(end.exit_code() == 0);
    CHECK(end.took < candor::testing::slack);
}

TEST_CASE("the program's timer and its handler are there again") {
    const auto end = run_in_child([](int) {
        static volatile sig_atomic_t is_called = 0;
        std::signal(SIGALRM, [](int) { is_called = 1; });
        const struct itimerval mine {
            {0, 0}, { 1000, 0 }
        };
        ::setitimer(ITIMER_REAL, &mine, nullptr);
        set_crash_alarm();
        unset_crash_alarm();
        struct itimerval now {};
        ::getitimer(ITIMER_REAL, &now);
        if (now.it_value.tv_sec < 900) return 1;
        ::raise(SIGALRM);
        return is_called == 1 ? 0 : 2;
    });
    CHECK(end.exit_code() == 0);
}

TEST_CASE("only what others send can have been ignored") {
    const auto before = the_trap.previous;
    const int other = ::getpid() + 1;
    the_trap.previous = {};
    CHECK_FALSE(was_ignored(SIGSEGV, sent(SI_USER, other)));
    for (auto& action : the_trap.previous) action.sa_handler = SIG_IGN;
    CHECK(was_ignored(SIGSEGV, sent(SI_USER, other)));
    CHECK(was_ignored(SIGABRT, sent(SI_USER, other)));
    CHECK_FALSE(was_ignored(SIGABRT, sent(SI_USER, ::getpid())));
    CHECK_FALSE(was_ignored(SIGSEGV, sent(SEGV_MAPERR, 0)));
    CHECK_FALSE(was_ignored(SIGTERM, sent(SI_USER, other)));
    the_trap.previous = before;
}

TEST_CASE("signals are taken and released, and those that others took meanwhile left to them") {
    const auto end = run_in_child([](int) {
        const auto handler_of = [](int signal) {
            struct sigaction now {};
            ::sigaction(signal, nullptr, &now);
            return now.sa_handler;
        };
        const auto first = [](int) {};
        const auto later = [](int) { ::_exit(9); };
        std::signal(SIGFPE, first);
        take_crash_signals();
        for (const int signal : crash_signals) {
            struct sigaction now {};
            ::sigaction(signal, nullptr, &now);
            if (now.sa_sigaction != &on_crash || (now.sa_flags & SA_ONSTACK) == 0) return 1;
        }
        take_crash_signals();  // as in a child that makes its own: what stood there before is not forgotten
        std::signal(SIGBUS, later);
        release_crash_signals();
        if (handler_of(SIGSEGV) != SIG_DFL) return 2;
        if (handler_of(SIGFPE) != +first) return 3;
        if (handler_of(SIGBUS) != +later) return 4;
        return 0;
    });
    CHECK(end.exit_code() == 0);
}

}  // namespace crash_trap_test
