#ifndef CANDOR_SENTRY_CRASH_HPP
#define CANDOR_SENTRY_CRASH_HPP

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <candor/identity/uuid.hpp>
#include <candor/platform/crash_trap.hpp>
#include <candor/platform/disk_call.hpp>
#include <candor/platform/errno_guard.hpp>
#include <candor/policy/clock.hpp>
#include <candor/sentry/breadcrumbs.hpp>
#include <candor/sentry/crash_file.hpp>
#include <candor/sentry/crash_record.hpp>
#include <candor/sentry/crash_steps.hpp>
#include <candor/sentry/stack.hpp>

namespace candor::sentry {

/// What a crash handler is told.
struct crash_options {
    std::filesystem::path directory{};  ///< for the records; made (0700) where there is none
    std::string release{};
    const breadcrumb_ring* breadcrumbs = nullptr;  ///< outlives the handler; null: none are recorded
};

/// While it lives, a crash of the program leaves a record for `recover_crashes` of the next start.
///
/// The signals SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT are taken (on Windows: the unhandled-exception filter, which
/// does not see abort()). The record is a file made beforehand, its space too. When the program crashes the handler
/// writes what happened, the stack and the breadcrumbs to it, and hands on to what stood there before, which ends the
/// program by the same signal, with the same core dump, as without it; within a second whatever is broken. A signal
/// that was sent by another process and ignored before stays ignored. A fault that the previous handler repairs is
/// reported too, at the next start, and those after it are not.
///
/// In the handler everything is async-signal-safe but the walk along the stack, for which there is nothing of the kind:
/// the unwinder reads memory that may be broken, and before glibc 2.35 takes the loader's lock. The facts are therefore
/// written first, and a walk that crashes or hangs is given up.
///
/// The thread that makes it gets a signal stack, unless it has one, so that a stack overflow is recorded as well; other
/// threads need their own for that (sigaltstack). Makers of daemons: make it after the last fork(). A child has none
/// and leaves the parent's alone; it may make its own. One a process: where there is one already another does nothing.
/// The breadcrumbs must have been redacted; of the loaded modules the record has the names without directories. It is
/// for the user alone (0600) until the next start.
class crash_handler {
public:
    /// Installs it. Where that cannot be, `problem` says why and all is as before; a disk that does not answer holds it
    /// for 100 ms. Throws `std::bad_alloc`. Not in a signal handler.
    explicit crash_handler(const crash_options& options) {
        const candor::detail::errno_guard guard;
        if (!trap_->is_only_one()) {
            problem_ = "another crash handler is installed in this process";
        } else if (prepare(options)) {
            void* frames[4];
            capture_stack(frames);  // the first walk takes memory
            trap_->arm(detail::write_crash);
            return;
        }
        trap_.reset();
    }

    /// All is as before: the record is removed, unless there was a crash. A disk that does not answer holds it for
    /// 100 ms: the next start removes what is left then. Not in a signal handler.
    ~crash_handler() { end(); }

    crash_handler(const crash_handler&) = delete;
    crash_handler& operator=(const crash_handler&) = delete;

    /// What the destructor does, without waiting for a disk of which is known that it does not answer. False where it
    /// did not. Later calls do nothing. Not in a signal handler.
    bool end(bool does_disk_answer = true) noexcept {
        const candor::detail::errno_guard guard;
        if (!trap_ || !trap_->is_armed()) return does_disk_answer;  // in a child, the record is the parent's
        const bool has_crashed = trap_->disarm();
        detail::the_crash_writer.file = nullptr;
        return candor::detail::use_disk(does_disk_answer, [has_crashed, record = std::move(file_)]() mutable noexcept {
            has_crashed ? record.close() : record.remove();
        });
    }

    /// Why it is not installed, for a person; empty where it is.
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

    /// What the event of a crash will be called.
    [[nodiscard]] uuid event_id() const noexcept { return event_id_; }

private:
    /// Makes the file; the record goes on behind the start of it. False where there is a problem.
    bool prepare(const crash_options& options) {
        std::error_code error;
        const auto directory = std::filesystem::absolute(options.directory, error);
        try {
            const auto modules = loaded_modules();
            for (int attempts = 3; attempts > 0 && !error; --attempts) {
                event_id_ = uuid::random();
                const auto start =
                    detail::start_section(event_id_, system_clock{}.wall_now(), options.release, modules);
                file_ = make_file(directory / detail::record_name(event_id_), start, error);
                if (!error) {
                    auto& writer = detail::the_crash_writer;
                    writer.file = &file_;
                    writer.breadcrumbs = options.breadcrumbs;
                    writer.at = start.size();
                    writer.frame_count = 0;
                    return true;
                }
                if (error == std::errc::operation_would_block) error.clear();
            }
        } catch (const std::system_error& exception) {  // no randomness
            error = exception.code();
        }
        problem_ = "no crash is recorded in " + options.directory.string() + ": " +
                   (error ? error.message() : "other processes remove the file");
        return false;
    }

    /// Makes a record that begins with `start`. One that the disk makes too late is removed.
    static detail::record_file make_file(const std::filesystem::path& path, const std::string& start,
                                         std::error_code& error) {
        struct record {
            std::mutex mutex;
            detail::record_file file;
            std::error_code error;
            bool is_late = false;
        };
        const auto made = std::make_shared<record>();
        candor::detail::use_disk(true, [made, path, start]() noexcept {
            detail::record_file file;
            std::error_code failed;
            try {
                file = detail::record_file::create(path, start, start.size() + detail::largest_crash, failed);
            } catch (...) {
                failed = std::make_error_code(std::errc::not_enough_memory);
            }
            const std::lock_guard guard{made->mutex};
            if (made->is_late) return file.remove();
            made->file = std::move(file);
            made->error = failed;
        });
        const std::lock_guard guard{made->mutex};
        made->is_late = true;
        error = made->error;
        if (!error && !made->file.is_open()) error = std::make_error_code(std::errc::timed_out);
        return std::move(made->file);
    }

    uuid event_id_;
    std::string problem_;
    detail::record_file file_;
    std::optional<candor::detail::crash_trap> trap_{std::in_place};
};

}  // namespace candor::sentry

#endif
