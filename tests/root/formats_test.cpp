#include <candor/candor.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <candor/delivery/spool/run_state.hpp>
#include <candor/testing.hpp>

#include <support/temporary_directory.hpp>

#include "formats/leave_files.hpp"

#include <doctest/doctest.h>

// What a release leaves on disk is read by those after it, and left alone by those before it. formats/ has what each
// release left.
namespace formats_test {

namespace {

using namespace std::chrono_literals;
using candor::drop_reason;
using candor::testing::manual_clock;
using candor::testing::recording_transport;
using candor::tests::kept;
using candor::tests::left_at;
using candor::tests::place;
namespace fs = std::filesystem;

std::string content_of(const fs::path& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

/// Puts there what a release left.
void copy_files(const std::string& release, const place& to) {
    fs::copy(fs::path{"root/formats"} / release, to.home / "acme", fs::copy_options::recursive);
    for (const auto& entry : fs::recursive_directory_iterator{to.home})
        fs::permissions(entry,
                        entry.is_directory() ? fs::perms::owner_all : fs::perms::owner_read | fs::perms::owner_write);
}

/// What a run of this release did.
struct outcome {
    candor::statistics counts{};
    std::string sent{};  ///< the bodies of its requests
    std::vector<std::string> said{};
};

outcome run(const place& in, candor::wall_time at, bool is_server_there = true, std::size_t most_files = 256) {
    recording_transport transport;
    manual_clock clock{at};
    for (int i = 0; i < 10 && !is_server_there; ++i) transport.fail(candor::transport_error::unreachable);
    outcome out;
    std::mutex mutex;
    auto options = place::options();
    options.delivery.spool.max_files = most_files;
    options.shutdown_timeout = 5s;  // what is stored takes its turns
    options.diagnostics = [&](std::string_view text) {
        const std::lock_guard guard{mutex};
        out.said.emplace_back(text);
    };
    place::telemetry t{options, transport, clock, in.environment()};
    t.track(kept{.note = "fresh"});
    t.capture_message(candor::sentry::severity::error, "fresh");
    t.shutdown();
    out.counts = t.statistics();
    for (const auto& request : transport.requests()) out.sent += request.body;
    return out;
}

/// All that a release left means today what it meant then.
void check_is_read(const place& in) {
    const auto choice = candor::read_choice(in.environment(), "acme");
    REQUIRE(choice);
    CHECK(choice->level == candor::level::stats);
    CHECK_FALSE(choice->warning);

    for (const char* const protocol : {"rudderstack", "sentry"})
        CHECK(candor::detail::last_delivery::read(in.spool(), protocol) == "2026-11-20T08:55:00Z");

    std::vector<candor::sentry::crash_record> crashes;
    const auto found = candor::sentry::recover_crashes(in.spool(), [&](const auto& record) {
        crashes.push_back(record);
        return true;
    });
    CHECK(found == candor::sentry::recovered_crashes{.reported = 1});
    REQUIRE(crashes.size() == 1);
    CHECK(crashes[0].release == "acme@1.4.0");
    CHECK(crashes[0].signal == SIGSEGV);
    CHECK(crashes[0].complete);
    CHECK(crashes[0].frames.size() > 1);
    CHECK(crashes[0].modules.size() > 1);
    REQUIRE(crashes[0].breadcrumbs.size() == 1);
    CHECK(crashes[0].breadcrumbs[0].message == "the last thing");

    const auto held = run(in, left_at() + 1min);
    CHECK(held.sent.empty());
    CHECK(held.counts.spooled == 2);
    CHECK(std::count_if(held.said.begin(), held.said.end(), [](const std::string& line) {
              return line.find("the last 5 runs could deliver nothing to it") != line.npos;
          }) == 2);

    const auto delivered = run(in, left_at() + 24h);
    CHECK(delivered.counts.recovered >= 4);
    CHECK(delivered.counts.delivered == delivered.counts.recovered + 2);
    CHECK(delivered.counts.accepted == delivered.counts.delivered);
    CHECK(delivered.sent.find("\"note\":\"5\"") != std::string::npos);
    CHECK(delivered.sent.find("\"formatted\":\"run 5\"") != std::string::npos);
}

/// The files below a directory, with what they hold.
std::map<fs::path, std::string> files_of(const place& in) {
    std::map<fs::path, std::string> out;
    for (const auto& entry : fs::recursive_directory_iterator{in.home})
        if (entry.is_regular_file()) out[entry.path()] = content_of(entry.path());
    return out;
}

/// Makes the files of a release those of one that has another format for each.
void make_newer(const place& in) {
    for (auto& [path, content] : files_of(in)) {
        auto text = content;
        if (path.extension() == ".json") {
            auto json = nlohmann::json::parse(text);
            json["format"] = 9;
            text = json.dump();
        } else {
            for (const std::string name : {"candor-spool ", "candor-breaker ", "candor-delivered ", "cnd"})
                if (text.starts_with(name)) text[name.size()] = '9';
        }
        REQUIRE(text != content);
        std::ofstream{path, std::ios::binary} << text;
    }
}

}  // namespace

TEST_CASE("what each release left is read") {
    for (const auto& release : fs::directory_iterator{"root/formats"}) {
        if (!release.is_directory()) continue;
        CAPTURE(release.path());
        const temporary_directory scratch;
        const place there{scratch.path()};
        copy_files(release.path().filename(), there);
        check_is_read(there);
    }
}

TEST_CASE("what this release leaves is read, and each file names its format") {
    const temporary_directory scratch;
    const place here{scratch.path()};
    leave_files(here);
    for (const auto& file : files_of(here)) {
        CAPTURE(file.first);
        const auto text = file.second.substr(0, 64);
        const bool is_named = text.starts_with("candor-spool 2 ") || text.starts_with("candor-breaker 1 ") ||
                              text.starts_with("candor-delivered 1 ") || text.starts_with("cnd1") ||
                              text.find("\"format\": 1") != text.npos;
        CHECK(is_named);
    }
    check_is_read(here);
}

TEST_CASE("two releases take turns with one directory: the older leaves the newer one's files, until they expire") {
    const temporary_directory scratch;
    const place shared{scratch.path()};
    leave_files(shared);
    make_newer(shared);
    const auto newer = files_of(shared);
    const auto are_untouched = [&] {
        const auto now = files_of(shared);
        return std::all_of(newer.begin(), newer.end(), [&](const auto& file) {
            const auto found = now.find(file.first);
            return found != now.end() && found->second == file.second;
        });
    };
    run(shared, left_at() + 1min, false, 1);  // with no room for theirs
    CHECK(are_untouched());

    const temporary_directory older;
    copy_files("0.1", {older.path()});
    for (const auto& entry : fs::directory_iterator{place{older.path()}.spool()})
        if (entry.path().extension() == ".spool") fs::copy(entry, shared.spool());
    CHECK(run(shared, left_at() + 2min, false).counts.spooled == 2);
    CHECK(are_untouched());
    const auto delivered = run(shared, left_at() + 3min);
    CHECK(delivered.counts.delivered >= 6);  // the fresh ones, those of the last run, and those of 0.1
    CHECK(delivered.counts.accepted == delivered.counts.delivered);
    CHECK(delivered.sent.find("\"note\":\"5\"") != std::string::npos);
    CHECK(are_untouched());
    CHECK(candor::read_choice(shared.environment(), "acme")->level == candor::level::none);
    CHECK(candor::sentry::recover_crashes(shared.spool(), [](const auto&) { return true; }) ==
          candor::sentry::recovered_crashes{.newer = 1});
    CHECK(are_untouched());

    std::ostringstream out, errors;
    manual_clock clock{left_at() + 4min};
    const char* const words[] = {"telemetry", "status", "--json"};
    CHECK(candor::telemetry_command(place::options(), candor::event_list<kept>{}, 3, words, out, errors, clock,
                                    shared.environment()) == 0);
    CHECK(nlohmann::json::parse(out.str())["spooled"] == 10);
    CHECK(are_untouched());

    const auto expired = run(shared, left_at() + 31 * 24h).counts;
    CHECK(expired.dropped[drop_reason::expired] == 10);
    CHECK_FALSE(are_untouched());
}

}  // namespace formats_test
