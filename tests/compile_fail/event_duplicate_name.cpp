// Two fields of one name: one of them would be lost.
// expect: no matching function for call to .track
// expect: (does not satisfy 'has_plain_distinct_names'|the satisfaction of .has_plain_distinct_names<)
#include <string_view>
#include <tuple>

#include <candor/event/fields.hpp>

#ifdef CANDOR_SHOULD_FAIL
constexpr std::string_view second = "cached";
#else
constexpr std::string_view second = "hit";
#endif

struct build_finished {
    static constexpr std::string_view event_name = "build_finished";
    bool cached = false;

    static constexpr auto fields() {
        return std::tuple{candor::field("cached", &build_finished::cached, "Whether the cache answered"),
                          candor::field(second, &build_finished::cached, "The same again")};
    }
};

void track(const candor::event auto&) {}

void build() { track(build_finished{}); }
