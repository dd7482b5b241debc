#include "tally_events.hpp"

#include <candor/testing.hpp>

#include <doctest/doctest.h>

namespace tally_events_test {

TEST_CASE("TELEMETRY.md is the catalog of tally's events") {
    CHECK(candor::testing::outdated("examples/TELEMETRY.md",
                                    candor::telemetry_document("tally", tally::telemetry::events{})) == "");
}

}  // namespace tally_events_test
