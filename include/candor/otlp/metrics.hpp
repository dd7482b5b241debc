#ifndef CANDOR_OTLP_METRICS_HPP
#define CANDOR_OTLP_METRICS_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

/// The parts of an OTLP metrics request that a visitor sees, whichever encoding it came in
/// (open-telemetry/opentelemetry-proto:opentelemetry/proto/metrics/v1/metrics.proto). A text is valid during the
/// decoder's run only, a span of attributes during the visitor's call only.
namespace candor::otlp {

/// What a value says. A number or a text of the table is one of the first four; the others are passed over.
enum class value_kind : std::uint8_t { none, string, boolean, integer, floating, array, map, bytes };

/// The value of an attribute, or of a data point (there `integer`, `floating` or `none`).
struct any_value {
    value_kind kind = value_kind::none;
    bool boolean = false;
    std::string_view string{};
    std::int64_t integer = 0;
    double floating = 0;
};

struct attribute {
    std::string_view key{};
    any_value value{};
};

enum class metric_kind : std::uint8_t { none, gauge, sum, histogram, exponential_histogram, summary };

/// Whether a point says what was added since the last one, or the whole since its start.
enum class aggregation_temporality : std::uint8_t { unspecified, delta, cumulative };

/// A metric, without its points.
struct metric_descriptor {
    std::string_view name{};
    std::string_view unit{};
    metric_kind kind = metric_kind::none;
    aggregation_temporality temporality = aggregation_temporality::unspecified;  ///< of a sum
    bool monotonic = false;                                                      ///< of a sum
};

/// A data point of a gauge or a sum.
struct number_point {
    std::uint64_t start_time = 0;  ///< nanoseconds since 1970; 0 where the sender does not know
    std::uint64_t time = 0;        ///< nanoseconds since 1970
    any_value value{};
    bool no_value = false;  ///< flag bit 0: the series has ended, there is no value
    std::span<const attribute> attributes{};
};

/// What a decoder reports to. The calls of one request come in this order, whatever the order of its members:
/// `resource`; then for each of its scopes `scope`; then for each of that scope's metrics `metric` and, of a gauge or a
/// sum, `point` for each of its points. `finish` is the last call, and comes only when the whole request was
/// well-formed: until then nothing that was said counts.
template <class V>
concept visitor = requires(V& v, std::span<const attribute> attributes, std::string_view text,
                           const metric_descriptor& m, const number_point& p) {
    v.resource(attributes);
    v.scope(text, text);  // name and version
    v.metric(m);
    v.point(p);
    v.finish();
};

/// The outcome of decoding a request: it is well-formed, or what is wrong with it, in words that quote nothing of it.
struct decoded {
    const char* problem = nullptr;  ///< a literal; null where the request was well-formed

    explicit operator bool() const noexcept { return problem == nullptr; }
};

/// How deep messages, groups, arrays and objects may nest, in either encoding.
inline constexpr int max_depth = 64;

/// How many attributes a resource or a point may have: they are held at once, at 28 times what they take on the wire.
inline constexpr std::size_t max_attributes = 4096;

}  // namespace candor::otlp

#endif
