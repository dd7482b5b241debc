#include <candor/otlp/table.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace table_test {

namespace {

using namespace candor::otlp;
using namespace std::chrono_literals;
using temporality = aggregation_temporality;

constexpr auto most = std::numeric_limits<std::int64_t>::max();

any_value text(std::string_view value) { return {.kind = value_kind::string, .string = value}; }
any_value integer(std::int64_t value) { return {.kind = value_kind::integer, .integer = value}; }
any_value floating(double value) { return {.kind = value_kind::floating, .floating = value}; }

/// What an update says at the end.
using rejected_points = std::pair<std::uint64_t, std::string_view>;

constexpr rejected_points all_taken{0, ""};

/// One data point with all that it hangs on.
struct sample {
    std::string_view metric = "sync.table.resources";
    any_value value = integer(1);
    std::string_view table = "t";
    std::string_view client_id{};
    temporality how = temporality::cumulative;
    std::uint64_t start = 1;
    std::uint64_t time = 0;
    metric_kind kind = metric_kind::sum;
    std::string_view resource = "worker";
    std::string_view scope = "scope";
    std::string_view unit = "1";
    std::string_view extra{};
    bool no_value = false;
};

void tell(table::update& update, const sample& s) {
    const std::array resource{attribute{"service.name", text(s.resource)}};
    update.resource(resource);
    update.scope(s.scope, "1");
    update.metric({.name = s.metric, .unit = s.unit, .kind = s.kind, .temporality = s.how});
    std::vector<attribute> attributes{{"sync.table.name", text(s.table)}};
    if (!s.client_id.empty()) attributes.push_back({"sync.client.id", text(s.client_id)});
    if (!s.extra.empty()) attributes.push_back({"extra", text(s.extra)});
    update.point(
        {.start_time = s.start, .time = s.time, .value = s.value, .no_value = s.no_value, .attributes = attributes});
}

/// Gives the table a request of these points, and says how many were rejected and why.
rejected_points take(table& t, const std::vector<sample>& samples) {
    table::update update{t};
    for (const auto& s : samples) tell(update, s);
    update.finish();
    return {update.rejected(), update.reason()};
}

/// The same for one point of `resources` with attributes of the test's own.
rejected_points take_point_with(table& t, const std::vector<attribute>& attributes) {
    table::update update{t};
    update.metric({.name = "sync.table.resources", .kind = metric_kind::sum, .temporality = temporality::delta});
    update.point({.value = integer(1), .attributes = attributes});
    update.finish();
    return {update.rejected(), update.reason()};
}

row only_row(const table& t) {
    const auto rows = t.rows();
    REQUIRE(rows.size() == 1);
    return rows[0];
}

}  // namespace

TEST_CASE("a new table is empty") {
    const table t;
    CHECK(t.rows().empty());
    CHECK(t.totals().rows == 0);
    CHECK(t.totals().resources == 0);
    CHECK(t.rejected().total() == 0);
}

TEST_CASE("the six metrics fill a row") {
    table t;
    CHECK(take(t, {{.metric = "sync.table.resources", .value = integer(12), .client_id = "c"},
                   {.metric = "sync.table.errors", .value = integer(3), .client_id = "c"},
                   {.metric = "sync.table.panics", .value = integer(1), .client_id = "c"},
                   {.metric = "sync.table.start_time", .value = integer(1'700'000'000'000'000'001), .client_id = "c"},
                   {.metric = "sync.table.end_time", .value = integer(1'700'000'001'000'000'002), .client_id = "c"},
                   {.metric = "sync.table.duration", .value = integer(1234), .client_id = "c"}}) == all_taken);
    const row r = only_row(t);
    CHECK(r.table == "t");
    CHECK(r.client_id == "c");
    CHECK(r.resources == 12);
    CHECK(r.errors == 3);
    CHECK(r.panics == 1);
    CHECK(r.start_time == candor::wall_time{1'700'000'000'000'000'001ns});
    CHECK(r.end_time == candor::wall_time{1'700'000'001'000'000'002ns});
    CHECK(r.duration == 1234ms);
    CHECK_FALSE(r.running());
}

