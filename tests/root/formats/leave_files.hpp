#ifndef CANDOR_TESTS_ROOT_FORMATS_LEAVE_FILES_HPP
#define CANDOR_TESTS_ROOT_FORMATS_LEAVE_FILES_HPP

#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <candor/candor.hpp>

#include <candor/testing.hpp>

#include <support/child_process.hpp>

/// A file of each kind that candor leaves on disk. Compiled against a release, this made that release's directory
/// beside it; `formats_test.cpp` has the current one make its own.
namespace candor::tests {

struct kept {
    static constexpr std::string_view event_name = "kept";
    std::string note{};
    static constexpr auto fields() { return std::tuple{field("note", &kept::note, "Anything")}; }
};

/// A machine whose state and configuration are in one directory.
struct place {
    using telemetry = basic_telemetry<testing::recording_transport, testing::manual_clock, testing::fixed_environment>;

    [[nodiscard]] testing::fixed_environment environment() const {
        return {{{"XDG_STATE_HOME", home.string()}, {"XDG_CONFIG_HOME", home.string()}}};
    }
    [[nodiscard]] std::filesystem::path spool() const { return home / "acme" / "telemetry"; }

    [[nodiscard]] static telemetry_options options() {
        return {.product = {.name = "acme", .version = "1.4.0", .env_prefix = "ACME"},
                .write_key = "key",
                .data_plane_url = "http://events.acme.example",
                .sentry_dsn = "http://key@errors.acme.example/7",
                .account =
                    [] {
                        return std::optional<account>{{"u1", "t1"}};
                    },
                .internal_team = [](const auto&) { return false; }};
    }

    std::filesystem::path home;
};

/// When the last of the files was left.
inline wall_time left_at() { return std::chrono::sys_days{std::chrono::November / 20 / 2026} + std::chrono::hours{9}; }

inline void leave_files(const place& in) {
    // A run that delivers, then five that cannot.
    for (int run = 0; run <= 5; ++run) {
        testing::recording_transport transport;
        testing::manual_clock clock{left_at() - std::chrono::minutes{5 - run}};
        for (int i = 0; i < 10 && run > 0; ++i) transport.fail(transport_error::unreachable);
        auto options = place::options();
        place::telemetry t{options, transport, clock, in.environment()};
        t.track(kept{.note = std::to_string(run)});
        t.capture_message(sentry::severity::error, "run " + std::to_string(run));
    }
    run_in_child([&](int) {
        sentry::breadcrumb_ring breadcrumbs;
        breadcrumbs.add(left_at(), "info", "test", "the last thing");
        sentry::crash_handler handler{{.directory = in.spool(), .release = "acme@1.4.0", .breadcrumbs = &breadcrumbs}};
        if (!handler.problem().empty()) return 1;
        ::raise(SIGSEGV);
        return 2;
    });
    static_cast<void>(save_choice(in.environment(), "acme", level::stats));
}

}  // namespace candor::tests

#endif
