#include <candor/identity/uuid.hpp>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <support/rounds.hpp>

#include <doctest/doctest.h>

namespace uuid_test {

namespace {

using candor::uuid;

constexpr uuid counting{
    {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}};

bool all_different(std::vector<uuid> ids) {
    std::sort(ids.begin(), ids.end());
    return std::adjacent_find(ids.begin(), ids.end()) == ids.end();
}

std::vector<uuid> random_ids(std::size_t count) {
    std::vector<uuid> ids(count);
    for (auto& id : ids) id = uuid::random();
    return ids;
}

/// Forks, lets the child make ids, and gives them back; `depth` more children of children make theirs before.
std::vector<uuid> ids_of_child(std::size_t count, int depth = 0) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    std::fflush(nullptr);  // else the child may write again what doctest has not written out yet
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        auto ids = random_ids(count);
        if (depth > 0) {
            const auto more = ids_of_child(count, depth - 1);
            ids.insert(ids.end(), more.begin(), more.end());
        }
        const auto size = ids.size() * sizeof(uuid);
        const bool whole = ::write(ends[1], ids.data(), size) == static_cast<ssize_t>(size);
        ::_exit(whole ? 0 : 1);
    }
    ::close(ends[1]);
    std::string bytes;
    pollfd end{ends[0], POLLIN, 0};
    std::array<char, 4096> block{};
    while (::poll(&end, 1, 10'000) == 1) {
        const auto got = ::read(ends[0], block.data(), block.size());
        if (got <= 0) break;
        bytes.append(block.data(), static_cast<std::size_t>(got));
    }
    ::close(ends[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    std::vector<uuid> ids(bytes.size() / sizeof(uuid));
    for (std::size_t i = 0; i < ids.size(); ++i) {
        std::array<std::uint8_t, 16> id{};
        std::memcpy(id.data(), bytes.data() + i * sizeof(uuid), id.size());
        ids[i] = uuid{id};
    }
    return ids;
}

}  // namespace

TEST_CASE("a default uuid is nil and is written as zeros") {
    constexpr uuid nil;
    static_assert(nil.is_nil());
    static_assert(!counting.is_nil());
    CHECK(nil.to_string() == "00000000-0000-0000-0000-000000000000");
}

TEST_CASE("a uuid is written in lower case with four hyphens, exactly 36 bytes of it") {
    CHECK(counting.to_string() == "00112233-4455-6677-8899-aabbccddeeff");
    std::string line(38, '#');
    counting.write(line.data() + 1);
    CHECK(line == "#00112233-4455-6677-8899-aabbccddeeff#");
}

TEST_CASE("what is written is read back, in either case") {
    static_assert(uuid::parse("00112233-4455-6677-8899-aabbccddeeff") == counting);
    CHECK(uuid::parse("00112233-4455-6677-8899-AABBccDDEEFF") == counting);
    for (int i = 0; i < 1000; ++i) {
        const auto id = uuid::random();
        REQUIRE(uuid::parse(id.to_string()) == id);
    }
}

TEST_CASE("any other form is not a uuid") {
    for (const auto* text : {"", "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeeff0",
                             "00112233445566778899aabbccddeeff", "{00112233-4455-6677-8899-aabbccddeeff}",
                             "0011223-34455-6677-8899-aabbccddeeff", "00112233_4455-6677-8899-aabbccddeeff",
                             "00112233-4455-6677-8899_aabbccddeeff", "g0112233-4455-6677-8899-aabbccddeeff",
                             "00112233-4455-6677-8899-aabbccddeefg", " 0112233-4455-6677-8899-aabbccddeeff",
                             "00112233-4455-6677-8899-aabbccddee-f"}) {
        CAPTURE(text);
        CHECK_FALSE(uuid::parse(text));
    }
}

TEST_CASE("uuids are ordered as their text is") {
    const auto low = *uuid::parse("00000000-0000-0000-0000-0000000000ff");
    const auto high = *uuid::parse("80000000-0000-0000-0000-000000000000");
    CHECK(low < high);
    CHECK((low <=> high) == std::strong_ordering::less);
    CHECK(low != high);
    CHECK(low == uuid{low.bytes()});
    static_assert(std::is_trivially_copyable_v<uuid> && sizeof(uuid) == 16);
}

TEST_CASE("random uuids are of version 4 and variant 1, and every other bit takes both values") {
    std::array<std::uint8_t, 16> ones{};
    std::array<std::uint8_t, 16> zeros{};
    for (const auto& id : random_ids(2000)) {
        REQUIRE((id.bytes()[6] & 0xf0) == 0x40);
        REQUIRE((id.bytes()[8] & 0xc0) == 0x80);
        for (std::size_t i = 0; i < 16; ++i) {
            ones[i] = static_cast<std::uint8_t>(ones[i] | id.bytes()[i]);
            zeros[i] = static_cast<std::uint8_t>(zeros[i] | ~id.bytes()[i]);
        }
    }
    for (std::size_t i = 0; i < 16; ++i) {
        CAPTURE(i);
        CHECK(ones[i] == (i == 6 ? 0x4f : i == 8 ? 0xbf : 0xff));
        CHECK(zeros[i] == (i == 6 ? 0xbf : i == 8 ? 0x7f : 0xff));
    }
}

TEST_CASE("a million random uuids are all different") {
    CHECK(all_different(random_ids(static_cast<std::size_t>(candor::testing::rounds(1'000'000)))));
}

TEST_CASE("threads that make uuids at the same time make different ones") {
    constexpr std::size_t each = 20'000;
    std::vector<std::vector<uuid>> made(8);
    std::vector<std::thread> threads;
    for (auto& ids : made) threads.emplace_back([&ids] { ids = random_ids(each); });
    for (auto& thread : threads) thread.join();
    std::vector<uuid> ids;
    for (const auto& some : made) ids.insert(ids.end(), some.begin(), some.end());
    CHECK(ids.size() == made.size() * each);
    CHECK(all_different(ids));
}

TEST_CASE("a forked child and its children share no uuid with the parent") {
    auto ids = random_ids(1);  // the pool is full when the first fork comes
    for (int round = 0; round < 3; ++round) {
        const auto child = ids_of_child(300, 2);
        CHECK(child.size() == 900);
        ids.insert(ids.end(), child.begin(), child.end());
        const auto own = random_ids(300);
        ids.insert(ids.end(), own.begin(), own.end());
    }
    CHECK(all_different(ids));
}

TEST_CASE("bytes of the pool that an id was made of are wiped") {
    auto& pool = candor::detail::random_pool::of_this_thread();
    static_cast<void>(uuid::random());
    const auto used = pool.bytes.begin() + static_cast<std::ptrdiff_t>(pool.left);
    CHECK(std::all_of(used, pool.bytes.end(), [](auto byte) { return byte == 0; }));
    CHECK(pool.left % 16 == 0);
    CHECK(pool.left < pool.bytes.size());
}

}  // namespace uuid_test