TEST_CASE("a table is running until its end is known, or its duration where nobody tells times") {
    const auto running = [](const std::vector<std::string_view>& metrics) {
        table t;
        for (const auto metric : metrics) take(t, {{.metric = metric}});
        return only_row(t).running();
    };
    CHECK(running({"sync.table.resources"}));
    CHECK(running({"sync.table.start_time"}));
    CHECK(running({"sync.table.start_time", "sync.table.duration"}));
    CHECK_FALSE(running({"sync.table.start_time", "sync.table.end_time"}));
    CHECK_FALSE(running({"sync.table.end_time"}));
    CHECK_FALSE(running({"sync.table.duration"}));
}

TEST_CASE("rows are told apart by table and client id, and stand in the order in which they came") {
    table t;
    take(t, {{.table = "b"}, {.table = "a", .client_id = "x"}, {.table = "a", .client_id = "y"}, {.table = "a"}});
    take(t, {{.table = "ax"}, {.value = integer(5), .table = "b"}});
    const auto rows = t.rows();
    REQUIRE(rows.size() == 5);
    const std::vector<std::pair<std::string, std::string>> expected{
        {"b", ""}, {"a", "x"}, {"a", "y"}, {"a", ""}, {"ax", ""}};
    for (std::size_t i = 0; i < rows.size(); ++i) {
        CHECK(rows[i].table == expected[i].first);
        CHECK(rows[i].client_id == expected[i].second);
        CHECK(rows[i].resources == (i == 0 ? 5 : 1));
    }
}

TEST_CASE("totals are the sums of all rows") {
    table t;
    take(t, {{.value = integer(5), .table = "a"},
             {.value = integer(7), .table = "b"},
             {.metric = "sync.table.errors", .value = integer(2), .table = "a"},
             {.metric = "sync.table.panics", .value = integer(1), .table = "b"},
             {.metric = "sync.table.duration", .value = integer(1), .table = "b"}});
    CHECK(t.totals().rows == 2);
    CHECK(t.totals().running == 1);
    CHECK(t.totals().resources == 12);
    CHECK(t.totals().errors == 2);
    CHECK(t.totals().panics == 1);
    take(t, {{.value = integer(most), .table = "c"}});
    CHECK(t.totals().resources == most);
}

TEST_CASE("delta points add up, whatever their start times") {
    table t;
    for (std::uint64_t i = 1; i <= 5; ++i)
        take(t, {{.value = integer(10), .how = temporality::delta, .start = i, .time = i + 1}});
    CHECK(only_row(t).resources == 50);
}

TEST_CASE("a sum that grows past 64 bits stays at the end of them") {
    table t;
    for (int i = 0; i < 3; ++i) take(t, {{.value = integer(most), .how = temporality::delta}});
    CHECK(only_row(t).resources == most);
}

TEST_CASE("a cumulative point replaces what its stream said, unless it is older") {
    table t;
    take(t, {{.value = integer(10), .time = 100}});
    take(t, {{.value = integer(25), .time = 200}});
    CHECK(only_row(t).resources == 25);
    CHECK(take(t, {{.value = integer(17), .time = 150}}) == all_taken);
    CHECK(only_row(t).resources == 25);
}

TEST_CASE("whatever tells a stream makes it another that adds to the first") {
    const auto with = [](const sample& other) {
        table t;
        take(t, {{.value = integer(10), .time = 100}});
        take(t, {other});
        take(t, {{.value = integer(11), .time = 200}});
        return only_row(t).resources;
    };
    const auto again = integer(100);
    CHECK(with({.value = again, .time = 150}) == 11);
    CHECK(with({.value = again, .start = 2, .time = 150}) == 111);  // the sender started anew
    CHECK(with({.value = again, .time = 150, .resource = "other"}) == 111);
    CHECK(with({.value = again, .time = 150, .scope = "other"}) == 111);
    CHECK(with({.value = again, .time = 150, .unit = "other"}) == 111);
    CHECK(with({.value = again, .time = 150, .extra = "other"}) == 111);
    CHECK(with({.value = again, .how = temporality::delta, .time = 150}) == 111);
}

