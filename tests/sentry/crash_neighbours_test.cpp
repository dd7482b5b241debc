// The crash handler among the handlers, children, descriptors of a program.
#include <candor/sentry/crash.hpp>

#ifndef _WIN32

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <candor/sentry/crash_recovery.hpp>
#include <candor/sentry/terminate.hpp>

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

#include <support/child_process.hpp>
#include <support/stopwatch.hpp>

#include "crashing.hpp"

#include <doctest/doctest.h>

namespace crash_neighbours_test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using namespace candor::sentry;
using namespace crashing;

namespace {

int said_to = -1;  ///< for signal handlers, which know no object

}  // namespace

TEST_CASE("the handler that stood before is called with what the signal said") {
    const auto previous = [](int signal, siginfo_t* info, void*) {
        const bool is_right =
            signal == SIGSEGV && info->si_code == SEGV_MAPERR && info->si_addr == reinterpret_cast<void*>(8);
        say(said_to, is_right ? "previous" : "wrong");
        std::signal(signal, SIG_DFL);
    };
    const records place;
    const auto end = run_in_child([&](int output) {
        said_to = output;
        struct sigaction action {};
        action.sa_sigaction = previous;
        action.sa_flags = SA_SIGINFO;
        ::sigaction(SIGSEGV, &action, nullptr);
        const crash_handler handler{place.options()};
        run(&write_to_nowhere);
        return 0;
    });
    CHECK(end.signal() == SIGSEGV);
    CHECK(end.said == "previous");
    CHECK(place.recover_one().signal == SIGSEGV);
}

TEST_CASE("the handler that stood before sees who sent the signal") {
    const auto previous = [](int, siginfo_t* info, void*) {
        say(said_to, info->si_code == SI_USER && info->si_pid == ::getppid() ? "parent" : "somebody");
        ::_exit(3);
    };
    const records place;
    child_process child{[&](int output) {
        said_to = output;
        struct sigaction action {};
        action.sa_sigaction = previous;
        action.sa_flags = SA_SIGINFO;
        ::sigaction(SIGABRT, &action, nullptr);
        const crash_handler handler{place.options()};
        say(output, "!");
        for (;;) ::poll(nullptr, 0, 10'000);
        return 0;
    }};
    child.read(1);
    ::kill(child.id(), SIGABRT);
    const auto end = child.wait();
    CHECK(end.exit_code() == 3);
    CHECK(end.said == (std::string{"!"} + "parent"));
    CHECK(place.recover_one().signal == SIGABRT);
}

TEST_CASE("a previous handler that crashes itself does not undo the record") {
    const records place;
    const auto end = run_in_child([&](int) {
        std::signal(SIGILL, [](int) { write_to_nowhere(); });
        const crash_handler handler{place.options()};
        run(&do_what_is_none);
        return 0;
    });
    CHECK(end.signal() == SIGSEGV);  // as without candor
    const auto record = place.recover_one();
    CHECK(record.signal == SIGILL);
    CHECK(record.complete);
}

TEST_CASE("a crash that the previous handler survives is recorded, and the handlers are as before from then on") {
    const records place;
    const auto end = run_in_child([&](int output) {
        static sigjmp_buf next;
        const auto survive = [](int) { siglongjmp(next, 1); };
        std::signal(SIGILL, survive);
        {
            const crash_handler handler{place.options()};
            if (sigsetjmp(next, 1) == 0) run(&do_what_is_none);
            if (std::signal(SIGILL, SIG_DFL) == +survive) say(output, "previous");
        }
        const crash_handler again{place.options()};
        return again.problem().empty() ? 4 : 5;
    });
    CHECK(end.exit_code() == 4);
    CHECK(end.said == "previous");
    const auto record = place.recover_one();
    CHECK(record.signal == SIGILL);
    CHECK(record.complete);
}

TEST_CASE("a handler that is set later and calls the one before it by itself works too") {
    static struct sigaction candors;
    const records place;
    const auto end = place.crash([](int) {
        struct sigaction later {};
        later.sa_flags = SA_SIGINFO;
        later.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
            candors.sa_sigaction(signal, info, context);
        };
        ::sigaction(SIGSEGV, &later, &candors);
        ::sigaction(SIGABRT, &later, nullptr);
        run(&write_to_nowhere);
    });
    CHECK(end.signal() == SIGSEGV);
    CHECK(end.took < candor::testing::slack);
    const auto record = place.recover_one();
    CHECK(record.signal == SIGSEGV);
    CHECK(is_in(record.instruction, &write_to_nowhere));
}

TEST_CASE("a fault is recorded also where the signal was ignored") {
    for (const failure& one : failures) {
        const int signal = one.signal;
        const auto function = one.function;
        CAPTURE(signal);
        const records place;
        const auto end = run_in_child([&](int) {
            std::signal(signal, SIG_IGN);
            const crash_handler handler{place.options()};
            run(function);
            return 0;
        });
        CHECK(end.signal() == signal);
        CHECK(end.took < candor::testing::slack);
        CHECK(place.recover_one().signal == signal);
    }
}

