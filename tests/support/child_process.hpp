#ifndef CANDOR_TESTS_SUPPORT_CHILD_PROCESS_HPP
#define CANDOR_TESTS_SUPPORT_CHILD_PROCESS_HPP

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>

/// How a child process ended.
struct child_end {
    int status = 0;
    std::string said{};  ///< what it wrote to the descriptor it was given
    std::chrono::milliseconds took{0};

    [[nodiscard]] int signal() const noexcept { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }
    [[nodiscard]] int exit_code() const noexcept { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
};

/// A copy of this process, made by fork(), that has none of the signal handlers of the test framework and of
/// sanitizers, and leaves no core. It is killed where it does not end.
class child_process {
public:
    /// Runs `program(descriptor)`, what is written to the descriptor can be read here, and exits with what it returns.
    template <class Program>
    explicit child_process(Program program) {
        std::array<int, 2> ends{};
        if (::pipe(ends.data()) != 0) throw std::runtime_error{"pipe"};
        std::fflush(nullptr);  // else the child may write again what doctest has not written out yet
        process_ = ::fork();
        if (process_ < 0) throw std::runtime_error{"fork"};
        if (process_ == 0) {
            ::close(ends[0]);
            become_plain();
            ::_exit(program(ends[1]));
        }
        ::close(ends[1]);
        output_ = ends[0];
    }
    child_process(const child_process&) = delete;
    child_process& operator=(const child_process&) = delete;
    ~child_process() {
        if (process_ > 0) {
            ::kill(process_, SIGKILL);
            ::waitpid(process_, nullptr, 0);
        }
        ::close(output_);
    }

    [[nodiscard]] pid_t id() const noexcept { return process_; }

    /// Waits until it has written `count` bytes, or ended, or a minute has passed, and returns all that it wrote so
    /// far.
    const std::string& read(std::size_t count) {
        const auto until = std::chrono::steady_clock::now() + std::chrono::minutes{1};
        while (said_.size() < count && read_some(until)) {
        }
        return said_;
    }

    /// Waits for its end; kills it after a minute.
    child_end wait() {
        const auto until = std::chrono::steady_clock::now() + std::chrono::minutes{1};
        while (read_some(until)) {
        }
        child_end out;
        out.took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin_);
        if (is_late_) ::kill(process_, SIGKILL);
        ::waitpid(process_, &out.status, 0);
        process_ = -1;
        out.said = said_;
        return out;
    }

private:
    static void become_plain() {
        for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGINT, SIGALRM})
            ::signal(signal, SIG_DFL);
        sigset_t none;
        ::sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        stack_t off{};
        off.ss_flags = SS_DISABLE;
        ::sigaltstack(&off, nullptr);
        const struct rlimit no_core {};
        ::setrlimit(RLIMIT_CORE, &no_core);
    }

    bool read_some(std::chrono::steady_clock::time_point until) {
        const auto left = until - std::chrono::steady_clock::now();
        pollfd end{output_, POLLIN, 0};
        std::array<char, 4096> block{};
        if (left.count() < 0 ||
            ::poll(&end, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count())) <= 0) {
            is_late_ = true;
            return false;
        }
        const ssize_t got = ::read(output_, block.data(), block.size());
        if (got > 0) said_.append(block.data(), static_cast<std::size_t>(got));
        return got > 0;
    }

    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
    pid_t process_ = -1;
    int output_ = -1;
    std::string said_;
    bool is_late_ = false;
};

/// Runs `program(descriptor)` in a child process and waits for its end.
template <class Program>
child_end run_in_child(Program program) {
    return child_process{program}.wait();
}

/// For a child process: writes `text` to the descriptor that it was given.
inline void say(int descriptor, std::string_view text) {
    if (::write(descriptor, text.data(), text.size()) != static_cast<ssize_t>(text.size())) ::_exit(99);
}

#endif