TEST_CASE("the order of attributes does not matter") {
    table t;
    const auto told = [&t](const std::vector<attribute>& attributes, std::int64_t value) {
        table::update update{t};
        update.resource(attributes);
        update.scope("s", "");
        update.metric(
            {.name = "sync.table.resources", .kind = metric_kind::sum, .temporality = temporality::cumulative});
        update.point({.value = integer(value), .attributes = attributes});
        update.finish();
    };
    told({{"a", integer(1)}, {"b", integer(2)}, {"sync.table.name", text("t")}, {"sync.client.id", text("c")}}, 5);
    told({{"sync.client.id", text("c")}, {"b", integer(2)}, {"sync.table.name", text("t")}, {"a", integer(1)}}, 7);
    CHECK(only_row(t).resources == 7);
    told({{"sync.client.id", text("c")}, {"b", integer(1)}, {"sync.table.name", text("t")}, {"a", integer(2)}}, 9);
    CHECK(only_row(t).resources == 16);
}

TEST_CASE("of several workers the earliest start, the latest end and the longest duration count") {
    table t;
    const auto from = [&t](std::string_view worker, std::int64_t start, std::int64_t end, std::int64_t duration) {
        take(t, {{.metric = "sync.table.start_time", .value = integer(start), .resource = worker},
                 {.metric = "sync.table.end_time", .value = integer(end), .resource = worker},
                 {.metric = "sync.table.duration", .value = integer(duration), .resource = worker}});
    };
    from("a", 100, 200, 7);
    from("b", 90, 150, 9);
    from("c", 110, 190, 8);
    CHECK(only_row(t).start_time == candor::wall_time{90ns});
    CHECK(only_row(t).end_time == candor::wall_time{200ns});
    CHECK(only_row(t).duration == 9ms);
    from("b", 120, 160, 5);  // what one says later replaces what it said
    CHECK(only_row(t).start_time == candor::wall_time{100ns});
    CHECK(only_row(t).duration == 8ms);
}

TEST_CASE("a time of zero says nothing, a duration of zero is one") {
    table t;
    CHECK(take(t, {{.metric = "sync.table.start_time", .value = integer(0)},
                   {.metric = "sync.table.end_time", .value = integer(0)}}) == all_taken);
    CHECK(t.rows().empty());
    take(t, {{.metric = "sync.table.duration", .value = integer(0)}});
    CHECK(only_row(t).duration == 0ns);
}

TEST_CASE("other metrics and other kinds of the same name are passed over in silence") {
    table t;
    CHECK(take(t, {{.metric = "sync.table.bytes"},
                   {.metric = "http.requests"},
                   {.kind = metric_kind::gauge},
                   {.kind = metric_kind::histogram},
                   {.table = "", .kind = metric_kind::gauge},
                   {.no_value = true},
                   {.table = "", .no_value = true}}) == all_taken);
    CHECK(t.rows().empty());
}

TEST_CASE("a floating-point sum counts where it is whole") {
    table t;
    CHECK(take(t, {{.value = floating(12)}, {.value = floating(0.5), .table = "u"}}) ==
          rejected_points{1, to_string(rejection::bad_value)});
    CHECK(only_row(t).resources == 12);
}

