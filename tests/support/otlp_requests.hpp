#ifndef CANDOR_TESTS_SUPPORT_OTLP_REQUESTS_HPP
#define CANDOR_TESTS_SUPPORT_OTLP_REQUESTS_HPP

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "otlp_writer.hpp"

/// Requests that the tests of both decoders, the fuzzers' seeds and the benchmarks share.
namespace otlp_writer {

/// What a worker of the Go original sends at the end of a small sync.
inline request usual_request() {
    constexpr std::uint64_t start = 1'795'383'630'593'587'644;
    constexpr std::uint64_t time = 1'795'383'630'593'714'599;
    const auto point_of = [&](const char* table, int count) {
        return point{.attributes = {{"sync.client.id", ""}, {"sync.table.name", table}},
                     .start = start,
                     .time = time,
                     .value = count};
    };
    return {
        .resources = {
            {.attributes = {{"service.name", "cloudquery-aws"},
                            {"service.version", "v1.2.3"},
                            {"telemetry.sdk.language", "go"}},
             .scopes = {{.name = "io.cloudquery",
                         .metrics = {{.name = "sync.table.resources",
                                      .points = {point_of("aws_ec2_instances", 10), point_of("aws_s3_buckets", 200)},
                                      .unit = "/{tot}",
                                      .description = "Number of resources synced for a table"}}}}}}};
}

/// One with everything in it that a decoder tells apart.
inline request rich_request() {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const std::vector<attribute> attributes = {
        {"string", "text with \"quotes\", \\ and \xc3\xa9"},
        {"empty", ""},
        {"", "no key"},
        {"true", true},
        {"false", false},
        {"largest", std::numeric_limits<std::int64_t>::max()},
        {"smallest", std::numeric_limits<std::int64_t>::min()},
        {"beyond 2^53", std::int64_t{9'007'199'254'740'993}},
        {"double", 1.5},
        {"infinity", -infinity},
        {"array", value_kind::array},
        {"map", value_kind::map},
        {"bytes", {value_kind::bytes, "AAEC"}},
        {"none", value{}},
        {"long", std::string(300, 'x')},
    };
    const std::vector<point> points = {
        {.attributes = attributes, .start = 1, .time = std::numeric_limits<std::uint64_t>::max(), .value = -1},
        {.attributes = {{"sync.table.name", "t"}}, .time = 3, .value = 2.25},
        {.value = infinity},
        {.time = 4, .no_value = true},
        {},
    };
    using enum aggregation_temporality;
    return {.resources = {
                {.attributes = attributes,
                 .scopes = {{.name = "first",
                             .version = "1.0",
                             .metrics = {{.name = "delta", .temporality = delta, .points = points, .unit = "ms"},
                                         {.name = "gauge", .kind = metric_kind::gauge, .points = points},
                                         {.name = "histogram", .kind = metric_kind::histogram},
                                         {.name = "exponential", .kind = metric_kind::exponential_histogram},
                                         {.name = "summary", .kind = metric_kind::summary},
                                         {.name = "no data", .kind = metric_kind::none},
                                         {.name = "no points"},
                                         {}}},
                            {},
                            {.name = "second",
                             .metrics = {{.name = "whole", .points = points, .monotonic = false},
                                         {.name = "unspecified", .temporality = unspecified, .points = points}}}}},
                {},
                {.attributes = {{"service.name", "another"}}, .scopes = {{.metrics = {{.points = points}}}}}}};
}

}  // namespace otlp_writer

#endif
