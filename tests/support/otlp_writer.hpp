#ifndef CANDOR_TESTS_SUPPORT_OTLP_WRITER_HPP
#define CANDOR_TESTS_SUPPORT_OTLP_WRITER_HPP

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <candor/otlp/metrics.hpp>

/// OTLP metrics requests as a sender makes them: a request is built as a value and written as protobuf or as JSON.
namespace otlp_writer {

using candor::otlp::aggregation_temporality;
using candor::otlp::metric_kind;
using candor::otlp::value_kind;

/// An attribute's value, or a point's. An array and a map are written with some content.
struct value {
    value_kind kind = value_kind::none;
    std::string string{};  ///< the bytes too
    bool boolean = false;
    std::int64_t integer = 0;
    double floating = 0;

    value() = default;
    value(const char* text) : kind{value_kind::string}, string{text} {}
    value(std::string text) : kind{value_kind::string}, string{std::move(text)} {}
    value(bool flag) : kind{value_kind::boolean}, boolean{flag} {}
    value(int number) : kind{value_kind::integer}, integer{number} {}
    value(std::int64_t number) : kind{value_kind::integer}, integer{number} {}
    value(double number) : kind{value_kind::floating}, floating{number} {}
    value(value_kind k, std::string bytes = {}) : kind{k}, string{std::move(bytes)} {}
};

struct attribute {
    std::string key{};
    otlp_writer::value value{};
};

struct point {
    std::vector<attribute> attributes{};
    std::uint64_t start = 0;
    std::uint64_t time = 0;
    otlp_writer::value value{};
    bool no_value = false;
};

struct metric {
    std::string name{};
    metric_kind kind = metric_kind::sum;
    aggregation_temporality temporality = aggregation_temporality::cumulative;
    std::vector<point> points{};  ///< of a gauge or a sum; other kinds are written with one point of their own
    std::string unit{};
    std::string description{};
    bool monotonic = true;
};

struct scope {
    std::string name{};
    std::string version{};
    std::vector<metric> metrics{};
};

struct resource {
    std::vector<attribute> attributes{};
    std::vector<scope> scopes{};
};

struct request {
    std::vector<resource> resources{};
};

/// In which order a message or an object has its members. Of a repeated one the order never changes.
enum class member_order { ascending, descending };

// Protobuf.

inline void write_varint(std::string& out, std::uint64_t number) {
    for (; number >= 0x80; number >>= 7) out += static_cast<char>(number | 0x80);
    out += static_cast<char>(number);
}

/// A message in the making. Its fields are written in the order of their numbers, or in the opposite one.
class message {
public:
    explicit message(member_order order = member_order::ascending) : order_{order} {}

    message& varint(std::uint32_t number, std::uint64_t content) {
        std::string bytes = tag(number, 0);
        write_varint(bytes, content);
        return raw(number, std::move(bytes));
    }
    message& fixed64(std::uint32_t number, std::uint64_t content) {
        return raw(number, tag(number, 1) + little_endian(content, 8));
    }
    message& fixed32(std::uint32_t number, std::uint32_t content) {
        return raw(number, tag(number, 5) + little_endian(content, 4));
    }
    message& bytes(std::uint32_t number, std::string_view content) {
        std::string bytes = tag(number, 2);
        write_varint(bytes, content.size());
        return raw(number, bytes.append(content));
    }
    message& text(std::uint32_t number, std::string_view content) {
        return content.empty() ? *this : bytes(number, content);
    }
    /// A field with its tag.
    message& raw(std::uint32_t number, std::string field) {
        fields_.emplace_back(number, std::move(field));
        return *this;
    }

    [[nodiscard]] std::string str() const {
        auto fields = fields_;
        std::stable_sort(fields.begin(), fields.end(), [&](const auto& a, const auto& b) {
            return order_ == member_order::ascending ? a.first < b.first : b.first < a.first;
        });
        std::string all;
        for (const auto& field : fields) all += field.second;
        return all;
    }

    static std::string tag(std::uint32_t number, std::uint32_t wire_type) {
        std::string bytes;
        write_varint(bytes, std::uint64_t{number} << 3 | wire_type);
        return bytes;
    }

private:
    static std::string little_endian(std::uint64_t content, int size) {
        std::string bytes;
        for (int i = 0; i < size; ++i) bytes += static_cast<char>(content >> (8 * i));
        return bytes;
    }

