#include <candor/otlp/json.hpp>

#include <cstddef>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <support/otlp_recorder.hpp>
#include <support/otlp_requests.hpp>
#include <support/otlp_writer.hpp>
#include <support/rounds.hpp>

#include <candor/otlp/protobuf.hpp>

#include <doctest/doctest.h>

namespace json_test {

namespace {

using otlp_writer::json_style;
using otlp_writer::member_order;
using strings = std::vector<std::string>;

otlp_record decode(std::string_view body) {
    return record([](auto text, auto& visitor) { return candor::otlp::decode_json(text, visitor); }, body);
}

std::string request_of(const std::string& metric) {
    return R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[)" + metric + "]}]}]}";
}
std::string request_of_point(const std::string& point) {
    return request_of(R"({"gauge":{"dataPoints":[)" + point + "]}}");
}
std::string request_of_value(const std::string& value) {
    return request_of_point(R"({"attributes":[{"key":"k","value":)" + value + "}]}");
}

/// What is said of a metric, its points among it; or the problem.
strings said_of(const std::string& metric) {
    const auto found = decode(request_of(metric));
    if (found.problem != "") return {found.problem};
    REQUIRE(found.calls.size() >= 4);
    return {found.calls.begin() + 2, found.calls.end() - 1};
}

/// What is said of a point of a gauge with this member; or the problem.
std::string said_of_point(const std::string& members) {
    const auto found = decode(request_of_point("{" + members + "}"));
    if (found.problem != "") return found.problem;
    REQUIRE(found.calls.size() == 5);
    return found.calls[3];
}

std::string said_of_value(const std::string& value) {
    const auto found = decode(request_of_value(value));
    if (found.problem != "") return found.problem;
    return found.calls.at(3).substr(22);
}

const std::string too_deep = "arrays and objects are nested too deep";

}  // namespace

