// A number cannot be redacted.
// expect: no matching function for call to .(candor::)?free_text
// expect: (does not satisfy 'free_text_value'|the satisfaction of .free_text_value<)
#include <string>
#include <string_view>
#include <tuple>

#include <candor/event/fields.hpp>

struct build_finished {
    static constexpr std::string_view event_name = "build_finished";
#ifdef CANDOR_SHOULD_FAIL
    int error = 0;
#else
    std::string error{};
#endif

    static constexpr auto fields() {
        return std::tuple{candor::free_text("error", &build_finished::error, "Error message, secrets redacted")};
    }
};

void track(const candor::event auto&) {}

void build() { track(build_finished{}); }
