#ifndef CANDOR_OTLP_JSON_MEMBERS_HPP
#define CANDOR_OTLP_JSON_MEMBERS_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

/// What is read of a metrics request in JSON, and the numbers that it has in protobuf
/// (open-telemetry/opentelemetry-proto:opentelemetry/proto/metrics/v1/metrics.proto and the files it imports).
namespace candor::detail {

/// What the value of a member must be. The scalars are named for what they become in protobuf.
enum class otlp_form : std::uint8_t {
    text,
    bytes,
    boolean,
    varint,
    fixed64,
    sfixed64,
    uint32,
    floating,
    temporality,
    object,
    opaque,  ///< an object that is known by name only
    list,    ///< an array of objects
};

/// A kind of object: an index of `otlp_members`.
enum class otlp_object : std::uint8_t {
    request,
    resource_metrics,
    resource,
    scope_metrics,
    scope,
    metric,
    gauge,
    sum,
    point,
    key_value,
    value,
    array,
    map,
};

/// A member that is read.
struct otlp_member {
    std::string_view name;
    std::uint8_t field;  ///< its number in protobuf, at most 15
    otlp_form form;
    const char* problem;                      ///< when the value is of another form
    otlp_object kind = otlp_object::request;  ///< of an object, or of a list's
    /// Of what has braces or brackets: members of one slot replace each other. There are two.
    std::size_t slot = 0;
};

inline constexpr otlp_member otlp_request_members[] = {
    {"resourceMetrics", 1, otlp_form::list, "resourceMetrics is not an array of objects",
     otlp_object::resource_metrics},
};
inline constexpr otlp_member otlp_resource_metrics_members[] = {
    {"resource", 1, otlp_form::object, "resource is not an object", otlp_object::resource},
    {"scopeMetrics", 2, otlp_form::list, "scopeMetrics is not an array of objects", otlp_object::scope_metrics, 1},
};
inline constexpr otlp_member otlp_resource_members[] = {
    {"attributes", 1, otlp_form::list, "attributes is not an array of objects", otlp_object::key_value},
};
inline constexpr otlp_member otlp_scope_metrics_members[] = {
    {"scope", 1, otlp_form::object, "scope is not an object", otlp_object::scope},
    {"metrics", 2, otlp_form::list, "metrics is not an array of objects", otlp_object::metric, 1},
};
inline constexpr otlp_member otlp_scope_members[] = {
    {"name", 1, otlp_form::text, "name is not a string"},
    {"version", 2, otlp_form::text, "version is not a string"},
};
inline constexpr otlp_member otlp_metric_members[] = {
    {"name", 1, otlp_form::text, "name is not a string"},
    {"unit", 3, otlp_form::text, "unit is not a string"},
    {"gauge", 5, otlp_form::object, "gauge is not an object", otlp_object::gauge},
    {"sum", 7, otlp_form::object, "sum is not an object", otlp_object::sum},
    {"histogram", 9, otlp_form::opaque, "histogram is not an object"},
    {"exponentialHistogram", 10, otlp_form::opaque, "exponentialHistogram is not an object"},
    {"summary", 11, otlp_form::opaque, "summary is not an object"},
};
inline constexpr otlp_member otlp_gauge_members[] = {
    {"dataPoints", 1, otlp_form::list, "dataPoints is not an array of objects", otlp_object::point},
};
inline constexpr otlp_member otlp_sum_members[] = {
    {"dataPoints", 1, otlp_form::list, "dataPoints is not an array of objects", otlp_object::point},
    {"aggregationTemporality", 2, otlp_form::temporality, "aggregationTemporality is not one of its numbers or names"},
    {"isMonotonic", 3, otlp_form::boolean, "isMonotonic is not true or false"},
};
inline constexpr otlp_member otlp_point_members[] = {
    {"attributes", 7, otlp_form::list, "attributes is not an array of objects", otlp_object::key_value},
    {"startTimeUnixNano", 2, otlp_form::fixed64, "startTimeUnixNano is not an unsigned 64-bit integer"},
    {"timeUnixNano", 3, otlp_form::fixed64, "timeUnixNano is not an unsigned 64-bit integer"},
    {"asInt", 6, otlp_form::sfixed64, "asInt is not a 64-bit integer"},
    {"asDouble", 4, otlp_form::floating, "asDouble is not a number"},
    {"flags", 8, otlp_form::uint32, "flags is not an unsigned 32-bit integer"},
};
inline constexpr otlp_member otlp_key_value_members[] = {
    {"key", 1, otlp_form::text, "key is not a string"},
    {"value", 2, otlp_form::object, "value is not an object", otlp_object::value},
};
inline constexpr otlp_member otlp_value_members[] = {
    {"stringValue", 1, otlp_form::text, "stringValue is not a string"},
    {"boolValue", 2, otlp_form::boolean, "boolValue is not true or false"},
    {"intValue", 3, otlp_form::varint, "intValue is not a 64-bit integer"},
    {"doubleValue", 4, otlp_form::floating, "doubleValue is not a number"},
    {"arrayValue", 5, otlp_form::object, "arrayValue is not an object", otlp_object::array},
    {"kvlistValue", 6, otlp_form::object, "kvlistValue is not an object", otlp_object::map},
    {"bytesValue", 7, otlp_form::bytes, "bytesValue is not a string"},
};
inline constexpr otlp_member otlp_array_members[] = {
    {"values", 1, otlp_form::list, "values is not an array of objects", otlp_object::value},
};
inline constexpr otlp_member otlp_map_members[] = {
    {"values", 1, otlp_form::list, "values is not an array of objects", otlp_object::key_value},
};

inline constexpr std::span<const otlp_member> otlp_members[] = {
    otlp_request_members, otlp_resource_metrics_members, otlp_resource_members, otlp_scope_metrics_members,
    otlp_scope_members,   otlp_metric_members,           otlp_gauge_members,    otlp_sum_members,
    otlp_point_members,   otlp_key_value_members,        otlp_value_members,    otlp_array_members,
    otlp_map_members,
};

}  // namespace candor::detail

#endif
