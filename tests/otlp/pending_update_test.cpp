#include <candor/otlp/pending_update.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include <doctest/doctest.h>

namespace pending_update_test {

namespace {

using namespace candor::otlp;
using detail::table_metric;

constexpr auto most = std::numeric_limits<std::int64_t>::max();
constexpr auto least = std::numeric_limits<std::int64_t>::min();

std::optional<std::int64_t> integer(table_metric metric, std::int64_t value) {
    return detail::table_value(metric, {.kind = value_kind::integer, .integer = value});
}

std::optional<std::int64_t> floating(table_metric metric, double value) {
    return detail::table_value(metric, {.kind = value_kind::floating, .floating = value});
}

}  // namespace

TEST_CASE("six metrics make the table") {
    CHECK(detail::to_table_metric("sync.table.resources") == table_metric::resources);
    CHECK(detail::to_table_metric("sync.table.errors") == table_metric::errors);
    CHECK(detail::to_table_metric("sync.table.panics") == table_metric::panics);
    CHECK(detail::to_table_metric("sync.table.start_time") == table_metric::start_time);
    CHECK(detail::to_table_metric("sync.table.end_time") == table_metric::end_time);
    CHECK(detail::to_table_metric("sync.table.duration") == table_metric::duration);
    for (const auto* name : {"", "resources", "sync.table.", "sync.table.resource", "sync.table.resources2",
                             "Sync.table.resources", "sync.table.name"})
        CHECK(detail::to_table_metric(name) == table_metric::none);
}

TEST_CASE("counts are any integer; times and durations are none below zero") {
    for (const auto metric : {table_metric::resources, table_metric::errors, table_metric::panics}) {
        CHECK(integer(metric, least) == least);
        CHECK(integer(metric, most) == most);
    }
    for (const auto metric : {table_metric::start_time, table_metric::end_time, table_metric::duration}) {
        CHECK_FALSE(integer(metric, -1));
        CHECK_FALSE(floating(metric, -1));
        CHECK(integer(metric, 0) == 0);
    }
    CHECK(integer(table_metric::end_time, most) == most);
}

TEST_CASE("a duration is milliseconds, whole or not, as far as nanoseconds go") {
    CHECK(integer(table_metric::duration, 61'234) == 61'234'000'000);
    CHECK(integer(table_metric::duration, most / 1'000'000) == most / 1'000'000 * 1'000'000);
    CHECK_FALSE(integer(table_metric::duration, most / 1'000'000 + 1));
    CHECK(floating(table_metric::duration, 1.5) == 1'500'000);
    CHECK(floating(table_metric::duration, 0.1) == 100'000);
    CHECK_FALSE(floating(table_metric::duration, 1e13));
}

TEST_CASE("a floating-point number counts where it is whole and fits") {
    CHECK(floating(table_metric::resources, 12.0) == 12);
    CHECK(floating(table_metric::resources, -9223372036854775808.0) == least);
    CHECK_FALSE(floating(table_metric::resources, 9223372036854775808.0));
    CHECK_FALSE(floating(table_metric::resources, 12.5));
    CHECK_FALSE(floating(table_metric::start_time, 0.5));
    for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL, 1e300}) {
        CHECK_FALSE(floating(table_metric::resources, bad));
        CHECK_FALSE(floating(table_metric::duration, bad));
    }
}

TEST_CASE("what is no number counts as none") {
    CHECK_FALSE(detail::table_value(table_metric::resources, {}));
    CHECK_FALSE(detail::table_value(table_metric::resources, {.kind = value_kind::string, .string = "1"}));
    CHECK_FALSE(detail::table_value(table_metric::resources, {.kind = value_kind::boolean, .boolean = true}));
}

TEST_CASE("the hash of an attribute depends on its key, kind and value") {
    const auto hash = [](const attribute& a) { return detail::hash_attribute(1, a); };
    const attribute a{"k", {.kind = value_kind::string, .string = "v"}};
    CHECK(hash(a) == hash({"k", {.kind = value_kind::string, .string = "v"}}));
    CHECK(hash(a) != hash({"l", {.kind = value_kind::string, .string = "v"}}));
    CHECK(hash(a) != hash({"k", {.kind = value_kind::string, .string = "w"}}));
    CHECK(hash({"k", {.kind = value_kind::integer, .integer = 1}}) !=
          hash({"k", {.kind = value_kind::integer, .integer = 2}}));
    CHECK(hash({"k", {.kind = value_kind::floating, .floating = 1}}) !=
          hash({"k", {.kind = value_kind::floating, .floating = 2}}));
    CHECK(hash({"k", {.kind = value_kind::boolean, .boolean = true}}) != hash({"k", {.kind = value_kind::boolean}}));
    CHECK(hash({"k", {.kind = value_kind::array}}) != hash({"k", {.kind = value_kind::map}}));
}

TEST_CASE("a pair of names has one position, in whatever order it comes") {
    detail::pending_update staged;
    CHECK(staged.intern(1, "a", "x", 9) == 0);
    CHECK(staged.intern(1, "a", "y", 9) == 1);
    CHECK(staged.intern(1, "ax", "", 9) == 2);
    CHECK(staged.intern(1, "", "ax", 9) == 3);
    staged.next_metric();
    CHECK(staged.intern(1, "a", "x", 9) == 0);
    CHECK(staged.intern(1, "ax", "", 9) == 2);
    CHECK(staged.intern(1, "", "ax", 9) == 3);
    CHECK(staged.intern(1, "a", "y", 9) == 1);
    CHECK(staged.names().size() == 4);
    CHECK(staged.table(staged.names()[1]) == "a");
    CHECK(staged.client_id(staged.names()[1]) == "y");
}

TEST_CASE("names are bounded in number, and those there are go on") {
    detail::pending_update staged;
    CHECK(staged.intern(1, "a", "", 2) == 0);
    CHECK(staged.intern(1, "b", "", 2) == 1);
    CHECK(staged.intern(1, "c", "", 2) == detail::name_index::none);
    CHECK(staged.intern(1, "b", "", 2) == 1);
    CHECK(staged.names().size() == 2);
}

TEST_CASE("staged names do not refer to the request") {
    detail::pending_update staged;
    {
        std::string table(100, 't'), client(100, 'c');
        staged.intern(1, table, client, 9);
        table.assign(100, '-');
        client.assign(100, '-');
    }
    CHECK(staged.table(staged.names()[0]) == std::string(100, 't'));
    CHECK(staged.client_id(staged.names()[0]) == std::string(100, 'c'));
}

TEST_CASE("names whose rows are known are kept for the next request") {
    detail::pending_update staged;
    staged.intern(1, "a", "", 9);
    staged.intern(1, "b", "", 9);
    CHECK(staged.first_unknown() == 0);
    staged.set_row(0, 5);
    staged.set_row(1, 3);
    CHECK(staged.first_unknown() == 2);
    staged.points.push_back({.name = 1});
    CHECK(staged.row(staged.points[0]) == 3);

    CHECK(staged.recycle());
    CHECK(staged.points.empty());
    CHECK(staged.first_unknown() == 2);
    CHECK(staged.intern(1, "b", "", 9) == 1);
    CHECK(staged.intern(1, "a", "", 9) == 0);
    CHECK(staged.intern(1, "c", "", 9) == 2);
    CHECK(staged.names()[2].row == detail::name_index::none);
}

TEST_CASE("names of a request that did not count, or had too many, are forgotten") {
    for (const bool finished : {false, true}) {
        detail::pending_update staged;
        staged.intern(1, "a", "", 9);
        staged.intern(1, "b", "", 9);
        staged.intern(1, "c", "", 9);
        if (finished) {
            staged.set_row(0, 0);
            staged.set_row(1, detail::name_index::none);
            staged.set_row(2, 1);
            CHECK(staged.first_unknown() == 1);
        }
        CHECK(staged.recycle());
        CHECK(staged.names().empty());
        CHECK(staged.first_unknown() == 0);
        CHECK(staged.intern(1, "b", "", 9) == 0);
    }
}

TEST_CASE("the memory of a usual request is used again, that of a huge one is not") {
    detail::pending_update staged;
    staged.points.resize(1000);
    CHECK(staged.recycle());
    CHECK(staged.points.capacity() >= 1000);

    staged.points.resize(1'000'000);
    CHECK_FALSE(staged.recycle());
    detail::pending_update names;
    names.intern(1, std::string(10'000'000, 'x'), "", 9);
    CHECK_FALSE(names.recycle());
}

}  // namespace pending_update_test
