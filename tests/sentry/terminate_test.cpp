#include <candor/sentry/terminate.hpp>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include <unistd.h>

#include <support/child_process.hpp>
#include <support/stopwatch.hpp>

#include <doctest/doctest.h>

namespace terminate_test {

namespace {

using candor::sentry::terminate_handler;

std::string text_of(std::exception_ptr error) {
    if (!error) return "nothing";
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& exception) {
        return exception.what();
    } catch (...) {
        return "unknown";
    }
}

[[gnu::noinline]] void fail(const char* what) { throw std::runtime_error{what}; }

/// Where the handlers of this file, which know no object, write to.
int output = -1;

[[noreturn]] void previous_handler() {
    say(output, " previous");
    std::abort();
}

}  // namespace

TEST_CASE("what ends the program is reported, then the previous handler is called") {
    struct sample {
        void (*program)();
        const char* said;
    };
    for (const sample& one : {
             sample{[] { fail("lost"); }, "lost previous"},
             sample{[] { throw 42; }, "unknown previous"},
             sample{[] { std::terminate(); }, "nothing previous"},
             sample{[]() noexcept { fail("leaves"); }, "leaves previous"},
             sample{[] { std::thread{[] { throw std::runtime_error{"in a thread"}; }}.join(); },
                    "in a thread previous"},
         }) {
        CAPTURE(one.said);
        const auto end = run_in_child([run = one.program](int descriptor) {
            output = descriptor;
            std::set_terminate(&previous_handler);
            const terminate_handler handler{[](std::exception_ptr error) { say(output, text_of(error)); }};
            [&]() noexcept { run(); }();  // nothing in the test framework catches it
            return 0;
        });
        CHECK(end.signal() == SIGABRT);
        CHECK(end.said == one.said);
        CHECK(end.took < candor::testing::slack);
    }
}

TEST_CASE("without a previous handler of the program's the program aborts as ever") {
    const auto end = run_in_child([](int descriptor) {
        ::close(STDERR_FILENO);  // where the library's own handler says what happened
        const terminate_handler handler{[&](std::exception_ptr error) { say(descriptor, text_of(error)); }};
        []() noexcept { fail("lost"); }();
        return 0;
    });
    CHECK(end.signal() == SIGABRT);
    CHECK(end.said == "lost");
}

TEST_CASE("what the report throws is contained, and the failure not taken for reported") {
    const auto end = run_in_child([](int descriptor) {
        output = descriptor;
        std::set_terminate([] {
            say(output, candor::sentry::detail::the_termination.is_told ? "told" : "not told");
            std::abort();
        });
        const terminate_handler handler{[](std::exception_ptr) { throw std::runtime_error{"report"}; }};
        []() noexcept { fail("lost"); }();
        return 0;
    });
    CHECK(end.signal() == SIGABRT);
    CHECK(end.said == "not told");
}

TEST_CASE("a report that itself terminates the program is not made again") {
    const auto end = run_in_child([](int descriptor) {
        output = descriptor;
        std::set_terminate(&previous_handler);
        const terminate_handler handler{[](std::exception_ptr) {
            say(output, "once");
            []() noexcept { fail("report"); }();
        }};
        []() noexcept { fail("lost"); }();
        return 0;
    });
    CHECK(end.signal() == SIGABRT);
    CHECK(end.said == "once previous");
    CHECK(end.took < candor::testing::slack);
}

TEST_CASE("threads that terminate meanwhile wait for the report") {
    const auto end = run_in_child([](int descriptor) {
        output = descriptor;
        static std::mutex mutex;
        static std::condition_variable changed;
        static int terminating = 0;
        static bool is_overtaken = false;
        std::set_terminate([] {
            {
                const std::lock_guard lock{mutex};
                is_overtaken = true;
            }
            changed.notify_all();
            previous_handler();
        });
        const terminate_handler handler{[](std::exception_ptr) {
            std::unique_lock lock{mutex};
            changed.wait(lock, [] { return terminating == 2; });
            const bool is_late = changed.wait_for(lock, std::chrono::milliseconds{50}, [] { return is_overtaken; });
            say(output, is_late ? "overtaken" : "reported");
        }};
        const auto both_fail = []() noexcept {
            {
                const std::lock_guard lock{mutex};
                ++terminating;
            }
            changed.notify_all();
            fail("both");
        };
        std::thread one{both_fail}, other{both_fail};
        one.join();
        other.join();
        return 0;
    });
    CHECK(end.signal() == SIGABRT);
    CHECK(end.said.find("reported previous") == 0);
    CHECK(end.said.find("reported", 1) == std::string::npos);
}

TEST_CASE("the handler goes with the object") {
    const auto before = std::get_terminate();
    {
        const terminate_handler handler{[](std::exception_ptr) {}};
        CHECK(handler.is_installed());
        CHECK((std::get_terminate() != before));
        const terminate_handler second{[](std::exception_ptr) {}};
        CHECK_FALSE(second.is_installed());
    }
    CHECK((std::get_terminate() == before));
    {
        const terminate_handler again{[](std::exception_ptr) {}};
        CHECK(again.is_installed());
        std::set_terminate(&previous_handler);
    }
    CHECK((std::get_terminate() == &previous_handler));  // the program's own, set since, stays
    std::set_terminate(before);
    const terminate_handler without{nullptr};
    CHECK_FALSE(without.is_installed());
    CHECK((std::get_terminate() == before));
}

TEST_CASE("a handler that is called after its object is gone reports nothing") {
    const auto end = run_in_child([](int descriptor) {
        output = descriptor;
        std::set_terminate(&previous_handler);
        std::terminate_handler ours = nullptr;
        {
            const terminate_handler handler{[](std::exception_ptr) { say(output, "reported"); }};
            ours = std::get_terminate();
        }
        ours();
        return 0;
    });
    CHECK(end.signal() == SIGABRT);
    CHECK(end.said == " previous");
}

}  // namespace terminate_test