TEST_CASE("a point without a usable table name is rejected, and the others of its request are kept") {
    table t;
    table::update update{t};
    update.metric({.name = "sync.table.resources", .kind = metric_kind::sum, .temporality = temporality::delta});
    const std::vector<std::vector<attribute>> unusable{
        {},
        {{"sync.table.name", text("")}},
        {{"sync.table.name", integer(7)}},
        {{"sync.table.name", {}}},
        {{"sync.table.name", {.kind = value_kind::bytes, .string = "t"}}},
        {{"sync.table", text("t")}, {"sync.client.id", text("c")}},
    };
    for (const auto& attributes : unusable) update.point({.value = integer(1), .attributes = attributes});
    const std::array good{attribute{"sync.table.name", text("t")}};
    update.point({.value = integer(5), .attributes = good});
    CHECK(t.rejected().total() == 0);  // nothing counts yet
    update.finish();
    CHECK(update.rejected() == unusable.size());
    CHECK(update.reason() == to_string(rejection::no_table_name));
    CHECK(t.rejected()[rejection::no_table_name] == unusable.size());
    CHECK(only_row(t).resources == 5);
}

TEST_CASE("the client id has two names, of which the first is preferred") {
    const auto client_of = [](const std::vector<attribute>& attributes) {
        table t;
        CHECK(take_point_with(t, attributes) == all_taken);
        return only_row(t).client_id;
    };
    const attribute name{"sync.table.name", text("t")};
    CHECK(client_of({name}) == "");
    CHECK(client_of({name, {"sync.client.id", text("c")}}) == "c");
    CHECK(client_of({{"sync.table.client_id", text("d")}, name}) == "d");
    CHECK(client_of({{"sync.table.client_id", text("d")}, name, {"sync.client.id", text("c")}}) == "c");
    CHECK(client_of({{"sync.table.client_id", text("d")}, name, {"sync.client.id", text("")}}) == "d");
    CHECK(client_of({name, {"sync.client.id", integer(4)}}) == "");
}

TEST_CASE("a sum without temporality, and a value that makes no sense, are rejected") {
    table t;
    CHECK(take(t, {{.how = temporality::unspecified}}) == rejected_points{1, to_string(rejection::no_temporality)});
    CHECK(take(t, {{.value = {}}, {.metric = "sync.table.duration", .value = integer(-1)}}) ==
          rejected_points{2, to_string(rejection::bad_value)});
    CHECK(t.rows().empty());
    CHECK(t.rejected()[rejection::no_temporality] == 1);
    CHECK(t.rejected()[rejection::bad_value] == 2);
    CHECK(t.rejected().total() == 3);
}

TEST_CASE("names are bounded in length") {
    table t{{.max_name_bytes = 10}};
    const std::string fits(10, 'x'), too_long(11, 'x');
    CHECK(take(t, {{.table = fits, .client_id = fits}}) == all_taken);
    CHECK(take(t, {{.table = too_long}}) == rejected_points{1, to_string(rejection::name_too_long)});
    CHECK(take(t, {{.client_id = too_long}}).first == 1);
    CHECK(t.rows().size() == 1);
    CHECK(table_options{}.max_name_bytes == 256);
}

TEST_CASE("row 39: rows are bounded in number, and those there are go on") {
    table t{{.max_rows = 2}};
    CHECK(take(t,
               {{.table = "a"}, {.table = "b"}, {.table = "c"}, {.table = "d"}, {.value = integer(9), .table = "b"}}) ==
          rejected_points{2, to_string(rejection::too_many_rows)});
    CHECK(take(t, {{.value = integer(5), .table = "a"}, {.table = "c"}}).first == 1);
    const auto rows = t.rows();
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].resources == 5);
    CHECK(rows[1].resources == 9);
    CHECK(t.rejected()[rejection::too_many_rows] == 3);
}

TEST_CASE("rows are bounded in number also where requests come at the same time") {
    table t{{.max_rows = 2}};
    table::update first{t}, second{t};
    tell(first, {.table = "a"});
    tell(second, {.table = "b"});
    tell(second, {.table = "c"});
    first.finish();
    second.finish();
    CHECK(first.rejected() == 0);
    CHECK(second.rejected() == 1);
    CHECK(second.reason() == to_string(rejection::too_many_rows));
    CHECK(t.rows().size() == 2);
}

