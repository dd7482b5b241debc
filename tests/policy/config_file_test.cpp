#include <candor/policy/config_file.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

namespace config_file_test {

using candor::detail::read_config_string;

TEST_CASE("a string member of a configuration file is read") {
    const temporary_directory dir;
    const auto got = read_config_string(dir.write("c.json", R"({"other":1,"key":"v\u00e9","more":[{}]})"), "key");
    CHECK(got.file_exists);
    CHECK(got.value == "v\xc3\xa9");
    CHECK(got.problem.empty());
}

TEST_CASE("a missing file and a missing member are told apart, and neither is a problem") {
    const temporary_directory dir;
    const auto no_file = read_config_string(dir.path() / "c.json", "key");
    CHECK_FALSE(no_file.file_exists);
    CHECK_FALSE(no_file.value);
    CHECK(no_file.problem.empty());
    const auto no_member = read_config_string(dir.write("c.json", "{}"), "key");
    CHECK(no_member.file_exists);
    CHECK_FALSE(no_member.value);
    CHECK(no_member.problem.empty());
}

TEST_CASE("a configuration file that cannot be used says which and why") {
    const temporary_directory dir;
    const auto file = dir.path() / "c.json";
    const auto problem_with = [&](std::string_view content) {
        const auto got = read_config_string(dir.write("c.json", content), "key");
        CHECK(got.file_exists);
        CHECK_FALSE(got.value);
        return got.problem;
    };
    const std::string not_object = file.string() + " is not a JSON object";
    for (const std::string_view content :
         {"", "{", "[]", "\"key\"", "null", "1e999", "{\"key\":\"v\"", "{\"key\":\"v\"} x", "{\"key\":\"\xff\"}"}) {
        CAPTURE(content);
        CHECK(problem_with(content) == not_object);
    }
    for (const std::string_view content : {R"({"key":true})", R"({"key":null})", R"({"key":["v"]})", R"({"key":1})"}) {
        CAPTURE(content);
        CHECK(problem_with(content) == file.string() + " has a \"key\" that is not a string");
    }
    CHECK(problem_with("{\"key\":\"v\"}" + std::string(65536, ' ')) == file.string() + " is larger than 65536 bytes");
    CHECK(problem_with(std::string(65536, '[')) == not_object);

    std::filesystem::remove(file);
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
    CHECK(read_config_string(file, "key").problem == file.string() + " is not a regular file");
}

TEST_CASE("a path with control characters stays on one line") {
    CHECK(candor::detail::printable_path("/a\nb/\x1b[31m") == "/a\\x0ab/\\x1b[31m");
}

}  // namespace config_file_test
