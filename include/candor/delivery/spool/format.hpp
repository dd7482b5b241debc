#ifndef CANDOR_DELIVERY_SPOOL_FORMAT_HPP
#define CANDOR_DELIVERY_SPOOL_FORMAT_HPP

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <candor/delivery/protocol.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/fnv1a.hpp>
#include <candor/policy/hex.hpp>

namespace candor::detail {

/// A file of the spool is a head of fixed length, whose fields are overwritten in place, then a line for each message,
/// to which its writer adds more while it has the file in hand:
///
///     candor-spool 2 attempts=0 settled=00000000 named=0123456789abcdef
///     214 0badcafe {"type":"track","messageId":"…
///     - 0badcafe …
///
/// The number before a message says where in it the time of sending belongs; `-` stands before a draft, which has no
/// identity yet. Then comes the checksum of the line's other bytes. So many messages at the beginning are `settled`
/// already. `named` is the hash of the user that the run which wrote the drafts had named, 0 for none.
///
/// A line that is not as it was written is left out, such as the last one of a writer that was killed. The number
/// behind the name is that of the format. Format 1, of release 0.1, is read: its head has the number of messages and
/// one checksum of all. A file of a newer one is for a newer release: its name says how old it is, and how many
/// messages it holds, all else is left alone.
inline constexpr std::string_view spool_format_name = "candor-spool ";
inline constexpr unsigned spool_format = 2;
inline constexpr std::string_view spool_head = "candor-spool 2 attempts=0 settled=00000000 named=0000000000000000\n";

/// Where the fields of a head stand; that of the attempts has the same place in format 1.
inline constexpr std::size_t spool_attempts_at = spool_head.find("attempts=") + 9;
inline constexpr std::size_t spool_settled_at = spool_head.find("settled=") + 8;
inline constexpr std::size_t spool_named_at = spool_head.find("named=") + 6;

/// A time as names and files of the spool say it: in milliseconds since 1970, never 0.
inline std::int64_t milliseconds_of(wall_time time) noexcept {
    const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
    return std::max<std::int64_t>(since, 1);
}

inline bool take(std::string_view& text, std::string_view expected) noexcept {
    if (!text.starts_with(expected)) return false;
    text.remove_prefix(expected.size());
    return true;
}

/// The number of the format that a file of candor's says in its first line, which begins with `name`; 0 where it says
/// none.
inline unsigned format_of(std::string_view content, std::string_view name) noexcept {
    unsigned out = 0;
    if (!take(content, name)) return 0;
    const auto [end, error] = std::from_chars(content.data(), content.data() + content.size(), out);
    const bool is_whole = error == std::errc{} && end != content.data() + content.size() && *end == ' ';
    return is_whole ? out : 0;
}

/// The checksum of a line whose own checksum stands `at` there: of all but that, folded to 32 bits.
inline std::uint32_t spool_checksum(std::string_view line, std::size_t at) noexcept {
    const std::uint64_t all = fnv1a(line.substr(at + 8), fnv1a(line.substr(0, at)));
    return static_cast<std::uint32_t>(all ^ all >> 32);
}

inline void append_checked_line(std::string& out, std::string_view place, std::string_view text) {
    const std::size_t start = out.size(), at = place.size() + 1;
    out.append(place).append(" 00000000 ").append(text);
    std::string checksum;
    append_hex(checksum, spool_checksum(std::string_view{out}.substr(start), at), 8);
    out.replace(start + at, checksum.size(), checksum) += '\n';
}

/// Appends the line of a message, in which the time of sending belongs at `sent_at`. Throws only `std::bad_alloc`.
inline void append_spool_line(std::string& out, std::string_view message, std::size_t sent_at) {
    append_checked_line(out, std::to_string(sent_at), message);
}

/// The same of a draft.
inline void append_spool_draft(std::string& out, std::string_view draft) { append_checked_line(out, "-", draft); }

/// The content of a file with these lines. Throws only `std::bad_alloc`.
inline std::string make_spool_file(std::string_view lines, std::uint64_t named = 0, unsigned attempts = 0) {
    std::string out;
    out.reserve(spool_head.size() + lines.size());
    out.append(spool_head.substr(0, spool_named_at));
    append_hex(out, named, 16);
    out[spool_attempts_at] = static_cast<char>('0' + attempts);
    return out.append("\n").append(lines);
}

/// What a file of the spool holds. The messages lie in its content.
struct spool_content {
    unsigned format = 0;
    unsigned attempts = 0;
    std::uint64_t named = 0;          ///< the hash of the user that the run which wrote the drafts had named
    std::size_t settled = 0;          ///< how many lines at the beginning are left out, which are settled
    std::vector<message> messages{};  ///< each with the number of its line; none where all are settled
};

namespace spool_reader {

/// Takes the beginning of a head: all before the fields in which the formats differ.
inline std::optional<spool_content> take_head(std::string_view& rest) {
    spool_content out{.format = format_of(rest, spool_format_name)};
    if (!take(rest, spool_format_name) || !(take(rest, "1 attempts=") || take(rest, "2 attempts=")))
        return std::nullopt;
    if (rest.empty() || rest.front() < '0' || rest.front() > '9') return std::nullopt;
    out.attempts = static_cast<unsigned>(rest.front() - '0');
    rest.remove_prefix(1);
    return out;
}

/// Takes the number before a message.
inline bool take_sent_at(std::string_view& line, std::size_t& out) noexcept {
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), out);
    if (error != std::errc{}) return false;
    line.remove_prefix(static_cast<std::size_t>(end - line.data()));
    return take(line, " ");
}

