// A field with names of its own would send what nobody declared.
// expect: no matching function for call to .(candor::)?field
// expect: (does not satisfy 'field_value'|the satisfaction of .field_value<)
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <candor/event/fields.hpp>

struct build_finished {
    static constexpr std::string_view event_name = "build_finished";
#ifdef CANDOR_SHOULD_FAIL
    std::map<std::string, std::string> options{};
#else
    std::vector<std::string> options{};
#endif

    static constexpr auto fields() {
        return std::tuple{candor::field("options", &build_finished::options, "Names of the options that were given")};
    }
};

void track(const candor::event auto&) {}

void build() { track(build_finished{}); }
