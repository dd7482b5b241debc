#ifndef CANDOR_TESTS_ROOT_FAULT_PROGRAM_HPP
#define CANDOR_TESTS_ROOT_FAULT_PROGRAM_HPP

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <candor/candor.hpp>

#include <support/temporary_directory.hpp>

/// A program with telemetry and a spool, for tests of what can go wrong around it.
namespace candor::tests {

struct noted {
    static constexpr std::string_view event_name = "noted";
    std::string note{};
    double number = 0;
    static constexpr auto fields() {
        return std::tuple{free_text("note", &noted::note, "Anything"), field("number", &noted::number, "A number")};
    }
};

/// Where the runs of a program leave what they cannot deliver.
struct machine {
    [[nodiscard]] std::filesystem::path spool() const { return directory.path() / "spool"; }

    /// Of the spool, by name.
    [[nodiscard]] std::vector<std::filesystem::path> files() const {
        std::vector<std::filesystem::path> out;
        if (!std::filesystem::exists(spool())) return out;
        for (const auto& entry : std::filesystem::directory_iterator{spool()})
            if (entry.path().extension() == ".spool") out.push_back(entry.path());
        std::sort(out.begin(), out.end());
        return out;
    }

    [[nodiscard]] telemetry_options options(const std::string& url) const {
        telemetry_options out{.product = {.name = "acme", .version = "1.4.0", .env_prefix = "CANDOR_TEST_UNSET"},
                              .write_key = "write-key",
                              .data_plane_url = url,
                              .account =
                                  [] {
                                      return std::optional<account>{{"u1", "t1"}};
                                  },
                              .internal_team = [](const auto&) { return false; },
                              .shutdown_timeout = std::chrono::milliseconds{500}};
        out.delivery.spool.directory = spool();
        out.delivery.compress = false;
        return out;
    }

    /// A run that ends while nobody listens at `url` leaves a file for each of these notes.
    void leave(const std::string& url, const std::vector<std::string>& notes) const {
        auto of_one = options(url);
        of_one.delivery.batch_messages = 1;
        of_one.shutdown_timeout = std::chrono::seconds{20};
        telemetry t{of_one};
        for (const auto& note : notes) t.track(noted{.note = note});
    }

    const temporary_directory directory{};
};

}  // namespace candor::tests

#endif
