#ifndef CANDOR_SENTRY_CRASH_RECOVERY_HPP
#define CANDOR_SENTRY_CRASH_RECOVERY_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include <candor/platform/standard_streams.hpp>
#include <candor/sentry/crash_file.hpp>
#include <candor/sentry/crash_record.hpp>

namespace candor::sentry {

/// What `recover_crashes` found.
struct recovered_crashes {
    std::size_t reported = 0;  ///< given to `report`, which took them
    std::size_t kept = 0;      ///< given to `report`, which did not take them: they are there the next time
    std::size_t damaged = 0;   ///< not even the start could be read; removed
    std::size_t newer = 0;     ///< of a newer release, which reports them

    friend bool operator==(const recovered_crashes&, const recovered_crashes&) = default;
};

/// How many files one call of `recover_crashes` takes up. What is left waits for the next one.
inline constexpr std::size_t most_recovered = 64;

/// The record of a newer release that nobody has reported for so long is removed.
inline constexpr std::chrono::hours newer_crash_age{30 * 24};

namespace detail {

/// Calls `visit(record_file&, path)` for each record that an ended process of this user left, until that returns false.
template <class Visit>
void each_crash(const std::filesystem::path& directory, const Visit& visit) {
    std::error_code error;
    candor::detail::occupy_standard_streams();
    for (std::filesystem::directory_iterator entry{directory, error}, end; !error && entry != end;
         entry.increment(error)) {
        const auto file_name = entry->path().filename();
        std::string name;
        for (const auto c : file_name.native())  // a record's name is ASCII
            name += static_cast<std::uint32_t>(c) < 128 ? static_cast<char>(c) : '?';
        if (!is_record_name(name)) continue;
        auto file = record_file::claim(entry->path());
        if (file.is_open() && !visit(file, entry->path())) return;
    }
}

inline bool is_expired(const std::filesystem::path& record) {
    std::error_code error;
    const auto written = std::filesystem::last_write_time(record, error);
    return !error && std::filesystem::file_time_type::clock::now() - written > newer_crash_age;
}

}  // namespace detail

namespace detail {

/// Calls `take(const crash_record&, record_file&)` for each crash that an ended process of this user left in
/// `directory`; true where it took the record, which it removes when the report is safe.
template <class Take>
recovered_crashes take_crashes(const std::filesystem::path& directory, const Take& take) {
    recovered_crashes out;
    std::size_t left = most_recovered;
    each_crash(directory, [&](record_file& file, const std::filesystem::path& path) {
        const auto content = file.read(largest_record + 1);
        if (!content) return true;
        crash_record record;
        switch (parse_crash_record(*content, record)) {
            case record_state::newer:
                if (is_expired(path)) {
                    file.remove();
                } else {
                    ++out.newer;
                }
                return true;  // those keep none of ours from being taken up
            case record_state::unused:
                file.remove();
                break;
            case record_state::damaged:
                file.remove();
                ++out.damaged;
                break;
            case record_state::crashed:
                take(std::as_const(record), file) ? ++out.reported : ++out.kept;
                break;
        }
        return --left > 0;
    });
    return out;
}

}  // namespace detail

/// Calls `report(const crash_record&)` for each crash that an ended process of this user left in `directory`, and
/// removes the record once that has returned true; records of processes that ended without a crash are removed in
/// silence. The records of living processes, of newer releases, and what is no plain file of the user, stay untouched.
/// Each record is one process's at a time, so that one crash is reported once however many start together; a process
/// that is killed between report and removal has it reported again under the same event id. What `report` throws goes
/// to the caller, the record stays. Throws `std::bad_alloc` otherwise. Any thread.
template <class Report>
recovered_crashes recover_crashes(const std::filesystem::path& directory, Report report) {
    return detail::take_crashes(directory, [&](const crash_record& record, detail::record_file& file) {
        if (!report(record)) return false;
        file.remove();
        return true;
    });
}

/// Removes every record that ended processes of this user left, whichever release wrote it. Says how many of them
/// were of a crash, as far as this release can tell. Throws `std::bad_alloc`.
inline std::size_t purge_crashes(const std::filesystem::path& directory) {
    std::size_t out = 0;
    detail::each_crash(directory, [&out](detail::record_file& file, const std::filesystem::path&) {
        crash_record record;
        const auto content = file.read(detail::largest_record + 1);
        if (content && detail::parse_crash_record(*content, record) == detail::record_state::crashed) ++out;
        file.remove();
        return true;
    });
    return out;
}

}  // namespace candor::sentry

#endif
