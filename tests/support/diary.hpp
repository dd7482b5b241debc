#ifndef CANDOR_TESTS_SUPPORT_DIARY_HPP
#define CANDOR_TESTS_SUPPORT_DIARY_HPP

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

namespace candor::testing {

/// What a program notes of itself in a pipe, which outlives it whatever it dies of: what was accepted from it, what it
/// has heard to be delivered, and that it lives. A thread of its own notes a beat every 5 ms that the machine gives it;
/// so a time can be measured in beats, and none counts in which the program could do nothing.
class diary {
public:
    static constexpr std::chrono::milliseconds beat{5};

    struct note {
        enum class kind : std::uint64_t { beat, accepted, delivered };
        std::int64_t at = 0;  ///< of the steady clock, which all processes share
        kind what = kind::beat;
        std::uint64_t which = 0;  ///< the number of an event, or the hash of a message's id
    };
    static_assert(std::is_trivially_copyable_v<note>);

    explicit diary(int pipe) : pipe_{pipe} {
        ::fcntl(pipe, F_SETPIPE_SZ, 1 << 20);  // nobody reads for a while
        std::thread{[this] {
            for (;; std::this_thread::sleep_for(beat), ++beats_) write(note::kind::beat);
        }}.detach();
    }

    /// `track` has just answered that.
    void accepted(std::uint64_t serial) const { write(note::kind::accepted, serial); }

    /// `on_delivered` was just called.
    void delivered(std::string_view message) const { write(note::kind::delivered, hash_of_id(message)); }

    /// Lets so much time pass in which the program could have done something.
    void live_for(std::chrono::milliseconds time) const {
        for (const auto end = beats_ + time / beat; beats_ < end;) std::this_thread::sleep_for(beat);
    }

    [[nodiscard]] static std::int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

    [[nodiscard]] static std::vector<note> read(std::string_view written) {
        std::vector<note> out(written.size() / sizeof(note));
        std::memcpy(out.data(), written.data(), out.size() * sizeof(note));
        return out;
    }

    /// How long the program has lived.
    [[nodiscard]] static std::chrono::milliseconds life(const std::vector<note>& notes) {
        return beat * std::count_if(notes.begin(), notes.end(), [](auto& one) { return one.what == note::kind::beat; });
    }

    /// What had been accepted for so long when the program was killed.
    [[nodiscard]] static std::vector<std::uint64_t> accepted_for(std::chrono::milliseconds time, std::int64_t killed_at,
                                                                 const std::vector<note>& notes) {
        std::vector<std::int64_t> beats;
        for (const auto& one : notes)
            if (one.what == note::kind::beat && one.at <= killed_at) beats.push_back(one.at);
        std::sort(beats.begin(), beats.end());
        std::vector<std::uint64_t> out;
        for (const auto& one : notes) {
            const auto lived = beats.end() - std::upper_bound(beats.begin(), beats.end(), one.at);
            if (one.what == note::kind::accepted && lived >= time / beat) out.push_back(one.which);
        }
        return out;
    }

    /// Of a message, or of an id alone.
    [[nodiscard]] static std::uint64_t hash_of_id(std::string_view text) {
        constexpr std::string_view key = "\"messageId\":\"";
        constexpr std::size_t id_size = 36;
        if (const auto at = text.find(key); at != text.npos) text = text.substr(at + key.size(), id_size);
        return std::hash<std::string_view>{}(text);
    }

private:
    void write(note::kind what, std::uint64_t which = 0) const {
        const note line{now(), what, which};
        if (::write(pipe_, &line, sizeof line) != sizeof line) ::_exit(99);
    }

    const int pipe_;
    std::atomic<std::int64_t> beats_{0};
};

}  // namespace candor::testing

#endif
