#include <candor/consent/notice.hpp>

#include <atomic>
#include <filesystem>
#include <ios>
#include <map>
#include <optional>
#include <ostream>
#include <sstream>
#include <streambuf>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#ifndef _WIN32
#include <sys/stat.h>
#endif

#include <candor/testing.hpp>

#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

namespace notice_test {

namespace {

using candor::level;
using candor::level_source;
using candor::testing::fixed_environment;

const candor::product acme{.name = "acme", .version = "1.4.0", .env_prefix = "ACME"};

/// A user whose first run this is, at a terminal.
struct newcomer {
    temporary_directory home{};
    std::map<std::string, std::string> variables{{"HOME", home.string()}};
    candor::product product = acme;
    bool is_terminal = true;
    std::string_view words{};

    struct run_of_program {
        candor::resolution consent{};
        std::string shown{};
    };

    [[nodiscard]] run_of_program run(std::optional<std::string_view> flag = std::nullopt) const {
        return go_on(candor::resolve_level(product, flag, fixed_environment{variables}));
    }
    [[nodiscard]] run_of_program go_on(const candor::resolution& consent) const {
        std::ostringstream out;
        auto next = candor::show_notice_once(product, consent, out, is_terminal, fixed_environment{variables}, words);
        return {std::move(next), out.str()};
    }

    [[nodiscard]] std::filesystem::path marker() const { return home.path() / ".local/state/acme/telemetry-notice"; }
    [[nodiscard]] bool is_marked() const { return std::filesystem::exists(marker()); }
};

/// Nothing is shown or kept, and the run goes on as it was to.
void is_spared(const newcomer& user, std::optional<std::string_view> flag = std::nullopt) {
    const auto before = candor::resolve_level(user.product, flag, fixed_environment{user.variables});
    const auto after = user.run(flag);
    CHECK(after.shown.empty());
    CHECK(after.consent.level == before.level);
    CHECK(after.consent.source == before.source);
    CHECK(after.consent.reason == before.reason);
    CHECK_FALSE(std::filesystem::exists(user.home.path() / ".local"));
}

/// A terminal that is gone.
struct broken_buffer : std::streambuf {};

}  // namespace

TEST_CASE("the first run shows the notice and sends nothing, and every other run goes on as it would") {
    const newcomer user;
    const auto first = user.run();
    CHECK(first.shown ==
          "acme sends usage events, errors and crash reports to its developers.\n"
          "To see what is sent, where and why: acme telemetry status\n"
          "To turn it off: acme telemetry off, or set ACME_TELEMETRY_LEVEL=none or DO_NOT_TRACK=1\n"
          "Nothing is sent in this run.\n");
    CHECK(first.consent.level == level::none);
    CHECK(first.consent.source == level_source::default_value);
    CHECK(first.consent.reason == "the notice was shown in this run; the next one sends");
    CHECK_FALSE(first.consent.error);
    CHECK(user.is_marked());
    for (int i = 0; i < 2; ++i) {
        const auto next = user.run();
        CHECK(next.shown.empty());
        CHECK(next.consent.level == level::all);
        CHECK(next.consent.reason == "the default, no choice was made");
    }
}

TEST_CASE("each product has a notice of its own, and each user") {
    newcomer user;
    CHECK_FALSE(user.run().shown.empty());
    user.product.name = "other";
    CHECK(user.run().shown.starts_with("other sends"));
    const newcomer another;
    CHECK_FALSE(another.run().shown.empty());
}

TEST_CASE("a product without a prefix has no variable to name") {
    newcomer user;
    user.product.env_prefix = "";
    CHECK(user.run().shown.find("To turn it off: acme telemetry off, or set DO_NOT_TRACK=1\n") != std::string::npos);
}

TEST_CASE("a program may have words of its own, and they are shown in whole lines") {
    newcomer user;
    user.words = "acme counts its builds.";
    CHECK(user.run().shown == "acme counts its builds.\n");
}

TEST_CASE("what is no terminal is shown nothing") {
    newcomer user;
    user.is_terminal = false;
    is_spared(user);
    user.is_terminal = true;  // and so it has not been shown yet
    CHECK_FALSE(user.run().shown.empty());
}

TEST_CASE("a CI system is shown nothing, whether or not the product has a level for it") {
    for (const auto chosen : {std::optional<level>{}, std::optional{level::none}, std::optional{level::all}}) {
        for (const char* system : {"CI", "GITHUB_ACTIONS", "TEAMCITY_VERSION"}) {
            newcomer user;
            user.product.in_ci = chosen;
            user.variables[system] = "1";
            is_spared(user);
        }
    }
}

TEST_CASE("whoever has said anything is shown nothing") {
    for (const char* chosen : {"none", "errors", "stats", "all"}) {
        newcomer user;
        is_spared(user, chosen);
        user.variables["ACME_TELEMETRY_LEVEL"] = chosen;
        is_spared(user);
        user.variables.erase("ACME_TELEMETRY_LEVEL");
        user.home.write(".config/acme/telemetry.json", R"({"level":")" + std::string{chosen} + "\"}");
        is_spared(user);
    }
    for (const char* variable : {"DO_NOT_TRACK", "ACME_NO_TELEMETRY"}) {
        newcomer user;
        user.variables[variable] = "1";
        is_spared(user);
    }
    is_spared(newcomer{}, "loud");
}