TEST_CASE("A usual JSON request is told in order") {
    const auto found = decode(to_json(otlp_writer::usual_request()));
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

TEST_CASE("A request says the same in JSON, however it is written, as in protobuf") {
    for (const auto& request : {otlp_writer::usual_request(), otlp_writer::rich_request(), otlp_writer::request{}}) {
        const auto expected =
            record([](auto body, auto& visitor) { return candor::otlp::decode_protobuf(body, visitor); },
                   to_protobuf(request));
        REQUIRE(expected.problem == "");
        for (const auto order : {member_order::ascending, member_order::descending}) {
            for (int style = 0; style < 8; ++style) {
                const auto text = to_json(request, {.order = order,
                                                    .snake_case = (style & 1) != 0,
                                                    .enum_names = (style & 2) != 0,
                                                    .plain_numbers = (style & 4) != 0});
                CHECK(decode(text) == expected);
            }
        }
    }
}

TEST_CASE("An empty object is a request without anything") {
    CHECK(decode("{}") == otlp_record{{"finish"}, ""});
    CHECK(decode(" {\t}\r\n") == otlp_record{{"finish"}, ""});
    CHECK(decode(R"({"resourceMetrics":[]})") == otlp_record{{"finish"}, ""});
}

TEST_CASE("What is not a JSON object is refused") {
    for (const char* text : {"", " ", "{", "}", R"({"resourceMetrics":[})", "{} x", "{}{}", "{'a':1}", "{\"a\":01}",
                             "{\"a\":\"\xff\"}", "{\"a\":1e999}", "{\"a\":nan}", "{/**/}", "{\"a\":1,}", "\xff\xfe"}) {
        CAPTURE(text);
        CHECK(decode(text) == otlp_record{{}, "the request is not JSON"});
    }
    for (const char* text : {"[]", "null", "1", "-1", "1.5", "true", "\"text\"", "[{}]"}) {
        CAPTURE(text);
        CHECK(decode(text) == otlp_record{{}, "the request is not an object"});
    }
}

TEST_CASE("Unknown members are passed over whole, at every level") {
    const std::string u =
        R"("unknown":{"a":[1,{"b":[null,true,-1,1.5,"x",{"dataPoints":7,"key":8}]}],"resourceMetrics":9},)"
        R"("other":[[],{},"resource"],"number":1,"text":"t","nothing":null,"flag":false,)";
    const auto text = "{" + u + R"("resourceMetrics":[{)" + u + R"("resource":{)" + u + R"("attributes":[{)" + u +
                      R"("key":"k","value":{)" + u + R"("stringValue":"v"}}]},"scopeMetrics":[{)" + u + R"("scope":{)" +
                      u + R"("name":"s"},"metrics":[{)" + u + R"("name":"m","sum":{)" + u + R"("dataPoints":[{)" + u +
                      R"("asInt":7,"last":[]}],"schemaUrl":"x"}}]}]}]})";
    CHECK(decode(text).problem == "");
    CHECK(decode(text).calls ==
          strings{R"(resource "k": "v")", R"(scope "s" "")", R"(metric "m" "" 2 0)", "point 0 0 7", "finish"});
}

TEST_CASE("A member that is null is not there") {
    const auto expected = decode(request_of(R"({"gauge":{"dataPoints":[{}]}})"));
    CHECK(expected.calls.size() == 5);
    CHECK(decode(request_of(
              R"({"name":null,"unit":null,"sum":null,"gauge":{"dataPoints":[{"attributes":null,"asInt":null,)"
              R"("asDouble":null,"timeUnixNano":null,"flags":null}]}})")) == expected);
    CHECK(decode(R"({"resourceMetrics":null})").calls == strings{"finish"});
    CHECK(said_of_value("null") == "kind 0");
    CHECK(said_of_value(R"({"stringValue":null})") == "kind 0");
}

TEST_CASE("Integers are exact, as numbers and in quotes") {
    const auto both = [](const std::string& member, const std::string& digits) {
        const auto plain = said_of_point("\"" + member + "\":" + digits);
        CHECK(said_of_point("\"" + member + "\":\"" + digits + "\"") == plain);
        return plain;
    };
    CHECK(both("asInt", "0") == "point 0 0 0");
    CHECK(both("asInt", "-0") == "point 0 0 0");
    CHECK(both("asInt", "9007199254740993") == "point 0 0 9007199254740993");
    CHECK(both("asInt", "9223372036854775807") == "point 0 0 9223372036854775807");
    CHECK(both("asInt", "-9223372036854775808") == "point 0 0 -9223372036854775808");
    CHECK(both("timeUnixNano", "18446744073709551615") == "point 0 18446744073709551615 kind 0");
    CHECK(both("flags", "4294967295") == "point 0 0 kind 0 no value");

    const std::string not_signed = "asInt is not a 64-bit integer";
    CHECK(both("asInt", "9223372036854775808") == not_signed);
    CHECK(both("asInt", "-9223372036854775809") == not_signed);
    CHECK(both("asInt", "18446744073709551616") == not_signed);
    CHECK(both("asInt", "99999999999999999999999") == not_signed);
    CHECK(both("asInt", "1.5") == not_signed);
    const std::string not_unsigned = "timeUnixNano is not an unsigned 64-bit integer";
    CHECK(both("timeUnixNano", "-1") == not_unsigned);
    CHECK(both("timeUnixNano", "18446744073709551616") == not_unsigned);
    CHECK(both("timeUnixNano", "18446744073709551620") == not_unsigned);
    CHECK(both("timeUnixNano", "99999999999999999999") == not_unsigned);
    CHECK(both("flags", "4294967296") == "flags is not an unsigned 32-bit integer");
    for (const char* text : {"", "-", "+1", " 1", "1 ", "0x1", "1e3", "1.0", "--1", "1_000",
                             "9223372036854775:", "1795383630593587644a"}) {
        CAPTURE(text);
        CHECK(said_of_point(R"("asInt":")" + std::string{text} + "\"") == not_signed);
    }
}

