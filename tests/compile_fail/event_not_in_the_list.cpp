// A program that names its events can send no other: its catalog would not have it.
// expect: (static assertion failed|static_assert failed|static assertion failed due to requirement)
// expect: this event is not in the event_list of this telemetry: name it there
#include <string_view>
#include <tuple>

#include <candor/event/catalog.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/transport.hpp>
#include <candor/telemetry.hpp>

struct build_finished {
    static constexpr std::string_view event_name = "build_finished";
    bool cached = false;
    static constexpr auto fields() {
        return std::tuple{candor::field("cached", &build_finished::cached, "Whether the cache answered")};
    }
};

struct build_started : build_finished {
    static constexpr std::string_view event_name = "build_started";
};

#ifdef CANDOR_SHOULD_FAIL
using events = candor::event_list<build_started>;
#else
using events = candor::event_list<build_started, build_finished>;
#endif

using telemetry =
    candor::basic_telemetry<candor::null_transport, candor::system_clock, candor::process_environment, events>;

void build(telemetry& to) { to.track(build_finished{}); }