    member_order order_;
    std::vector<std::pair<std::uint32_t, std::string>> fields_;
};

inline std::string to_protobuf(const value& v) {
    message out;
    switch (v.kind) {
        case value_kind::none:
            break;
        case value_kind::string:
            out.bytes(1, v.string);
            break;
        case value_kind::boolean:
            out.varint(2, v.boolean ? 1 : 0);
            break;
        case value_kind::integer:
            out.varint(3, static_cast<std::uint64_t>(v.integer));
            break;
        case value_kind::floating:
            out.fixed64(4, std::bit_cast<std::uint64_t>(v.floating));
            break;
        case value_kind::array:
            out.bytes(5, message{}.bytes(1, to_protobuf(value{"element"})).str());
            break;
        case value_kind::map:
            out.bytes(6, message{}.bytes(1, message{}.bytes(1, "k").bytes(2, to_protobuf(value{1})).str()).str());
            break;
        case value_kind::bytes:
            out.bytes(7, v.string);
            break;
    }
    return out.str();
}

inline std::string to_protobuf(const attribute& a, member_order order) {
    return message{order}.text(1, a.key).bytes(2, to_protobuf(a.value)).str();
}

inline std::string to_protobuf(const point& p, member_order order) {
    message out{order};
    for (const auto& a : p.attributes) out.bytes(7, to_protobuf(a, order));
    if (p.start != 0) out.fixed64(2, p.start);
    if (p.time != 0) out.fixed64(3, p.time);
    if (p.value.kind == value_kind::floating) out.fixed64(4, std::bit_cast<std::uint64_t>(p.value.floating));
    if (p.value.kind == value_kind::integer) out.fixed64(6, static_cast<std::uint64_t>(p.value.integer));
    if (p.no_value) out.varint(8, 1);
    return out.str();
}

/// The field of a metric that holds its data.
inline std::uint32_t data_field(metric_kind kind) {
    constexpr std::uint32_t numbers[] = {0, 5, 7, 9, 10, 11};
    return numbers[static_cast<std::size_t>(kind)];
}

inline std::string to_protobuf(const metric& m, member_order order) {
    message data{order};
    if (m.kind == metric_kind::gauge || m.kind == metric_kind::sum) {
        for (const auto& p : m.points) data.bytes(1, to_protobuf(p, order));
    } else {
        data.bytes(1, message{}.fixed64(2, 1).fixed64(3, 2).fixed64(4, 3).str());  // two times and a count
    }
    if (m.kind != metric_kind::gauge && m.kind != metric_kind::summary) {
        if (m.temporality != aggregation_temporality::unspecified) {
            data.varint(2, static_cast<std::uint64_t>(m.temporality));
        }
        if (m.kind == metric_kind::sum && m.monotonic) data.varint(3, 1);
    }
    message out{order};
    out.text(1, m.name).text(2, m.description).text(3, m.unit);
    if (m.kind != metric_kind::none) out.bytes(data_field(m.kind), data.str());
    return out.str();
}

inline std::string to_protobuf(const request& all, member_order order = member_order::ascending) {
    message out{order};
    for (const auto& r : all.resources) {
        message attributes{order};
        for (const auto& a : r.attributes) attributes.bytes(1, to_protobuf(a, order));
        message resource{order};
        resource.bytes(1, attributes.str());
        for (const auto& s : r.scopes) {
            message scope{order};
            scope.bytes(1, message{order}.text(1, s.name).text(2, s.version).str());
            for (const auto& m : s.metrics) scope.bytes(2, to_protobuf(m, order));
            resource.bytes(2, scope.str());
        }
        out.bytes(1, resource.str());
    }
    return out.str();
}

// JSON.

/// How a sender writes JSON: the default is what the specification says.
struct json_style {
    member_order order = member_order::ascending;
    bool snake_case = false;     ///< member names as in the .proto file
    bool enum_names = false;     ///< `AGGREGATION_TEMPORALITY_DELTA`
    bool plain_numbers = false;  ///< 64-bit integers without quotes
};

using json = nlohmann::ordered_json;

/// Writes the parts of a request in one style.
class json_maker {
public:
    explicit json_maker(json_style style) : style_{style} {}

    [[nodiscard]] json make(const request& all) const {
        json resources = json::array();
        for (const auto& r : all.resources) {
            json scopes = json::array();
            for (const auto& s : r.scopes) {
                json metrics = json::array();
                for (const auto& m : s.metrics) metrics.push_back(make(m));
                scopes.push_back(object(
                    {{"scope", object({{"name", s.name}, {"version", s.version}})}, {"metrics", std::move(metrics)}}));
            }
            resources.push_back(object(
                {{"resource", object({{"attributes", make(r.attributes)}})}, {"scopeMetrics", std::move(scopes)}}));
        }
        return object({{"resourceMetrics", std::move(resources)}});
    }

private:
    using members = std::vector<std::pair<std::string, json>>;

