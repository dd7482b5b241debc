// Any bytes as a crash record: it is read within its bounds, and what it says holds together.
//
// An input that begins with `=` is the record behind that byte. Any other is a start section and then sections whose
// checksums hold: a byte for the kind, two for the size, and the content, again and again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <candor/sentry/crash_record.hpp>

namespace {

using namespace candor::sentry;
using detail::section_kind;

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

std::string sections(std::string_view from) {
    std::string out = detail::start_section(candor::uuid{}, {}, "acme@1", {});
    while (from.size() >= 3) {
        // 0 to 4 are the kinds there are.
        const auto kind = static_cast<section_kind>(static_cast<std::uint32_t>(section_kind::start) +
                                                    static_cast<unsigned char>(from[0]));
        const std::size_t size = std::min<std::size_t>(
            static_cast<unsigned char>(from[1]) + 256u * static_cast<unsigned char>(from[2]), from.size() - 3);
        std::string section(sizeof(detail::section_head), '\0');
        section += from.substr(3, size);
        detail::seal_section(section.data(), kind, size);
        out += section;
        from.remove_prefix(3 + size);
    }
    return out + std::string(from);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    const bool is_raw = !input.empty() && input.front() == '=';
    const std::string file = is_raw ? std::string{input.substr(1)} : sections(input);
    crash_record record;
    const auto state = detail::parse_crash_record(file, record);
    require(is_raw || file.size() > detail::largest_record || state != detail::record_state::damaged,
            "a record with a good start can be read");
    require(record.frames.size() <= most_frames, "frames are bounded");
    require(record.modules.size() <= detail::most_modules, "modules are bounded");
    require(record.breadcrumbs.size() <= breadcrumb_ring::capacity, "breadcrumbs are bounded");
    require(!record.complete || (state == detail::record_state::crashed && record.signal != 0),
            "a complete record is one of a crash");
    for (const auto& module : record.modules)
        require(module.debug_id.empty() || module.debug_id.size() == candor::uuid::text_size, "a debug id is a UUID");
    if (state != detail::record_state::crashed) return 0;
    // What is not whole is still a crash, and less of one.
    crash_record cut;
    const auto shorter = detail::parse_crash_record(std::string_view{file}.substr(0, file.size() - 1), cut);
    require(shorter != detail::record_state::crashed || cut.event_id == record.event_id, "the start is the same");
    require(!cut.complete || record.complete || file.back() != '\0', "an end does not make a record whole");
    return 0;
}
