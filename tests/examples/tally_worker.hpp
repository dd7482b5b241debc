#ifndef CANDOR_EXAMPLES_TALLY_WORKER_HPP
#define CANDOR_EXAMPLES_TALLY_WORKER_HPP

#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tally_files.hpp"

/// A worker process of tally: it is given files on its standard input, a socket, and reports what it counts with
/// OTLP/HTTP, as a worker in any other language would.
namespace tally {

/// A file and the name under which it is reported.
struct work_item {
    std::string path{};
    std::string table{};
};

namespace detail {

using wall_clock = std::chrono::system_clock;

inline std::int64_t nanoseconds(wall_clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

}  // namespace detail

/// Sends what is known of tables to a receiver, at most every `interval` unless it has to be now.
class metrics_reporter {
public:
    /// `endpoint` is what OTEL_EXPORTER_OTLP_ENDPOINT says: `http://HOST:PORT`.
    metrics_reporter(const std::string& endpoint, std::string client_id)
        : client_{endpoint}, client_id_{std::move(client_id)} {
        if (!client_.is_valid()) throw std::runtime_error{"no endpoint to report to: " + endpoint};
        client_.set_keep_alive(true);
        client_.set_tcp_nodelay(true);
        client_.set_read_timeout(std::chrono::seconds{30});
    }

    void begin(std::string name) {
        changed_.push_back({std::move(name), detail::wall_clock::now()});
        report_sometimes();
    }

    /// The table that began last has that many rows by now.
    void count(std::uint64_t rows) {
        current().rows = rows;
        report_sometimes();
    }

    void end(bool readable) {
        current().errors = readable ? 0 : 1;
        current().ended = detail::wall_clock::now();
        report_sometimes();
    }

    /// Sends what has changed since the last time. Throws where the receiver does not take it.
    void report() {
        if (changed_.empty()) return;
        const auto answer = client_.Post("/v1/metrics", request().dump(), "application/json");
        if (!answer) throw std::runtime_error{"cannot report: " + httplib::to_string(answer.error())};
        if (answer->status != 200)
            throw std::runtime_error{"the report was answered " + std::to_string(answer->status)};
        std::erase_if(changed_, [](const table_state& table) { return table.ended.has_value(); });
        reported_ = std::chrono::steady_clock::now();
    }

private:
    static constexpr std::chrono::milliseconds interval{50};

    struct table_state {
        std::string name{};
        detail::wall_clock::time_point started{};
        std::uint64_t rows = 0;
        int errors = 0;
        std::optional<detail::wall_clock::time_point> ended{};
    };

    table_state& current() { return changed_.back(); }

    void report_sometimes() {
        if (std::chrono::steady_clock::now() - reported_ >= interval) report();
    }

    /// The numbers so far, each since the worker began: cumulative, so that a report that is lost or comes twice does
    /// no harm.
    [[nodiscard]] nlohmann::json request() const {
        using nlohmann::json;
        const auto now = std::to_string(detail::nanoseconds(detail::wall_clock::now()));
        const auto began = std::to_string(detail::nanoseconds(began_));
        json start = json::array(), rows = json::array(), errors = json::array(), duration = json::array(),
             end = json::array();
        const auto text = [](const char* key, const std::string& value) {
            return json{{"key", key}, {"value", {{"stringValue", value}}}};
        };
        for (const auto& table : changed_) {
            const auto add = [&](json& points, auto value) {
                points.push_back({{"attributes", json::array({text("sync.table.name", table.name),
                                                              text("sync.client.id", client_id_)})},
                                  {"startTimeUnixNano", began},
                                  {"timeUnixNano", now},
                                  {"asInt", std::to_string(value)}});
            };
            add(start, detail::nanoseconds(table.started));
            add(rows, table.rows);
            if (table.errors > 0) add(errors, table.errors);
            if (!table.ended) continue;
            // A wall clock may be set back.
            const auto took = std::max(*table.ended - table.started, detail::wall_clock::duration::zero());
            add(duration, std::chrono::duration_cast<std::chrono::milliseconds>(took).count());
            add(end, detail::nanoseconds(table.started + took));
        }
        json metrics = json::array();
        const auto sum = [&](const char* name, const char* unit, json& points) {
            if (points.empty()) return;
            metrics.push_back({{"name", name},
                               {"unit", unit},
                               {"sum",
                                {{"aggregationTemporality", 2},  // cumulative
                                 {"isMonotonic", true},
                                 {"dataPoints", std::move(points)}}}});
        };
        sum("sync.table.start_time", "ns", start);
        sum("sync.table.resources", "{row}", rows);
        sum("sync.table.errors", "{error}", errors);
        sum("sync.table.duration", "ms", duration);
        sum("sync.table.end_time", "ns", end);
        const json resource{{"attributes", json::array({text("service.name", "tally")})}};
        const json scope{{"scope", {{"name", "tally"}}}, {"metrics", std::move(metrics)}};
        return {{"resourceMetrics", json::array({{{"resource", resource}, {"scopeMetrics", json::array({scope})}}})}};
    }