TEST_CASE("A number that is written with a fraction or an exponent is an integer where it is one exactly") {
    CHECK(said_of_point(R"("asInt":10.0)") == "point 0 0 10");
    CHECK(said_of_point(R"("asInt":-1.2e1)") == "point 0 0 -12");
    CHECK(said_of_point(R"("timeUnixNano":1e15)") == "point 0 1000000000000000 kind 0");
    CHECK(said_of_point(R"("asInt":9007199254740991.0)") == "point 0 0 9007199254740991");
    CHECK(said_of_point(R"("asInt":9007199254740993.0)") == "asInt is not a 64-bit integer");
    CHECK(said_of_point(R"("asInt":1e16)") == "asInt is not a 64-bit integer");  // a double has no 10^16 + 1
    CHECK(said_of_point(R"("asInt":0.1)") == "asInt is not a 64-bit integer");
    CHECK(said_of_point(R"("timeUnixNano":-1.0)") == "timeUnixNano is not an unsigned 64-bit integer");
}

TEST_CASE("Floating-point numbers are numbers or three names") {
    CHECK(said_of_point(R"("asDouble":1.5)") == "point 0 0 double 4609434218613702656");
    CHECK(said_of_point(R"("asDouble":2)") == "point 0 0 double 4611686018427387904");
    CHECK(said_of_point(R"("asDouble":-2)") == "point 0 0 double 13835058055282163712");
    CHECK(said_of_point(R"("asDouble":"NaN")") == "point 0 0 double 9221120237041090560");
    CHECK(said_of_point(R"("asDouble":"Infinity")") == "point 0 0 double 9218868437227405312");
    CHECK(said_of_point(R"("asDouble":"-Infinity")") == "point 0 0 double 18442240474082181120");
    for (const char* wrong : {"\"1.5\"", "\"nan\"", "true", "{}", "[]"}) {
        CHECK(said_of_point(R"("asDouble":)" + std::string{wrong}) == "asDouble is not a number");
    }
}

TEST_CASE("Every kind of value is told apart in JSON") {
    CHECK(said_of_value("{}") == "kind 0");
    CHECK(said_of_value(R"({"stringValue":""})") == R"("")");
    CHECK(said_of_value(R"({"stringValue":"\u00e9\n\ud83d\ude00"})") == "\"\xc3\xa9\n\xf0\x9f\x98\x80\"");
    CHECK(said_of_value(R"({"boolValue":false})") == "false");
    CHECK(said_of_value(R"({"intValue":"-1"})") == "-1");
    CHECK(said_of_value(R"({"intValue":9007199254740993})") == "9007199254740993");
    CHECK(said_of_value(R"({"doubleValue":1.5})") == "double 4609434218613702656");
    CHECK(said_of_value(R"({"arrayValue":{}})") == "kind 5");
    CHECK(said_of_value(R"({"arrayValue":{"values":[{"intValue":1},{},{"arrayValue":{"values":[]}}]}})") == "kind 5");
    CHECK(said_of_value(R"({"kvlistValue":{"values":[{"key":"a","value":{"boolValue":true}}]}})") == "kind 6");
    CHECK(said_of_value(R"({"bytesValue":"AAEC"})") == "kind 7");
    CHECK(said_of_value(R"({"string_value":"x"})") == R"("x")");
}

TEST_CASE("A temporality is a number or a name") {
    const auto said = [](const std::string& temporality) {
        return said_of(R"({"sum":{"dataPoints":[],"aggregationTemporality":)" + temporality + "}}").at(0);
    };
    CHECK(said("0") == R"(metric "" "" 2 0)");
    CHECK(said("1") == R"(metric "" "" 2 1)");
    CHECK(said("2") == R"(metric "" "" 2 2)");
    CHECK(said("3") == R"(metric "" "" 2 0)");
    CHECK(said("-1") == R"(metric "" "" 2 0)");
    CHECK(said(R"("AGGREGATION_TEMPORALITY_UNSPECIFIED")") == R"(metric "" "" 2 0)");
    CHECK(said(R"("AGGREGATION_TEMPORALITY_DELTA")") == R"(metric "" "" 2 1)");
    CHECK(said(R"("AGGREGATION_TEMPORALITY_CUMULATIVE")") == R"(metric "" "" 2 2)");
    for (const char* wrong : {"\"2\"", "\"delta\"", "true", "1.5", "2147483648", "{}", "[]"}) {
        CHECK(said(wrong) == "aggregationTemporality is not one of its numbers or names");
    }
}

