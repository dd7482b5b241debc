#include <candor/sentry/severity.hpp>

#include <doctest/doctest.h>

namespace severity_test {

using candor::sentry::severity;

TEST_CASE("severities have Sentry's names") {
    CHECK(to_string(severity::debug) == "debug");
    CHECK(to_string(severity::info) == "info");
    CHECK(to_string(severity::warning) == "warning");
    CHECK(to_string(severity::error) == "error");
    CHECK(to_string(severity::fatal) == "fatal");
}

}  // namespace severity_test
