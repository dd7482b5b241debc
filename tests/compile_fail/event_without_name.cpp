// An event that does not say what it is called on the wire.
// expect: no matching function for call to .track
// expect: (does not satisfy 'has_event_name'|the satisfaction of .has_event_name<)
#include <string_view>
#include <tuple>

#include <candor/event/fields.hpp>

struct build_finished {
#ifdef CANDOR_SHOULD_FAIL
    static constexpr std::string_view name = "build_finished";
#else
    static constexpr std::string_view event_name = "build_finished";
#endif
    bool cached = false;

    static constexpr auto fields() {
        return std::tuple{candor::field("cached", &build_finished::cached, "Whether the cache answered")};
    }
};

void track(const candor::event auto&) {}

void build() { track(build_finished{}); }
