#ifndef CANDOR_OTLP_METRICS_WRITER_HPP
#define CANDOR_OTLP_METRICS_WRITER_HPP

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <candor/delivery/worker_signal.hpp>
#include <candor/otlp/metrics_file.hpp>
#include <candor/otlp/table.hpp>
#include <candor/otlp/text_table.hpp>
#include <candor/platform/inside.hpp>
#include <candor/platform/replace_file.hpp>
#include <candor/platform/thread.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/policies.hpp>

namespace candor::otlp::detail {

/// Keeps a metrics file up to date with a table, on a thread of its own: the only one that writes, and that calls
/// `diagnostics`. The thread owns a share of this and of nothing else, so that it can be left behind in a call of
/// either that does not return; both are made without the mutex. The clock is lent: it is not used once the thread was
/// left. Thread-safe, but for `start`.
class metrics_writer : public std::enable_shared_from_this<metrics_writer> {
public:
    /// Writes the file. Throws what `metrics_file` throws.
    metrics_writer(std::shared_ptr<const table> of, const std::filesystem::path& path,
                   std::chrono::milliseconds interval, diagnostic_sink diagnostics,
                   candor::detail::clock_interface& clock)
        : table_{std::move(of)},
          interval_{interval},
          diagnostics_{std::move(diagnostics)},
          clock_{clock},
          file_{path, written_} {}
    metrics_writer(const metrics_writer&) = delete;
    metrics_writer& operator=(const metrics_writer&) = delete;
    ~metrics_writer() = default;

    /// Throws what `start_worker_thread` throws. Then `let_go` comes before the last share of the owner's goes.
    void start() {
        thread_ = candor::detail::start_worker_thread("candor-metrics", [self = shared_from_this()] { self->run(); });
    }

    /// The table has changed: the file is written after the interval.
    void note_change() noexcept {
        const candor::detail::inside library;
        std::unique_lock lock{mutex_};
        if (is_closing_ || write_at_ != steady_time::max()) return;
        write_at_ = candor::detail::after(clock_.now(), interval_);
        signal_.wake(lock);
    }

    /// Writes the file once more, without syncing it, and joins the thread. Where the disk or `diagnostics` has not
    /// returned at `end_by`, or 200 ms from now if that is later, the thread is left behind there and the file counts
    /// as not written. In `diagnostics`, only asks for the last write. Later calls wait for the same.
    void shutdown(steady_time end_by) noexcept {
        const candor::detail::inside library;
        std::unique_lock lock{mutex_};
        is_closing_ = true;
        signal_.wake();
        if (!thread_.joinable() || is_this_thread()) return;
        end_by = std::max(end_by, candor::detail::after(clock_.now(), least_time_));
        while (!is_done_ && !is_left_) {
            // A thread that is not away is on its way, and may be using the clock.
            if (is_away_ && clock_.now() >= end_by) {
                ++left_behind_;
                leave();
                return;
            }
            signal_.await_end(lock, is_away_ ? end_by : steady_time::max());
        }
        auto ended = std::exchange(thread_, candor::detail::worker_thread{});
        lock.unlock();
        if (ended.joinable()) ended.join();
    }

    /// After `shutdown`: its owner goes. In `diagnostics`, nothing is written any more when that returns: the file may
    /// be another receiver's by then.
    void let_go() noexcept {
        const candor::detail::inside library;
        const std::lock_guard guard{mutex_};
        if (thread_.joinable() && is_this_thread()) leave();
    }

    /// How often the file could not be written.
    [[nodiscard]] std::uint64_t failures() const noexcept {
        const candor::detail::inside library;
        const std::lock_guard guard{mutex_};
        return file_.failures() + left_behind_;
    }

private:
    /// However little time is left when it comes to that, the last write gets so much.
    static constexpr std::chrono::milliseconds least_time_{200};

    void run() noexcept {
        const candor::detail::inside library;
        std::unique_lock lock{mutex_};
        id_ = std::this_thread::get_id();
        for (bool is_last = false; !is_last;) {
            if (!is_closing_ && clock_.now() < write_at_) {
                signal_.idle(lock, write_at_);
                continue;
            }
            is_last = is_closing_;
            write_at_ = steady_time::max();
            const bool is_written = write(lock, is_last);
            if (is_left_) break;
            if (!is_written) write_at_ = candor::detail::after(clock_.now(), interval_);
        }
        is_done_ = true;
        signal_.announce_end();
    }

    /// Brings the file up to date, or returns false. Gives up the lock meanwhile.
    bool write(std::unique_lock<std::mutex>& lock, bool is_last) noexcept {
        using candor::detail::outlasts;
        is_away_ = true;
        signal_.announce_end();
        lock.unlock();
        bool is_written = false;
        try {
            auto text = text_table(table_->rows());
            is_written = text == written_ || file_.write(
                                                 text, [this](std::string_view problem) { tell(problem); },
                                                 is_last ? outlasts::process : outlasts::power_loss);
            if (is_written) written_ = std::move(text);
        } catch (const std::exception&) {  // no memory for the text: perhaps there is next time
        }
        lock.lock();
        is_away_ = false;
        return is_written;
    }

    void tell(std::string_view problem) noexcept {
        {
            const std::lock_guard guard{mutex_};
            if (is_left_) return;
        }
        const candor::detail::inside library{false};
        candor::detail::report(diagnostics_, problem);
    }

    // What follows is called with the mutex held.

    [[nodiscard]] bool is_this_thread() const noexcept { return id_ == std::this_thread::get_id(); }

    void leave() noexcept {
        is_left_ = true;
        signal_.announce_end();
        std::exchange(thread_, candor::detail::worker_thread{}).detach();
    }

    const std::shared_ptr<const table> table_;
    const std::chrono::milliseconds interval_;
    const diagnostic_sink diagnostics_;
    candor::detail::clock_interface& clock_;
    std::string written_ = text_table({});  ///< what the file says; the thread's, as is the file
    metrics_file file_;
    mutable std::mutex mutex_;  ///< guards what follows
    candor::detail::worker_signal signal_{clock_};
    candor::detail::worker_thread thread_;
    std::thread::id id_{};
    steady_time write_at_ = steady_time::max();  ///< when the file is due
    std::uint64_t left_behind_ = 0;              ///< last writes that were not waited for
    bool is_closing_ = false;
    bool is_away_ = false;  ///< in a call that may not return
    bool is_left_ = false;  ///< nobody waits for the thread any more
    bool is_done_ = false;
};

}  // namespace candor::otlp::detail

#endif
