#include <candor/platform/signal_stack.hpp>

#include <signal.h>

#include <array>

#include <support/child_process.hpp>

#include <doctest/doctest.h>

namespace signal_stack_test {

TEST_CASE("the signal stack goes with the object, and one that was there stays") {
    const auto end = run_in_child([](int) {
        const auto stack = [] {
            stack_t now{};
            ::sigaltstack(nullptr, &now);
            return now;
        };
        {
            const candor::detail::signal_stack mine;
            if ((stack().ss_flags & SS_DISABLE) != 0 || stack().ss_size < 64 * 1024) return 1;
        }
        if ((stack().ss_flags & SS_DISABLE) == 0) return 2;
        static std::array<char, 64 * 1024> memory;
        stack_t theirs{};
        theirs.ss_sp = memory.data();
        theirs.ss_size = memory.size();
        ::sigaltstack(&theirs, nullptr);
        {
            const candor::detail::signal_stack mine;
            if (stack().ss_sp != memory.data()) return 3;
        }
        return stack().ss_sp == memory.data() ? 0 : 4;
    });
    CHECK(end.exit_code() == 0);
}

}  // namespace signal_stack_test
