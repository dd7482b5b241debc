#ifndef CANDOR_TESTS_SUPPORT_GATEWAY_PROCESS_HPP
#define CANDOR_TESTS_SUPPORT_GATEWAY_PROCESS_HPP

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "../examples/data_plane.hpp"
#include "child_process.hpp"
#include "hang_up.hpp"

/// A data plane in a process of its own, which notes what it has taken in a file before it answers, and can be told
/// what is the matter with it. Make it while the process has one thread.
class gateway_process {
public:
    enum class state : char {
        healthy,
        without_database,  ///< 500 to every batch
        silent,            ///< takes nothing, and closes the connection once it is in another state
        hanging_up,        ///< closes the connection without an answer
        limiting,          ///< 100 events in 200 ms
    };

    /// A message as it arrived.
    struct message {
        std::int64_t at = 0;  ///< of the steady clock, which all processes share
        std::string id{};
        std::uint64_t process = 0, serial = 0;  ///< its properties
        std::string user{};                     ///< `-` for none
    };

    /// Port 0 takes a free one.
    explicit gateway_process(std::filesystem::path notes, int port = 0)
        : notes_{std::move(notes)}, process_{[this, port](int output) {
              ::close(orders_[1]);
              return serve(port, output);
          }} {
        ::close(orders_[0]);
        std::string said;
        while (said.empty() || said.back() != '\n') said += answer();
        port_ = std::stoi(said);
    }
    gateway_process(const gateway_process&) = delete;
    gateway_process& operator=(const gateway_process&) = delete;
    ~gateway_process() { ::close(orders_[1]); }

    [[nodiscard]] int port() const noexcept { return port_; }
    [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

    /// Returns when it is so.
    void become(state next) {
        const auto order = static_cast<char>(next);
        if (::write(orders_[1], &order, 1) != 1) throw std::runtime_error{"the data plane ended"};
        answer();
    }

    /// All that has arrived, in that order.
    [[nodiscard]] std::vector<message> messages() const {
        std::vector<message> out;
        each_note("message", [&](std::istream& note) {
            message one;
            if (note >> one.at >> one.id >> one.process >> one.serial >> one.user) out.push_back(std::move(one));
        });
        return out;
    }

    /// How often each event of each process has arrived.
    [[nodiscard]] std::map<std::pair<std::uint64_t, std::uint64_t>, int> events() const {
        std::map<std::pair<std::uint64_t, std::uint64_t>, int> out;
        for (const auto& one : messages()) ++out[{one.process, one.serial}];
        return out;
    }

    /// The ids of all messages.
    [[nodiscard]] std::multiset<std::string> ids() const {
        std::multiset<std::string> out;
        for (const auto& one : messages()) out.insert(one.id);
        return out;
    }

    /// The ids of all errors, each as often as it has arrived.
    [[nodiscard]] std::multiset<std::string> error_ids() const {
        std::multiset<std::string> out;
        each_note("error", [&](std::istream& note) {
            if (std::string id; note >> id) out.insert(id);
        });
        return out;
    }

    [[nodiscard]] int errors_of_children() const {
        int out = 0;
        each_note("error", [&](std::istream& note) {
            if (std::string id, whose; note >> id >> whose && whose == "child") ++out;
        });
        return out;
    }

private:
    /// In the child: what the server does with each request.
    class condition {
    public:
        void become(state next) {
            const std::lock_guard guard{mutex_};
            state_ = next;
            changed_.notify_all();
        }

        /// Whether a request is to be judged. Else its connection has been closed.
        bool admits(int client) {
            std::unique_lock lock{mutex_};
            if (state_ != state::silent && state_ != state::hanging_up) return true;
            changed_.wait(lock, [this] { return state_ != state::silent; });
            candor::testing::hang_up(client);
            return false;
        }

    private:
        std::mutex mutex_;
        std::condition_variable changed_;
        state state_ = state::healthy;
    };

    /// In the child, until the parent has gone.
    int serve(int port, int output) const {
        std::ofstream notes{notes_};
        condition now;
        candor::examples::data_plane_options options{.port = port, .remembers = false};
        options.on_message = [&](const nlohmann::json& taken) { write(notes, taken); };
        options.on_error = [&](const nlohmann::json& taken) { write_error(notes, taken); };
        options.on_arrival = [&](int client) { return now.admits(client); };
        candor::examples::data_plane plane{std::move(options)};
        say(output, std::to_string(plane.port()) + "\n");
        for (char order = 0; ::read(orders_[0], &order, 1) == 1; say(output, ".")) {
            const auto next = static_cast<state>(order);
            auto& rules = plane.rules();
            rules.lose_database(next == state::without_database);
            next == state::limiting ? rules.limit_rate(100, std::chrono::milliseconds{200}) : rules.lift_rate_limit();
            now.become(next);
        }
        ::_exit(0);  // a server that is stopped waits for its clients
    }

    static void write(std::ostream& notes, const nlohmann::json& taken) {
        const auto properties = taken.value("properties", nlohmann::json::object());
        const auto number = [&](const char* name) { return properties.value(name, std::uint64_t{0}); };
        notes << "message " << std::chrono::steady_clock::now().time_since_epoch().count() << ' '
              << taken.at("messageId").get<std::string>() << ' ' << number("process") << ' ' << number("serial") << ' '
              << taken.value("userId", "-") << std::endl;
    }

    static void write_error(std::ostream& notes, const nlohmann::json& error) {
        const bool is_childs = error.dump().find("from a child") != std::string::npos;
        notes << "error " << error.at("event_id").get<std::string>() << ' ' << (is_childs ? "child" : "parent")
              << std::endl;
    }

    /// The next byte that the child says.
    char answer() {
        const auto& said = process_.read(++heard_);
        if (said.size() < heard_) throw std::runtime_error{"the data plane ended"};
        return said[heard_ - 1];
    }

    template <class Call>
    void each_note(std::string_view kind, const Call& call) const {
        std::ifstream file{notes_};
        for (std::string line; std::getline(file, line);) {
            std::istringstream note{line};
            if (std::string first; note >> first && first == kind) call(note);
        }
    }

    static std::array<int, 2> new_pipe() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error{"pipe"};
        return ends;
    }

    const std::filesystem::path notes_;
    const std::array<int, 2> orders_ = new_pipe();
    child_process process_;
    std::size_t heard_ = 0;
    int port_ = 0;
};

#endif
