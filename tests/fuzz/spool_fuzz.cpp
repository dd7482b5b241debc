// A file of the spool, and its name: any bytes.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <candor/delivery/spool/file_name.hpp>
#include <candor/delivery/spool/format.hpp>

#include "require.hpp"

using namespace candor::detail;

namespace {

struct stored {
    std::string text{};
    std::size_t sent_at = 0;
    bool is_draft = false;
    bool operator==(const stored&) const = default;
};

std::vector<stored> read(std::string_view content) {
    std::vector<stored> out;
    const auto found = parse_spool_file(content);
    if (!found) return out;
    std::size_t line = found->settled;
    for (const auto& m : found->messages) {
        require(m.offset <= content.size() && m.size <= content.size() - m.offset, "a message lies in the file");
        require(m.sent_at <= m.size, "the time of sending belongs in it");
        require(m.index >= line, "lines are counted, settled ones too");
        line = m.index + 1;
        out.push_back({std::string{content.substr(m.offset, m.size)}, m.sent_at, m.is_draft});
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    if (const auto entry = spool_entry::parse(input)) require(entry->file_name() == input, "a name says all of itself");

    const auto found = read(input);
    std::string lines;
    for (const auto& one : found) {
        require(one.text.find('\n') == one.text.npos, "a message is a line");
        one.is_draft ? append_spool_draft(lines, one.text) : append_spool_line(lines, one.text, one.sent_at);
    }
    if (!found.empty()) require(read(make_spool_file(lines)) == found, "what was read is written and read");

    // What a writer leaves that is killed while it adds a line.
    const auto whole = make_spool_file(lines);
    std::string added;
    append_spool_line(added, "{}", 1);
    for (std::size_t cut = 0; cut < added.size(); ++cut)
        require(read(whole + added.substr(0, cut)) == found, "a torn line is left out");
    require(read(whole + added).size() == found.size() + 1, "a whole one is read");
    return 0;
}
