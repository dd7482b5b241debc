#ifndef CANDOR_TESTS_SUPPORT_OTLP_RECORDER_HPP
#define CANDOR_TESTS_SUPPORT_OTLP_RECORDER_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <candor/otlp/metrics.hpp>

/// A visitor that writes down what it is told, a line a call, exactly.
class otlp_recorder {
public:
    [[nodiscard]] const std::vector<std::string>& calls() const noexcept { return calls_; }
    [[nodiscard]] bool finished() const noexcept { return !calls_.empty() && calls_.back() == "finish"; }

    void resource(std::span<const candor::otlp::attribute> attributes) {
        calls_.push_back("resource" + text(attributes));
    }
    void scope(std::string_view name, std::string_view version) {
        calls_.push_back("scope" + quoted(name) + quoted(version));
    }
    void metric(const candor::otlp::metric_descriptor& m) {
        calls_.push_back("metric" + quoted(m.name) + quoted(m.unit) + number(m.kind) + number(m.temporality) +
                         (m.monotonic ? " monotonic" : ""));
    }
    void point(const candor::otlp::number_point& p) {
        calls_.push_back("point " + std::to_string(p.start_time) + " " + std::to_string(p.time) + text(p.value) +
                         (p.no_value ? " no value" : "") + text(p.attributes));
    }
    void finish() { calls_.emplace_back("finish"); }

private:
    using value_kind = candor::otlp::value_kind;

    template <class Enum>
    static std::string number(Enum e) {
        return " " + std::to_string(static_cast<int>(e));
    }

    static std::string quoted(std::string_view text) { return " \"" + std::string{text} + "\""; }

    static std::string text(const candor::otlp::any_value& v) {
        switch (v.kind) {
            case value_kind::string:
                return quoted(v.string);
            case value_kind::boolean:
                return v.boolean ? " true" : " false";
            case value_kind::integer:
                return " " + std::to_string(v.integer);
            case value_kind::floating:
                return " double " + std::to_string(std::bit_cast<std::uint64_t>(v.floating));
            default:
                return " kind" + number(v.kind);
        }
    }

    static std::string text(std::span<const candor::otlp::attribute> attributes) {
        std::string all;
        for (const auto& a : attributes) all += quoted(a.key) + ":" + text(a.value);
        return all;
    }

    std::vector<std::string> calls_;
};

/// What a decoder tells a visitor of this body, and what it says of the body.
struct otlp_record {
    std::vector<std::string> calls{};
    std::string problem{};  ///< empty where the body was well-formed

    bool operator==(const otlp_record&) const = default;
};

template <class Decode>
otlp_record record(Decode decode, std::string_view body) {
    otlp_recorder visitor;
    const auto found = decode(body, visitor);
    return {visitor.calls(), found ? std::string{} : std::string{found.problem}};
}

#endif
