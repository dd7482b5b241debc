#include <candor/otlp/protobuf.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <differential/walk.hpp>
#include <support/otlp_recorder.hpp>
#include <support/otlp_writer.hpp>
#include <support/rounds.hpp>

#include <doctest/doctest.h>

namespace protobuf_test {

namespace {

namespace pb = google::protobuf;
using candor::differential::Request;
using otlp_writer::message;

const auto seeds = static_cast<std::uint32_t>(candor::testing::rounds(3'000));

class randomness {
public:
    explicit randomness(std::uint32_t seed) : engine_{seed} {}

    std::size_t at_most(std::size_t most) { return std::uniform_int_distribution<std::size_t>{0, most}(engine_); }
    bool one_in(std::size_t n) { return at_most(n - 1) == 0; }
    std::uint64_t bits() { return engine_() >> at_most(63); }
    std::string bytes() {
        std::string all(one_in(8) ? at_most(300) : at_most(12), '\0');
        for (char& c : all) c = static_cast<char>(at_most(255));
        return all;
    }

private:
    std::mt19937_64 engine_;
};

/// Gives most fields of a message random values.
void fill(pb::Message& m, randomness& random, int depth) {
    const auto& reflection = *m.GetReflection();
    const auto& descriptor = *m.GetDescriptor();
    int chosen = 0;
    for (int i = 0; i < descriptor.field_count(); ++i) {
        const auto& f = *descriptor.field(i);
        if (const auto* oneof = f.containing_oneof()) {
            if (f.index_in_oneof() == 0)
                chosen = static_cast<int>(random.at_most(static_cast<std::size_t>(oneof->field_count())));
            if (f.index_in_oneof() != chosen) continue;
        } else if (random.one_in(8)) {
            continue;
        }
        if (f.is_repeated()) {
            if (depth > 10) continue;
            for (std::size_t n = random.at_most(3); n > 0; --n) fill(*reflection.AddMessage(&m, &f), random, depth + 1);
            continue;
        }
        switch (f.cpp_type()) {
            case pb::FieldDescriptor::CPPTYPE_MESSAGE:
                fill(*reflection.MutableMessage(&m, &f), random, depth + 1);
                break;
            case pb::FieldDescriptor::CPPTYPE_STRING:
                reflection.SetString(&m, &f, random.bytes());
                break;
            case pb::FieldDescriptor::CPPTYPE_BOOL:
                reflection.SetBool(&m, &f, random.one_in(2));
                break;
            case pb::FieldDescriptor::CPPTYPE_ENUM:
                reflection.SetEnumValue(&m, &f, static_cast<int>(random.at_most(4)) - 1);
                break;
            case pb::FieldDescriptor::CPPTYPE_INT64:
                reflection.SetInt64(&m, &f, static_cast<std::int64_t>(random.bits()));
                break;
            case pb::FieldDescriptor::CPPTYPE_UINT64:
                reflection.SetUInt64(&m, &f, random.bits());
                break;
            case pb::FieldDescriptor::CPPTYPE_UINT32:
                reflection.SetUInt32(&m, &f, static_cast<std::uint32_t>(random.bits()));
                break;
            case pb::FieldDescriptor::CPPTYPE_DOUBLE:
                reflection.SetDouble(&m, &f,
                                     random.one_in(9) ? std::numeric_limits<double>::infinity()
                                                      : static_cast<double>(random.bits()) / 7);
                break;
            default:
                FAIL("a type that the schema does not have: ", f.name());
        }
    }
}

/// A field with a number that no message has, of any wire type.
std::string unknown_field(randomness& random, int depth = 0) {
    const auto number =
        static_cast<std::uint32_t>(random.one_in(2) ? 16 + random.at_most(20) : 16 + random.bits() % 536'870'000);
    switch (random.at_most(depth < 5 ? 4 : 3)) {
        case 0:
            return message{}.varint(number, random.bits()).str();
        case 1:
            return message{}.fixed64(number, random.bits()).str();
        case 2:
            return message{}.bytes(number, random.bytes()).str();
        case 3:
            return message{}.fixed32(number, static_cast<std::uint32_t>(random.bits())).str();
        default: {
            auto group = message::tag(number, 3);
            for (std::size_t n = random.at_most(3); n > 0; --n) group += unknown_field(random, depth + 1);
            return group + message::tag(number, 4);
        }
    }
}

std::string serialised(const pb::Message& m, randomness& random);

std::string scalar(const pb::Message& m, const pb::FieldDescriptor& f) {
    const auto& r = *m.GetReflection();
    const auto number = static_cast<std::uint32_t>(f.number());
    switch (f.type()) {
        case pb::FieldDescriptor::TYPE_BYTES:
            return message{}.bytes(number, r.GetString(m, &f)).str();
        case pb::FieldDescriptor::TYPE_BOOL:
            return message{}.varint(number, r.GetBool(m, &f) ? 1 : 0).str();
        case pb::FieldDescriptor::TYPE_ENUM:
            return message{}.varint(number, static_cast<std::uint64_t>(r.GetEnumValue(m, &f))).str();
        case pb::FieldDescriptor::TYPE_INT64:
            return message{}.varint(number, static_cast<std::uint64_t>(r.GetInt64(m, &f))).str();
        case pb::FieldDescriptor::TYPE_UINT32:
            return message{}.varint(number, r.GetUInt32(m, &f)).str();
        case pb::FieldDescriptor::TYPE_FIXED64:
            return message{}.fixed64(number, r.GetUInt64(m, &f)).str();
        case pb::FieldDescriptor::TYPE_SFIXED64:
            return message{}.fixed64(number, static_cast<std::uint64_t>(r.GetInt64(m, &f))).str();
        case pb::FieldDescriptor::TYPE_DOUBLE:
            return message{}.fixed64(number, std::bit_cast<std::uint64_t>(r.GetDouble(m, &f))).str();
        default:
            FAIL("a type that the schema does not have: ", f.name());
    }
    return {};
}

/// The fields of a message in a random order, of a repeated one in its own, with unknown ones in between.
std::vector<std::string> fields_of(const pb::Message& m, randomness& random) {
    const auto& reflection = *m.GetReflection();
    std::vector<const pb::FieldDescriptor*> set;
    reflection.ListFields(m, &set);
    std::vector<std::vector<std::string>> queues;
    for (const auto* f : set) {
        const auto number = static_cast<std::uint32_t>(f->number());
        auto& queue = queues.emplace_back();
        if (f->is_repeated()) {
            for (int i = 0; i < reflection.FieldSize(m, f); ++i) {
                const auto& element = reflection.GetRepeatedMessage(m, f, i);
                auto content = serialised(element, random);
                if (random.one_in(8)) {  // merged with another, which may be of another kind
                    const std::unique_ptr<pb::Message> more{element.New()};
                    fill(*more, random, 9);
                    content += serialised(*more, random);
                }
                queue.push_back(message{}.bytes(number, content).str());
            }
        } else if (f->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
            // All at once, or in two messages that are to be merged.
            const auto parts = fields_of(reflection.GetMessage(m, f), random);
            const auto first = random.one_in(4) ? random.at_most(parts.size()) : parts.size();
            std::string head;
            std::string tail;
            for (std::size_t i = 0; i < parts.size(); ++i) (i < first ? head : tail) += parts[i];
            queue.push_back(message{}.bytes(number, head).str());
            if (first < parts.size()) queue.push_back(message{}.bytes(number, tail).str());
        } else {
            queue.push_back(scalar(m, *f));
        }
    }
    if (random.one_in(3)) queues.push_back({unknown_field(random), unknown_field(random)});
    std::vector<std::string> all;
    while (!queues.empty()) {
        auto& queue = queues[random.at_most(queues.size() - 1)];
        if (queue.empty()) {
            std::swap(queue, queues.back());
            queues.pop_back();
        } else {
            all.push_back(std::move(queue.front()));
            queue.erase(queue.begin());
        }
    }
    return all;
}

std::string serialised(const pb::Message& m, randomness& random) {
    std::string all;
    for (const auto& field : fields_of(m, random)) all += field;
    return all;
}

std::string random_request(randomness& random) {
    Request request;
    for (std::size_t n = random.at_most(2) + 1; n > 0; --n) fill(*request.add_resource_metrics(), random, 1);
    return serialised(request, random);
}

otlp_record ours(std::string_view body) {
    return record([](auto bytes, auto& visitor) { return candor::otlp::decode_protobuf(bytes, visitor); }, body);
}

/// What libprotobuf makes of it. The problem has no words.
otlp_record theirs(const std::string& body) {
    Request request;
    if (!request.ParseFromString(body)) return {{}, "malformed"};
    otlp_recorder visitor;
    walk(request, visitor);
    return {visitor.calls(), ""};
}

/// What candor refuses and libprotobuf lets pass.
const std::set<std::string> stricter = {
    "a known field has the wrong wire type",
    "a varint has more than 64 bits",
    "a tag or a length has more than 32 bits",
    "messages or groups are nested too deep",
};

}  // namespace

TEST_CASE("Random requests give the same calls as libprotobuf's parser and a walk") {
    std::size_t calls = 0;
    for (std::uint32_t seed = 0; seed < seeds; ++seed) {
        CAPTURE(seed);
        randomness random{seed};
        const auto body = random_request(random);
        const auto expected = theirs(body);
        REQUIRE(expected.problem == "");
        REQUIRE(ours(body) == expected);
        calls += expected.calls.size();
    }
    CHECK(calls > 10 * seeds);
}

TEST_CASE("Of mutated requests candor accepts nothing that libprotobuf refuses, and reads the rest the same") {
    std::size_t refused_by_both = 0;
    std::size_t refused_by_us = 0;
    std::size_t the_same = 0;
    for (std::uint32_t seed = 0; seed < seeds; ++seed) {
        CAPTURE(seed);
        randomness random{seed};
        const auto original = random_request(random);
        for (int i = 0; i < 5 && !original.empty(); ++i) {
            auto body = original;
            for (std::size_t n = random.at_most(1) + 1; n > 0 && !body.empty(); --n) {
                const auto at = random.at_most(body.size() - 1);
                const auto from = random.at_most(original.size() - 1);
                const auto size = random.at_most(20);
                switch (random.at_most(4)) {
                    case 0:
                        body[at] = static_cast<char>(random.at_most(255));
                        break;
                    case 1:
                        body[at] = static_cast<char>(body[at] ^ (1 << random.at_most(7)));
                        break;
                    case 2:
                        body.erase(at, size / 4);
                        break;
                    case 3:
                        body.insert(at, original, from, size);
                        break;
                    default:
                        body.resize(at);
                }
            }
            const auto found = ours(body);
            const auto expected = theirs(body);
            if (found.problem == "") {
                REQUIRE(found == expected);
                ++the_same;
            } else if (expected.problem == "") {
                REQUIRE_MESSAGE(stricter.count(found.problem) == 1, found.problem);
                ++refused_by_us;
            } else {
                ++refused_by_both;
            }
        }
    }
    MESSAGE(the_same, " read the same, ", refused_by_both, " refused by both, ", refused_by_us, " by candor alone");
    CHECK(the_same > seeds / 2);
    CHECK(refused_by_both > seeds);
    CHECK(refused_by_us > 0);
}

}  // namespace protobuf_test
