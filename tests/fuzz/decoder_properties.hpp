#ifndef CANDOR_TESTS_FUZZ_DECODER_PROPERTIES_HPP
#define CANDOR_TESTS_FUZZ_DECODER_PROPERTIES_HPP

#include <string>
#include <string_view>

#include "../support/otlp_recorder.hpp"
#include "require.hpp"

/// What holds of a decoder whatever the body. Gives what it says of this one.
template <class Decode>
otlp_record check_decoder(Decode decode, std::string_view body) {
    const auto found = record(decode, body);
    const auto kind = [&](std::size_t i) { return found.calls[i].substr(0, found.calls[i].find(' ')); };
    std::string before;
    for (std::size_t i = 0; i < found.calls.size(); ++i) {
        const auto call = kind(i);
        require(before != "finish", "finish is the last call");
        if (call == "scope") require(!before.empty(), "a scope is of a resource");
        if (call == "metric") require(!before.empty() && before != "resource", "a metric is of a scope");
        if (call == "point") require(before == "metric" || before == "point", "a point is of a metric");
        before = call;
    }
    require((before == "finish") == found.problem.empty(), "finish is called where the body is well-formed");
    require(record(decode, body) == found, "the same body says the same again");
    return found;
}

#endif
