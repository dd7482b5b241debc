// A clock whose now() may throw cannot be called from a noexcept track().
// expect: (constraint failure|constraints not satisfied) for .*basic_client
// expect: (does not satisfy 'clock'|the satisfaction of .clock<)
// expect: c\.now\(\)
#include <candor/policy/clock.hpp>
#include <candor/policy/transport.hpp>
#include <candor/rudderstack/client.hpp>

struct my_clock : candor::system_clock {
#ifdef CANDOR_SHOULD_FAIL
    candor::steady_time now() const { return {}; }
#else
    candor::steady_time now() const noexcept { return {}; }
#endif
};

using client = candor::rudderstack::basic_client<candor::null_transport, my_clock>;