TEST_CASE("names that had no row do not keep others out later") {
    table t{{.max_rows = 2}};
    CHECK(take(t, {{.table = "a"}, {.table = "b"}, {.table = "c"}}).first == 1);
    CHECK(take(t, {{.table = "c"}, {.table = "d"}}).first == 2);
    CHECK(take(t, {{.value = integer(7), .table = "b"}, {.value = integer(8), .table = "a"}}) == all_taken);
    CHECK(t.rows()[0].resources == 8);
    CHECK(t.rows()[1].resources == 7);
}

TEST_CASE("senders of one row at one time are bounded in number") {
    table t;
    std::vector<std::string> workers;
    for (std::size_t i = 0; i <= detail::stream_aggregator::max_streams; ++i)
        workers.push_back("worker " + std::to_string(i));
    std::vector<sample> samples;
    for (const auto& w : workers) samples.push_back({.start = 10, .time = 20, .resource = w});
    CHECK(take(t, samples) == rejected_points{1, to_string(rejection::too_many_senders)});
    CHECK(only_row(t).resources == static_cast<std::int64_t>(detail::stream_aggregator::max_streams));
}

TEST_CASE("the most frequent reason is given") {
    table t;
    CHECK(take(t, {{.value = {}}, {.table = ""}, {.table = ""}, {.how = temporality::unspecified}}) ==
          rejected_points{4, to_string(rejection::no_table_name)});
}

TEST_CASE("a request that is not finished changes nothing") {
    table t;
    take(t, {{.value = integer(5)}});
    {
        table::update update{t};
        tell(update, {.value = integer(50), .time = 5});
        tell(update, {.table = "new"});
        tell(update, {.table = ""});
    }
    CHECK(only_row(t).resources == 5);
    CHECK(t.rejected().total() == 0);
    take(t, {{.value = integer(6), .time = 9}});  // its memory is used again, its points are not
    CHECK(only_row(t).resources == 6);
}

TEST_CASE("requests that are taken in at the same time, one of them malformed, do not mix") {
    table t;
    table::update first{t};
    {
        table::update malformed{t};
        tell(malformed, {.value = integer(100), .table = "b"});
        tell(first, {.value = integer(1), .table = "a"});
        table::update second{t};
        tell(second, {.value = integer(2), .table = "b"});
        second.finish();
    }
    tell(first, {.value = integer(3), .table = "c"});
    first.finish();
    const auto rows = t.rows();
    REQUIRE(rows.size() == 3);
    CHECK(rows[0].table == "b");
    CHECK(rows[0].resources == 2);
    CHECK(rows[1].resources == 1);
    CHECK(rows[2].resources == 3);
}

TEST_CASE("nothing counts before the request is finished, and it may be gone by then") {
    table t;
    table::update update{t};
    {
        std::string name = "a table name that is rather long";
        tell(update, {.table = name});
        name.assign(name.size(), '-');
    }
    CHECK(t.rows().empty());
    update.finish();
    CHECK(only_row(t).table == "a table name that is rather long");
}

TEST_CASE("a callback sees each duration once, outside the lock") {
    std::vector<std::string> seen;
    table* asked = nullptr;
    table t{{.on_duration = [&](const duration_seen& d) {
        seen.push_back(std::string{d.table} + "/" + std::string{d.client_id} + " " + std::to_string(d.duration / 1ms) +
                       " of " + std::to_string(asked->rows().size()));
    }}};
    asked = &t;
    const auto duration = [&t](const sample& s) {
        sample told = s;
        told.metric = "sync.table.duration";
        take(t, {told});
    };
    duration({.value = integer(5), .client_id = "c", .time = 10});
    duration({.value = integer(5), .client_id = "c", .time = 20});  // the next export says the same again
    duration({.value = integer(7), .client_id = "c", .time = 30});
    duration({.value = integer(6), .client_id = "c", .time = 25});  // late
    duration({.value = integer(3), .table = "u", .how = temporality::delta});
    duration({.value = integer(4), .table = "u", .how = temporality::delta});
    duration({.value = integer(1), .table = ""});
    take(t, {{.value = integer(9)}});
    CHECK(seen == std::vector<std::string>{"t/c 5 of 1", "t/c 7 of 1", "u/ 3 of 2", "u/ 7 of 2"});
}

