#include <candor/platform/thread.hpp>

#include <doctest/doctest.h>

#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>

#include <array>
#include <cstddef>
#include <string>
#include <utility>

namespace worker_thread_test {

using candor::detail::start_worker_thread;
using candor::detail::worker_thread;

TEST_CASE("the worker takes no signals, and the starting thread takes what it took before") {
    sigset_t before, after, of_worker;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    start_worker_thread("candor-test", [&] { pthread_sigmask(SIG_SETMASK, nullptr, &of_worker); }).join();
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGALRM, SIGUSR1, SIGPIPE, SIGWINCH}) {
        CAPTURE(signal);
        CHECK(sigismember(&of_worker, signal) == 1);
        CHECK(sigismember(&after, signal) == sigismember(&before, signal));
    }
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) CHECK(sigismember(&of_worker, fault) == 0);
}

TEST_CASE("it has the name and the stack that it was given") {
    std::string name;
    std::size_t size = 0;
    start_worker_thread("candor-deadline", [&] {
        std::array<char, 16> text{};
        ::pthread_getname_np(::pthread_self(), text.data(), text.size());
        name = text.data();
        pthread_attr_t attributes;
        ::pthread_getattr_np(::pthread_self(), &attributes);
        ::pthread_attr_getstacksize(&attributes, &size);
        ::pthread_attr_destroy(&attributes);
    }).join();
    CHECK(name == "candor-deadline");
    CHECK(size >= candor::detail::thread_stack_size);  // it may be that of a thread that has ended
}

TEST_CASE("it is handed on by moving") {
    worker_thread none;
    CHECK_FALSE(none.joinable());
    bool has_run = false;
    worker_thread first = start_worker_thread("candor-test", [&] { has_run = true; });
    worker_thread second = std::exchange(first, worker_thread{});
    CHECK_FALSE(first.joinable());
    REQUIRE(second.joinable());
    second.join();
    CHECK_FALSE(second.joinable());
    CHECK(has_run);
}

}  // namespace worker_thread_test

#endif
