#ifndef CANDOR_PLATFORM_MACHINE_STATE_HPP
#define CANDOR_PLATFORM_MACHINE_STATE_HPP

#include <cstdint>

#if defined(_WIN32)
#include <candor/platform/windows.hpp>
#elif defined(__APPLE__)
#include <sys/ucontext.h>  // the other one is deprecated there
#else
#include <ucontext.h>
#endif

namespace candor::detail {

/// Where a thread was when it was interrupted.
struct machine_state {
    bool is_known = false;
    std::uint64_t instruction = 0;
    std::uint64_t stack = 0;   ///< where a call that has just been made left its return address; 0: in a register
    std::uint64_t caller = 0;  ///< that register
};

/// What the system gives a handler of signals or exceptions: a `ucontext_t`, on Windows a `CONTEXT`; may be null. For
/// signal handlers.
inline machine_state machine_state_of(const void* context) noexcept {
    machine_state out;
    if (context == nullptr) return out;
    out.is_known = true;
#if defined(_WIN32)
    const auto& machine = *static_cast<const CONTEXT*>(context);
#else
    const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#endif
#if defined(_WIN32) && (defined(__x86_64__) || defined(_M_X64))
    out.instruction = machine.Rip;
    out.stack = machine.Rsp;
#elif defined(_WIN32) && (defined(__aarch64__) || defined(_M_ARM64))
    out.instruction = machine.Pc;
    out.caller = machine.Lr;
#elif defined(__linux__) && defined(__x86_64__)
    out.instruction = static_cast<std::uint64_t>(machine.gregs[REG_RIP]);
    out.stack = static_cast<std::uint64_t>(machine.gregs[REG_RSP]);
#elif defined(__linux__) && defined(__aarch64__)
    out.instruction = machine.pc;
    out.caller = machine.regs[30];
#elif defined(__APPLE__) && defined(__x86_64__)
    out.instruction = machine->__ss.__rip;
    out.stack = machine->__ss.__rsp;
#elif defined(__APPLE__) && defined(__aarch64__)
    out.instruction = __darwin_arm_thread_state64_get_pc(machine->__ss);
    out.caller = __darwin_arm_thread_state64_get_lr(machine->__ss);
#else
    static_cast<void>(machine);
    out.is_known = false;
#endif
    return out;
}

}  // namespace candor::detail

#endif
