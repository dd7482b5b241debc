#ifndef CANDOR_SENTRY_CRASH_RECORD_HPP
#define CANDOR_SENTRY_CRASH_RECORD_HPP

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/event/record_reader.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/fnv1a.hpp>
#include <candor/sentry/breadcrumbs.hpp>
#include <candor/sentry/stack.hpp>

namespace candor::sentry {

/// What a program left behind when it crashed.
struct crash_record {
    uuid event_id{};  ///< made when the handler was installed: one crash is one event, however often it is sent
    std::string release{};
    wall_time started{};                    ///< when the handler was installed
    wall_time time{};                       ///< of the crash; the same as `started` where it was not written any more
    int signal = 0;                         ///< SIGSEGV and so on; 0 where it was not written any more
    int code = 0;                           ///< `si_code`; on Windows the exception's code
    std::uint64_t fault_address = 0;        ///< what could not be accessed or executed; 0 for a signal that was sent
    std::uint64_t instruction = 0;          ///< where the thread was; 0 where the platform does not say
    std::uint64_t thread = 0;               ///< the system's id of the thread
    std::vector<std::uint64_t> frames{};    ///< newest first: `instruction`, then return addresses
    std::vector<module_image> modules{};    ///< loaded when the handler was installed
    std::vector<breadcrumb> breadcrumbs{};  ///< oldest first
    bool complete = false;                  ///< false where the handler did not come to its end or the file is damaged
};

namespace detail {

/// A crash record is a file of sections, one after the other, of which the first is written when the handler is
/// installed and the others when the program crashes; zeros follow, whose space is taken beforehand. Numbers are in the
/// machine's own format: the file does not leave it. A section is this head and `size` bytes. The first one's kind,
/// `cnd1`, ends with the number of the format: a record of a newer release begins with a larger digit.
struct section_head {
    std::uint32_t kind = 0;
    std::uint32_t size = 0;
    std::uint64_t checksum = 0;  ///< of kind, size and the bytes
};

enum class section_kind : std::uint32_t { start = 0x31646e63, crash, frames, breadcrumbs, end };

/// The section `crash`.
struct crash_facts {
    std::int64_t time = 0;
    std::uint64_t fault_address = 0;
    std::uint64_t instruction = 0;
    std::uint64_t thread = 0;
    std::int32_t signal = 0;
    std::int32_t code = 0;
};

inline constexpr std::size_t most_modules = 512;
inline constexpr std::size_t most_module_text = 1024;
inline constexpr std::size_t largest_start = 192 * 1024;

/// The most bytes that the sections written in a crash take.
inline constexpr std::size_t largest_crash = 4 * sizeof(section_head) + sizeof(crash_facts) +
                                             most_frames * sizeof(std::uint64_t) +
                                             breadcrumb_ring::capacity * breadcrumb_image::size;

/// The most bytes of a record.
inline constexpr std::size_t largest_record = sizeof(section_head) + largest_start + largest_crash;

/// For signal handlers too.
inline std::uint64_t checksum_of(const section_head& head, const char* bytes) noexcept {
    std::array<char, sizeof head.kind + sizeof head.size> numbers{};
    std::memcpy(numbers.data(), &head, numbers.size());
    return candor::detail::fnv1a({bytes, head.size}, candor::detail::fnv1a({numbers.data(), numbers.size()}));
}

/// Writes the head before the `size` bytes of a section that stand after it. For signal handlers too.
inline void seal_section(char* section, section_kind kind, std::size_t size) noexcept {
    section_head head{static_cast<std::uint32_t>(kind), static_cast<std::uint32_t>(size), 0};
    head.checksum = checksum_of(head, section + sizeof head);
    std::memcpy(section, &head, sizeof head);
}

/// The section `start`, with what is known before any crash. Modules that are too many are left out, and so are their
/// directories, which say who runs the program.
inline std::string start_section(uuid event_id, wall_time started, std::string_view release,
                                 const std::vector<module_image>& modules) {
    std::string out(sizeof(section_head), '\0');
    const auto put = [&out](auto number) {
        const auto value = static_cast<std::uint64_t>(number);
        out.append(reinterpret_cast<const char*>(&value), sizeof value);
    };
    const auto put_text = [&](std::string_view text) {
        text = cut_text(text, most_module_text);
        put(text.size());
        out.append(text);
    };
    const auto& id = event_id.bytes();
    out.append(reinterpret_cast<const char*>(id.data()), id.size());
    put(started.time_since_epoch().count());
    put_text(release);
    std::size_t left = most_modules;
    for (const auto& module : modules) {
        if (left-- == 0 || out.size() + 2 * most_module_text + 4 * sizeof(std::uint64_t) > largest_start) break;
        put(module.address);
        put(module.size);
        put_text(module.build_id);
        put_text(file_name(module.file));
    }
    seal_section(out.data(), section_kind::start, out.size() - sizeof(section_head));
    return out;
}

using candor::detail::record_reader;

/// Reads one section into `record`; false where it does not hold what one of its kind does.
inline bool read_section(std::uint32_t kind, std::string_view bytes, crash_record& record) {
    record_reader reader{bytes};
    switch (static_cast<section_kind>(kind)) {
        case section_kind::start: {
            record.event_id = uuid{reader.take<std::array<std::uint8_t, 16>>()};
            record.time = record.started = wall_time{std::chrono::nanoseconds{reader.take<std::int64_t>()}};
            record.release = reader.take_text<std::uint64_t>();
            while (reader.is_good() && !reader.is_empty() && record.modules.size() < most_modules) {
                module_image module;
                module.address = reader.take<std::uint64_t>();
                module.size = reader.take<std::uint64_t>();
                module.build_id = reader.take_text<std::uint64_t>();
                module.file = reader.take_text<std::uint64_t>();
                module.debug_id = debug_id_of(module.build_id);
                if (reader.is_good()) record.modules.push_back(std::move(module));
            }
            break;
        }
        case section_kind::crash: {
            const auto facts = reader.take<crash_facts>();
            if (!reader.is_good()) return false;
            record.time = wall_time{std::chrono::nanoseconds{facts.time}};
            record.signal = facts.signal;
            record.code = facts.code;
            record.fault_address = facts.fault_address;
            record.instruction = facts.instruction;
            record.thread = facts.thread;
            break;
        }
        case section_kind::frames:
            while (reader.is_good() && !reader.is_empty() && record.frames.size() < most_frames) {
                const auto frame = reader.take<std::uint64_t>();
                if (reader.is_good()) record.frames.push_back(frame);
            }
            break;
        case section_kind::breadcrumbs:
            while (!bytes.empty() && record.breadcrumbs.size() < breadcrumb_ring::capacity) {
                auto read = read_breadcrumb(bytes);
                if (!read) return false;
                record.breadcrumbs.push_back(*std::move(read));
            }
            return bytes.empty();
        case section_kind::end:
            record.complete = true;
            break;
        default:
            return false;
    }
    return reader.is_good() && reader.is_empty();
}

/// What a file that may be a crash record turns out to be.
enum class record_state {
    unused,   ///< the program ended without a crash, or was killed
    crashed,  ///< as far as it was written
    damaged,  ///< not even the start can be read
    newer,    ///< a newer release reads it
};

inline bool is_newer_record(std::string_view bytes) noexcept {
    const auto kind = record_reader{bytes}.take<std::uint32_t>();
    constexpr auto ours = static_cast<std::uint32_t>(section_kind::start);
    return kind << 8 == ours << 8 && kind > ours && kind >> 24 <= '9';
}

/// Reads a crash record. Whatever stands in `bytes`, takes time and memory in proportion to them. Throws
/// `std::bad_alloc`.
inline record_state parse_crash_record(std::string_view bytes, crash_record& record) {
    record = {};
    const auto is_zero = [](std::string_view part) { return part.find_first_not_of('\0') == std::string_view::npos; };
    if (is_zero(bytes)) return record_state::unused;  // killed before the start was written
    if (is_newer_record(bytes)) return record_state::newer;
    if (bytes.size() > largest_record) return record_state::damaged;
    bool is_first = true;
    bool is_whole = true;
    while (!is_zero(bytes)) {
        record_reader reader{bytes};
        const auto head = reader.take<section_head>();
        const auto content = reader.take_bytes(head.size);
        const bool is_there = reader.is_good();
        const bool is_good = is_there && checksum_of(head, content.data()) == head.checksum &&
                             (head.kind == static_cast<std::uint32_t>(section_kind::start)) == is_first &&
                             read_section(head.kind, content, record);
        if (is_first && !is_good) return record_state::damaged;
        is_whole = is_whole && is_good;
        if (!is_there) break;
        bytes.remove_prefix(sizeof head + head.size);  // a section that is damaged is passed over
        if (std::exchange(is_first, false) && is_zero(bytes)) return record_state::unused;
    }
    record.complete = record.complete && is_whole && record.signal != 0;
    return record_state::crashed;
}

}  // namespace detail

}  // namespace candor::sentry

#endif
