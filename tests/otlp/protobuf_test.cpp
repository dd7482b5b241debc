#include <candor/otlp/protobuf.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <support/otlp_recorder.hpp>
#include <support/otlp_requests.hpp>
#include <support/otlp_writer.hpp>
#include <support/rounds.hpp>

#include <doctest/doctest.h>

namespace protobuf_test {

namespace {

using namespace std::string_literals;
using otlp_writer::member_order;
using otlp_writer::message;
using otlp_writer::metric_kind;
using strings = std::vector<std::string>;

otlp_record decode(std::string_view body) {
    return record([](auto bytes, auto& visitor) { return candor::otlp::decode_protobuf(bytes, visitor); }, body);
}

/// A request with this metric.
std::string request_of(const std::string& metric) {
    return message{}.bytes(1, message{}.bytes(2, message{}.bytes(2, metric).str()).str()).str();
}

/// A request with a gauge with this point.
std::string request_of_point(const std::string& point) {
    return request_of(message{}.bytes(5, message{}.bytes(1, point).str()).str());
}

/// What is said of a point of a gauge.
std::string said_of_point(const std::string& point) {
    const auto found = decode(request_of_point(point));
    REQUIRE(found.problem == "");
    REQUIRE(found.calls.size() == 5);
    return found.calls[3];
}

std::string point_with_value(const std::string& any_value) {
    return message{}.bytes(7, message{}.bytes(1, "k").bytes(2, any_value).str()).str();
}

const std::string wrong_type = "a known field has the wrong wire type";
const std::string truncated = "a field goes past the end of its message";
const std::string too_deep = "messages or groups are nested too deep";

}  // namespace

TEST_CASE("A usual protobuf request is told in order") {
    const auto found = decode(to_protobuf(otlp_writer::usual_request()));
    CHECK(found.problem == "");
    CHECK(
        found.calls ==
        strings{
            R"(resource "service.name": "cloudquery-aws" "service.version": "v1.2.3" "telemetry.sdk.language": "go")",
            R"(scope "io.cloudquery" "")", R"(metric "sync.table.resources" "/{tot}" 2 2 monotonic)",
            R"(point 1795383630593587644 1795383630593714599 10 "sync.client.id": "" "sync.table.name": "aws_ec2_instances")",
            R"(point 1795383630593587644 1795383630593714599 200 "sync.client.id": "" "sync.table.name": "aws_s3_buckets")",
            "finish"});
}

TEST_CASE("An empty body is a request without anything") { CHECK(decode("") == otlp_record{{"finish"}, ""}); }

TEST_CASE("The order of the members makes no difference in protobuf") {
    const auto request = otlp_writer::rich_request();
    const auto ascending = decode(to_protobuf(request, member_order::ascending));
    CHECK(ascending.problem == "");
    CHECK(ascending.calls.size() > 40);
    CHECK(decode(to_protobuf(request, member_order::descending)) == ascending);
}

TEST_CASE("A resource may follow its scopes, a scope its metrics, a name and a temporality the points") {
    const auto point = message{}.fixed64(6, 7).str();
    const auto sum = message{}.bytes(1, point).raw(2, "\x10\x01").str();
    const auto metric =
        message{}.raw(0, "\x3a" + std::string(1, static_cast<char>(sum.size())) + sum).bytes(1, "late").str();
    const auto scope = message{}
                           .raw(0, "\x12" + std::string(1, static_cast<char>(metric.size())) + metric)
                           .bytes(1, "\x0a\x01s")
                           .str();
    const auto resource = message{}.bytes(1, message{}.bytes(1, "\x0a\x01k").str()).str();
    const auto body =
        message{}.raw(0, "\x12" + std::string(1, static_cast<char>(scope.size())) + scope).raw(1, resource).str();
    CHECK(decode(message{}.bytes(1, body).str()).calls ==
          strings{R"(resource "k": kind 0)", R"(scope "s" "")", R"(metric "late" "" 2 1)", "point 0 0 7", "finish"});
}

TEST_CASE("Unknown fields are passed over at every level") {
    const std::string unknown =
        "\xa0\x06\x05"
        "\xa1\x06"
        "12345678"
        "\xa2\x06\x02xy"
        "\xa3\x06\x0b\x08\x01\x0c\xa4\x06"
        "\xa5\x06"
        "1234";
    const auto value = message{}.bytes(1, "v").str() + unknown;
    const auto key_value = message{}.bytes(1, "k").bytes(2, value).str() + unknown;
    const auto point = unknown + message{}.fixed64(6, 7).bytes(7, key_value).str();
    const auto sum = message{}.bytes(1, point).varint(2, 2).str() + unknown;
    const auto metric = unknown + message{}.bytes(1, "m").bytes(2, "described").bytes(7, sum).bytes(12, "later").str();
    const auto scope = message{}.bytes(1, "n").str();
    const auto scopes =
        message{}.bytes(1, unknown + message{}.bytes(1, "s").str()).bytes(2, metric).bytes(3, "url").str() + unknown;
    const auto resource = message{}
                              .bytes(1, unknown + message{}.bytes(1, key_value).varint(2, 5).str())
                              .bytes(2, scopes)
                              .bytes(3, "url")
                              .str() +
                          unknown;
    const auto body = unknown + message{}.bytes(1, resource).str() + unknown;
    CHECK(decode(body).problem == "");
    CHECK(decode(body).calls == strings{R"(resource "k": "v")", R"(scope "s" "")", R"(metric "m" "" 2 2)",
                                        R"(point 0 0 7 "k": "v")", "finish"});
}

TEST_CASE("A message that occurs twice is merged") {
    const auto attribute = [](const char* key) { return message{}.bytes(1, message{}.bytes(1, key).str()).str(); };
    const auto scope = message{}
                           .bytes(1, message{}.bytes(1, "first").bytes(2, "1").str())
                           .bytes(1, message{}.bytes(1, "second").str())
                           .str();
    const auto resource = message{}.bytes(1, attribute("a")).bytes(1, attribute("b")).bytes(2, scope).str();
    CHECK(decode(message{}.bytes(1, resource).str()).calls ==
          strings{R"(resource "a": kind 0 "b": kind 0)", R"(scope "second" "1")", "finish"});
    CHECK(said_of_point(message{}
                            .bytes(7, message{}
                                          .bytes(1, "first")
                                          .bytes(1, "k")
                                          .bytes(2, message{}.varint(3, 1).str())
                                          .bytes(2, message{}.bytes(1, "text").str())
                                          .bytes(2, "")
                                          .str())
                            .str()) == R"(point 0 0 kind 0 "k": "text")");
}

TEST_CASE("The last kind of data of a metric counts, merged with its own kind before") {
    const auto point = [](int n) { return message{}.fixed64(6, static_cast<std::uint64_t>(n)).str(); };
    const auto sum = message{}.bytes(1, point(1)).varint(2, 1).varint(3, 1).str();
    const auto other_sum = message{}.bytes(1, point(2)).varint(2, 2).str();
    const auto gauge = message{}.bytes(1, point(3)).str();
    const auto field = [](char tag, const std::string& data) {
        return std::string(1, tag) + static_cast<char>(data.size()) + data;
    };
    const auto said = [](const std::string& metric) {
        auto found = decode(request_of(metric));
        CHECK(found.problem == "");
        REQUIRE(found.calls.size() >= 3);
        return strings(found.calls.begin() + 2, found.calls.end() - 1);
    };
    CHECK(said(field('\x3a', sum) + field('\x3a', other_sum)) ==
          strings{R"(metric "" "" 2 2 monotonic)", "point 0 0 1", "point 0 0 2"});
    CHECK(said(field('\x3a', sum) + field('\x2a', gauge)) == strings{R"(metric "" "" 1 0)", "point 0 0 3"});
    CHECK(said(field('\x3a', sum) + field('\x2a', gauge) + field('\x3a', other_sum)) ==
          strings{R"(metric "" "" 2 2)", "point 0 0 2"});
    CHECK(said(field('\x2a', gauge) + field('\x4a', "")) == strings{R"(metric "" "" 3 0)"});
    // What is replaced must be well-formed all the same.
    CHECK(decode(request_of(field('\x3a', message{}.bytes(1, "\x31").str()) + field('\x2a', gauge))).problem ==
          truncated);
}

TEST_CASE("The last value of a point and of an attribute counts") {
    CHECK(said_of_point(message{}
                            .raw(0,
                                 "\x31"
                                 "\x01\0\0\0\0\0\0\0"s)
                            .raw(1,
                                 "\x21"
                                 "\0\0\0\0\0\0\xf8\x3f"s)
                            .str()) == "point 0 0 double 4609434218613702656");
    CHECK(said_of_point(message{}
                            .raw(0,
                                 "\x21"
                                 "\0\0\0\0\0\0\xf8\x3f"s)
                            .raw(1,
                                 "\x31"
                                 "\x01\0\0\0\0\0\0\0"s)
                            .str()) == "point 0 0 1");
    CHECK(said_of_point(point_with_value("\x0a\x01x\x10\x01")) == R"(point 0 0 kind 0 "k": true)");
    CHECK(said_of_point(point_with_value("\x10\x01\x2a\x00"s)) == R"(point 0 0 kind 0 "k": kind 5)");
}

TEST_CASE("Every kind of value is told apart") {
    const auto said = [](const std::string& value) { return said_of_point(point_with_value(value)).substr(22); };
    CHECK(said("") == "kind 0");
    CHECK(said("\x0a\x00"s) == R"("")");
    CHECK(said("\x10\x00"s) == "false");
    CHECK(said("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") == "true");
    CHECK(said("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") == "-1");
    CHECK(said("\x21"
               "\0\0\0\0\0\0\xf0\x7f"s) == "double 9218868437227405312");
    CHECK(said("\x2a\x00"s) == "kind 5");
    CHECK(said("\x32\x00"s) == "kind 6");
    CHECK(said("\x3a\x01x") == "kind 7");
}

TEST_CASE("A temporality that is not known is unspecified") {
    const auto said = [](std::uint64_t number) {
        return decode(request_of(message{}.bytes(7, message{}.varint(2, number).str()).str())).calls.at(2);
    };
    CHECK(said(0) == R"(metric "" "" 2 0)");
    CHECK(said(1) == R"(metric "" "" 2 1)");
    CHECK(said(2) == R"(metric "" "" 2 2)");
    CHECK(said(3) == R"(metric "" "" 2 0)");
    CHECK(said(~std::uint64_t{0}) == R"(metric "" "" 2 0)");
    CHECK(said((std::uint64_t{1} << 32) + 1) == R"(metric "" "" 2 1)");  // an enum has 32 bits
}

TEST_CASE("A point without a value says so") {
    CHECK(said_of_point(message{}.varint(8, 1).str()) == "point 0 0 kind 0 no value");
    CHECK(said_of_point(message{}.varint(8, 3).str()) == "point 0 0 kind 0 no value");
    CHECK(said_of_point(message{}.varint(8, 2).str()) == "point 0 0 kind 0");
}

TEST_CASE("A known field with the wrong wire type is refused") {
    const auto wrong = [](const std::string& body) { CHECK(decode(body).problem == wrong_type); };
    wrong("\x08\x01");                                                              // resource_metrics
    wrong(message{}.bytes(1, message{}.varint(1, 1).str()).str());                  // resource
    wrong(message{}.bytes(1, message{}.fixed64(2, 1).str()).str());                 // scope_metrics
    wrong(message{}.bytes(1, "\x0a\x02\x08\x01").str());                            // resource.attributes
    wrong(message{}.bytes(1, message{}.bytes(2, "\x08\x01").str()).str());          // scope
    wrong(message{}.bytes(1, message{}.bytes(2, "\x10\x01").str()).str());          // metrics
    wrong(message{}.bytes(1, message{}.bytes(2, "\x0a\x02\x08\x01").str()).str());  // scope.name
    wrong(message{}.bytes(1, message{}.bytes(2, "\x0a\x02\x10\x01").str()).str());  // scope.version
    for (const char tag : {'\x08', '\x18', '\x28', '\x38', '\x48', '\x50', '\x58'}) {
        wrong(request_of(std::string{tag} + '\x01'));  // the name, the unit and the kinds of data
    }
    wrong(request_of(message{}.bytes(7, "\x08\x01").str()));   // sum.data_points
    wrong(request_of(message{}.bytes(7, "\x12\x00"s).str()));  // sum.aggregation_temporality
    wrong(request_of(message{}.bytes(7, "\x1a\x00"s).str()));  // sum.is_monotonic
    wrong(request_of(message{}.bytes(5, "\x08\x01").str()));   // gauge.data_points
    wrong(request_of_point("\x10\x01"));                       // start
    wrong(request_of_point("\x18\x01"));                       // time
    wrong(
        request_of_point("\x25"
                         "1234"));                                  // as_double
    wrong(request_of_point("\x30\x01"));                            // as_int
    wrong(request_of_point("\x38\x01"));                            // attributes
    wrong(request_of_point("\x42\x00"s));                           // flags
    wrong(request_of_point(message{}.bytes(7, "\x08\x01").str()));  // key
    wrong(request_of_point(message{}.bytes(7, "\x10\x01").str()));  // value
    for (const char* value : {"\x08\x01", "\x12\x01x", "\x1a\x01x", "\x20\x01", "\x28\x01", "\x30\x01", "\x38\x01"}) {
        wrong(request_of_point(point_with_value(value)));
    }
    wrong(request_of_point(point_with_value("\x2a\x02\x08\x01")));  // array.values
    wrong(request_of_point(point_with_value("\x32\x02\x08\x01")));  // map.values
    // Of what is known by name only, no field is.
    CHECK(decode(request_of(message{}.bytes(9, "\x08\x01").str())).problem == "");
    CHECK(decode(request_of(message{}.bytes(9, "\x08").str())).problem == truncated);
    CHECK(decode(request_of(message{}.bytes(5, "\x10\x01").str())).problem == "");  // nor the sum's of a gauge
}

TEST_CASE("row 18: Values nest up to the depth that is allowed") {
    // A point's attribute is the seventh message, its value the eighth; an array and what it holds are two more.
    const auto nested = [](int arrays, const char* tag) {
        std::string value;
        for (int i = 0; i < arrays; ++i) {
            const auto array = message{}.bytes(1, value).str();
            value = tag + std::string{} + message{}.bytes(1, array).str().substr(1);
        }
        return request_of_point(point_with_value(value));
    };
    CHECK(decode(nested(28, "\x2a")).problem == "");
    CHECK(decode(nested(29, "\x2a")).problem == too_deep);
    CHECK(decode(nested(10'000, "\x2a")).problem == too_deep);
    // A map, its entry, and the entry's value.
    const auto maps = [](int count, std::string value) {
        for (int i = 0; i < count; ++i) {
            value = message{}.bytes(6, message{}.bytes(1, message{}.bytes(1, "k").bytes(2, value).str()).str()).str();
        }
        return request_of_point(point_with_value(value));
    };
    CHECK(decode(maps(18, "\x0a\x01x")).problem == "");
    CHECK(decode(maps(19, "\x0a\x01x")).problem == too_deep);  // the last entry is as deep as may be, its text is not
    const auto in_array = [&](const std::string& value) {
        return maps(18, message{}.bytes(5, message{}.bytes(1, value).str()).str());
    };
    CHECK(decode(in_array("\x0a\x01x")).problem == "");
    CHECK(decode(in_array("\x32\x00"s)).problem == too_deep);
}

TEST_CASE("A resource or a point has a bounded number of attributes") {
    const auto attributes = [](std::size_t count, std::uint32_t number) {
        message all;
        for (std::size_t i = 0; i < count; ++i) all.bytes(number, "");
        return all.str();
    };
    constexpr auto most = candor::otlp::max_attributes;
    const std::string problem = "a resource or a point has too many attributes";
    CHECK(decode(request_of_point(attributes(most, 7))).problem == "");
    CHECK(decode(request_of_point(attributes(most + 1, 7))).problem == problem);
    const auto resource = [&](std::size_t count) {
        return message{}.bytes(1, message{}.bytes(1, attributes(count, 1)).str()).str();
    };
    CHECK(decode(resource(most)).problem == "");
    CHECK(decode(resource(most + 1)).problem == problem);
}

TEST_CASE("A protobuf request that is cut anywhere is malformed or a shorter request") {
    for (const auto order : {member_order::ascending, member_order::descending}) {
        const auto body = to_protobuf(otlp_writer::rich_request(), order);
        const auto whole = decode(body);
        std::size_t well_formed = 0;
        for (std::size_t size = 0; size < body.size(); ++size) {
            const std::string cut = body.substr(0, size);  // its own block: a read past it shows
            const auto found = decode(cut);
            const bool finished = !found.calls.empty() && found.calls.back() == "finish";
            CHECK(finished == (found.problem == ""));
            if (finished) ++well_formed;
        }
        CHECK(well_formed == 3);  // before each of its three resources
    }
}

TEST_CASE("Mutated protobuf never does harm, and finishes only when it is well-formed") {
    std::minstd_rand random{20221122};
    const auto at_most = [&](std::size_t most) { return std::uniform_int_distribution<std::size_t>{0, most}(random); };
    const auto original = to_protobuf(otlp_writer::rich_request());
    int refused = 0;
    for (int i = 0; i < candor::testing::rounds(20'000); ++i) {
        auto body = original;
        for (std::size_t n = at_most(3) + 1; n > 0; --n) {
            const auto at = at_most(body.size() - 1);
            switch (at_most(3)) {
                case 0:
                    body[at] = static_cast<char>(at_most(255));
                    break;
                case 1:
                    body[at] = static_cast<char>(body[at] ^ (1 << at_most(7)));
                    break;
                case 2:
                    body.erase(at, at_most(4));
                    break;
                default:
                    body.insert(at, at_most(4), static_cast<char>(at_most(255)));
            }
        }
        const auto found = decode(body);
        const bool finished = !found.calls.empty() && found.calls.back() == "finish";
        REQUIRE(finished == (found.problem == ""));
        if (!finished) ++refused;
    }
    CHECK(refused > candor::testing::rounds(10'000));
    CHECK(refused < 20'000);
}

TEST_CASE("What a visitor throws gets out") {
    struct thrower : otlp_recorder {
        void point(const candor::otlp::number_point&) { throw std::runtime_error{"enough"}; }
    } visitor;
    CHECK_THROWS_AS(candor::otlp::decode_protobuf(to_protobuf(otlp_writer::usual_request()), visitor),
                    std::runtime_error);
    CHECK_FALSE(visitor.finished());
}

}  // namespace protobuf_test
