#ifndef CANDOR_SENTRY_CRASH_STEPS_HPP
#define CANDOR_SENTRY_CRASH_STEPS_HPP

#include <array>
#include <csignal>
#include <cstdint>
#include <cstring>

#include <candor/platform/crash_trap.hpp>
#include <candor/sentry/crash_record.hpp>
#include <candor/sentry/crash_writer.hpp>
#include <candor/sentry/stack.hpp>
#include <candor/sentry/terminate.hpp>

namespace candor::sentry::detail {

using candor::detail::crash_cause;
using candor::detail::crash_plan;

/// Belongs to the handler that is installed: the steps are passed no object.
inline constinit crash_writer the_crash_writer;

/// Any signal, except the SIGABRT of a failure that was reported before the program gave up.
inline bool is_crash_wanted(int signal) noexcept {
    const bool is_report = signal == SIGABRT && the_termination.is_told;
    return !is_report && the_crash_writer.file->is_intact();
}

inline void write_facts(const crash_cause& cause) noexcept {
    the_crash_writer.facts = {.time = cause.time,
                              .fault_address = cause.fault_address,
                              .instruction = cause.machine.instruction,
                              .thread = cause.thread,
                              .signal = cause.signal,
                              .code = cause.code};
    the_crash_writer.write_facts();
}

inline void gather_frames(const crash_cause& cause) noexcept {
    auto& writer = the_crash_writer;
    const auto& machine = cause.machine;
    if (machine.is_known) writer.add_frame(machine.instruction);
    if (machine.is_known && cause.signal == SIGSEGV && cause.code > 0 && cause.fault_address == machine.instruction) {
        // A wrong pointer was called. No frame leads from there to the caller, but the call left its address.
        std::uint64_t caller = machine.caller;
        if (machine.stack != 0)
            std::memcpy(&caller, reinterpret_cast<const void*>(static_cast<std::uintptr_t>(machine.stack)),
                        sizeof caller);
        writer.add_frame(caller);
        return;
    }
    // The walk begins here, in the handler: what counts comes after the instruction that was interrupted.
    bool is_reached = !machine.is_known;
    auto visit = [&](std::uintptr_t address) {
        if (is_reached) return address != 0 && writer.add_frame(address);  // nothing above the first function
        is_reached = address == machine.instruction;
        return true;
    };
    walk_stack(visit);
}

inline void write_frames(const crash_cause&) noexcept { the_crash_writer.write_frames(); }
inline void write_breadcrumbs(const crash_cause&) noexcept { the_crash_writer.write_breadcrumbs(); }
inline void write_end(const crash_cause&) noexcept { the_crash_writer.write_end(); }

/// The facts come first: a walk along a broken stack may not come to its end.
inline constexpr std::array<crash_plan::step, 4> crash_steps{&write_facts, &gather_frames, &write_frames,
                                                             &write_breadcrumbs};

/// Writes the record.
inline constexpr crash_plan write_crash{&is_crash_wanted, crash_steps, &write_end};

}  // namespace candor::sentry::detail

#endif
