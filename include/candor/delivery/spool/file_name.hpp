#ifndef CANDOR_DELIVERY_SPOOL_FILE_NAME_HPP
#define CANDOR_DELIVERY_SPOOL_FILE_NAME_HPP

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <candor/delivery/spool/directory.hpp>
#include <candor/delivery/spool/format.hpp>
#include <candor/policy/hex.hpp>

namespace candor::detail {

/// What the name of a file of the spool says: `rudderstack-<destination>-<created>-<writer>-<serial>-<messages>.spool`,
/// each number in hexadecimal digits. Names of one destination sort by age.
struct spool_name {
    std::string protocol{};         ///< letters
    std::uint64_t destination = 0;  ///< hash of the endpoint
    std::int64_t created = 0;       ///< milliseconds since 1970
    std::uint64_t writer = 0;       ///< random, of the pipeline that wrote it
    std::uint64_t serial = 0;
    std::uint64_t messages = 0;  ///< so many when it was made

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

/// A file of the spool that was found. What was damaged, or was too old by the clock of one run, is under another name:
/// `….spool.damaged`, `….spool.expired-<when>`.
struct spool_entry {
    enum class state : std::uint8_t { usable, damaged, expired };

    spool_name name{};
    std::string text{};  ///< the file's name, as it is
    std::uint64_t size = 0;
    state is = state::usable;
    std::int64_t expired = 0;  ///< when it was found to be too old

    static std::optional<spool_entry> parse(std::string_view file) {
        spool_entry out{.text = std::string{file}};
        if (file.ends_with(spool_directory::damaged_suffix)) {
            file.remove_suffix(spool_directory::damaged_ending.size());
            out.is = state::damaged;
        } else if (const auto at = file.find(expired_ending); at != file.npos) {
            std::string_view digits = file.substr(at + expired_ending.size());
            const auto expired = take_hex(digits, 12);
            if (!expired || !digits.empty()) return std::nullopt;
            file = file.substr(0, at);
            out.is = state::expired;
            out.expired = static_cast<std::int64_t>(*expired);
        }
        auto name = spool_name::parse(file);
        if (!name) return std::nullopt;
        out.name = *std::move(name);
        return out;
    }

    /// The name that it should have.
    [[nodiscard]] std::string file_name() const {
        std::string out = name.text();
        if (is == state::damaged) out += spool_directory::damaged_ending;
        if (is == state::expired) append_hex(out += expired_ending, static_cast<std::uint64_t>(expired), 12);
        return out;
    }

    static constexpr std::string_view expired_ending = ".expired-";
};

/// How many messages of a file wait: of a newer format as many as its name says.
inline std::uint64_t count_waiting(const spool_name& name, std::string_view content) {
    if (format_of(content, spool_format_name) > spool_format) return name.messages;
    const auto found = parse_spool_file(content);
    return found ? found->messages.size() : 0;
}

}  // namespace candor::detail

#endif
