#ifndef CANDOR_TESTS_EXAMPLES_TALLY_EVENTS_HPP
#define CANDOR_TESTS_EXAMPLES_TALLY_EVENTS_HPP

#include <candor/candor.hpp>

namespace tally {

/// Every event that tally can send stands here, and so in TELEMETRY.md.
using telemetry = candor::telemetry_of<candor::login_succeeded, candor::init_started, candor::init_completed,
                                       candor::sync_started, candor::sync_completed>;

}  // namespace tally

#endif