TEST_CASE("Of members that occur twice the last counts") {
    CHECK(said_of(R"({"name":"a","name":"b"})") == strings{R"(metric "b" "" 0 0)"});
    CHECK(said_of_point(R"("asInt":1,"asDouble":1.5)") == "point 0 0 double 4609434218613702656");
    CHECK(said_of_point(R"("asDouble":1.5,"asInt":1)") == "point 0 0 1");
    CHECK(said_of_point(R"("asDouble":1.5,"as_double":2)") == "point 0 0 double 4611686018427387904");
    CHECK(said_of(R"({"sum":{"dataPoints":[{"asInt":1},{"asInt":2}],"dataPoints":[{"asInt":3}]}})") ==
          strings{R"(metric "" "" 2 0)", "point 0 0 3"});
    CHECK(said_of(R"({"sum":{"dataPoints":[{"asInt":1}],"dataPoints":[],"isMonotonic":true}})") ==
          strings{R"(metric "" "" 2 0 monotonic)"});
    CHECK(said_of(R"({"sum":{"isMonotonic":true},"sum":{"dataPoints":[{"asInt":1}]}})") ==
          strings{R"(metric "" "" 2 0)", "point 0 0 1"});
    CHECK(said_of(R"({"sum":{"dataPoints":[{"asInt":1}]},"gauge":{"dataPoints":[{"asInt":2}]}})") ==
          strings{R"(metric "" "" 1 0)", "point 0 0 2"});
    CHECK(said_of(R"({"sum":{"dataPoints":[{"asInt":1}]},"gauge":{},"sum":{"dataPoints":[{"asInt":2}]}})") ==
          strings{R"(metric "" "" 2 0)", "point 0 0 2"});
    CHECK(said_of(R"({"sum":{"dataPoints":[{"asInt":1}]},"histogram":{"dataPoints":[{"asInt":3}]}})") ==
          strings{R"(metric "" "" 3 0)"});
    CHECK(said_of(R"({"summary":{},"exponentialHistogram":{},"gauge":{}})") == strings{R"(metric "" "" 1 0)"});
    CHECK(said_of_value(R"({"stringValue":"x","intValue":1})") == "1");
    CHECK(said_of_value(R"({"intValue":1},"value":{"boolValue":true})") == "true");
    CHECK(decode(R"({"resourceMetrics":[{},{}],"resourceMetrics":[{"resource":{"attributes":[{"key":"a"}]},)"
                 R"("resource":{"attributes":[{"key":"b"}],"attributes":[{"key":"c"},{"key":"d"}]},)"
                 R"("scopeMetrics":[{},{}],"scopeMetrics":[{"scope":{"name":"x","version":"1"},"scope":{"name":"y"},)"
                 R"("metrics":[{"name":")" +
                 std::string(300, 'm') + R"("}],"metrics":[{"name":"n"}]}]}]})")
              .calls ==
          strings{R"(resource "c": kind 0 "d": kind 0)", R"(scope "y" "")", R"(metric "n" "" 0 0)", "finish"});
}

