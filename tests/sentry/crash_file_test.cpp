#include <candor/sentry/crash_file.hpp>

#include <candor/identity/uuid.hpp>

#include <doctest/doctest.h>

namespace crash_file_test {

using candor::sentry::detail::is_record_name;
using candor::sentry::detail::record_name;

TEST_CASE("a record is named after its event") {
    const auto name = record_name(*candor::uuid::parse("01234567-89ab-4def-8123-456789abcdef"));
    CHECK(name == "crash-01234567-89ab-4def-8123-456789abcdef");
    CHECK(is_record_name(name));
    for (const auto* other : {"", "crash-", "crash-1", "core", "crash-01234567-89ab-4def-8123-456789abcdef~",
                              "xcrash-01234567-89ab-4def-8123-456789abcdef"}) {
        CHECK_FALSE(is_record_name(other));
    }
}

}  // namespace crash_file_test
