#include <candor/delivery/pipeline_state.hpp>

#include <candor/testing.hpp>

#include <doctest/doctest.h>

namespace pipeline_state_test {

TEST_CASE("a queue is full at its limit and spills at half of it, where there is a spool") {
    candor::testing::manual_clock clock;
    candor::detail::pipeline_state<candor::testing::manual_clock> state{
        {.batch_messages = 3, .queue_messages = 8, .queue_bytes = 1000}, clock};
    for (int i = 1; i <= 8; ++i) {
        state.ledger.accept(1);
        CAPTURE(i);
        CHECK(state.batch_is_ready() == (i >= 3));
        CHECK(state.is_full() == (i >= 8));
        state.can_spill = false;
        CHECK_FALSE(state.is_spilling());
        state.can_spill = true;
        CHECK(state.is_spilling() == (i >= 4));
    }
}

TEST_CASE("the same in bytes") {
    candor::testing::manual_clock clock;
    candor::detail::pipeline_state<candor::testing::manual_clock> state{
        {.batch_bytes = 30, .message_bytes = 30, .queue_bytes = 100}, clock};
    state.can_spill = true;
    state.ledger.accept(49);
    CHECK(state.batch_is_ready());
    CHECK_FALSE(state.is_spilling());
    state.ledger.accept(1);
    CHECK(state.is_spilling());
    state.ledger.accept(50);
    CHECK(state.is_full());
}

}  // namespace pipeline_state_test
