#ifndef CANDOR_TESTS_SENTRY_CRASHING_HPP
#define CANDOR_TESTS_SENTRY_CRASHING_HPP

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>
#include <vector>

#include <candor/sentry/breadcrumbs.hpp>
#include <candor/sentry/crash.hpp>
#include <candor/sentry/crash_recovery.hpp>

#include <support/child_process.hpp>
#include <support/sanitizer.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace crashing {

// The ways to crash. Each in a function that is not inlined, and whose frame is its own.

[[gnu::noinline]] inline void write_to_nowhere() {
    int* volatile nowhere = reinterpret_cast<int*>(8);
    *static_cast<int volatile*>(nowhere) = 1;
}

[[gnu::noinline]] inline void read_past_file() {
    std::FILE* const stream = std::tmpfile();
    const int file = stream != nullptr ? ::fileno(stream) : -1;
    if (::ftruncate(file, 1) != 0) ::_exit(98);
    auto* const memory = static_cast<volatile char*>(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0));
    if (::ftruncate(file, 0) != 0) ::_exit(98);
    static_cast<void>(memory[0]);
}

[[gnu::noinline]] inline void divide_by_zero() {
#ifdef __x86_64__
    int low = 1, high = 0, zero = 0;
    asm volatile("idivl %2" : "+a"(low), "+d"(high) : "r"(zero));
#else
    std::raise(SIGFPE);  // the processor does not trap
#endif
}

[[gnu::noinline]] inline void do_what_is_none() {
#if defined(__x86_64__)
    asm volatile("ud2");
#elif defined(__aarch64__)
    asm volatile("udf #0");
#else
    std::raise(SIGILL);
#endif
}

[[gnu::noinline]] inline void give_up() { std::abort(); }

struct failure {
    int signal;
    void (*function)();
};

inline constexpr failure failures[] = {
    {SIGSEGV, &write_to_nowhere}, {SIGBUS, &read_past_file}, {SIGFPE, &divide_by_zero},
    {SIGILL, &do_what_is_none},   {SIGABRT, &give_up},
};

// Clang's check of what is called would read it first.
__attribute__((noinline, no_sanitize("undefined"))) inline void run(void (*function)()) {
    function();
    asm volatile("" ::: "memory");  // not a tail call
}

inline bool is_in(std::uint64_t address, void (*function)()) {
    return address - reinterpret_cast<std::uintptr_t>(function) < 1024;
}

inline bool has_frame_in(const candor::sentry::crash_record& record, void (*function)()) {
    return std::any_of(record.frames.begin(), record.frames.end(), [&](auto frame) { return is_in(frame, function); });
}

/// A directory for records, and what is in it after a crash.
struct records {
    temporary_directory scratch;
    candor::sentry::breadcrumb_ring ring;

    [[nodiscard]] std::filesystem::path directory() const { return scratch.path() / "crashes"; }
    [[nodiscard]] candor::sentry::crash_options options() const { return {directory(), "acme@1.4.0", &ring}; }

    std::vector<candor::sentry::crash_record> recover() const {
        std::vector<candor::sentry::crash_record> out;
        const auto found =
            candor::sentry::recover_crashes(directory(), [&](const candor::sentry::crash_record& record) {
                out.push_back(record);
                return true;
            });
        CHECK(found.damaged == 0);
        if (std::filesystem::exists(directory())) CHECK(std::filesystem::is_empty(directory()));
        return out;
    }

    /// The only one, which must be there.
    candor::sentry::crash_record recover_one() const {
        auto all = recover();
        REQUIRE(all.size() == 1);
        return std::move(all.front());
    }

    /// Runs `program` with a handler installed, in a child process that it should end.
    template <class Program>
    child_end crash(Program program) const {
        return run_in_child([&](int output) {
            const candor::sentry::crash_handler handler{options()};
            if (!handler.problem().empty()) return 97;
            program(output);
            return 0;
        });
    }
};

}  // namespace crashing

#endif
