#include <candor/sentry/crash.hpp>

#ifndef _WIN32

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include <candor/sentry/breadcrumbs.hpp>
#include <candor/sentry/crash_recovery.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#ifdef __linux__
#include <sched.h>
#include <sys/mount.h>
#endif

#include <support/child_process.hpp>
#include <support/stopwatch.hpp>

#include "crashing.hpp"

#include <doctest/doctest.h>

namespace crash_test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using namespace candor::sentry;
using namespace crashing;

TEST_CASE("a fault ends the process as it does without candor, and leaves one record with its place") {
    auto quickest = std::chrono::milliseconds::max();
    for (const failure& one : failures) {
        const int signal = one.signal;
        const auto function = one.function;
        CAPTURE(signal);
        const records place;
        const auto begin = candor::system_clock{}.wall_now();
        const auto end = run_in_child([&](int output) {
            breadcrumb_ring ring;
            ring.add(begin, "info", "test", "before the crash");
            const crash_handler handler{{place.directory(), "acme@1.4.0", &ring}};
            say(output, handler.event_id().to_string());
            run(function);
            return 0;
        });
        CHECK(end.signal() == signal);
        CHECK(end.took < candor::testing::slack);
        quickest = std::min(quickest, end.took);
        const auto record = place.recover_one();
        CHECK(record.signal == signal);
        CHECK(record.event_id.to_string() == end.said);
        CHECK(record.release == "acme@1.4.0");
        CHECK(record.complete);
        CHECK(record.started >= begin);
        CHECK(record.time >= record.started);
        CHECK(record.time < begin + 10s);
        CHECK(record.thread != 0);
        CHECK(record.breadcrumbs == std::vector<breadcrumb>{{begin, "info", "test", "before the crash"}});
#if defined(__x86_64__) || defined(__aarch64__)
        REQUIRE(record.frames.size() > 2);
        CHECK(record.frames[0] == record.instruction);
        CHECK(has_frame_in(record, function));
        CHECK(has_frame_in(record, reinterpret_cast<void (*)()>(&run)));
        if (signal != SIGABRT) CHECK(is_in(record.instruction, function));
#endif
#ifdef __linux__
        REQUIRE_FALSE(record.modules.empty());
        CHECK(reinterpret_cast<std::uintptr_t>(function) - record.modules[0].address < record.modules[0].size);
        CHECK(record.modules[0].file == fs::read_symlink("/proc/self/exe").filename());
#endif
        if (signal == SIGSEGV) {
            CHECK(record.fault_address == 8);
            CHECK(record.code == SEGV_MAPERR);
        }
    }
    CHECK(quickest < 1s);  // nothing in the handler waits; a busy machine may add to some
}

