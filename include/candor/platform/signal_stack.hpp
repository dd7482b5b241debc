#ifndef CANDOR_PLATFORM_SIGNAL_STACK_HPP
#define CANDOR_PLATFORM_SIGNAL_STACK_HPP

#ifdef _WIN32
#include <candor/platform/windows.hpp>
#else
#include <cstddef>

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace candor::detail {

#ifdef _WIN32

/// Room on the stack of the thread that makes it for the handler of an overflow. It stays.
class signal_stack {
public:
    signal_stack() noexcept {
        ULONG size = 64 * 1024;
        ::SetThreadStackGuarantee(&size);
    }
    signal_stack(const signal_stack&) = delete;
    signal_stack& operator=(const signal_stack&) = delete;
};

#else

/// A stack of its own for the signal handlers of the thread that makes it: the one that has overflowed is of no use.
/// A thread that already has one keeps it.
class signal_stack {
public:
    signal_stack() noexcept {
        stack_t before{};
        if (::sigaltstack(nullptr, &before) != 0 || (before.ss_flags & SS_DISABLE) == 0) return;
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        std::size_t size = 64 * 1024;
#ifdef _SC_SIGSTKSZ
        // Processors with wide registers save more of them than any constant says.
        if (const long least = ::sysconf(_SC_SIGSTKSZ); least > 0) size += static_cast<std::size_t>(least);
#endif
        size_ = (size + page - 1) / page * page + page;
        void* const memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return;
        memory_ = static_cast<char*>(memory);
        ::mprotect(memory_, page, PROT_NONE);  // it grows down: past its end is a fault, not somebody's memory
        stack_t mine{};
        mine.ss_sp = memory_ + page;
        mine.ss_size = size_ - page;
        if (::sigaltstack(&mine, nullptr) != 0) release();
    }

    /// On another thread than it was made, the memory stays: the first one may still use it.
    ~signal_stack() {
        stack_t now{};
        if (memory_ == nullptr || ::sigaltstack(nullptr, &now) != 0 || now.ss_sp < memory_ ||
            now.ss_sp >= memory_ + size_)
            return;
        now.ss_flags = SS_DISABLE;
        if (::sigaltstack(&now, nullptr) == 0) release();
    }

    signal_stack(const signal_stack&) = delete;
    signal_stack& operator=(const signal_stack&) = delete;

private:
    void release() noexcept {
        ::munmap(memory_, size_);
        memory_ = nullptr;
    }

    char* memory_ = nullptr;
    std::size_t size_ = 0;
};

#endif

}  // namespace candor::detail

#endif
