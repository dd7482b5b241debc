#ifndef CANDOR_EXAMPLES_TALLY_JOBS_HPP
#define CANDOR_EXAMPLES_TALLY_JOBS_HPP

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <candor/candor.hpp>

#include "tally_files.hpp"

extern char** environ;  // NOLINT: POSIX declares it nowhere

/// Counting with worker processes: tally starts itself several times over and takes in what the workers report.
namespace tally {

/// How a sync with workers is done.
struct jobs_options {
    std::size_t jobs = 1;
    std::string metrics_file{};
    std::chrono::milliseconds metrics_interval{20000};
    std::uint64_t rows_per_second = 0;  ///< of each worker; 0: as fast as can be
    std::string program{};              ///< argv[0]
    candor::diagnostic_sink diagnostics{};
    /// Called now and then with what is known and the number of files, where it is set.
    std::function<void(const candor::otlp::table_totals&, std::size_t)> progress{};
};

/// A file to count, and the name under which it is reported.
struct job {
    std::string name{};
    std::string path{};
    std::string reported{};
};

/// All files under `directory`, by name. Each is reported under another name, which is valid UTF-8, as names of files
/// need not be.
inline std::vector<job> list_directory(const std::filesystem::path& directory, const std::vector<std::string>& excluded,
                                       contents& found) {
    using nlohmann::json;
    std::vector<job> files;
    walk(directory, excluded, found, [&](const std::filesystem::path& path, std::string name) {
        files.push_back({.name = std::move(name), .path = path.string()});
    });
    std::sort(files.begin(), files.end(), [](const job& a, const job& b) { return a.name < b.name; });
    std::unordered_set<std::string> taken;
    for (auto& file : files) {
        const auto text = json(file.name).dump(-1, ' ', false, json::error_handler_t::replace);
        const auto valid = json::parse(text).get<std::string>();
        file.reported = valid;
        for (int n = 2; !taken.insert(file.reported).second; ++n)
            file.reported = valid + " (" + std::to_string(n) + ")";
    }
    return files;
}

/// A process that runs `tally worker`, and the socket that is its standard input. The process ends when this does.
class worker_process {
public:
    worker_process(const std::string& program, std::string id, std::uint64_t rows_per_second,
                   const std::string& endpoint)
        : id_{std::move(id)} {
        int ends[2];
        check(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 ? 0 : errno);
        socket_ = ends[0];
        // Otherwise a worker would keep the sockets of those before it open.
        for (const int end : ends) ::fcntl(end, F_SETFD, FD_CLOEXEC);
#ifdef SO_NOSIGPIPE
        const int on = 1;
        ::setsockopt(socket_, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
        const int error = start(program, ends[1], std::to_string(rows_per_second), endpoint);
        ::close(ends[1]);
        if (error != 0) ::close(socket_);
        check(error);
    }
    worker_process(worker_process&& other) noexcept
        : id_{std::move(other.id_)},
          process_{std::exchange(other.process_, 0)},
          socket_{std::exchange(other.socket_, -1)},
          said_{std::move(other.said_)} {}
    worker_process& operator=(worker_process&&) = delete;
    ~worker_process() {
        close();
        if (process_ != 0) wait();
    }

    [[nodiscard]] const std::string& id() const noexcept { return id_; }
    [[nodiscard]] int socket() const noexcept { return socket_; }

    /// Sends it something, unless it is gone, which shows at its end.
    void tell(std::string_view text) {
        while (!text.empty()) {
            const auto sent = ::send(socket_, text.data(), text.size(), without_signal);
            if (sent < 0 && errno != EINTR) return;
            if (sent > 0) text.remove_prefix(static_cast<std::size_t>(sent));
        }
    }

    /// Takes in what it said, once there is something. The socket is closed where that was the end.
    void listen() {
        std::array<char, 4096> block;
        const auto size = ::read(socket_, block.data(), block.size());
        if (size > 0) {
            said_.append(block.data(), static_cast<std::size_t>(size));
        } else if (size == 0 || errno != EINTR) {
            close();
        }
    }

    /// All that it said.
    [[nodiscard]] std::string_view said() const noexcept { return said_; }

    /// How it ended; empty where that was well.
    std::string wait() {
        int status = 0;
        while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
        }
        process_ = 0;
        if (WIFSIGNALED(status)) return "ended by signal " + std::to_string(WTERMSIG(status));
        if (WEXITSTATUS(status) != 0) return "ended with status " + std::to_string(WEXITSTATUS(status));
        return {};
    }

private:
#ifdef MSG_NOSIGNAL
    static constexpr int without_signal = MSG_NOSIGNAL;
#else
    static constexpr int without_signal = 0;  // SO_NOSIGPIPE says it
#endif

    static void check(int error) {
        if (error != 0) throw std::system_error{error, std::generic_category(), "cannot start a worker"};
    }

