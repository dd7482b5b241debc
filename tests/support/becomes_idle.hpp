#ifndef CANDOR_TESTS_SUPPORT_BECOMES_IDLE_HPP
#define CANDOR_TESTS_SUPPORT_BECOMES_IDLE_HPP

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>

#include <support/becomes_true.hpp>

/// Waits until no other thread of the process does anything, for a moment. That nothing happens is only seen by letting
/// time pass.
inline bool becomes_idle() {
    const auto times_run = [] {
        std::map<std::string, std::string> out;
        for (const auto& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
            const std::string id = task.path().filename();
            if (id == std::to_string(::gettid())) continue;
            std::ifstream status{task.path() / "status"};
            for (std::string line; std::getline(status, line);)
                if (line.starts_with("State:") || line.find("ctxt_switches:") != line.npos) out[id] += line;
        }
        return out;
    };
    return becomes_true([&] {
        const auto before = times_run();
        std::this_thread::sleep_for(std::chrono::milliseconds{20});
        return times_run() == before;
    });
}

#endif
