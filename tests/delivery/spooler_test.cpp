#include <candor/delivery/spooler.hpp>

#include <filesystem>
#include <string>
#include <string_view>

#include <candor/testing.hpp>

#include <support/temporary_directory.hpp>

#include "line_protocol.hpp"

#include <doctest/doctest.h>

namespace spooler_test {

namespace {

using candor::drop_reason;
using candor::testing::manual_clock;

struct bench {
    explicit bench(candor::delivery_options options) : state{std::move(options), clock} { b.reserve(8); }

    /// A batch of these, as if they had just been taken from the queue.
    void fill(std::initializer_list<std::string_view> texts) {
        b.clear();
        for (const auto text : texts) {
            state.ledger.accept(text.size());
            state.ledger.take(1, text.size());
            b.add(protocol, text, state.options);
        }
        b.send_whole();
    }
    [[nodiscard]] candor::statistics counts() const {
        const auto now = state.ledger.statistics();
        CHECK(now.accepted == now.delivered + now.pending + now.spooled + now.dropped.total());
        return now;
    }

    manual_clock clock{};
    candor::detail::pipeline_state<manual_clock> state;
    candor::tests::line_protocol protocol{};
    candor::detail::batch b{};
    candor::detail::spooler<manual_clock, candor::system_calls> s{state, "lines", 7, clock};
};

candor::delivery_options in(const temporary_directory& t) {
    candor::delivery_options out;
    out.spool.directory = t.path() / "spool";
    return out;
}

}  // namespace

TEST_CASE("a batch that is stored is settled and counted, and can be taken up") {
    const temporary_directory t;
    bench first{in(t)};
    first.fill({"a", "b"});
    REQUIRE(first.s.store(first.b));
    CHECK(first.b.is_settled());
    CHECK(first.counts().spooled == 2);
    CHECK(first.counts().pending == 0);

    bench later{in(t)};
    REQUIRE(later.s.take_up(later.b));
    CHECK(later.s.has_claim());
    CHECK(later.b.next().messages.size() == 2);
    CHECK(later.counts().recovered == 2);
    SUBCASE("put back, it can be taken up again") {
        later.s.put_back(later.b);
        CHECK(later.b.is_settled());
        CHECK(later.counts().spooled == 2);
        later.s.start_over();
        CHECK(later.s.take_up(later.b));
    }
    SUBCASE("delivered, its file is gone") {
        later.state.ledger.deliver_recovered(2);
        later.s.finish();
        CHECK_FALSE(later.s.has_claim());
        CHECK(std::filesystem::is_empty(t.path() / "spool"));
        CHECK_FALSE(later.s.take_up(later.b));
        CHECK_FALSE(later.s.is_worth_a_look());
    }
    SUBCASE("attempts are counted") {
        CHECK(later.s.count_attempt() == 1);
        CHECK(later.s.count_attempt() == 2);
    }
}

TEST_CASE("what cannot be stored stays in the batch") {
    const temporary_directory t;
    auto options = in(t);
    SUBCASE("for there is no spool") { options.spool.enabled = false; }
    SUBCASE("for it has no directory") { options.spool.directory.clear(); }
    SUBCASE("for none can be made") { options.spool.directory = t.write("file", "x") / "below"; }
    bench b{options};
    b.fill({"a"});
    CHECK_FALSE(b.s.store(b.b));
    CHECK_FALSE(b.b.is_settled());
    CHECK(b.counts().pending == 1);
}

TEST_CASE("without consent nothing is stored") {
    const temporary_directory t;
    bench b{in(t)};
    CHECK(b.s.may_store());
    b.state.revoked = true;
    CHECK_FALSE(b.s.may_store());
    b.fill({"a"});
    CHECK_FALSE(b.s.store(b.b));
    CHECK(std::filesystem::is_empty(t.path()));
}

}  // namespace spooler_test
