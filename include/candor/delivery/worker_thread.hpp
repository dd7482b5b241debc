#ifndef CANDOR_DELIVERY_WORKER_THREAD_HPP
#define CANDOR_DELIVERY_WORKER_THREAD_HPP

#include <thread>
#include <utility>

#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#endif

namespace candor::detail {

/// Starts a thread that takes none of the program's signals: they go to the program's own threads, and one that waits
/// for SIGTERM with `sigwait` gets it. Throws `std::system_error` where no thread can be had.
template <class Function>
std::thread start_worker_thread(Function function) {
#if defined(_WIN32)
    return std::thread{std::move(function)};
#else
    // A new thread inherits the mask. Signals of a fault in the thread itself cannot be held back sensibly.
    sigset_t all, before;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct restore {
        const sigset_t& mask;
        ~restore() { pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
    } const restored{before};
    return std::thread{std::move(function)};
#endif
}

}  // namespace candor::detail

#endif
