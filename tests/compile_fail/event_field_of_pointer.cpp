// A field of a type that has no form on the wire.
// expect: no matching function for call to .(candor::)?field
// expect: (does not satisfy 'field_value'|the satisfaction of .field_value<)
#include <string_view>
#include <tuple>

#include <candor/event/fields.hpp>

struct build_finished {
    static constexpr std::string_view event_name = "build_finished";
#ifdef CANDOR_SHOULD_FAIL
    void* target = nullptr;
#else
    std::string_view target{};
#endif

    static constexpr auto fields() {
        return std::tuple{candor::field("target", &build_finished::target, "Name of the build target")};
    }
};

void track(const candor::event auto&) {}

void build() { track(build_finished{}); }
