#ifndef CANDOR_TESTS_SUPPORT_DIARY_HPP
#define CANDOR_TESTS_SUPPORT_DIARY_HPP

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

namespace candor::testing {

/// What a program notes of itself in a pipe, which outlives it whatever it dies of: what was accepted from it, and that
/// it lives. A thread of its own notes a beat every 5 ms that the machine gives it; so a time can be measured in beats,
/// and none counts in which the program could do nothing.
class diary {
public:
    static constexpr std::chrono::milliseconds beat{5};

    /// A note is a line of this size, of an event or, without a serial, of a beat.
    struct note {
        std::int64_t at = 0;  ///< of the steady clock, which all processes share
        std::int64_t serial = -1;
    };
    static_assert(std::is_trivially_copyable_v<note>);

    explicit diary(int pipe) : pipe_{pipe} {
        std::thread{[this] {
            for (;; std::this_thread::sleep_for(beat), ++beats_) write(-1);
        }}.detach();
    }

    /// `track` has just answered that.
    void accepted(std::uint64_t serial) const { write(static_cast<std::int64_t>(serial)); }

    /// Lets so much time pass in which the program could have done something.
    void live_for(std::chrono::milliseconds time) const {
        for (const auto end = beats_ + time / beat; beats_ < end;) std::this_thread::sleep_for(beat);
    }

    [[nodiscard]] static std::int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

    /// Of what was written: the serials of what had been accepted for so long when the program was killed.
    [[nodiscard]] static std::vector<std::uint64_t> accepted_for(std::chrono::milliseconds time, std::int64_t killed_at,
                                                                 std::string_view written) {
        std::vector<note> all(written.size() / sizeof(note));
        std::memcpy(all.data(), written.data(), all.size() * sizeof(note));
        std::vector<std::int64_t> beats;
        for (const auto& one : all)
            if (one.serial < 0 && one.at <= killed_at) beats.push_back(one.at);
        std::sort(beats.begin(), beats.end());
        std::vector<std::uint64_t> out;
        for (const auto& one : all) {
            const auto lived = beats.end() - std::upper_bound(beats.begin(), beats.end(), one.at);
            if (one.serial >= 0 && lived >= time / beat) out.push_back(static_cast<std::uint64_t>(one.serial));
        }
        return out;
    }

private:
    void write(std::int64_t serial) const {
        const note line{now(), serial};
        if (::write(pipe_, &line, sizeof line) != sizeof line) ::_exit(99);
    }

    const int pipe_;
    std::atomic<std::int64_t> beats_{0};
};

}  // namespace candor::testing

#endif
