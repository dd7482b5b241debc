#include <candor/platform/machine_state.hpp>

#include <signal.h>
#include <ucontext.h>

#include <cstdint>

#include <doctest/doctest.h>

namespace machine_state_test {

using candor::detail::machine_state;
using candor::detail::machine_state_of;

namespace {

machine_state interrupted;

void note(int, siginfo_t*, void* context) { interrupted = machine_state_of(context); }

}  // namespace

TEST_CASE("without a context nothing is known") { CHECK_FALSE(machine_state_of(nullptr).is_known); }

TEST_CASE("the state of a thread is that where a signal has interrupted it") {
    struct sigaction action {
    }, before{};
    action.sa_sigaction = &note;
    action.sa_flags = SA_SIGINFO;
    REQUIRE(::sigaction(SIGUSR1, &action, &before) == 0);
    interrupted = {};
    const int here = 0;
    ::raise(SIGUSR1);
    ::sigaction(SIGUSR1, &before, nullptr);
    REQUIRE(interrupted.is_known);
    CHECK(interrupted.instruction != 0);
    REQUIRE((interrupted.stack == 0) != (interrupted.caller == 0));
    if (interrupted.stack != 0) {
        const auto distance = reinterpret_cast<std::uintptr_t>(&here) - interrupted.stack;
        CHECK(distance < 64 * 1024);  // the calls of raise() stand below
    }
}

}  // namespace machine_state_test
