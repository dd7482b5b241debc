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
#include <vector>

#include <candor/delivery/protocol.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/fnv1a.hpp>
#include <candor/policy/hex.hpp>

namespace candor::detail {

/// A file of the spool is a line of fixed length, then a line for each message:
///
///     candor-spool 1 attempts=0 messages=00000002 checksum=0123456789abcdef
///     214 {"type":"track","messageId":"…
///
/// The number before a message says where in it the time of sending belongs. The checksum is over all that follows the
/// first line; the attempts stand outside of it and are overwritten in place. The number behind the name is that of the
/// format. A file of a newer one is for a newer release: its name says how old it is, all else is left alone.
inline constexpr std::string_view spool_magic = "candor-spool 1 attempts=";
inline constexpr std::string_view spool_format_name = "candor-spool ";
inline constexpr unsigned spool_format = 1;
inline constexpr std::size_t spool_head_size =
    spool_magic.size() + 1 + (sizeof(" messages=") - 1) + 8 + (sizeof(" checksum=") - 1) + 16 + 1;

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

/// The content of a file with these messages. Throws only `std::bad_alloc`.
inline std::string make_spool_file(const message_range& range, unsigned attempts) {
    std::size_t size = spool_head_size;
    for (const auto& m : range.messages) size += m.size + 12;
    std::string out;
    out.reserve(size);
    out.resize(spool_head_size);
    for (const auto& m : range.messages)
        out.append(std::to_string(m.sent_at)).append(" ").append(range.text(m)).append("\n");
    std::string head{spool_magic};
    head += static_cast<char>('0' + attempts);
    head += " messages=";
    append_hex(head, range.messages.size(), 8);
    head += " checksum=";
    append_hex(head, fnv1a(std::string_view{out}.substr(spool_head_size)), 16);
    head += '\n';
    out.replace(0, spool_head_size, head);
    return out;
}

/// What a file of the spool holds. The messages lie in its content.
struct spool_content {
    unsigned attempts = 0;
    std::vector<message> messages{};
};

/// Reads a file; nothing where a byte of it is not as it was written. Throws only `std::bad_alloc`.
inline std::optional<spool_content> parse_spool_file(std::string_view content) {
    std::string_view rest = content;
    if (rest.size() < spool_head_size || !take(rest, spool_magic)) return std::nullopt;
    spool_content out;
    const char attempts = rest.front();
    if (attempts < '0' || attempts > '9') return std::nullopt;
    out.attempts = static_cast<unsigned>(attempts - '0');
    rest.remove_prefix(1);
    if (!take(rest, " messages=")) return std::nullopt;
    const auto count = take_hex(rest, 8);
    if (!count || !take(rest, " checksum=")) return std::nullopt;
    const auto checksum = take_hex(rest, 16);
    if (!checksum || !take(rest, "\n") || fnv1a(rest) != *checksum) return std::nullopt;
    while (!rest.empty()) {
        const std::size_t end = rest.find('\n');
        if (end == rest.npos) return std::nullopt;
        message m;
        const char* const start = rest.data();
        const auto [text, error] = std::from_chars(start, start + end, m.sent_at);
        if (error != std::errc{} || text == start + end || *text != ' ') return std::nullopt;
        m.offset = static_cast<std::size_t>(text + 1 - content.data());
        m.size = static_cast<std::size_t>(start + end - (text + 1));
        if (m.sent_at > m.size) return std::nullopt;
        out.messages.push_back(m);
        rest.remove_prefix(end + 1);
    }
    if (out.messages.size() != *count || out.messages.empty()) return std::nullopt;
    return out;
}

/// What the name of a file of the spool says: `rudderstack-<destination>-<created>-<writer>-<serial>-<messages>.spool`,
/// each number in hexadecimal digits. Names of one destination sort by age.
struct spool_name {
    std::string protocol{};         ///< letters
    std::uint64_t destination = 0;  ///< hash of the endpoint
    std::int64_t created = 0;       ///< milliseconds since 1970
    std::uint64_t writer = 0;       ///< random, of the pipeline that wrote it
    std::uint64_t serial = 0;
    std::uint64_t messages = 0;

    [[nodiscard]] std::string text() const {
        std::string out = protocol + "-";
        append_hex(out, destination, 16);
        append_hex(out += '-', static_cast<std::uint64_t>(created), 12);
        append_hex(out += '-', writer, 16);
        append_hex(out += '-', serial, 8);
        append_hex(out += '-', messages, 8);
        return out += ".spool";
    }

    static std::optional<spool_name> parse(std::string_view text) {
        spool_name out;
        const auto letters = text.find('-');
        if (letters == 0 || letters == text.npos || letters > 32) return std::nullopt;
        out.protocol = text.substr(0, letters);
        for (const char c : out.protocol)
            if (c < 'a' || c > 'z') return std::nullopt;
        text.remove_prefix(letters);
        const auto number = [&text](std::size_t digits) {
            return take(text, "-") ? take_hex(text, digits) : std::nullopt;
        };
        const auto destination = number(16), created = number(12), writer = number(16), serial = number(8),
                   messages = number(8);
        if (!destination || !created || !writer || !serial || !messages || text != ".spool") return std::nullopt;
        out.destination = *destination;
        out.created = static_cast<std::int64_t>(*created);
        out.writer = *writer;
        out.serial = *serial;
        out.messages = *messages;
        return out;
    }
};

}  // namespace candor::detail

#endif
