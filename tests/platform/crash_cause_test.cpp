#include <candor/platform/crash_cause.hpp>

#include <chrono>
#include <cstdint>
#include <thread>

#include <doctest/doctest.h>

namespace crash_cause_test {

using namespace candor::detail;

namespace {

siginfo_t raised(int signal, int code) {
    siginfo_t out{};
    out.si_signo = signal;
    out.si_code = code;
    return out;
}

std::int64_t now() { return std::chrono::nanoseconds{std::chrono::system_clock::now().time_since_epoch()}.count(); }

}  // namespace

TEST_CASE("a signal that was sent is known from one that an instruction has caused") {
    CHECK(was_sent(raised(SIGSEGV, SI_USER)));
    CHECK(was_sent(raised(SIGSEGV, SI_QUEUE)));
#ifdef __linux__
    CHECK(was_sent(raised(SIGSEGV, SI_TKILL)));
    CHECK_FALSE(was_sent(raised(SIGSEGV, SI_KERNEL)));
#endif
    CHECK_FALSE(was_sent(raised(SIGSEGV, SEGV_MAPERR)));
#ifdef BUS_MCEERR_AO
    CHECK(was_sent(raised(SIGBUS, BUS_MCEERR_AO)));  // memory has failed, but not below an instruction
#endif
}

TEST_CASE("a cause says when, where and on which thread it was") {
    auto fault = raised(SIGSEGV, SEGV_MAPERR);
    int place = 0;
    fault.si_addr = &place;
    const auto before = now();
    const auto cause = cause_of(fault, nullptr);
    CHECK(cause.time >= before);
    CHECK(cause.time <= now());
    CHECK(cause.fault_address == reinterpret_cast<std::uintptr_t>(&place));
    CHECK(cause.signal == SIGSEGV);
    CHECK(cause.code == SEGV_MAPERR);
    CHECK_FALSE(cause.machine.is_known);
    CHECK(cause.thread == this_thread_id());
    std::uint64_t other = 0;
    std::thread{[&other] { other = this_thread_id(); }}.join();
    CHECK(other != cause.thread);
}

TEST_CASE("a signal that was sent has no address, whatever stands in its place") {
    auto signal = raised(SIGSEGV, SI_USER);
    int place = 0;
    signal.si_addr = &place;
    CHECK(cause_of(signal, nullptr).fault_address == 0);
}

}  // namespace crash_cause_test
