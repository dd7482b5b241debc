#include <candor/delivery/spool/file_name.hpp>

#include <string>

#include <doctest/doctest.h>

namespace file_name_test {

namespace {

using namespace candor::detail;

}  // namespace

TEST_CASE("a name says whose it is, and nothing else is a name") {
    const spool_name name{.protocol = "rudderstack",
                          .destination = 0xfedcba9876543210,
                          .created = 1'767'323'045'123,
                          .writer = 1,
                          .serial = 2,
                          .messages = 250};
    const auto told = name.text();
    CHECK(told == "rudderstack-fedcba9876543210-019b7ca98d03-0000000000000001-00000002-000000fa.spool");
    const auto found = spool_name::parse(told);
    REQUIRE(found);
    CHECK(found->text() == told);
    CHECK(found->created == name.created);
    CHECK(found->messages == 250);
    for (const std::string& other :
         {std::string{}, "." + told, told + ".damaged", "x" + told.substr(11) + "/", "Rudderstack" + told.substr(11),
          told.substr(11), "crash-" + told, told.substr(0, 40), std::string(200, 'a'), "a-" + std::string(80, '0')}) {
        CAPTURE(other);
        CHECK_FALSE(spool_name::parse(other));
    }
}

TEST_CASE("a file that was damaged, or was found to be too old, has another name") {
    const std::string name = "lines-0000000000000007-019b7ca98d03-0000000000000001-00000002-00000003.spool";
    const auto usable = spool_entry::parse(name);
    REQUIRE(usable);
    CHECK(usable->is == spool_entry::state::usable);
    const auto damaged = spool_entry::parse(name + ".damaged");
    REQUIRE(damaged);
    CHECK(damaged->is == spool_entry::state::damaged);
    const auto expired = spool_entry::parse(name + ".expired-019b7ca98d04");
    REQUIRE(expired);
    CHECK(expired->is == spool_entry::state::expired);
    CHECK(expired->expired == 1'767'323'045'124);
    for (const auto& one : {usable, damaged, expired}) {
        CHECK(one->name.serial == 2);
        CHECK(one->file_name() == one->text);
    }
    for (const std::string& other : {std::string{}, name + ".expired", name + ".expired-019b7ca98d0",
                                     name + ".expired-019b7ca98d045", std::string{"x.spool.damaged"}}) {
        CAPTURE(other);
        CHECK_FALSE(spool_entry::parse(other));
    }
}

TEST_CASE("what waits in a file is counted, and taken from the name of one that is of a newer format") {
    const spool_name name{.messages = 7};
    std::string lines;
    append_spool_line(lines, "a", 0);
    append_spool_draft(lines, "b");
    CHECK(count_waiting(name, make_spool_file(lines)) == 2);
    CHECK(count_waiting(name, "candor-spool 3 whatever") == 7);
    CHECK(count_waiting(name, "no file of the spool") == 0);
}

}  // namespace file_name_test
