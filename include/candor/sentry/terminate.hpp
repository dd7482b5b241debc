#ifndef CANDOR_SENTRY_TERMINATE_HPP
#define CANDOR_SENTRY_TERMINATE_HPP

#include <atomic>
#include <cstdlib>
#include <exception>
#include <functional>
#include <utility>

#include <candor/platform/library.hpp>

namespace candor::sentry {

namespace detail {

using termination_report = std::function<void(std::exception_ptr)>;

/// What the handler of std::terminate uses, since it is passed no object.
struct termination {
    enum class phase { quiet, reporting, reported };

    std::atomic<const termination_report*> report{nullptr};  ///< of the handler that is installed
    std::terminate_handler previous = nullptr;
    std::atomic<phase> now{phase::quiet};
    std::atomic<bool> is_told{false};  ///< the report was made: the SIGABRT that follows is the same failure
};

inline constinit termination the_termination;

/// Whether this thread makes the report.
inline bool& is_reporting_termination() noexcept {
    static constinit thread_local bool value = false;
    return value;
}

[[noreturn]] inline void on_terminate() noexcept {
    auto& shared = the_termination;
    using phase = termination::phase;
    auto expected = phase::quiet;
    if (is_reporting_termination()) {
        // The report itself has come to this: it is neither made again nor waited for.
    } else if (shared.now.compare_exchange_strong(expected, phase::reporting)) {
        is_reporting_termination() = true;
        if (const auto* report = shared.report.load()) {
            try {
                (*report)(std::current_exception());
                shared.is_told = true;
            } catch (...) {  // the crash handler, where there is one, sees the SIGABRT that follows
            }
        }
        shared.now = phase::reported;
        shared.now.notify_all();
    } else {
        shared.now.wait(phase::reporting);  // the previous handler would end the process under it
    }
    if (shared.previous != nullptr) shared.previous();
    std::abort();
}

}  // namespace detail

/// While it lives, what ends the program by std::terminate is reported first: an exception that nobody catches, or one
/// that leaves a function which is noexcept.
///
/// The report is made once, on the thread that terminates, with that thread's exception or null; others that terminate
/// meanwhile wait for it. What the report throws goes no further. Then the handler that was there before is called.
/// There is one handler per process: where one is installed, another does nothing. With MSVC it works only for the
/// thread that makes it.
class terminate_handler {
public:
    /// `report` must come to an end: what it does is all that keeps the program from ending. Throws `std::bad_alloc`.
    explicit terminate_handler(std::function<void(std::exception_ptr)> report) : report_{std::move(report)} {
        const detail::termination_report* none = nullptr;
        if (!report_ || !detail::the_termination.report.compare_exchange_strong(none, &report_)) return;
        if (const auto before = std::get_terminate(); before != &detail::on_terminate)
            detail::the_termination.previous = before;
        candor::detail::stay_loaded(&detail::on_terminate);
        std::set_terminate(&detail::on_terminate);
    }

    /// The handler that was there before is back, unless the program has set another one since.
    ~terminate_handler() {
        auto& shared = detail::the_termination;
        if (!is_installed()) return;
        if (std::get_terminate() == &detail::on_terminate) std::set_terminate(shared.previous);
        const detail::termination_report* mine = &report_;
        shared.report.compare_exchange_strong(mine, nullptr);
        // A thread that terminates may be using the report.
        if (!detail::is_reporting_termination()) shared.now.wait(detail::termination::phase::reporting);
    }

    terminate_handler(const terminate_handler&) = delete;
    terminate_handler& operator=(const terminate_handler&) = delete;

    /// Whether this is the one of the process.
    [[nodiscard]] bool is_installed() const noexcept { return detail::the_termination.report.load() == &report_; }

private:
    detail::termination_report report_;
};

}  // namespace candor::sentry

#endif
