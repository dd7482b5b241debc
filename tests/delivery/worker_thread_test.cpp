#include <candor/delivery/worker_thread.hpp>

#include <doctest/doctest.h>

#if !defined(_WIN32)
#include <signal.h>

namespace worker_thread_test {

TEST_CASE("the worker takes no signals, and the starting thread takes what it took before") {
    sigset_t before, after, of_worker;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    candor::detail::start_worker_thread([&] { pthread_sigmask(SIG_SETMASK, nullptr, &of_worker); }).join();
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGALRM, SIGUSR1, SIGPIPE, SIGWINCH}) {
        CAPTURE(signal);
        CHECK(sigismember(&of_worker, signal) == 1);
        CHECK(sigismember(&after, signal) == sigismember(&before, signal));
    }
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) CHECK(sigismember(&of_worker, fault) == 0);
}

}  // namespace worker_thread_test

#endif
