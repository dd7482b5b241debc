#ifndef CANDOR_SENTRY_CRASH_RECOVERY_HPP
#define CANDOR_SENTRY_CRASH_RECOVERY_HPP

#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include <candor/sentry/crash_file.hpp>
#include <candor/sentry/crash_record.hpp>

namespace candor::sentry {

/// What `recover_crashes` found.
struct recovered_crashes {
    std::size_t reported = 0;  ///< given to `report`, which took them
    std::size_t kept = 0;      ///< given to `report`, which did not take them: they are there the next time
    std::size_t damaged = 0;   ///< not even the start could be read; removed

    friend bool operator==(const recovered_crashes&, const recovered_crashes&) = default;
};

/// How many files one call of `recover_crashes` takes up. What is left waits for the next one.
inline constexpr std::size_t most_recovered = 16;

/// Calls `report(const crash_record&)` for each crash that an ended process of this user left in `directory`, and
/// removes the record once that has returned true; records of processes that ended without a crash are removed in
/// silence. The records of living processes, and what is no plain file of the user, stay untouched. Each record is one
/// process's at a time, so that one crash is reported once however many start together; a process that is killed
/// between report and removal has it reported again under the same event id. What `report` throws goes to the caller,
/// the record stays. Throws `std::bad_alloc` otherwise. Any thread.
template <class Report>
recovered_crashes recover_crashes(const std::filesystem::path& directory, Report report) {
    recovered_crashes out;
    std::error_code error;
    std::size_t left = most_recovered;
    for (std::filesystem::directory_iterator entry{directory, error}, end; !error && entry != end && left > 0;
         entry.increment(error)) {
#ifdef _WIN32
        const auto native = entry->path().filename().native();
        std::string name;  // a record's name is ASCII
        for (const wchar_t c : native) name += c < 128 ? static_cast<char>(c) : '?';
#else
        const auto name = entry->path().filename().native();
#endif
        if (!detail::is_record_name(name)) continue;
        auto file = detail::record_file::claim(entry->path());
        if (!file.is_open()) continue;
        const auto content = file.read(detail::largest_record + 1);
        if (!content) continue;
        --left;
        crash_record record;
        switch (detail::parse_crash_record(*content, record)) {
            case detail::record_state::unused:
                file.remove();
                break;
            case detail::record_state::damaged:
                file.remove();
                ++out.damaged;
                break;
            case detail::record_state::crashed:
                if (report(std::as_const(record))) {
                    file.remove();
                    ++out.reported;
                } else {
                    ++out.kept;
                }
                break;
        }
    }
    return out;
}

}  // namespace candor::sentry

#endif
