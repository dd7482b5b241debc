#include <candor/delivery/options.hpp>

#include <string>

#include <doctest/doctest.h>

namespace options_test {

using candor::configuration_error;
using candor::delivery_options;
using candor::detail::check;

TEST_CASE("the defaults are good") { CHECK_NOTHROW(check(delivery_options{})); }

TEST_CASE("each option that cannot work is refused by name") {
    const auto refuses = [](std::string_view field, const delivery_options& options) {
        try {
            check(options);
        } catch (const configuration_error& error) {
            CHECK(error.field() == "delivery." + std::string{field});
            CHECK(std::string_view{error.what()}.find("allowed: ") != std::string_view::npos);
            return true;
        }
        return false;
    };
    using std::chrono::milliseconds;
    CHECK(refuses("batch_messages", {.batch_messages = 0}));
    CHECK(refuses("batch_bytes", {.batch_bytes = 0}));
    CHECK(refuses("message_bytes", {.message_bytes = 0}));
    CHECK(refuses("message_bytes", {.batch_bytes = 9'000'000, .message_bytes = 2'000'000}));
    CHECK(refuses("batch_bytes", {.batch_bytes = 100, .message_bytes = 101}));
    CHECK(refuses("queue_messages", {.queue_messages = 0}));
    CHECK(refuses("queue_bytes", {.queue_bytes = 0}));
    CHECK(refuses("flush_interval", {.flush_interval = milliseconds{0}}));
    CHECK(refuses("flush_interval", {.flush_interval = milliseconds{-1}}));
    CHECK(refuses("connect_timeout", {.connect_timeout = milliseconds{-1}}));
    CHECK(refuses("request_timeout", {.request_timeout = milliseconds{0}}));
    CHECK(refuses("spool.max_bytes", {.spool = {.max_bytes = 0}}));
    CHECK(refuses("spool.max_files", {.spool = {.max_files = 0}}));
    CHECK(refuses("spool.max_age", {.spool = {.max_age = std::chrono::hours{0}}}));
    CHECK(refuses("spool.max_age", {.spool = {.max_age = std::chrono::hours::max()}}));
}

}  // namespace options_test
