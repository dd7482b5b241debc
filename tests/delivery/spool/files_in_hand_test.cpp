#include <candor/delivery/spool/files_in_hand.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace files_in_hand_test {

namespace {

using namespace std::chrono_literals;
using namespace candor::detail;

const candor::wall_time now{1'767'323'045s};

const auto at_once = [](const auto& call) { call(); };

struct place {
    [[nodiscard]] spool open(std::uint64_t writer) const {
        candor::spool_options options;
        options.directory = t.path();
        return spool{options, {.protocol = "lines", .destination = 7, .writer = writer}};
    }
    /// How many messages are left for others.
    [[nodiscard]] std::size_t left() const {
        const auto found = open(2).claim_next(now);
        return found ? found->messages.size() : 0;
    }
    const temporary_directory t{};
};

/// A file of three messages.
void add(files_in_hand& to, spool& disk) {
    std::string lines;
    for (const char* text : {"a", "b", "c"}) append_spool_line(lines, text, 0);
    auto made = disk.create(lines, 0, now);
    REQUIRE(made);
    auto& file = to.add();
    file.stored = *std::move(made);
    file.end = 3;
}

}  // namespace

TEST_CASE("what is settled is marked in its file, which goes with the last message") {
    const place p;
    auto disk = p.open(1);
    files_in_hand files;
    add(files, disk);
    files.settle(2);
    files.write_settled(disk, at_once);
    CHECK(p.left() == 0);  // it is in hand
    REQUIRE_FALSE(files.empty());
    CHECK(files.back().left() == 1);
    files.settle(9);
    files.write_settled(disk, at_once);
    CHECK(files.empty());
    CHECK_FALSE(disk.claim_next(now));
}

TEST_CASE("a file that is let go is everybody's, with what is left in it") {
    const place p;
    auto disk = p.open(1);
    files_in_hand files;
    add(files, disk);
    files.settle(1);
    files.let_go_all(disk, at_once);
    CHECK(files.empty());
    CHECK(p.left() == 2);
}

TEST_CASE("a file that is let go while it is written to is closed by whoever writes to it") {
    const place p;
    auto disk = p.open(1);
    files_in_hand files;
    add(files, disk);
    files.settle(1);
    files.write_settled(disk, [&](const auto& call) {
        call();
        files.let_go_all(disk, at_once);
    });
    CHECK(files.empty());
    CHECK(p.left() == 2);
}

}  // namespace files_in_hand_test