TEST_CASE("A member of the wrong type is refused by name, and nothing of the request is quoted") {
    const auto problem = [](const std::string& text) {
        const auto found = decode(text);
        CHECK(found.calls.empty());
        return found.problem;
    };
    const auto with = [&](const std::string& before, const std::string& after, const std::string& expected,
                          std::vector<std::string> wrong) {
        for (const auto& value : wrong) {
            CAPTURE(value);
            CHECK(problem(before + value + after) == expected);
        }
    };
    const std::vector<std::string> no_list = {"{}",  "1",    "-1",           "1.5",    "\"secret\"", "true",
                                              "[1]", "[[]]", "[\"secret\"]", "[true]", "[1.5]",      "[-1]"};
    const std::vector<std::string> no_object = {"[]", "1", "-1", "1.5", "\"secret\"", "true"};
    const std::vector<std::string> no_text = {"{}", "[]", "1", "-1", "1.5", "true"};
    const std::vector<std::string> no_flag = {"{}", "[]", "1", "0", "\"true\""};
    const std::vector<std::string> no_integer = {"{}", "[]", "\"secret\"", "true", "1.5"};
    const std::string resources = R"({"resourceMetrics":)";
    with(resources, "}", "resourceMetrics is not an array of objects", no_list);
    with(resources + R"([{"resource":)", "}]}", "resource is not an object", no_object);
    with(resources + R"([{"resource":{"attributes":)", "}}]}", "attributes is not an array of objects", no_list);
    with(resources + R"([{"scopeMetrics":)", "}]}", "scopeMetrics is not an array of objects", no_list);
    const std::string scopes = resources + R"([{"scopeMetrics":[{)";
    with(scopes + R"("scope":)", "}]}]}", "scope is not an object", no_object);
    with(scopes + R"("scope":{"name":)", "}}]}]}", "name is not a string", no_text);
    with(scopes + R"("scope":{"version":)", "}}]}]}", "version is not a string", no_text);
    with(scopes + R"("metrics":)", "}]}]}", "metrics is not an array of objects", no_list);
    const std::string metric = scopes + R"("metrics":[{)";
    with(metric + R"("name":)", "}]}]}]}", "name is not a string", no_text);
    with(metric + R"("unit":)", "}]}]}]}", "unit is not a string", no_text);
    for (const std::string kind : {"gauge", "sum", "histogram", "exponentialHistogram", "summary"}) {
        with(metric + "\"" + kind + "\":", "}]}]}]}", kind + " is not an object", no_object);
    }
    with(metric + R"("gauge":{"dataPoints":)", "}}]}]}]}", "dataPoints is not an array of objects", no_list);
    with(metric + R"("sum":{"dataPoints":)", "}}]}]}]}", "dataPoints is not an array of objects", no_list);
    with(metric + R"("sum":{"isMonotonic":)", "}}]}]}]}", "isMonotonic is not true or false", no_flag);
    const std::string point = metric + R"("gauge":{"dataPoints":[{)";
    const std::string end = "}]}}]}]}]}";
    with(point + R"("attributes":)", end, "attributes is not an array of objects", no_list);
    with(point + R"("startTimeUnixNano":)", end, "startTimeUnixNano is not an unsigned 64-bit integer", no_integer);
    with(point + R"("timeUnixNano":)", end, "timeUnixNano is not an unsigned 64-bit integer", no_integer);
    with(point + R"("asInt":)", end, "asInt is not a 64-bit integer", no_integer);
    with(point + R"("flags":)", end, "flags is not an unsigned 32-bit integer", no_integer);
    const std::string pair = point + R"("attributes":[{)";
    with(pair + R"("key":)", "}]" + end, "key is not a string", no_text);
    with(pair + R"("value":)", "}]" + end, "value is not an object", no_object);
    const std::string value = pair + R"("value":{)";
    with(value + R"("stringValue":)", "}}]" + end, "stringValue is not a string", no_text);
    with(value + R"("boolValue":)", "}}]" + end, "boolValue is not true or false", no_flag);
    with(value + R"("intValue":)", "}}]" + end, "intValue is not a 64-bit integer", no_integer);
    with(value + R"("bytesValue":)", "}}]" + end, "bytesValue is not a string", no_text);
    with(value + R"("arrayValue":)", "}}]" + end, "arrayValue is not an object", no_object);
    with(value + R"("kvlistValue":)", "}}]" + end, "kvlistValue is not an object", no_object);
    with(value + R"("arrayValue":{"values":)", "}}}]" + end, "values is not an array of objects", no_list);
    with(value + R"("kvlistValue":{"values":)", "}}}]" + end, "values is not an array of objects", no_list);
}

