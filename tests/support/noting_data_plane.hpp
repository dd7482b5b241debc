#ifndef CANDOR_TESTS_SUPPORT_NOTING_DATA_PLANE_HPP
#define CANDOR_TESTS_SUPPORT_NOTING_DATA_PLANE_HPP

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "../examples/data_plane.hpp"
#include "child_process.hpp"

/// A data plane in a process of its own, which notes each message, by its properties `process` and `serial`, and each
/// error in a file. Make it while the process has one thread.
class noting_data_plane {
public:
    /// Port 0 takes a free one.
    explicit noting_data_plane(std::filesystem::path notes, int port = 0)
        : notes_{std::move(notes)}, process_{[this, port](int output) {
              std::ofstream file{notes_};
              candor::examples::data_plane plane{
                  {.port = port,
                   .on_message =
                       [&](const nlohmann::json& message) {
                           const auto& properties = message.at("properties");
                           file << "message " << properties.at("process") << ' ' << properties.at("serial") << ' '
                                << message.at("messageId").get<std::string>() << std::endl;
                       },
                   .on_error =
                       [&](const nlohmann::json& error) {
                           const bool is_childs = error.dump().find("from a child") != std::string::npos;
                           file << "error " << (is_childs ? "child" : "parent") << std::endl;
                       }}};
              say(output, std::to_string(plane.port()) + "\n");
              ::pause();
              return 0;
          }} {
        std::string said;
        for (std::size_t i = 1; said.empty() || said.back() != '\n'; ++i) {
            said = process_.read(i);
            if (said.size() < i) throw std::runtime_error{"the data plane ended"};
        }
        port_ = std::stoi(said);
    }

    [[nodiscard]] int port() const noexcept { return port_; }
    [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

    /// How often each event of each process has arrived.
    [[nodiscard]] std::map<std::pair<std::uint64_t, std::uint64_t>, int> events() const {
        std::map<std::pair<std::uint64_t, std::uint64_t>, int> out;
        each_note([&](const std::string& kind, std::istream& rest) {
            std::uint64_t process = 0, serial = 0;
            if (kind == "message" && rest >> process >> serial) ++out[{process, serial}];
        });
        return out;
    }

    /// The ids of all messages.
    [[nodiscard]] std::multiset<std::string> ids() const {
        std::multiset<std::string> out;
        each_note([&](const std::string& kind, std::istream& rest) {
            std::string process, serial, id;
            if (kind == "message" && rest >> process >> serial >> id) out.insert(id);
        });
        return out;
    }

    [[nodiscard]] int errors_of_children() const {
        int out = 0;
        each_note([&](const std::string& kind, std::istream& rest) {
            std::string whose;
            if (kind == "error" && rest >> whose && whose == "child") ++out;
        });
        return out;
    }

private:
    template <class Call>
    void each_note(const Call& call) const {
        std::ifstream file{notes_};
        for (std::string line; std::getline(file, line);) {
            std::istringstream rest{line};
            std::string kind;
            rest >> kind;
            call(kind, rest);
        }
    }

    const std::filesystem::path notes_;
    child_process process_;
    int port_ = 0;
};

#endif
