#ifndef CANDOR_OTLP_METRICS_FILE_HPP
#define CANDOR_OTLP_METRICS_FILE_HPP

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include <candor/platform/replace_file.hpp>
#include <candor/policy/config_file.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/error.hpp>

namespace candor::otlp {

/// The file in which a person watches a table. Replaced as a whole each time (`replace_file`): a reader never sees a
/// part of a table.
class metrics_file {
public:
    /// Writes `text`, the first table, to `path`; a relative one is below the working directory of this moment. Removes
    /// what a killed process left in the directory. Throws `configuration_error` (`metrics_file`) where the file cannot
    /// be written.
    explicit metrics_file(const std::filesystem::path& path, std::string_view text) : path_{absolute(path)} {
        // A table of nothing is not worth waiting for a disk.
        const auto problem = candor::detail::replace_file(path_, text, candor::detail::outlasts::process);
        if (!problem.empty()) refuse(path, problem);
        candor::detail::sweep_replacements(path_.parent_path());
    }

    /// Replaces the file's content, and says whether it is there now. Where it is not, that is counted, `diagnostic` is
    /// told, unless the last call failed as well, and the old content stays; the next call tries again. One thread at a
    /// time. Throws only `std::bad_alloc`.
    bool write(std::string_view text, const diagnostic_sink& diagnostic = {},
               candor::detail::outlasts what = candor::detail::outlasts::power_loss) {
        const auto problem = candor::detail::replace_file(path_, text, what);
        if (!problem.empty()) {
            failures_.fetch_add(1, std::memory_order_relaxed);
            if (!failed_)
                candor::detail::report(diagnostic,
                                       "the metrics file " + candor::detail::printable_path(path_) + " " + problem);
        }
        failed_ = !problem.empty();
        return !failed_;
    }

    /// How often `write` has failed. Thread-safe.
    [[nodiscard]] std::uint64_t failures() const noexcept { return failures_.load(std::memory_order_relaxed); }

    /// Where the file is: an absolute path.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

private:
    [[noreturn]] static void refuse(const std::filesystem::path& path, const std::string& problem) {
        const auto text = path.u8string();
        throw configuration_error{"metrics_file",
                                  {reinterpret_cast<const char*>(text.data()), text.size()},
                                  "a path where a file can be written; this one " + problem};
    }

    static std::filesystem::path absolute(const std::filesystem::path& path) {
        if (!path.has_filename() ||
            path.native().find(std::filesystem::path::value_type{}) != std::filesystem::path::string_type::npos)
            refuse(path, "is not the name of a file");
        std::error_code error;
        auto whole = std::filesystem::absolute(path, error);
        if (error) refuse(path, "cannot be found: " + error.message());
        return whole;
    }

    std::filesystem::path path_;
    std::atomic<std::uint64_t> failures_{0};
    bool failed_ = false;
};

}  // namespace candor::otlp

#endif
