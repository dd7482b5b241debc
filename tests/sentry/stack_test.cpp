#include <candor/sentry/stack.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

#include <doctest/doctest.h>

namespace stack_test {

namespace {

using candor::sentry::capture_stack;
using candor::sentry::loaded_modules;
using candor::sentry::module_image;
using candor::sentry::detail::debug_id_of;
using candor::sentry::detail::demangled;
using candor::sentry::detail::symbol_name;

using stack = std::array<void*, 80>;

std::uintptr_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }

/// Where the function that calls it goes on.
[[gnu::noinline]] void* here() { return __builtin_return_address(0); }

[[gnu::noinline]] std::size_t capture_here(stack& out, std::size_t skip, void*& place) {
    place = here();
    const auto count = capture_stack(out, skip);
    asm volatile("" ::: "memory");  // not a tail call: this function has a frame
    return count;
}

[[gnu::noinline]] std::size_t capture_below(int depth, stack& out) {
    const auto count = depth == 0 ? capture_stack(out) : capture_below(depth - 1, out);
    asm volatile("" ::: "memory");
    return count;
}

bool is_near(const void* address, const void* place) {
    const auto a = number(address), b = number(place);
    return (a > b ? a - b : b - a) < 0x10000;
}

}  // namespace

TEST_CASE("the newest frame of a stack is the one that captures it") {
    stack frames{};
    void* place = nullptr;
    const auto count = capture_here(frames, 0, place);
    REQUIRE(count >= 3);
    CHECK(is_near(frames[0], place));
    stack skipped{};
    const auto fewer = capture_here(skipped, 1, place);
    CHECK(fewer == count - 1);
    CHECK(is_near(skipped[0], frames[1]));
    CHECK(std::equal(skipped.begin() + 1, skipped.begin() + static_cast<std::ptrdiff_t>(fewer), frames.begin() + 2));
}

TEST_CASE("a stack has at most 50 frames, and no more than there is room for") {
    stack frames{};
    CHECK(capture_below(70, frames) == candor::sentry::most_frames);
    CHECK(frames[candor::sentry::most_frames] == nullptr);
    CHECK(capture_stack(std::span{frames}.first(2)) == 2);
    CHECK(capture_stack({}) == 0);
    CHECK(capture_stack(frames, 1'000'000) == 0);
}

TEST_CASE("the frames of a stack lie in loaded modules, the program the first") {
    const auto modules = loaded_modules();
    REQUIRE(modules.size() >= 2);
    CHECK(std::filesystem::equivalent(modules[0].file, "/proc/self/exe"));
    stack frames{};
    const auto count = capture_stack(frames);
    const auto contains = [](const module_image& module, const void* address) {
        return number(address) - module.address < module.size;
    };
    CHECK(contains(modules[0], frames[0]));
    for (std::size_t i = 0; i < count; ++i)
        CHECK(std::any_of(modules.begin(), modules.end(), [&](const auto& m) { return contains(m, frames[i]); }));
    CHECK(std::any_of(modules.begin(), modules.end(), [](const auto& m) {
        return m.file.find("libc.so") != std::string::npos && m.build_id.size() == 40 && m.debug_id.size() == 36;
    }));
}

TEST_CASE("a debug id is the beginning of the build id with its first fields turned round") {
    CHECK(debug_id_of("0123456789abcdeffedcba98765432100a0b0c0d") == "67452301-ab89-efcd-fedc-ba9876543210");
    CHECK(debug_id_of("01234567") == "67452301-0000-0000-0000-000000000000");
    for (const auto* text : {"", "0", "0g", "xx", "012"}) CHECK(debug_id_of(text).empty());
}

TEST_CASE("notes are read as far as they are whole") {
    const auto note = [](std::uint32_t type, std::string name, std::string description) {
        const std::array<std::uint32_t, 3> head{static_cast<std::uint32_t>(name.size()),
                                                static_cast<std::uint32_t>(description.size()), type};
        std::string out(reinterpret_cast<const char*>(head.data()), sizeof head);
        name.resize((name.size() + 3) / 4 * 4);
        description.resize((description.size() + 3) / 4 * 4);
        return out + name + description;
    };
    const std::string gnu("GNU\0", 4);
    const auto other = note(1, gnu, "abcd");
    const auto whole = other + note(3, std::string("FreeBSD\0", 8), "no") + note(3, gnu, "\x01\xff\x20");
    const auto read = [](const std::string& notes, std::size_t size) {
        const std::vector<char> exact(notes.begin(), notes.begin() + static_cast<std::ptrdiff_t>(size));
        return candor::sentry::detail::build_id_in(exact.data(), exact.size(), 4);
    };
    CHECK(read(whole, whole.size()) == "01ff20");
    for (std::size_t size = 0; size < whole.size() - 1; ++size) {
        CAPTURE(size);
        CHECK(read(whole, size).empty());
    }
    auto huge = whole;
    for (std::size_t i = 0; i < 8; ++i) {
        for (const int byte : {0x7f, 0xff}) {
            huge = whole;
            huge[i] = static_cast<char>(byte);
            read(huge, huge.size());
        }
    }
}

TEST_CASE("mangled names are made readable, and others left") {
    CHECK(demangled(typeid(std::runtime_error).name()) == "std::runtime_error");
    CHECK(demangled("_ZN3foo3barEi") == "foo::bar(int)");
    CHECK(demangled("main") == "main");
    CHECK(demangled("").empty());
    CHECK(demangled("_Z").find("_Z") == 0);
}

#ifdef __GLIBC__
TEST_CASE("a return address in a library has the name of its function") {
    const auto* place = reinterpret_cast<const char*>(reinterpret_cast<std::uintptr_t>(&::strerror));
    CHECK(symbol_name(place + 1) == "strerror");
    CHECK(symbol_name(nullptr).empty());
    int on_the_stack = 0;
    CHECK(symbol_name(&on_the_stack).empty());
}
#endif

}  // namespace stack_test
