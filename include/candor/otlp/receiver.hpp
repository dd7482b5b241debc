#ifndef CANDOR_OTLP_RECEIVER_HPP
#define CANDOR_OTLP_RECEIVER_HPP

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <candor/delivery/options.hpp>
#include <candor/otlp/metrics_writer.hpp>
#include <candor/otlp/service.hpp>
#include <candor/otlp/table.hpp>
#include <candor/platform/errno_guard.hpp>
#include <candor/platform/fork.hpp>
#include <candor/platform/standard_streams.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/policies.hpp>
#include <candor/policy/server.hpp>

namespace candor::otlp {

/// A number out of its range is refused when the receiver is made; the longest time means "for ever".
struct receiver_options {
    std::filesystem::path metrics_file{};              ///< where the table is shown; empty: nowhere
    std::chrono::milliseconds write_interval{20'000};  ///< how long after a change the file is written, from 1 ms
    table_options table{};

    std::string address = "127.0.0.1";                  ///< an IP address or `localhost`, which is 127.0.0.1
    std::uint16_t port = 0;                             ///< 0 takes a free one
    std::size_t body_limit = 64 * 1024 * 1024;          ///< bytes of a body, as it comes and decompressed, up to 1 GiB
    std::chrono::milliseconds request_timeout{10'000};  ///< from a request's first byte to its answer's last, from 1 ms

    diagnostic_sink diagnostics{};  ///< called on a thread of the receiver, which goes on when it returns

    /// How long shutdown and destruction take at most, 0 ms or more: for requests that have come, and for the file,
    /// which always gets 200 ms.
    std::chrono::milliseconds shutdown_timeout{2'000};
};

/// What a receiver has done.
struct receiver_statistics {
    service_statistics requests{};
    rejections rejected_points{};
    std::uint64_t file_failures = 0;  ///< how often the metrics file could not be written, at shutdown not in time
};

/// Receives what worker processes report through OTLP/HTTP: a table in memory, and in a text file. It sends nothing
/// anywhere. A worker is given `"http://" + endpoint()` as OTEL_EXPORTER_OTLP_ENDPOINT.
///
/// The file is there from the start. It is written `write_interval` after the table has changed, and at shutdown, then
/// without syncing it. All members but the destructor may be called from any thread; it may be shut down and destroyed
/// in `diagnostics`, but not in a callback of the table's. In a child made by `fork()` it goes on in the parent alone:
/// the child may ask for `endpoint()` and destroy it, no more.
template <candor::server Server, clock Clock>
class basic_receiver {
public:
    /// Listens from now on. Throws `configuration_error` for an option that cannot work, such as a file that cannot be
    /// written or a port that is taken, and `std::system_error` where no thread is to be had. Not in a signal handler.
    explicit basic_receiver(const receiver_options& options) requires std::default_initializable<Clock>
        : basic_receiver{options, std::make_shared<Clock>()} {}

    /// Uses a clock that outlives it. Not in a signal handler.
    basic_receiver(const receiver_options& options, Clock& clock)
        : basic_receiver{options, std::shared_ptr<Clock>{std::shared_ptr<void>{}, &clock}} {}

    basic_receiver(const basic_receiver&) = delete;
    basic_receiver& operator=(const basic_receiver&) = delete;
    ~basic_receiver() {
        errno_.renew();
        if (auto* const now = running_.find()) (*now)->let_go();
    }

    /// Where workers on this machine reach it: an address and a port, such as `127.0.0.1:43121` or `[::1]:43121`. Not
    /// in a signal handler.
    [[nodiscard]] const std::string& endpoint() const noexcept { return endpoint_; }

    [[nodiscard]] const otlp::table& table() const noexcept { return *mine().table; }

    [[nodiscard]] receiver_statistics statistics() const {
        const auto& now = mine();
        return {.requests = now.service.statistics(),
                .rejected_points = now.table->rejected(),
                .file_failures = now.writer ? now.writer->failures() : 0};
    }

    /// Stops listening, as `server::stop` does: requests that have arrived whole are still taken in. Then writes the
    /// file once more, where the disk and `diagnostics` let it within `shutdown_timeout`: else that is counted. In
    /// `diagnostics` it does not wait for the file, which is written when that has returned; where the receiver is
    /// destroyed there, it is not written any more. Later calls do nothing. Not in a signal handler.
    void shutdown() noexcept {
        const candor::detail::errno_guard guard;
        if (auto* const found = running_.find()) {
            const auto now = *found;
            now->shutdown();
        }
    }

    /// For a server that is spoken to directly.
    [[nodiscard]] Server& server() noexcept { return mine().server; }

private:
    /// What belongs to one process. A call under way has a share of it: another thread may destroy the receiver then.
    struct running {
        running(const receiver_options& options, std::shared_ptr<Clock> with)
            : clock{std::move(with)},
              shutdown_timeout{options.shutdown_timeout},
              table{std::make_shared<otlp::table>(options.table)},
              writer{options.metrics_file.empty()
                         ? nullptr
                         : std::make_shared<detail::metrics_writer>(table, options.metrics_file, options.write_interval,
                                                                    options.diagnostics, any_clock)},
              service{*table, options.address,
                      [to = writer.get()] {
                          if (to != nullptr) to->note_change();
                      }},
              server{server_options{.address = options.address,
                                    .port = options.port,
                                    .body_limit = options.body_limit,
                                    .request_timeout = options.request_timeout,
                                    .stop_timeout = std::clamp(options.shutdown_timeout, std::chrono::milliseconds{1},
                                                               server_options{}.stop_timeout)},
                     service} {
            if (writer) writer->start();
        }
        running(const running&) = delete;
        running& operator=(const running&) = delete;
        ~running() { let_go(); }

        void shutdown() noexcept {
            const auto end_by = candor::detail::after(clock->now(), shutdown_timeout);
            server.stop();
            if (writer) writer->shutdown(end_by);
        }

        void let_go() noexcept {
            shutdown();
            if (writer) writer->let_go();
        }

        const std::shared_ptr<Clock> clock;
        candor::detail::clock_adapter<Clock> any_clock{*clock};
        const std::chrono::milliseconds shutdown_timeout;
        const std::shared_ptr<otlp::table> table;
        const std::shared_ptr<detail::metrics_writer> writer;
        otlp::service service;
        Server server;
    };

    basic_receiver(const receiver_options& options, std::shared_ptr<Clock> clock)
        : running_{[&options, clock] {
              candor::detail::occupy_standard_streams();
              return std::make_unique<std::shared_ptr<running>>(std::make_shared<running>(checked(options), clock));
          }},
          endpoint_{endpoint_of(options.address, mine().server.port())} {
        running_.retire();
        errno_.restore();
    }

    static const receiver_options& checked(const receiver_options& options) {
        candor::detail::check_positive("write_interval", options.write_interval);
        candor::detail::check_not_negative("shutdown_timeout", options.shutdown_timeout);
        candor::detail::check_range("table.max_rows", options.table.max_rows, 1, 10'000'000);
        candor::detail::check_range("table.max_name_bytes", options.table.max_name_bytes, 1, std::size_t{64} << 10);
        candor::detail::check_range("body_limit", options.body_limit, 1, std::size_t{1} << 30);
        return options;
    }

    static std::string endpoint_of(const std::string& address, std::uint16_t port) {
        const bool is_v6 = address.find(':') != address.npos;
        std::string host = address;
        if (address == "localhost" || address == "0.0.0.0") host = "127.0.0.1";
        if (is_v6) host = "[" + (address == "::" ? "::1" : address) + "]";
        return host + ":" + std::to_string(port);
    }

    [[nodiscard]] running& mine() const noexcept { return **running_.find(); }

    candor::detail::object_errno_guard errno_{};
    candor::detail::per_process<std::shared_ptr<running>> running_;
    const std::string endpoint_;
};

}  // namespace candor::otlp

#endif
