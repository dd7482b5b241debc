#include <candor/otlp/metrics.hpp>

#include <span>
#include <string_view>

#include <support/otlp_recorder.hpp>

#include <doctest/doctest.h>

namespace metrics_test {

namespace {

struct deaf {
    void resource(std::span<const candor::otlp::attribute>) {}
    void scope(std::string_view, std::string_view) {}
    void metric(const candor::otlp::metric_descriptor&) {}
    void point(const candor::otlp::number_point&) {}
};

struct minimal : deaf {
    void finish() {}
};

}  // namespace

TEST_CASE("A visitor has all five calls") {
    CHECK(candor::otlp::visitor<minimal>);
    CHECK(candor::otlp::visitor<otlp_recorder>);
    CHECK_FALSE(candor::otlp::visitor<deaf>);
    CHECK_FALSE(candor::otlp::visitor<int>);
}

TEST_CASE("An answer of a decoder is true where there is no problem") {
    CHECK(candor::otlp::decoded{});
    CHECK_FALSE(candor::otlp::decoded{"a problem"});
}

TEST_CASE("A point and a metric say nothing until they are told") {
    const candor::otlp::number_point point;
    CHECK(point.value.kind == candor::otlp::value_kind::none);
    CHECK(point.attributes.empty());
    CHECK_FALSE(point.no_value);
    const candor::otlp::metric_descriptor metric;
    CHECK(metric.kind == candor::otlp::metric_kind::none);
    CHECK(metric.temporality == candor::otlp::aggregation_temporality::unspecified);
}

}  // namespace metrics_test
