#ifndef CANDOR_DELIVERY_LAST_DELIVERY_HPP
#define CANDOR_DELIVERY_LAST_DELIVERY_HPP

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <candor/delivery/spool_directory.hpp>
#include <candor/event/rfc3339.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/system_calls.hpp>

namespace candor::detail {

/// When a run last delivered something, for a person who asks: a file of the spool's directory that says
/// `2026-01-02T03:04:05Z`. It is written in place and not synced: a run that delivers all it has should not wait for
/// the disk, and nothing depends on it. Its name begins as those of the protocol's spool do, so that it goes with them.
struct last_delivery {
    static constexpr std::size_t file_size = std::string_view{"2026-01-02T03:04:05Z\n"}.size();

    static std::string file_name(std::string_view protocol) { return std::string{protocol} + "-last.delivered"; }

    /// What fails is as if nothing had been delivered.
    template <class Calls>
    static void note(const std::filesystem::path& directory, std::string_view protocol, wall_time now) noexcept {
        try {
            const auto text = to_rfc3339(std::chrono::floor<std::chrono::seconds>(now)) + "\n";
            if (text.size() == file_size) spool_directory<Calls>{directory}.write_in_place(file_name(protocol), text);
        } catch (...) {  // no memory
        }
    }

    /// Nothing where nothing is known of it.
    static std::optional<std::string> read(const std::filesystem::path& directory, std::string_view protocol) {
        if (directory.empty()) return std::nullopt;
        auto text = spool_directory<system_calls>{directory}.read(file_name(protocol), file_size);
        if (!text || text->size() != file_size) return std::nullopt;
        constexpr std::string_view shape = "0000-00-00T00:00:00Z\n";
        for (std::size_t i = 0; i < file_size; ++i) {
            const char c = (*text)[i];
            if (shape[i] == '0' ? c < '0' || c > '9' : c != shape[i]) return std::nullopt;
        }
        text->pop_back();
        return text;
    }
};

}  // namespace candor::detail

#endif
