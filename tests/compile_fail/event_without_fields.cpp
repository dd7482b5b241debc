// An event that does not declare what it sends.
// expect: no matching function for call to .track
// expect: (does not satisfy 'declares_fields'|the satisfaction of .declares_fields<)
#include <string_view>
#include <tuple>

#include <candor/event/fields.hpp>

struct build_finished {
    static constexpr std::string_view event_name = "build_finished";
    bool cached = false;

#ifndef CANDOR_SHOULD_FAIL
    static constexpr auto fields() {
        return std::tuple{candor::field("cached", &build_finished::cached, "Whether the cache answered")};
    }
#endif
};

void track(const candor::event auto&) {}

void build() { track(build_finished{}); }