TEST_CASE("where the program itself sends nothing, nothing is shown") {
    const newcomer user;
    const auto off = user.go_on({.level = level::none, .reason = "the program's own"});
    CHECK(off.shown.empty());
    CHECK(off.consent.reason == "the program's own");
    CHECK_FALSE(user.is_marked());
    for (const char* version : {"", "development"}) {
        newcomer developer;
        developer.product.version = version;
        is_spared(developer);
    }
}

#ifndef _WIN32
TEST_CASE("the marker and the directory that is made for it are their owner's alone") {
    const newcomer user;
    CHECK_FALSE(user.run().shown.empty());
    struct stat found {};
    REQUIRE(::stat(user.marker().c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0600);
    CHECK(found.st_size == 0);
    REQUIRE(::stat(user.marker().parent_path().c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0700);
}

TEST_CASE("a FIFO in the marker's place is not waited for") {
    const newcomer user;
    std::filesystem::create_directories(user.marker().parent_path());
    REQUIRE(::mkfifo(user.marker().c_str(), 0600) == 0);
    CHECK(user.run().shown.empty());
}
#endif

TEST_CASE("where the marker cannot be created, every run shows the notice, says why and sends nothing") {
    const newcomer user;
    user.home.write(".local", "a file in the place of the directory");
    for (int i = 0; i < 2; ++i) {
        const auto run = user.run();
        CHECK(run.shown.find("\nNothing is sent in this run.\nThis notice will appear again, because it cannot be "
                             "recorded that you have seen it: " +
                             user.marker().string() + " cannot be created: ") != std::string::npos);
        CHECK(run.shown.ends_with('\n'));
        CHECK(run.consent.level == level::none);
        CHECK(run.consent.reason.starts_with("the notice was shown in this run; " + user.marker().string()));
    }
    newcomer homeless;
    homeless.variables = {{"HOME", (homeless.home.path() / "missing").string()}};
    for (int i = 0; i < 2; ++i) {
        const auto run = homeless.run();
        CHECK(run.shown.ends_with("that you have seen it: there is no state directory\n"));
        CHECK(run.consent.level == level::none);
    }
    CHECK_FALSE(std::filesystem::exists(homeless.home.path() / "missing"));
    homeless.variables.clear();
    CHECK(homeless.run().consent.level == level::none);
}

TEST_CASE("a notice that cannot be written was not shown: nothing is sent, and the next run shows it") {
    const newcomer user;
    for (const bool throws : {false, true}) {
        broken_buffer gone;
        std::ostream out{&gone};
        if (throws) out.exceptions(std::ios::badbit | std::ios::failbit);
        const auto consent =
            candor::show_notice_once(acme, candor::resolution{}, out, true, fixed_environment{user.variables});
        CHECK(consent.level == level::none);
        CHECK(consent.reason == "the notice could not be shown in this run");
        CHECK_FALSE(user.is_marked());
    }
    CHECK_FALSE(user.run().shown.empty());
}

TEST_CASE("of several first runs at once, exactly one shows the notice") {
    constexpr int runs = 8;
    for (int round = 0; round < 50; ++round) {
        const newcomer user;
        std::atomic<int> ready{0}, shown{0}, silent{0};
        std::vector<std::thread> at_once;
        for (int i = 0; i < runs; ++i) {
            at_once.emplace_back([&] {
                ++ready;
                while (ready < runs) std::this_thread::yield();
                const auto run = user.run();
                shown += run.shown.empty() ? 0 : 1;
                silent += run.consent.level == level::none ? 1 : 0;
            });
        }
        for (auto& one : at_once) one.join();
        CHECK(shown == 1);
        CHECK(silent == 1);
    }
}

}  // namespace notice_test
