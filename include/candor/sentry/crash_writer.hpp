#ifndef CANDOR_SENTRY_CRASH_WRITER_HPP
#define CANDOR_SENTRY_CRASH_WRITER_HPP

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <candor/sentry/breadcrumbs.hpp>
#include <candor/sentry/crash_file.hpp>
#include <candor/sentry/crash_record.hpp>
#include <candor/sentry/stack.hpp>

namespace candor::sentry::detail {

/// Writes the sections of a crash, from fixed memory and with nothing but a system call for each: for signal handlers.
/// It is never destroyed, and its members may be abandoned at any instruction.
struct crash_writer {
    record_file* file = nullptr;
    const breadcrumb_ring* breadcrumbs = nullptr;
    std::size_t at = 0;  ///< where the next section goes
    crash_facts facts{};
    volatile std::sig_atomic_t frame_count = 0;
    std::array<std::uint64_t, most_frames> frames{};
    std::array<char, largest_crash> section{};

    /// False where there is no room for more.
    bool add_frame(std::uint64_t address) noexcept {
        const auto count = static_cast<std::size_t>(frame_count);
        if (count == frames.size()) return false;
        frames[count] = address;
        frame_count = static_cast<std::sig_atomic_t>(count + 1);
        return true;
    }

    void write_facts() noexcept {
        std::memcpy(content(), &facts, sizeof facts);
        append(section_kind::crash, sizeof facts);
    }

    void write_frames() noexcept {
        const std::size_t size = static_cast<std::size_t>(frame_count) * sizeof frames[0];
        std::memcpy(content(), frames.data(), size);
        append(section_kind::frames, size);
    }

    void write_breadcrumbs() noexcept {
        if (breadcrumbs == nullptr) return;
        std::size_t size = 0;
        breadcrumbs->each([&](const breadcrumb_image& image) {
            std::memcpy(content() + size, image.bytes.data(), image.used());
            size += image.used();
        });
        append(section_kind::breadcrumbs, size);
    }

    void write_end() noexcept { append(section_kind::end, 0); }

private:
    char* content() noexcept { return section.data() + sizeof(section_head); }

    void append(section_kind kind, std::size_t size) noexcept {
        seal_section(section.data(), kind, size);
        if (file->write(at, section.data(), sizeof(section_head) + size)) at += sizeof(section_head) + size;
    }
};

}  // namespace candor::sentry::detail

#endif
