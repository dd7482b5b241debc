#include <candor/sentry/crash_recovery.hpp>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <candor/identity/uuid.hpp>

#include <sys/stat.h>

#include <support/child_process.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace crash_recovery_test {

namespace fs = std::filesystem;
using namespace candor::sentry;

namespace {

std::string start_of(candor::uuid id) { return detail::start_section(id, {}, "acme@1", {}); }

std::string crash_of(candor::uuid id) {
    detail::crash_facts facts;
    facts.signal = SIGSEGV;
    std::string section(sizeof(detail::section_head), '\0');
    section.append(reinterpret_cast<const char*>(&facts), sizeof facts);
    detail::seal_section(section.data(), detail::section_kind::crash, sizeof facts);
    return start_of(id) + section;
}

/// Puts a record into the directory.
fs::path put(const temporary_directory& scratch, candor::uuid id, const std::string& content) {
    const auto path = scratch.write(detail::record_name(id), content);
    fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
    return path;
}

fs::path put_crash(const temporary_directory& scratch) {
    const auto id = candor::uuid::random();
    return put(scratch, id, crash_of(id));
}

std::vector<std::string> names_in(const fs::path& directory) {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator{directory}) out.push_back(entry.path().filename());
    return out;
}

}  // namespace

TEST_CASE("a crash is reported and its record removed") {
    const temporary_directory scratch;
    const auto id = candor::uuid::random();
    const auto path = put(scratch, id, crash_of(id));
    int calls = 0;
    const auto found = recover_crashes(scratch.path(), [&](const crash_record& record) {
        ++calls;
        CHECK(record.event_id == id);
        CHECK(record.signal == SIGSEGV);
        CHECK(record.release == "acme@1");
        CHECK(fs::exists(path));  // until it is taken
        return true;
    });
    CHECK(calls == 1);
    CHECK(found == recovered_crashes{1, 0, 0});
    CHECK_FALSE(fs::exists(path));
    CHECK(recover_crashes(scratch.path(), [](const auto&) { return true; }) == recovered_crashes{});
}

TEST_CASE("a crash that is not taken is there the next time") {
    const temporary_directory scratch;
    put_crash(scratch);
    CHECK(recover_crashes(scratch.path(), [](const auto&) { return false; }) == recovered_crashes{0, 1, 0});
    CHECK_THROWS_AS(recover_crashes(scratch.path(), [](const auto&) -> bool { throw std::runtime_error{"full"}; }),
                    std::runtime_error);
    CHECK(recover_crashes(scratch.path(), [](const auto&) { return true; }) == recovered_crashes{1, 0, 0});
}

TEST_CASE("without a directory there is nothing to recover") {
    const temporary_directory scratch;
    const auto never = [](const auto&) -> bool { throw std::logic_error{"called"}; };
    CHECK(recover_crashes(scratch.path() / "none", never) == recovered_crashes{});
    CHECK(recover_crashes(scratch.write("file", ""), never) == recovered_crashes{});
    CHECK(recover_crashes({}, never) == recovered_crashes{});
}

TEST_CASE("records without a crash go in silence, damaged ones are counted") {
    const temporary_directory scratch;
    const auto id = candor::uuid::random();
    put(scratch, candor::uuid::random(), "");
    put(scratch, candor::uuid::random(), std::string(9000, '\0'));
    put(scratch, candor::uuid::random(), start_of(id) + std::string(9000, '\0'));
    put(scratch, candor::uuid::random(), "garbage");
    put(scratch, candor::uuid::random(), crash_of(id) + std::string(detail::largest_record, 'x'));
    const auto never = [](const auto&) -> bool { throw std::logic_error{"called"}; };
    CHECK(recover_crashes(scratch.path(), never) == recovered_crashes{0, 0, 2});
    CHECK(fs::is_empty(scratch.path()));
}

TEST_CASE("what is no record of an ended process of this user stays untouched") {
    const temporary_directory scratch;
    const temporary_directory elsewhere;
    const auto target = put_crash(elsewhere);
    const auto name = [] { return detail::record_name(candor::uuid::random()); };
    fs::create_symlink(target, scratch.path() / name());
    fs::create_hard_link(target, scratch.path() / name());
    REQUIRE(::mkfifo((scratch.path() / name()).c_str(), 0600) == 0);
    fs::create_directory(scratch.path() / name());
    scratch.write("crash-notes.txt", crash_of(candor::uuid::random()));
    scratch.write("core", "x");
    fs::permissions(put_crash(scratch), fs::perms::group_write, fs::perm_options::add);
    std::error_code error;
    const auto held =
        detail::record_file::create(scratch.path() / name(), crash_of(candor::uuid::random()), 9000, error);
    REQUIRE(held.is_open());
    const auto before = names_in(scratch.path());
    CHECK(recover_crashes(scratch.path(), [](const auto&) { return true; }) == recovered_crashes{});
    CHECK(names_in(scratch.path()) == before);
    CHECK(fs::exists(target));
}

TEST_CASE("a record of a newer release stays for it, is counted, and goes when it is old or nothing may be sent") {
    const temporary_directory scratch;
    const auto put_newer = [&](std::string content) {
        content.at(3) = '2';  // `cnd2`
        return put(scratch, candor::uuid::random(), content);
    };
    const auto id = candor::uuid::random();
    const auto newer = put_newer(crash_of(id));
    for (std::size_t i = 0; i < most_recovered; ++i) put_newer(crash_of(id) + std::string(detail::largest_record, 'x'));
    put_crash(scratch);
    const auto yes = [](const auto&) { return true; };
    CHECK(recover_crashes(scratch.path(), yes) == recovered_crashes{1, 0, 0, most_recovered + 1});
    fs::last_write_time(newer, fs::file_time_type::clock::now() - newer_crash_age - std::chrono::minutes{1});
    CHECK(recover_crashes(scratch.path(), yes) == recovered_crashes{0, 0, 0, most_recovered});
    CHECK_FALSE(fs::exists(newer));
    CHECK(names_in(scratch.path()).size() == most_recovered);
    put_crash(scratch);
    put_crash(scratch);
    CHECK(purge_crashes(scratch.path()) == 2);
    CHECK(fs::is_empty(scratch.path()));
}

TEST_CASE("a call takes up a bounded number of records") {
    const temporary_directory scratch;
    for (std::size_t i = 0; i < most_recovered + 3; ++i) put_crash(scratch);
    const auto yes = [](const auto&) { return true; };
    CHECK(recover_crashes(scratch.path(), yes) == recovered_crashes{most_recovered, 0, 0});
    CHECK(recover_crashes(scratch.path(), yes) == recovered_crashes{3, 0, 0});
}

TEST_CASE("processes that start together report each crash once") {
    for (int round = 0; round < 10; ++round) {
        const temporary_directory scratch;
        constexpr std::size_t count = 12;
        for (std::size_t i = 0; i < count; ++i) put_crash(scratch);
        const auto recover = [&](int output) {
            recover_crashes(scratch.path(), [&](const crash_record& record) {
                say(output, record.event_id.to_string());
                return true;
            });
            return 0;
        };
        child_process one{recover}, other{recover}, third{recover};
        std::string reported;
        for (child_process* process : {&one, &other, &third}) {
            const auto end = process->wait();
            CHECK(end.exit_code() == 0);
            reported += end.said;
        }
        CHECK(reported.size() == count * candor::uuid::text_size);
        CHECK(fs::is_empty(scratch.path()));
    }
}

}  // namespace crash_recovery_test
