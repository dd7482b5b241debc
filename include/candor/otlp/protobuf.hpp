#ifndef CANDOR_OTLP_PROTOBUF_HPP
#define CANDOR_OTLP_PROTOBUF_HPP

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <candor/otlp/metrics.hpp>
#include <candor/otlp/wire.hpp>

namespace candor::detail {

/// Decodes one request. Members come in any order, but the visitor is promised one: each message that has something to
/// say first is walked twice, and the first walk passes over what the second reads. The numbers are those of
/// open-telemetry/opentelemetry-proto:opentelemetry/proto/metrics/v1/metrics.proto and the files it imports.
template <otlp::visitor V>
class protobuf_decoder {
public:
    explicit protobuf_decoder(V& visitor) noexcept : visitor_{visitor} {}

    otlp::decoded decode(std::string_view body) {
        wire_reader in{body};
        while (in.next()) {
            if (in.field() != 1) {
                in.skip();
            } else if (!resource_metrics(in.bytes(), in.depth() + 1)) {
                break;
            }
        }
        if (!well_formed(in)) return {problem_};
        visitor_.finish();
        return {};
    }

private:
    using wire_reader = otlp::wire_reader;
    using value_kind = otlp::value_kind;
    using metric_kind = otlp::metric_kind;

    /// After the last field: says whether all went well, here and in the messages below.
    bool well_formed(const wire_reader& in) noexcept {
        if (problem_ == nullptr) problem_ = in.problem();
        return problem_ == nullptr;
    }

    bool resource_metrics(std::string_view content, int depth) {
        wire_reader in{content, depth};
        attributes_.clear();
        auto scan = in;
        while (scan.next()) {
            switch (scan.field()) {
                case 1:
                    if (!resource(scan.bytes(), scan.depth() + 1)) return false;
                    break;
                case 2:
                    static_cast<void>(scan.bytes());
                    break;
                default:
                    scan.skip();
            }
        }
        if (!well_formed(scan)) return false;
        visitor_.resource(attributes_);
        while (in.next()) {
            if (in.field() != 2) {
                in.skip();
            } else if (!scope_metrics(in.bytes(), in.depth() + 1)) {
                return false;
            }
        }
        return well_formed(in);
    }

    bool resource(std::string_view content, int depth) {
        wire_reader in{content, depth};
        while (in.next()) {
            if (in.field() != 1) {
                in.skip();
            } else if (!next_attribute(in.bytes(), in.depth() + 1)) {
                return false;
            }
        }
        return well_formed(in);
    }

    bool scope_metrics(std::string_view content, int depth) {
        wire_reader in{content, depth};
        std::string_view name;
        std::string_view version;
        auto scan = in;
        while (scan.next()) {
            switch (scan.field()) {
                case 1:
                    if (!scope(scan.bytes(), scan.depth() + 1, name, version)) return false;
                    break;
                case 2:
                    static_cast<void>(scan.bytes());
                    break;
                default:
                    scan.skip();
            }
        }
        if (!well_formed(scan)) return false;
        visitor_.scope(name, version);
        while (in.next()) {
            if (in.field() != 2) {
                in.skip();
            } else if (!metric(in.bytes(), in.depth() + 1)) {
                return false;
            }
        }
        return well_formed(in);
    }

    bool scope(std::string_view content, int depth, std::string_view& name, std::string_view& version) noexcept {
        wire_reader in{content, depth};
        while (in.next()) {
            switch (in.field()) {
                case 1:
                    name = in.bytes();
                    break;
                case 2:
                    version = in.bytes();
                    break;
                default:
                    in.skip();
            }
        }
        return well_formed(in);
    }

    static metric_kind kind_of_field(std::uint32_t number) noexcept {
        switch (number) {
            case 5:
                return metric_kind::gauge;
            case 7:
                return metric_kind::sum;
            case 9:
                return metric_kind::histogram;
            case 10:
                return metric_kind::exponential_histogram;
            case 11:
                return metric_kind::summary;
            default:
                return metric_kind::none;
        }
    }