    httplib::Client client_;
    std::string client_id_;
    detail::wall_clock::time_point began_ = detail::wall_clock::now();
    std::chrono::steady_clock::time_point reported_{};
    std::vector<table_state> changed_{};  ///< since the last report; all but the last have ended
};

/// A worker's end of the socket to the process that started it.
///
/// It first comes with the worker's share: for each file path and name, each ended by a NUL, and at last one NUL more.
/// Back go, of each file that cannot be read, name and error number. It ends when the other process does.
class parent_socket {
public:
    /// Throws where the parent is gone before it has said everything.
    std::vector<work_item> share() {
        std::vector<work_item> out;
        for (std::string path = word(); !path.empty(); path = word()) out.push_back({std::move(path), word()});
        return out;
    }

    void failed(const std::string& table, const std::error_code& error) {
        const std::string text = table + '\0' + std::to_string(error.value()) + '\0';
        for (std::size_t sent = 0; sent < text.size();) {
            const auto size = ::write(STDIN_FILENO, text.data() + sent, text.size() - sent);
            if (size < 0 && errno != EINTR) throw std::system_error{errno, std::generic_category(), "parent"};
            if (size > 0) sent += static_cast<std::size_t>(size);
        }
    }

    /// Waits that long, if at all, and throws when the parent is gone meanwhile.
    void wait(std::chrono::milliseconds time) {
        const auto due = std::chrono::steady_clock::now() + time;
        do {
            pollfd socket{STDIN_FILENO, POLLIN, 0};
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - std::chrono::steady_clock::now());
            if (::poll(&socket, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60000))) > 0) gone();
        } while (std::chrono::steady_clock::now() < due);
    }

private:
    [[noreturn]] static void gone() { throw std::runtime_error{"the process that started this worker is gone"}; }

    std::string word() {
        for (;;) {
            const auto end = received_.find('\0', next_);
            if (end != std::string::npos) {
                auto out = received_.substr(next_, end - next_);
                next_ = end + 1;
                return out;
            }
            received_.erase(0, next_);
            next_ = 0;
            char block[16384];
            const auto size = ::read(STDIN_FILENO, block, sizeof block);
            if (size > 0) received_.append(block, static_cast<std::size_t>(size));
            if (size == 0 || (size < 0 && errno != EINTR)) gone();
        }
    }

    std::string received_{};
    std::size_t next_ = 0;
};

/// Counts its share. `rows_per_second` is 0 where there is no hurry to be held back. Throws where that cannot be done.
inline void work(const std::string& endpoint, const std::string& client_id, std::uint64_t rows_per_second) {
    parent_socket parent;
    const auto share = parent.share();
    metrics_reporter metrics{endpoint, client_id};
    std::vector<char> block(block_size);
    const auto started = std::chrono::steady_clock::now();
    std::uint64_t before = 0;  // rows of the files that are done
    for (const auto& item : share) {
        metrics.begin(item.table);
        std::error_code error;
        before += count_rows(item.path, block, error, [&](std::uint64_t rows) {
            metrics.count(rows);
            std::chrono::milliseconds early{0};
            if (rows_per_second > 0) {
                const std::chrono::duration<double> due{static_cast<double>(before + rows) /
                                                        static_cast<double>(rows_per_second)};
                early = std::chrono::duration_cast<std::chrono::milliseconds>(
                    due - (std::chrono::steady_clock::now() - started));
            }
            if (early > std::chrono::milliseconds{0}) metrics.report();
            parent.wait(early);
        });
        if (error) parent.failed(item.table, error);
        metrics.end(!error);
    }
    metrics.report();
}

}  // namespace tally

#endif