TEST_CASE("a signal that is sent ends the process and leaves one record") {
    for (const failure& one : failures) {
        const int signal = one.signal;
        CAPTURE(signal);
        {
            const records place;
            const auto end = place.crash([signal](int) { std::raise(signal); });
            CHECK(end.signal() == signal);
            const auto record = place.recover_one();
            CHECK(record.signal == signal);
            CHECK(record.code <= 0);
            CHECK(record.fault_address == 0);
            CHECK(record.complete);
        }
        {
            const records place;
            child_process child{[&](int output) {
                const crash_handler handler{place.options()};
                say(output, "!");
                for (;;) ::poll(nullptr, 0, 10'000);
                return 0;
            }};
            child.read(1);
            ::kill(child.id(), signal);
            CHECK(child.wait().signal() == signal);
            const auto record = place.recover_one();
            CHECK(record.signal == signal);
            CHECK(record.code == SI_USER);
            CHECK(record.complete);
        }
    }
}

TEST_CASE("a process that ends without a crash leaves no record") {
    const records place;
    {
        const crash_handler handler{place.options()};
        CHECK(handler.problem().empty());
        CHECK(fs::exists(place.directory() / detail::record_name(handler.event_id())));
        CHECK(recover_crashes(place.directory(), [](const auto&) { return true; }) == recovered_crashes{});
    }
    CHECK(fs::is_empty(place.directory()));
    const auto end = place.crash([](int) { ::kill(::getpid(), SIGKILL); });
    CHECK(end.signal() == SIGKILL);
    CHECK_FALSE(fs::is_empty(place.directory()));
    CHECK(place.recover().empty());
}

TEST_CASE("one handler a process; where it cannot be installed it says why and changes nothing") {
    const records place;
    const auto handler_of = [] {
        struct sigaction now {};
        ::sigaction(SIGSEGV, nullptr, &now);
        return now.sa_sigaction;
    };
    const auto before = handler_of();
    {
        const crash_handler bad{{place.scratch.write("file", "") / "crashes", "", nullptr}};
        CHECK(bad.problem().find("no crash is recorded in " + place.scratch.string()) == 0);
        CHECK((handler_of() == before));
    }
    {
        const crash_handler first{place.options()};
        CHECK(first.problem().empty());
        {
            const crash_handler second{place.options()};
            CHECK(second.problem() == "another crash handler is installed in this process");
        }
        CHECK((handler_of() == &candor::detail::on_crash));
        CHECK(std::distance(fs::directory_iterator{place.directory()}, {}) == 1);
    }
    CHECK((handler_of() == before));
    const crash_handler again{place.options()};
    CHECK(again.problem().empty());
}

TEST_CASE("a stack overflow is recorded") {
    struct deep {
        // Not by recursion that a compiler may turn into a loop.
        [[gnu::noinline]] static int call(int depth) {
            volatile char block[4096];
            block[0] = static_cast<char>(depth);
            const int below = depth == -1 ? 0 : call(depth + 1);
            return below + block[0];
        }
    };
    const records place;
    const auto end = place.crash([](int) {
        struct rlimit limit {};
        ::getrlimit(RLIMIT_STACK, &limit);
        limit.rlim_cur = 4 << 20;  // where it is unlimited, other things come to their end first
        ::setrlimit(RLIMIT_STACK, &limit);
#ifdef CANDOR_TESTS_THREAD_SANITIZER
        ::raise(SIGSEGV);  // its own code crashes again where the stack ends in the midst of it
#else
        deep::call(0);
#endif
    });
    CHECK(end.signal() == SIGSEGV);
    CHECK(end.took < candor::testing::slack);
    const auto record = place.recover_one();
    CHECK(record.signal == SIGSEGV);
    CHECK(record.complete);
#ifndef CANDOR_TESTS_THREAD_SANITIZER
    CHECK(record.frames.size() == most_frames);
#endif
}

#if defined(__x86_64__) || defined(__aarch64__)
TEST_CASE("a call of a wrong pointer is recorded with the caller") {
    for (void (*const function)() : {static_cast<void (*)()>(nullptr), reinterpret_cast<void (*)()>(0x1000)}) {
        const records place;
        const auto end = place.crash([&](int) {
            void (*volatile wrong)() = function;
            run(wrong);
        });
        CHECK(end.signal() == SIGSEGV);
        const auto record = place.recover_one();
        CHECK(record.instruction == reinterpret_cast<std::uintptr_t>(function));
        REQUIRE(record.frames.size() >= 2);
        CHECK(record.frames[0] == record.instruction);
        CHECK(is_in(record.frames[1], reinterpret_cast<void (*)()>(&run)));
    }
}
#endif

TEST_CASE("a crash of another thread is recorded with that thread's stack") {
    const records place;
    const auto end = place.crash([](int) { std::thread{[] { run(&write_to_nowhere); }}.join(); });
    CHECK(end.signal() == SIGSEGV);
    const auto record = place.recover_one();
    CHECK(is_in(record.instruction, &write_to_nowhere));
    CHECK(has_frame_in(record, reinterpret_cast<void (*)()>(&run)));
}

TEST_CASE("a crash while a breadcrumb is added is recorded with those before") {
    const records place;
    const auto end = run_in_child([&](int) {
        breadcrumb_ring ring;
        ring.add({}, "info", "test", "before");
        const crash_handler handler{{place.directory(), "", &ring}};
        ring.add({}, "info", "test", {reinterpret_cast<const char*>(8), 5});
        return 0;
    });
    CHECK(end.signal() == SIGSEGV);
    const auto record = place.recover_one();
    REQUIRE(record.breadcrumbs.size() == 1);
    CHECK(record.breadcrumbs[0].message == "before");
    CHECK(record.complete);
}

#ifdef __GLIBC__
TEST_CASE("a crash inside of the allocator is recorded") {
    const records place;
    const auto end = place.crash([](int) {
        ::close(2);  // glibc says why
        char* const block = static_cast<char*>(std::calloc(100, 1));
        char* volatile inside = block + 8;  // volatile: the compiler knows better
#if defined(CANDOR_TESTS_ADDRESS_SANITIZER) || defined(CANDOR_TESTS_THREAD_SANITIZER)
        if (inside != nullptr) std::abort();  // their allocators end the program in ways of their own
#endif
        std::free(inside);
    });
    CHECK(end.signal() == SIGABRT);
    const auto record = place.recover_one();
    CHECK(record.signal == SIGABRT);
    CHECK(record.complete);
}
#endif

TEST_CASE("of two threads that crash at once one is recorded, and the process dies by its signal") {
    for (int round = 0; round < 20; ++round) {
        const records place;
        const auto end = place.crash([](int) {
            std::atomic<int> ready{0};
            const auto crash = [&](void (*function)()) {
                ++ready;
                while (ready != 2) std::this_thread::yield();
                run(function);
            };
            std::thread one{crash, &write_to_nowhere}, other{crash, &do_what_is_none};
            one.join();
            other.join();
        });
        CHECK(end.took < candor::testing::slack);
        const auto record = place.recover_one();
        CHECK(record.complete);
        CHECK(record.signal == end.signal());
        CHECK(is_in(record.instruction, record.signal == SIGILL ? &do_what_is_none : &write_to_nowhere));
    }
}

TEST_CASE("a crash during the crash leaves what was written, and the first signal") {
    const records place;
    const auto end = run_in_child([&](int) {
        void* const memory =
            ::mmap(nullptr, sizeof(breadcrumb_ring), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        auto* const ring = new (memory) breadcrumb_ring;
        const crash_handler handler{{place.directory(), "acme@1.4.0", ring}};
        ::munmap(memory, sizeof(breadcrumb_ring));
        run(&do_what_is_none);
        return 0;
    });
    CHECK(end.signal() == SIGILL);
    CHECK(end.took < candor::testing::slack);
    const auto record = place.recover_one();
    CHECK(record.signal == SIGILL);
    CHECK(is_in(record.instruction, &do_what_is_none));
    CHECK(has_frame_in(record, reinterpret_cast<void (*)()>(&run)));
    CHECK(record.breadcrumbs.empty());
    CHECK_FALSE(record.complete);
}

#ifdef __x86_64__
TEST_CASE("a crash with a broken stack is recorded") {
    const records place;
    const auto end = place.crash([](int) {
        asm volatile(
            "mov $16, %%rsp\n"
            "mov $24, %%rbp\n"
            "movl $0, 8" ::
                : "memory");
    });
    CHECK(end.signal() == SIGSEGV);
    CHECK(end.took < candor::testing::slack);
    const auto record = place.recover_one();
    CHECK(record.signal == SIGSEGV);
    CHECK(record.instruction != 0);
    CHECK(record.fault_address == 8);
    CHECK(record.frames == std::vector<std::uint64_t>{record.instruction});
    CHECK_FALSE(record.complete);
}

TEST_CASE("more crashes during the crash leave what was written, and the first signal") {
    const records place;
    const auto end = run_in_child([&](int) {
        void* const memory =
            ::mmap(nullptr, sizeof(breadcrumb_ring), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        const crash_handler handler{{place.directory(), "", new (memory) breadcrumb_ring}};
        ::munmap(memory, sizeof(breadcrumb_ring));
        asm volatile(
            "mov $16, %%rsp\n"
            "mov $24, %%rbp\n"
            "ud2" ::
                : "memory");
        return 0;
    });
    CHECK(end.signal() == SIGILL);
    CHECK(end.took < candor::testing::slack);
    const auto record = place.recover_one();
    CHECK(record.signal == SIGILL);
    CHECK(record.frames == std::vector<std::uint64_t>{record.instruction});
    CHECK_FALSE(record.complete);
}
#endif

#ifdef __linux__
TEST_CASE("a crash is recorded on a full disk") {
    const records place;
    // A disk of its own needs a mount, in a namespace of its own, which ends with the child.
    const auto end = run_in_child([&](int output) {
        const auto user = std::to_string(::geteuid());
        if (::unshare(CLONE_NEWNS) != 0) {
            if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 77;
            std::ofstream{"/proc/self/uid_map"} << user << ' ' << user << " 1";
        }
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
        fs::create_directory(place.directory());
        if (::mount("candor", place.directory().c_str(), "tmpfs", 0, "size=256k,mode=0700") != 0) return 77;
        const auto crashed = place.crash([&](int) {
            std::string block(64 * 1024, 'x');
            const int filler = ::open((place.directory() / "filler").c_str(), O_WRONLY | O_CREAT, 0600);
            while (!block.empty()) {
                if (::write(filler, block.data(), block.size()) <= 0) block.resize(block.size() / 2);
            }
            run(&write_to_nowhere);
        });
        if (crashed.signal() != SIGSEGV) return 1;
        int count = 0;
        recover_crashes(place.directory(), [&](const crash_record& record) {
            count += record.complete && record.signal == SIGSEGV && is_in(record.instruction, &write_to_nowhere);
            return true;
        });
        say(output, std::to_string(count));
        return 0;
    });
    if (end.exit_code() == 77) {
        MESSAGE("not looked at: no tmpfs may be mounted here");
    } else {
        CHECK(end.exit_code() == 0);
        CHECK(end.said == "1");
    }
}
#endif

}  // namespace crash_test

#endif