TEST_CASE("what a callback throws is swallowed") {
    int calls = 0;
    table t{{.on_duration = [&](const duration_seen&) {
        ++calls;
        throw std::runtime_error{"callback"};
    }}};
    CHECK(take(t, {{.metric = "sync.table.duration", .table = "a"}, {.metric = "sync.table.duration", .table = "b"}}) ==
          all_taken);
    CHECK(calls == 2);
    CHECK(t.rows().size() == 2);
}

TEST_CASE("a callback may take a request in") {
    table* target = nullptr;
    table t{{.on_duration = [&](const duration_seen& d) {
        if (d.table == "first") take(*target, {{.metric = "sync.table.duration", .table = "second"}});
    }}};
    target = &t;
    take(t, {{.metric = "sync.table.duration", .table = "first"}});
    CHECK(t.rows().size() == 2);
}

TEST_CASE("readers and senders at once: no reader sees half a request") {
    table t{{.on_duration = [](const duration_seen&) {}}};
    constexpr int senders = 3, requests = 300;
    std::vector<std::thread> threads;
    for (int sender = 0; sender < senders; ++sender) {
        threads.emplace_back([&t, sender] {
            const std::string worker = "worker " + std::to_string(sender);
            for (int i = 1; i <= requests; ++i) {
                const auto time = static_cast<std::uint64_t>(i);
                const auto more = [&](std::string_view metric, std::string_view table) {
                    return sample{
                        .metric = metric, .value = integer(i), .table = table, .time = time, .resource = worker};
                };
                const std::string own = "table " + std::to_string(i % 50);
                take(t, {more("sync.table.resources", "shared"),
                         more("sync.table.errors", "shared"),
                         more("sync.table.duration", "shared"),
                         {.table = own, .how = temporality::delta}});
            }
        });
    }
    std::int64_t last = 0;
    while (last < senders * requests) {
        for (const auto& r : t.rows()) {
            if (r.table != "shared") continue;
            REQUIRE(r.resources == r.errors);
            REQUIRE(r.resources >= last);
            last = r.resources;
        }
        const auto totals = t.totals();
        REQUIRE(totals.errors <= totals.resources);
        REQUIRE(t.rejected().total() == 0);
    }
    for (auto& thread : threads) thread.join();
    CHECK(t.totals().errors == senders * requests);
    CHECK(t.totals().resources == 2 * senders * requests);
}

TEST_CASE("many points on few tables, restarts included, are counted exactly") {
    table t;
    constexpr std::uint64_t runs = 200;
    std::vector<std::string> names;
    for (int i = 0; i < 100; ++i) names.push_back("table " + std::to_string(i));
    for (std::uint64_t run = 1; run <= runs; ++run) {
        std::vector<sample> samples;
        for (const auto& name : names)
            samples.push_back({.value = integer(3), .table = name, .start = run * 10, .time = run * 10 + 5});
        REQUIRE(take(t, samples) == all_taken);
    }
    CHECK(t.rows().size() == names.size());
    for (const auto& r : t.rows()) CHECK(r.resources == 3 * runs);
}

TEST_CASE("the default bounds are those that are documented") {
    CHECK(table_options{}.max_rows == 10'000);
    table t;
    std::vector<std::string> names;
    for (int i = 0; i < 10'001; ++i) names.push_back(std::to_string(i));
    std::vector<sample> samples;
    for (const auto& name : names) samples.push_back({.table = name});
    CHECK(take(t, samples).first == 1);
    CHECK(t.rows().size() == 10'000);
}

}  // namespace table_test
