// An environment that hands out a pointer does not say whose memory it is.
// expect: (constraint failure|constraints not satisfied) for .*basic_telemetry
// expect: (does not satisfy 'environment'|the satisfaction of .environment<)
// expect: (e\.get\(name\)|same_as<const char \*, .*' was not satisfied)
#include <optional>
#include <string>

#include <candor/policy/clock.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/transport.hpp>
#include <candor/telemetry.hpp>

struct my_environment {
#ifdef CANDOR_SHOULD_FAIL
    const char* get(const char*) const { return nullptr; }
#else
    std::optional<std::string> get(const char*) const { return {}; }
#endif
};

using telemetry = candor::basic_telemetry<candor::null_transport, candor::system_clock, my_environment>;