    /// Zero, or an error number. A child made by fork() would hold locks of threads that it does not have; one made by
    /// posix_spawn() runs nothing of this program before it becomes a new one.
    int start(const std::string& program, int input, const std::string& rate, const std::string& endpoint) {
        constexpr std::string_view variable = "OTEL_EXPORTER_OTLP_ENDPOINT=";
        std::string setting = std::string{variable} + "http://" + endpoint;
        std::vector<char*> environment{setting.data()};
        for (char** entry = environ; *entry != nullptr; ++entry)
            if (std::strncmp(*entry, variable.data(), variable.size()) != 0) environment.push_back(*entry);
        environment.push_back(nullptr);
        std::string words[] = {program, "worker", id_, rate};
        char* arguments[] = {words[0].data(), words[1].data(), words[2].data(), words[3].data(), nullptr};

        posix_spawn_file_actions_t actions;
        int error = ::posix_spawn_file_actions_init(&actions);
        if (error != 0) return error;
        error = ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
        if (error == 0) {
            // The name by which Linux knows this program holds whatever has become of its file.
            const char* self = "/proc/self/exe";
            error = ::access(self, X_OK) == 0
                        ? ::posix_spawn(&process_, self, &actions, nullptr, arguments, environment.data())
                        : ::posix_spawnp(&process_, arguments[0], &actions, nullptr, arguments, environment.data());
        }
        ::posix_spawn_file_actions_destroy(&actions);
        return error;
    }

    void close() noexcept {
        if (socket_ >= 0) ::close(std::exchange(socket_, -1));
    }

    std::string id_;
    pid_t process_ = 0;
    int socket_ = -1;
    std::string said_{};
};

/// Waits until every worker has ended, and calls `progress` ten times a second.
inline void wait_for(std::vector<worker_process>& workers, const std::function<void()>& progress) {
    for (;;) {
        std::vector<pollfd> sockets;
        std::vector<worker_process*> speakers;
        for (auto& worker : workers) {
            if (worker.socket() < 0) continue;
            sockets.push_back({worker.socket(), POLLIN, 0});
            speakers.push_back(&worker);
        }
        if (sockets.empty()) return;
        if (::poll(sockets.data(), static_cast<nfds_t>(sockets.size()), progress ? 100 : -1) < 0 && errno != EINTR)
            throw std::system_error{errno, std::generic_category(), "cannot wait for the workers"};
        for (std::size_t i = 0; i < sockets.size(); ++i)
            if (sockets[i].revents != 0) speakers[i]->listen();
        if (progress) progress();
    }
}

/// Starts workers and gives each its share of the files.
inline std::vector<worker_process> start_workers(const std::vector<job>& files, const jobs_options& options,
                                                 const std::string& endpoint) {
    // All of them are there before the first connects to the receiver: none inherits the connection of another.
    std::vector<worker_process> workers;
    const auto count = std::min(options.jobs, files.size());
    workers.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
        workers.emplace_back(options.program, "worker " + std::to_string(i + 1), options.rows_per_second, endpoint);
    for (std::size_t i = 0; i < count; ++i) {
        std::string share;
        for (std::size_t file = i; file < files.size(); file += count)
            share.append(files[file].path).append(1, '\0').append(files[file].reported).append(1, '\0');
        workers[i].tell(share.append(1, '\0'));
    }
    return workers;
}

/// What a worker has said of files that it could not read: why, by name.
inline void add_reasons(std::string_view said, std::unordered_map<std::string, std::string>& reasons) {
    const auto next = [&said] {
        const auto word = said.substr(0, said.find('\0'));
        said.remove_prefix(std::min(word.size() + 1, said.size()));
        return word;
    };
    while (!said.empty()) {
        const auto name = next(), number = next();
        int error = EIO;
        std::from_chars(number.data(), number.data() + number.size(), error);
        reasons.emplace(name, std::generic_category().message(error));
    }
}

/// `read_directory`, with worker processes that report their counts over OTLP. Throws where no receiver or worker can
/// be had.
inline contents read_directory(const std::filesystem::path& directory, const std::vector<std::string>& excluded,
                               const jobs_options& options) {
    contents found;
    const auto files = list_directory(directory, excluded, found);
    candor::otlp::receiver_options to;
    to.metrics_file = options.metrics_file;
    to.write_interval = options.metrics_interval;
    to.table.max_rows = std::max<std::size_t>(files.size(), 1);
    to.table.max_name_bytes = 65536;
    to.diagnostics = options.diagnostics;
    candor::otlp::receiver receiver{std::move(to)};
    auto workers = start_workers(files, options, receiver.endpoint());
    std::function<void()> progress;
    if (options.progress) progress = [&] { options.progress(receiver.table().totals(), files.size()); };
    wait_for(workers, progress);

    std::unordered_map<std::string, std::string> reasons;
    for (auto& worker : workers) {
        add_reasons(worker.said(), reasons);
        if (auto end = worker.wait(); !end.empty()) {
            found.failures.push_back({worker.id(), std::move(end)});
            found.complete = false;
        }
    }
    std::unordered_map<std::string, candor::otlp::row> rows;
    for (auto& row : receiver.table().rows()) rows.emplace(row.table, std::move(row));
    for (const auto& file : files) {
        const auto row = rows.find(file.reported);
        if (row == rows.end() || row->second.running()) {
            found.failures.push_back({file.name, "not counted"});
            found.complete = false;
        } else if (row->second.errors > 0) {
            found.failures.push_back({file.name, reasons[file.reported]});
        } else {
            const auto resources = static_cast<std::uint64_t>(row->second.resources);
            found.rows += resources;
            found.tables.push_back({file.name, resources});
        }
    }
    found.sort();
    return found;
}

}  // namespace tally

#endif