    /// A metric has one kind of data: the last that comes takes the place of another before it, and merges with its
    /// own.
    bool metric(std::string_view content, int depth) {
        wire_reader in{content, depth};
        otlp::metric_descriptor m;
        int count = 0;
        int first_heard = 0;
        auto scan = in;
        while (scan.next()) {
            const auto kind = kind_of_field(scan.field());
            if (kind != metric_kind::none) {
                ++count;
                if (kind != m.kind) {
                    m = {.name = m.name, .unit = m.unit, .kind = kind};
                    first_heard = count;
                }
                if (!data_head(scan.bytes(), scan.depth() + 1, m)) return false;
            } else if (scan.field() == 1) {
                m.name = scan.bytes();
            } else if (scan.field() == 3) {
                m.unit = scan.bytes();
            } else {
                scan.skip();
            }
        }
        if (!well_formed(scan)) return false;
        visitor_.metric(m);
        count = 0;
        while (in.next()) {
            const auto kind = kind_of_field(in.field());
            if (kind == metric_kind::none) {
                in.skip();
                continue;
            }
            ++count;
            const auto data = in.bytes();
            if ((kind == metric_kind::gauge || kind == metric_kind::sum) &&
                !points(data, in.depth() + 1, count >= first_heard)) {
                return false;
            }
        }
        return well_formed(in);
    }

    /// Reads what a sum says of all its points, which may stand after them. Of the other kinds of data but a gauge no
    /// field is known: they need only be messages.
    bool data_head(std::string_view content, int depth, otlp::metric_descriptor& m) noexcept {
        wire_reader in{content, depth};
        if (m.kind != metric_kind::gauge && m.kind != metric_kind::sum) return in.skip_all() || well_formed(in);
        while (in.next()) {
            if (in.field() == 1) {
                static_cast<void>(in.bytes());
            } else if (in.field() == 2 && m.kind == metric_kind::sum) {
                m.temporality = temporality(in.varint());
            } else if (in.field() == 3 && m.kind == metric_kind::sum) {
                m.monotonic = in.varint() != 0;
            } else {
                in.skip();
            }
        }
        return well_formed(in);
    }

    static otlp::aggregation_temporality temporality(std::uint64_t number) noexcept {
        switch (static_cast<std::uint32_t>(number)) {  // an enum has 32 bits
            case 1:
                return otlp::aggregation_temporality::delta;
            case 2:
                return otlp::aggregation_temporality::cumulative;
            default:
                return otlp::aggregation_temporality::unspecified;
        }
    }

    bool points(std::string_view content, int depth, bool heard) {
        wire_reader in{content, depth};
        while (in.next()) {
            if (in.field() != 1) {
                in.skip();
                continue;
            }
            attributes_.clear();
            otlp::number_point p;
            if (!point(in.bytes(), in.depth() + 1, p)) return false;
            p.attributes = attributes_;
            if (heard) visitor_.point(p);
        }
        return well_formed(in);
    }

    bool point(std::string_view content, int depth, otlp::number_point& p) {
        wire_reader in{content, depth};
        while (in.next()) {
            switch (in.field()) {
                case 2:
                    p.start_time = in.fixed64();
                    break;
                case 3:
                    p.time = in.fixed64();
                    break;
                case 4:
                    p.value = {.kind = value_kind::floating, .floating = in.floating()};
                    break;
                case 6:
                    p.value = {.kind = value_kind::integer, .integer = static_cast<std::int64_t>(in.fixed64())};
                    break;
                case 7:
                    if (!next_attribute(in.bytes(), in.depth() + 1)) return false;
                    break;
                case 8:
                    p.no_value = (in.varint() & 1) != 0;
                    break;
                default:
                    in.skip();
            }
        }
        return well_formed(in);
    }

    bool next_attribute(std::string_view content, int depth) {
        if (attributes_.size() == otlp::max_attributes) {
            problem_ = "a resource or a point has too many attributes";
            return false;
        }
        return key_value(content, depth, attributes_.emplace_back());
    }

