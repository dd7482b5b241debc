#ifndef CANDOR_OTLP_RECEIVER_HPP
#define CANDOR_OTLP_RECEIVER_HPP

#include <chrono>
#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include <candor/delivery/options.hpp>
#include <candor/delivery/worker_thread.hpp>
#include <candor/otlp/metrics_file.hpp>
#include <candor/otlp/service.hpp>
#include <candor/otlp/table.hpp>
#include <candor/otlp/text_table.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/fork.hpp>
#include <candor/policy/server.hpp>

namespace candor::otlp {

struct receiver_options {
    std::filesystem::path metrics_file{};              ///< where the table is shown; empty: nowhere
    std::chrono::milliseconds write_interval{20'000};  ///< so often it is looked whether the file has to be written
    table_options table{};

    std::string address = "127.0.0.1";                  ///< an IP address or `localhost`, which is 127.0.0.1
    std::uint16_t port = 0;                             ///< 0 takes a free one
    std::size_t body_limit = 64 * 1024 * 1024;          ///< bytes of a request's body, as it comes and decompressed
    std::chrono::milliseconds request_timeout{10'000};  ///< from the first byte of a request to the last of its answer

    diagnostic_sink diagnostics{};  ///< called on a thread of the receiver, and on the one that shuts it down
};

/// What a receiver has done.
struct receiver_statistics {
    service_statistics requests{};
    rejections rejected_points{};
    std::uint64_t file_failures = 0;  ///< how often the metrics file could not be written
};

/// Receives what worker processes report through OTLP/HTTP: a table in memory, and in a text file. It sends nothing
/// anywhere. A worker is given `"http://" + endpoint()` as OTEL_EXPORTER_OTLP_ENDPOINT.
///
/// The file is there from the start. It is written every `write_interval`, where the table has changed, and at
/// shutdown. All members but the destructor may be called from any thread, `shutdown` not from a callback of the
/// table's. In a child made by `fork()` it goes on in the parent alone: the child may ask for `endpoint()` and destroy
/// it, no more.
template <candor::server Server, clock Clock>
class basic_receiver {
public:
    /// Listens from now on. Throws `configuration_error` for an option that cannot work, such as a file that cannot be
    /// written or a port that is taken, and `std::system_error` where no thread is to be had.
    explicit basic_receiver(const receiver_options& options) requires std::default_initializable<Clock>
        : basic_receiver{options, std::make_unique<Clock>(), nullptr} {}

    /// Uses a clock that outlives it.
    basic_receiver(const receiver_options& options, Clock& clock) : basic_receiver{options, nullptr, &clock} {}

    basic_receiver(const basic_receiver&) = delete;
    basic_receiver& operator=(const basic_receiver&) = delete;
    ~basic_receiver() = default;

    /// Where workers on this machine reach it: an address and a port, such as `127.0.0.1:43121` or `[::1]:43121`.
    [[nodiscard]] const std::string& endpoint() const noexcept { return endpoint_; }

    [[nodiscard]] const otlp::table& table() const noexcept { return running_.find()->table; }

    [[nodiscard]] receiver_statistics statistics() const {
        const auto& now = *running_.find();
        return {.requests = now.service.statistics(),
                .rejected_points = now.table.rejected(),
                .file_failures = now.file ? now.file->failures() : 0};
    }

    /// Stops listening, as `server::stop` does: what has come whole is taken in. Then writes the file once more. Later
    /// calls do nothing.
    void shutdown() noexcept {
        if (auto* const now = running_.find()) now->shutdown();
    }

    /// For a server that is spoken to directly.
    [[nodiscard]] Server& server() noexcept { return running_.find()->server; }

private:
    /// What is of one process.
    struct running {
        running(const receiver_options& chosen, Clock& with)
            : options{chosen},
              clock{with},
              table{options.table},
              written{text_table({})},
              file{options.metrics_file.empty() ? nullptr
                                                : std::make_unique<metrics_file>(options.metrics_file, written)},
              service{table, options.address},
              server{server_options{.address = options.address,
                                    .port = options.port,
                                    .body_limit = options.body_limit,
                                    .request_timeout = options.request_timeout},
                     service} {
            if (file) writer = candor::detail::start_worker_thread([this] { keep_writing(); });
        }
        running(const running&) = delete;
        running& operator=(const running&) = delete;
        ~running() { shutdown(); }

        void shutdown() noexcept {
            const std::lock_guard one_at_a_time{shutting_down};
            server.stop();
            {
                const std::lock_guard guard{mutex};
                if (closing) return;
                closing = true;
                changed.notify_all();
            }
            if (writer.joinable()) writer.join();
            write();
        }

        void keep_writing() noexcept {
            std::unique_lock lock{mutex};
            while (!closing) {
                const auto next = candor::detail::after(clock.now(), options.write_interval);
                while (!closing && clock.now() < next) clock.idle_until(lock, changed, next);
                if (closing) return;
                lock.unlock();
                write();
                lock.lock();
            }
        }

        /// Brings the file up to date. One thread at a time.
        void write() noexcept {
            if (!file) return;
            try {
                auto text = text_table(table.rows());
                if (text != written && file->write(text, options.diagnostics)) written = std::move(text);
            } catch (const std::exception&) {  // no memory for the text: the next time perhaps
            }
        }

        const receiver_options& options;
        Clock& clock;
        otlp::table table;
        std::string written;  ///< what the file says
        const std::unique_ptr<metrics_file> file;
        otlp::service service;
        Server server;

        std::mutex shutting_down;
        std::mutex mutex;
        std::condition_variable changed;
        bool closing = false;
        std::thread writer;
    };

    basic_receiver(const receiver_options& options, std::unique_ptr<Clock> own_clock, Clock* clock)
        : options_{checked(options)},
          own_clock_{std::move(own_clock)},
          running_{
              [this, clock] { return std::make_unique<running>(options_, clock == nullptr ? *own_clock_ : *clock); }},
          endpoint_{endpoint_of(options_.address, running_.find()->server.port())} {
        running_.retire();
    }

    static const receiver_options& checked(const receiver_options& options) {
        candor::detail::check_positive("write_interval", options.write_interval);
        candor::detail::check_positive("table.max_rows", options.table.max_rows);
        candor::detail::check_positive("table.max_name_bytes", options.table.max_name_bytes);
        return options;
    }

    static std::string endpoint_of(const std::string& address, std::uint16_t port) {
        const bool is_v6 = address.find(':') != address.npos;
        std::string host = address;
        if (address == "localhost" || address == "0.0.0.0") host = "127.0.0.1";
        if (is_v6) host = "[" + (address == "::" ? "::1" : address) + "]";
        return host + ":" + std::to_string(port);
    }

    const receiver_options options_;
    const std::unique_ptr<Clock> own_clock_;
    candor::detail::per_process<running> running_;
    const std::string endpoint_;
};

}  // namespace candor::otlp

#endif