/// The message of a line, which lies in `content`; nothing where it is not as it was written.
inline std::optional<message> read_line(std::string_view line, std::string_view content, std::size_t index) {
    message out{.index = static_cast<std::uint32_t>(index)};
    std::string_view rest = line;
    out.is_draft = take(rest, "- ");
    if (!out.is_draft && !take_sent_at(rest, out.sent_at)) return std::nullopt;
    const std::size_t at = line.size() - rest.size();
    const auto checksum = take_hex(rest, 8);
    if (!checksum || *checksum != spool_checksum(line, at) || !take(rest, " ")) return std::nullopt;
    out.offset = static_cast<std::size_t>(rest.data() - content.data());
    out.size = rest.size();
    if (out.sent_at > out.size) return std::nullopt;
    return out;
}

/// What follows the attempts.
inline std::optional<spool_content> read_format_1(spool_content out, std::string_view rest, std::string_view content) {
    if (!take(rest, " messages=")) return std::nullopt;
    const auto count = take_hex(rest, 8);
    if (!count || !take(rest, " checksum=")) return std::nullopt;
    const auto checksum = take_hex(rest, 16);
    if (!checksum || !take(rest, "\n") || fnv1a(rest) != *checksum) return std::nullopt;
    while (!rest.empty()) {
        auto line = rest.substr(0, rest.find('\n'));
        if (line.size() == rest.size()) return std::nullopt;
        rest.remove_prefix(line.size() + 1);
        message m{.index = static_cast<std::uint32_t>(out.messages.size())};
        if (!take_sent_at(line, m.sent_at) || m.sent_at > line.size()) return std::nullopt;
        m.offset = static_cast<std::size_t>(line.data() - content.data());
        m.size = line.size();
        out.messages.push_back(m);
    }
    if (out.messages.size() != *count || out.messages.empty()) return std::nullopt;
    return out;
}

/// The same.
inline std::optional<spool_content> read_format_2(spool_content out, std::string_view rest, std::string_view content) {
    if (!take(rest, " settled=")) return std::nullopt;
    const auto settled = take_hex(rest, 8);
    if (!settled || !take(rest, " named=")) return std::nullopt;
    const auto named = take_hex(rest, 16);
    if (!named || !take(rest, "\n")) return std::nullopt;
    out.settled = *settled;
    out.named = *named;
    std::size_t lines = 0;
    bool is_damaged = false;
    while (!rest.empty()) {
        const auto line = rest.substr(0, rest.find('\n'));
        if (line.size() == rest.size()) break;
        rest.remove_prefix(line.size() + 1);
        if (lines >= out.settled) {
            const auto found = read_line(line, content, lines);
            if (found) out.messages.push_back(*found);
            is_damaged = is_damaged || (!found && !rest.empty());
        }
        ++lines;
    }
    if (out.messages.empty() && (is_damaged || out.settled == 0 || out.settled > lines)) return std::nullopt;
    return out;
}

}  // namespace spool_reader

/// Reads a file; nothing where there is not one message in it that is as it was written. Throws only `std::bad_alloc`.
inline std::optional<spool_content> parse_spool_file(std::string_view content) {
    std::string_view rest = content;
    auto out = spool_reader::take_head(rest);
    if (!out) return std::nullopt;
    return out->format == 1 ? spool_reader::read_format_1(*std::move(out), rest, content)
                            : spool_reader::read_format_2(*std::move(out), rest, content);
}

}  // namespace candor::detail

#endif
