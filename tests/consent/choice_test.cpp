#include <candor/consent/choice.hpp>

#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include <candor/testing.hpp>

#include "support/rounds.hpp"
#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

namespace choice_test {

namespace {

using candor::level;

/// A user's configuration, with a saved choice where a test writes one.
struct user {
    temporary_directory dir{};
    std::filesystem::path file = dir.path() / "acme/telemetry.json";

    void save(std::string_view content) const { dir.write("acme/telemetry.json", content); }

    [[nodiscard]] candor::testing::fixed_environment environment() const {
        return {{{"XDG_CONFIG_HOME", dir.string()}}};
    }
    [[nodiscard]] std::optional<candor::choice> choice() const { return candor::read_choice(environment(), "acme"); }
    [[nodiscard]] std::set<std::string> names() const {
        std::set<std::string> out;
        for (const auto& entry : std::filesystem::directory_iterator{file.parent_path()})
            out.insert(entry.path().filename().string());
        return out;
    }
    [[nodiscard]] static std::string content(const std::filesystem::path& of) {
        std::ifstream read{of, std::ios::binary};
        return {std::istreambuf_iterator<char>{read}, {}};
    }
};

}  // namespace

TEST_CASE("no saved choice is no choice") {
    const user someone;
    CHECK_FALSE(someone.choice());
    std::filesystem::create_directory(someone.dir.path() / "acme");
    CHECK_FALSE(someone.choice());
    CHECK_FALSE(candor::read_choice(candor::testing::fixed_environment{}, "acme"));
}

TEST_CASE("each saved level is read") {
    const user someone;
    for (const auto l : {level::none, level::errors, level::stats, level::all}) {
        someone.save("{\"level\":\"" + std::string{candor::to_string(l)} + "\", \"since\": 2026}\n");
        const auto choice = someone.choice();
        REQUIRE(choice);
        CHECK(choice->level == l);
        CHECK(choice->file == someone.file);
        CHECK_FALSE(choice->warning);
    }
}

TEST_CASE("the choice is below ~/.config where XDG_CONFIG_HOME is not set") {
    const temporary_directory home;
    home.write(".config/acme/telemetry.json", R"({"level":"errors"})");
    const auto choice = candor::read_choice(candor::testing::fixed_environment{{{"HOME", home.string()}}}, "acme");
    REQUIRE(choice);
    CHECK(choice->level == level::errors);
}

TEST_CASE("a saved choice that cannot be used means none, with a warning that names the file and the reason") {
    const user someone;
    const std::string begin = "the saved telemetry choice cannot be used, so nothing is sent: " + someone.file.string();
    const auto warning_for = [&](std::string_view content) {
        someone.save(content);
        const auto choice = someone.choice();
        REQUIRE(choice);
        CHECK(choice->level == level::none);
        return choice->warning.value_or("");
    };
    CHECK(warning_for("") == begin + " is not a JSON object");
    CHECK(warning_for("all") == begin + " is not a JSON object");
    CHECK(warning_for("{}") == begin + " has no \"level\"");
    CHECK(warning_for(R"({"level":3})") == begin + " has a \"level\" that is not a string");
    CHECK(warning_for(R"({"level":"al\u001bl"})") ==
          begin + " has the level \"al\\x1bl\"; allowed: none, errors, stats, all");
    CHECK(warning_for(R"({"level":"All"})") == begin + " has the level \"All\"; allowed: none, errors, stats, all");
    CHECK(warning_for(R"({"level":"all"})" + std::string(65536, ' ')) == begin + " is larger than 65536 bytes");
}

TEST_CASE("something that is no regular file in place of the saved choice means none") {
    const user someone;
    std::filesystem::create_directories(someone.file);
    REQUIRE(someone.choice());
    CHECK(someone.choice()->level == level::none);
    CHECK(someone.choice()->warning);

    std::filesystem::remove(someone.file);
    REQUIRE(::mkfifo(someone.file.c_str(), 0600) == 0);
    REQUIRE(someone.choice());
    CHECK(someone.choice()->level == level::none);
    CHECK(someone.choice()->warning);
}

TEST_CASE("a saved choice is what is read, for its owner alone, and every level can be saved over every other") {
    const user someone;
    const auto environment = someone.environment();
    for (const auto first : {level::none, level::errors, level::stats, level::all}) {
        for (const auto second : {level::none, level::errors, level::stats, level::all}) {
            std::filesystem::remove_all(someone.dir.path() / "acme");
            for (const auto chosen : {first, second}) {
                const auto saved = candor::save_choice(environment, "acme", chosen);
                CHECK_FALSE(saved.problem);
                CHECK(saved.file == someone.file);
                const auto read = someone.choice();
                REQUIRE(read);
                CHECK(read->level == chosen);
                CHECK_FALSE(read->warning);
            }
        }
    }
    using std::filesystem::perms;
    CHECK(std::filesystem::status(someone.file).permissions() == (perms::owner_read | perms::owner_write));
    CHECK(std::filesystem::status(someone.file.parent_path()).permissions() == perms::owner_all);
    CHECK(someone.names() == std::set<std::string>{"telemetry.json"});
}

TEST_CASE("what another program or a later version says in the file stays, in its order") {
    const user someone;
    someone.save(R"({"zeta": [1, {"deep": null}], "level": "all", "notice_shown": true, "big": 18446744073709551615})");
    CHECK_FALSE(candor::save_choice(someone.environment(), "acme", level::none).problem);
    CHECK(nlohmann::ordered_json::parse(someone.content(someone.file)).dump() ==
          R"({"zeta":[1,{"deep":null}],"level":"none","notice_shown":true,"big":18446744073709551615,"format":1})");
}

TEST_CASE("a choice that a newer release saved means none, with the reason, until the user chooses again") {
    const user someone;
    const std::string newer = R"({"format":2,"level":"all","scope":["acme"]})";
    someone.save(newer);
    const auto read = someone.choice();
    REQUIRE(read);
    CHECK(read->level == level::none);
    CHECK(read->warning.value_or("") == "the saved telemetry choice cannot be used, so nothing is sent: " +
                                            someone.file.string() + " was saved by a newer release, in format 2");
    CHECK(someone.content(someone.file) == newer);
    CHECK_FALSE(candor::save_choice(someone.environment(), "acme", level::errors).problem);
    CHECK(nlohmann::ordered_json::parse(someone.content(someone.file)).dump() ==
          R"({"format":1,"level":"errors","scope":["acme"]})");
    CHECK(someone.choice()->level == level::errors);
    for (const char* const odd : {"\"1\"", "null", "-1", "1.5", "true"}) {
        CAPTURE(odd);
        someone.save(R"({"level":"all","format":)" + std::string{odd} + "}");
        CHECK(someone.choice()->level == level::none);
        CHECK(someone.choice()->warning.value_or("").ends_with("has a \"format\" that is not a number"));
    }
}

TEST_CASE("a file that is no JSON object is kept under another name, and the choice holds") {
    for (const std::string text : {"level: none", "[\"none\"]", "{\"level\":", "\xff\xfe", "null"}) {
        CAPTURE(text);
        const user someone;
        someone.save(text);
        CHECK_FALSE(candor::save_choice(someone.environment(), "acme", level::stats).problem);
        CHECK(someone.choice()->level == level::stats);
        CHECK(someone.content(someone.file.string() + ".damaged") == text);
    }
    const user empty;
    empty.save("");
    CHECK_FALSE(candor::save_choice(empty.environment(), "acme", level::none).problem);
    CHECK(empty.names() == std::set<std::string>{"telemetry.json"});
}

TEST_CASE("where nothing can be saved, what was saved holds and the file is named") {
    const user someone;
    std::filesystem::create_directories(someone.file);
    auto saved = candor::save_choice(someone.environment(), "acme", level::all);
    REQUIRE(saved.problem);
    CHECK(*saved.problem == "the telemetry choice was not saved: " + someone.file.string() + " is not a regular file");
    const user large;
    large.save("{\"level\":\"none\",\"x\":\"" + std::string(70'000, 'x') + "\"}");
    saved = candor::save_choice(large.environment(), "acme", level::all);
    REQUIRE(saved.problem);
    CHECK(saved.problem->find("is larger than 65536 bytes") != std::string::npos);
    CHECK(large.choice()->level == level::none);
    const user in_the_way;
    in_the_way.dir.write("acme", "a file where the directory has to be");
    saved = candor::save_choice(in_the_way.environment(), "acme", level::none);
    REQUIRE(saved.problem);
    CHECK(saved.problem->find(in_the_way.dir.string()) != std::string::npos);
    saved = candor::save_choice(candor::testing::fixed_environment{}, "acme", level::none);
    REQUIRE(saved.problem);
    CHECK(saved.problem->find("no configuration directory") != std::string::npos);
}

TEST_CASE("a file that is a link stays one") {
    const user someone;
    someone.dir.write("elsewhere/mine.json", R"({"level":"all","mine":1})");
    std::filesystem::create_directories(someone.file.parent_path());
    std::filesystem::create_symlink(someone.dir.path() / "elsewhere/mine.json", someone.file);
    CHECK_FALSE(candor::save_choice(someone.environment(), "acme", level::errors).problem);
    CHECK(std::filesystem::is_symlink(someone.file));
    CHECK(someone.content(someone.dir.path() / "elsewhere/mine.json").find("errors") != std::string::npos);
    CHECK(someone.choice()->level == level::errors);
}

TEST_CASE("whoever reads while others save finds one of the choices, whole") {
    const user someone;
    someone.save(R"({"level":"none","kept":"yes"})");
    std::atomic<bool> is_over{false};
    std::vector<std::thread> writers;
    for (const auto chosen : {level::errors, level::stats}) {
        writers.emplace_back([&, chosen] {
            do {
                if (candor::save_choice(someone.environment(), "acme", chosen).problem) std::abort();
            } while (!is_over);
        });
    }
    bool all_whole = true;
    for (int i = 0; i < candor::testing::rounds(500); ++i) {
        const auto read = someone.choice();
        all_whole = all_whole && read && !read->warning;
    }
    is_over = true;
    for (auto& writer : writers) writer.join();
    CHECK(all_whole);
    CHECK(someone.content(someone.file).find("\"kept\": \"yes\"") != std::string::npos);
    CHECK(someone.names() == std::set<std::string>{"telemetry.json"});
}

}  // namespace choice_test
