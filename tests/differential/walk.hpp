#ifndef CANDOR_TESTS_DIFFERENTIAL_WALK_HPP
#define CANDOR_TESTS_DIFFERENTIAL_WALK_HPP

#include <vector>

#include <candor/otlp/metrics.hpp>

#include <metrics.pb.h>

/// Tells a visitor what libprotobuf has parsed, in the order that candor's decoders keep.
namespace candor::differential {

inline otlp::any_value value_of(const Value& v) {
    using otlp::value_kind;
    switch (v.value_case()) {
        case Value::kStringValue:
            return {.kind = value_kind::string, .string = v.string_value()};
        case Value::kBoolValue:
            return {.kind = value_kind::boolean, .boolean = v.bool_value()};
        case Value::kIntValue:
            return {.kind = value_kind::integer, .integer = v.int_value()};
        case Value::kDoubleValue:
            return {.kind = value_kind::floating, .floating = v.double_value()};
        case Value::kArrayValue:
            return {.kind = value_kind::array};
        case Value::kKvlistValue:
            return {.kind = value_kind::map};
        case Value::kBytesValue:
            return {.kind = value_kind::bytes};
        default:
            return {};
    }
}

template <class Fields>
void fill(std::vector<otlp::attribute>& attributes, const Fields& fields) {
    attributes.clear();
    for (const auto& a : fields) attributes.push_back({.key = a.key(), .value = value_of(a.value())});
}

template <class Points, otlp::visitor V>
void walk_points(const Points& points, std::vector<otlp::attribute>& attributes, V& visitor) {
    for (const auto& p : points) {
        otlp::number_point point{
            .start_time = p.start_time_unix_nano(), .time = p.time_unix_nano(), .no_value = (p.flags() & 1) != 0};
        if (p.value_case() == Point::kAsInt) point.value = {.kind = otlp::value_kind::integer, .integer = p.as_int()};
        if (p.value_case() == Point::kAsDouble) {
            point.value = {.kind = otlp::value_kind::floating, .floating = p.as_double()};
        }
        fill(attributes, p.attributes());
        point.attributes = attributes;
        visitor.point(point);
    }
}

inline otlp::metric_descriptor descriptor_of(const Metric& m) {
    using otlp::aggregation_temporality;
    using otlp::metric_kind;
    otlp::metric_descriptor found{.name = m.name(), .unit = m.unit()};
    switch (m.data_case()) {
        case Metric::kGauge:
            found.kind = metric_kind::gauge;
            break;
        case Metric::kSum:
            found.kind = metric_kind::sum;
            if (m.sum().aggregation_temporality() == DELTA) found.temporality = aggregation_temporality::delta;
            if (m.sum().aggregation_temporality() == CUMULATIVE)
                found.temporality = aggregation_temporality::cumulative;
            found.monotonic = m.sum().is_monotonic();
            break;
        case Metric::kHistogram:
            found.kind = metric_kind::histogram;
            break;
        case Metric::kExponentialHistogram:
            found.kind = metric_kind::exponential_histogram;
            break;
        case Metric::kSummary:
            found.kind = metric_kind::summary;
            break;
        default:
            break;
    }
    return found;
}

template <otlp::visitor V>
void walk(const Request& request, V& visitor) {
    std::vector<otlp::attribute> attributes;
    for (const auto& r : request.resource_metrics()) {
        fill(attributes, r.resource().attributes());
        visitor.resource(attributes);
        for (const auto& s : r.scope_metrics()) {
            visitor.scope(s.scope().name(), s.scope().version());
            for (const auto& m : s.metrics()) {
                visitor.metric(descriptor_of(m));
                if (m.has_gauge()) walk_points(m.gauge().data_points(), attributes, visitor);
                if (m.has_sum()) walk_points(m.sum().data_points(), attributes, visitor);
            }
        }
    }
    visitor.finish();
}

}  // namespace candor::differential

#endif
