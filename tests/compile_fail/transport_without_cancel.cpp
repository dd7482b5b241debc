// A transport that cannot be cancelled would hang the program's exit.
// expect: (constraint failure|constraints not satisfied) for .*basic_client
// expect: (does not satisfy 'transport'|the satisfaction of .transport<)
// expect: t\.cancel\(\)
#include <candor/policy/clock.hpp>
#include <candor/policy/transport.hpp>
#include <candor/rudderstack/client.hpp>

struct my_transport {
    candor::http_response send(const candor::http_request&) { return {}; }
#ifndef CANDOR_SHOULD_FAIL
    void cancel() noexcept {}
#endif
};

using client = candor::rudderstack::basic_client<my_transport, candor::system_clock>;