TEST_CASE("row 18: Arrays and objects nest up to the depth that is allowed") {
    const auto unknown = [](std::size_t depth) {
        return R"({"unknown":)" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
    };
    CHECK(decode(unknown(candor::otlp::max_depth)).problem == "");
    CHECK(decode(unknown(candor::otlp::max_depth + 1)).problem == too_deep);
    CHECK(decode(unknown(1'000'000)).problem == too_deep);
    CHECK(decode(std::string(1'000'000, '[')).problem == "the request is not an object");
    std::string objects;
    for (int i = 0; i < 100'000; ++i) objects += R"({"a":)";
    CHECK(decode(objects).problem == too_deep);
    // A value is at depth 12; an array in it is an object and an array, and what it holds is one object more.
    const auto nested = [](int arrays) {
        std::string value = "{}";
        for (int i = 0; i < arrays; ++i) value = R"({"arrayValue":{"values":[)" + value + "]}}";
        return request_of_value(value);
    };
    CHECK(decode(nested(17)).problem == "");
    CHECK(decode(nested(18)).problem == too_deep);
}

TEST_CASE("The attributes are bounded in JSON too") {
    const auto attributes = [](std::size_t count) {
        std::string all = R"("attributes":[{})";
        for (std::size_t i = 1; i < count; ++i) all += ",{}";
        return request_of_point("{" + all + "]}");
    };
    CHECK(decode(attributes(candor::otlp::max_attributes)).problem == "");
    CHECK(decode(attributes(candor::otlp::max_attributes + 1)).problem ==
          "a resource or a point has too many attributes");
}

TEST_CASE("A JSON request that is cut anywhere is malformed") {
    const auto body = to_json(otlp_writer::rich_request(), {.order = member_order::descending});
    const int count = candor::testing::rounds(static_cast<int>(body.size()));
    for (std::size_t size = 0; size < body.size(); size += body.size() / static_cast<std::size_t>(count)) {
        REQUIRE(decode(body.substr(0, size)) == otlp_record{{}, "the request is not JSON"});
    }
}

TEST_CASE("Mutated JSON never does harm, and finishes only when it is well-formed") {
    std::minstd_rand random{20221123};
    const auto at_most = [&](std::size_t most) { return std::uniform_int_distribution<std::size_t>{0, most}(random); };
    constexpr std::string_view structure = R"({}[],:"0123456789eE+-.truefalsn )";
    const auto original = to_json(otlp_writer::rich_request(), {.plain_numbers = true});
    int refused = 0;
    for (int i = 0; i < candor::testing::rounds(5'000); ++i) {
        auto body = original;
        const auto at = at_most(body.size() - 1);
        switch (at_most(2)) {
            case 0:
                body[at] = structure[at_most(structure.size() - 1)];
                break;
            case 1:
                body.erase(at, at_most(12));
                break;
            default:
                body.insert(at, body, at_most(body.size() - 1), at_most(40));
        }
        const auto found = decode(body);
        const bool finished = !found.calls.empty() && found.calls.back() == "finish";
        REQUIRE(finished == (found.problem == ""));
        if (!finished) ++refused;
    }
    CHECK(refused > candor::testing::rounds(1'000));
    CHECK(refused < 5'000);
}

TEST_CASE("What a visitor of JSON throws gets out") {
    struct thrower : otlp_recorder {
        void point(const candor::otlp::number_point&) { throw std::runtime_error{"enough"}; }
    } visitor;
    CHECK_THROWS_AS(candor::otlp::decode_json(to_json(otlp_writer::usual_request()), visitor), std::runtime_error);
    CHECK_FALSE(visitor.finished());
}

}  // namespace json_test