    /// Reads an attribute of the one form that nearly all have: a key and a text, in this order, both short enough for
    /// a length of one byte. Such as that may stand five to a point, and are most of what there is to read.
    static bool short_text(std::string_view content, otlp::attribute& a) noexcept {
        const auto byte = [content](std::size_t at) -> std::size_t {
            return at < content.size() ? static_cast<unsigned char>(content[at]) : 0xff;
        };
        const std::size_t key = byte(1);
        const std::size_t text = byte(key + 5);
        if (key >= 0x80 || text >= 0x7e || byte(0) != 0x0a || byte(key + 2) != 0x12 || byte(key + 3) != text + 2 ||
            byte(key + 4) != 0x0a || content.size() != key + text + 6) {
            return false;
        }
        a.key = {content.data() + 2, key};
        a.value.kind = value_kind::string;
        a.value.string = {content.data() + key + 6, text};
        return true;
    }

    bool key_value(std::string_view content, int depth, otlp::attribute& a) noexcept {
        if (depth < otlp::max_depth && short_text(content, a)) return true;
        wire_reader in{content, depth};
        while (in.next()) {
            switch (in.field()) {
                case 1:
                    a.key = in.bytes();
                    break;
                case 2:
                    if (!value(in.bytes(), in.depth() + 1, a.value)) return false;
                    break;
                default:
                    in.skip();
            }
        }
        return well_formed(in);
    }

    bool value(std::string_view content, int depth, otlp::any_value& v) noexcept {
        wire_reader in{content, depth};
        while (in.next()) {
            switch (in.field()) {
                case 1:
                    v = {.kind = value_kind::string, .string = in.bytes()};
                    break;
                case 2:
                    v = {.kind = value_kind::boolean, .boolean = in.varint() != 0};
                    break;
                case 3:
                    v = {.kind = value_kind::integer, .integer = static_cast<std::int64_t>(in.varint())};
                    break;
                case 4:
                    v = {.kind = value_kind::floating, .floating = in.floating()};
                    break;
                case 5:
                    v = {.kind = value_kind::array};
                    if (!array(in.bytes(), in.depth() + 1)) return false;
                    break;
                case 6:
                    v = {.kind = value_kind::map};
                    if (!map(in.bytes(), in.depth() + 1)) return false;
                    break;
                case 7:
                    static_cast<void>(in.bytes());
                    v = {.kind = value_kind::bytes};
                    break;
                default:
                    in.skip();
            }
        }
        return well_formed(in);
    }

    // What an array or a map holds is read for its form only. The reader bounds how deep that goes.

    bool array(std::string_view content, int depth) noexcept {
        wire_reader in{content, depth};
        while (in.next()) {
            otlp::any_value ignored;
            if (in.field() != 1) {
                in.skip();
            } else if (!value(in.bytes(), in.depth() + 1, ignored)) {
                return false;
            }
        }
        return well_formed(in);
    }

    bool map(std::string_view content, int depth) noexcept {
        wire_reader in{content, depth};
        while (in.next()) {
            otlp::attribute ignored;
            if (in.field() != 1) {
                in.skip();
            } else if (!key_value(in.bytes(), in.depth() + 1, ignored)) {
                return false;
            }
        }
        return well_formed(in);
    }

    V& visitor_;
    std::vector<otlp::attribute> attributes_;  ///< of the resource or the point that is being read
    const char* problem_ = nullptr;
};

}  // namespace candor::detail

namespace candor::otlp {

/// Decodes an ExportMetricsServiceRequest in protobuf and tells the visitor what is in it, as it goes: what was said
/// counts once the visitor's `finish` is called. Not well-formed is what `wire_reader` refuses, a known field with the
/// wrong wire type, and more than `max_attributes` attributes of one resource or point.
///
/// A field that occurs again counts as protobuf has it: the last of a scalar and of a oneof's members, all of a message
/// merged. Histograms and summaries are known by name only.
///
/// Takes time linear in the size of the body, which must not change meanwhile, and memory for the attributes of one
/// point. Throws `std::bad_alloc` and what the visitor throws. Independent calls may run at the same time.
template <visitor V>
decoded decode_protobuf(std::string_view body, V& visitor) {
    return candor::detail::protobuf_decoder<V>{visitor}.decode(body);
}

}  // namespace candor::otlp

#endif