TEST_CASE("a signal that was ignored and another process sends stays ignored, and the next crash is recorded") {
    const records place;
    child_process child{[&](int output) {
        std::signal(SIGSEGV, SIG_IGN);
        const crash_handler handler{place.options()};
        sigset_t set;
        ::sigemptyset(&set);
        ::sigaddset(&set, SIGTERM);
        ::sigprocmask(SIG_BLOCK, &set, nullptr);
        say(output, "!");
        int signal = 0;
        ::sigwait(&set, &signal);  // the parent sends SIGTERM second
        run(&do_what_is_none);
        return 0;
    }};
    child.read(1);
    ::kill(child.id(), SIGSEGV);
    ::kill(child.id(), SIGTERM);
    CHECK(child.wait().signal() == SIGILL);
    CHECK(place.recover_one().signal == SIGILL);
}

TEST_CASE("a child leaves the record to its parent, whether it exits or crashes, and may have its own") {
    const records place;
    const auto end = run_in_child([&](int output) {
        static std::optional<crash_handler> handler;
        handler.emplace(place.options());
        const auto mine = place.directory() / detail::record_name(handler->event_id());
        const auto is_held = [&] { return fs::exists(mine) && !detail::record_file::claim(mine).is_open(); };
        const auto exited = run_in_child([](int) {
            handler.reset();
            return 5;
        });
        if (exited.exit_code() != 5 || !is_held()) return 1;
        const auto crashed = run_in_child([](int) {
            run(&write_to_nowhere);  // as it was when fork() copied it, but for what child_process has reset
            return 0;
        });
        if (crashed.signal() != SIGSEGV || !is_held()) return 2;
        const pid_t plain = ::fork();  // with candor's handlers
        if (plain == 0) run(&do_what_is_none);
        int status = 0;
        ::waitpid(plain, &status, 0);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGILL || !is_held()) return 3;
        const pid_t own = ::fork();
        if (own == 0) {
            const crash_handler another{place.options()};
            if (!another.problem().empty()) ::_exit(4);
            run(&divide_by_zero);
        }
        ::waitpid(own, &status, 0);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGFPE || !is_held()) return 5;
        const pid_t heir = ::fork();  // outlives its parent, and does not hold the record all the same
        if (heir == 0) {
            ::alarm(20);
            ::close(output);
            for (;;) ::poll(nullptr, 0, 10'000);
        }
        say(output, std::to_string(heir));
        run(&do_what_is_none);
        return 0;
    });
    CHECK(end.signal() == SIGILL);
    std::vector<int> signals;
    const auto left = place.recover();
    ::kill(static_cast<pid_t>(std::stol(end.said)), SIGKILL);
    for (const auto& record : left) {
        CHECK(record.complete);
        signals.push_back(record.signal);
    }
    std::sort(signals.begin(), signals.end());
    CHECK(signals == std::vector<int>{SIGILL, SIGFPE});
}

#ifdef __linux__
TEST_CASE("a child that was made behind the library's back leaves the record to its parent, too") {
    const records place;
    const auto end = run_in_child([&](int) {
        const crash_handler handler{place.options()};
        const auto child = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
        if (child == 0) run(&do_what_is_none);
        int status = 0;
        ::waitpid(child, &status, 0);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGILL) return 1;
        std::ifstream file{place.directory() / detail::record_name(handler.event_id()), std::ios::binary};
        const std::string content{std::istreambuf_iterator<char>{file}, {}};
        crash_record record;
        return detail::parse_crash_record(content, record) == detail::record_state::unused ? 0 : 2;
    });
    CHECK(end.exit_code() == 0);
}
#endif

TEST_CASE("an uncaught exception that has been reported is not reported as a crash again") {
    for (const bool reports : {true, false}) {
        CAPTURE(reports);
        const records place;
        const auto end = place.crash([&](int output) {
            const terminate_handler handler{[&](std::exception_ptr) {
                if (!reports) throw std::runtime_error{"not delivered"};
                say(output, "reported");
            }};
            ::close(2);
            []() noexcept { std::vector<int>{}.at(1); }();
        });
        CHECK(end.signal() == SIGABRT);
        CHECK(end.said == (reports ? "reported" : ""));
        CHECK(place.recover().size() == (reports ? 0 : 1));
    }
}

TEST_CASE("a program that closes all files and opens others has them left alone in a crash") {
    const records place;
    const auto other = place.scratch.write("other", "kept");
    const auto end = place.crash([&](int output) {
        for (int i = 0; i < 64; ++i) {
            if (i != output) ::close(i);
        }
        for (int i = 0; i < 63; ++i) static_cast<void>(::open(other.c_str(), O_RDWR));
        run(&write_to_nowhere);
    });
    CHECK(end.signal() == SIGSEGV);
    CHECK(fs::file_size(other) == 4);
    CHECK(place.recover().empty());
}

}  // namespace crash_neighbours_test

#endif