    [[nodiscard]] std::string name(const std::string& camel) const {
        if (!style_.snake_case) return camel;
        std::string snake;
        for (const char c : camel) {
            if (c >= 'A' && c <= 'Z') {
                snake += '_';
                snake += static_cast<char>(c - 'A' + 'a');
            } else {
                snake += c;
            }
        }
        return snake;
    }

    [[nodiscard]] json object(members all) const {
        if (style_.order == member_order::descending) std::reverse(all.begin(), all.end());
        json out = json::object();
        for (auto& [key, content] : all) out[name(key)] = std::move(content);
        return out;
    }

    template <class Integer>
    [[nodiscard]] json number(Integer n) const {
        return style_.plain_numbers ? json(n) : json(std::to_string(n));
    }

    [[nodiscard]] static json floating(double n) {
        if (std::isnan(n)) return "NaN";
        if (std::isinf(n)) return n > 0 ? "Infinity" : "-Infinity";
        return n;
    }

    [[nodiscard]] json make(const value& v) const {
        switch (v.kind) {
            case value_kind::none:
                break;
            case value_kind::string:
                return object({{"stringValue", v.string}});
            case value_kind::boolean:
                return object({{"boolValue", v.boolean}});
            case value_kind::integer:
                return object({{"intValue", number(v.integer)}});
            case value_kind::floating:
                return object({{"doubleValue", floating(v.floating)}});
            case value_kind::array:
                return object({{"arrayValue", object({{"values", json::array({make(value{"element"})})}})}});
            case value_kind::map:
                return object({{"kvlistValue", object({{"values", make(std::vector<attribute>{{"k", 1}})}})}});
            case value_kind::bytes:
                return object({{"bytesValue", v.string}});  // any text does
        }
        return object({});
    }

    [[nodiscard]] json make(const std::vector<attribute>& all) const {
        json out = json::array();
        for (const auto& a : all) out.push_back(object({{"key", a.key}, {"value", make(a.value)}}));
        return out;
    }

    [[nodiscard]] json make(const point& p) const {
        members all{{"attributes", make(p.attributes)}};
        if (p.start != 0) all.emplace_back("startTimeUnixNano", number(p.start));
        if (p.time != 0) all.emplace_back("timeUnixNano", number(p.time));
        if (p.value.kind == value_kind::floating) all.emplace_back("asDouble", floating(p.value.floating));
        if (p.value.kind == value_kind::integer) all.emplace_back("asInt", number(p.value.integer));
        if (p.no_value) all.emplace_back("flags", 1);
        return object(std::move(all));
    }

    [[nodiscard]] json temporality(aggregation_temporality t) const {
        if (!style_.enum_names) return static_cast<int>(t);
        constexpr const char* names[] = {"UNSPECIFIED", "DELTA", "CUMULATIVE"};
        return std::string{"AGGREGATION_TEMPORALITY_"} + names[static_cast<std::size_t>(t)];
    }

    [[nodiscard]] json make(const metric& m) const {
        json points = json::array();
        if (m.kind == metric_kind::gauge || m.kind == metric_kind::sum) {
            for (const auto& p : m.points) points.push_back(make(p));
        } else {
            points.push_back(object({{"startTimeUnixNano", number(1)},
                                     {"timeUnixNano", number(2)},
                                     {"count", number(3)},
                                     {"bucketCounts", json::array({"1", "2"})}}));
        }
        members data{{"dataPoints", std::move(points)}};
        if (m.kind != metric_kind::gauge && m.kind != metric_kind::summary) {
            if (m.temporality != aggregation_temporality::unspecified) {
                data.emplace_back("aggregationTemporality", temporality(m.temporality));
            }
            if (m.kind == metric_kind::sum) data.emplace_back("isMonotonic", m.monotonic);
        }
        constexpr const char* kinds[] = {"", "gauge", "sum", "histogram", "exponentialHistogram", "summary"};
        members all{{"name", m.name}, {"description", m.description}, {"unit", m.unit}};
        if (m.kind != metric_kind::none) {
            all.emplace_back(kinds[static_cast<std::size_t>(m.kind)], object(std::move(data)));
        }
        return object(std::move(all));
    }

    json_style style_;
};

inline std::string to_json(const request& all, json_style style = {}) { return json_maker{style}.make(all).dump(); }

}  // namespace otlp_writer

#endif
