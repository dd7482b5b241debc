#ifndef CANDOR_DELIVERY_SPOOL_RUN_STATE_HPP
#define CANDOR_DELIVERY_SPOOL_RUN_STATE_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>

#include <candor/delivery/spool/directory.hpp>
#include <candor/delivery/spool/format.hpp>
#include <candor/event/rfc3339.hpp>
#include <candor/platform/system_calls.hpp>
#include <candor/policy/clock.hpp>

namespace candor::detail {

/// The runs in a row that could deliver nothing to an endpoint, as a small file of the spool's directory keeps them:
///
///     candor-breaker 1 failed=00000005 since=0019b7d2e8c48 until=0019b7d339a40
///
/// Times are in milliseconds since 1970.
struct breaker_state {
    /// So many failed runs in a row leave the endpoint alone, for 5 to 10 minutes, and twice that with each one more.
    static constexpr unsigned most_failed_runs = 5;
    static constexpr std::chrono::milliseconds shortest = std::chrono::minutes{5};
    static constexpr std::chrono::milliseconds longest = std::chrono::hours{24};
    static constexpr std::chrono::milliseconds forgotten_after = std::chrono::days{30};
    static constexpr std::string_view format_name = "candor-breaker ";
    static constexpr std::string_view magic = "candor-breaker 1 failed=";
    static constexpr std::size_t file_size = magic.size() + 8 + 7 + 12 + 7 + 12 + 1;

    unsigned failed_runs = 0;
    std::int64_t since = 0;  ///< when the last of them ended
    std::int64_t until = 0;  ///< the endpoint is left alone before

    /// For how long the endpoint is left alone from now on. Not at all where the last run ended later than now: a clock
    /// was set back, and how long ago that was is not known. So it is never longer than `longest`.
    [[nodiscard]] std::chrono::milliseconds remaining(wall_time now) const noexcept {
        const auto at = milliseconds_of(now);
        return std::chrono::milliseconds{at < since || at >= until ? 0 : until - at};
    }

    /// The state after one more failed run.
    template <class Random>
    [[nodiscard]] breaker_state after_failure(wall_time now, Random& random) const {
        breaker_state out;
        out.failed_runs = std::min(failed_runs, 1000U) + 1;
        out.since = out.until = milliseconds_of(now);
        if (out.failed_runs < most_failed_runs) return out;
        const auto doublings = std::min(out.failed_runs - most_failed_runs, 16U);
        const auto least = std::min<std::chrono::milliseconds>(shortest * (1 << doublings), longest / 2).count();
        // Programs that failed together do not come back together.
        out.until += std::uniform_int_distribution<std::int64_t>{least, 2 * least}(random);
        return out;
    }

    [[nodiscard]] std::string text() const {
        std::string out{magic};
        append_hex(out, failed_runs, 8);
        append_hex(out += " since=", static_cast<std::uint64_t>(since), 12);
        append_hex(out += " until=", static_cast<std::uint64_t>(until), 12);
        return out += '\n';
    }

    /// Nothing where it is garbled, or too old to say anything.
    static std::optional<breaker_state> parse(std::string_view text, wall_time now) noexcept {
        if (!take(text, magic)) return std::nullopt;
        const auto failed = take_hex(text, 8);
        if (!failed || *failed == 0 || !take(text, " since=")) return std::nullopt;
        const auto since = take_hex(text, 12);
        if (!since || !take(text, " until=")) return std::nullopt;
        const auto until = take_hex(text, 12);
        if (!until || text != "\n") return std::nullopt;
        const breaker_state out{static_cast<unsigned>(*failed), static_cast<std::int64_t>(*since),
                                static_cast<std::int64_t>(*until)};
        if (out.until < out.since || out.until - out.since > longest.count()) return std::nullopt;
        if (milliseconds_of(now) - out.since > forgotten_after.count()) return std::nullopt;
        return out;
    }
};

/// When a run last delivered something, for a person who asks: a file of the spool's directory that says
/// `candor-delivered 1 2026-01-02T03:04:05Z`. It is written in place and not synced: a run that delivers all it has
/// should not wait for the disk, and nothing depends on it. Its name begins as those of the protocol's spool do, so
/// that it goes with them.
struct last_delivery {
    static constexpr std::string_view format_name = "candor-delivered ";
    static constexpr std::string_view magic = "candor-delivered 1 ";
    static constexpr std::string_view time_shape = "0000-00-00T00:00:00Z\n";

    static std::string file_name(std::string_view protocol) { return std::string{protocol} + "-last.delivered"; }

    static std::string text(wall_time now) {
        return std::string{magic} + to_rfc3339(std::chrono::floor<std::chrono::seconds>(now)) + "\n";
    }

    /// Nothing where nothing is known of it.
    static std::optional<std::string> read(const std::filesystem::path& directory, std::string_view protocol) {
        if (directory.empty()) return std::nullopt;
        const auto found = spool_directory{directory}.read(file_name(protocol), magic.size() + time_shape.size());
        if (!found) return std::nullopt;
        std::string_view text{*found};
        if (!take(text, magic)) text = text.substr(0, time_shape.size());  // 0.1 wrote the time alone, in place
        if (text.size() != time_shape.size()) return std::nullopt;
        for (std::size_t i = 0; i < text.size(); ++i) {
            const char c = text[i];
            if (time_shape[i] == '0' ? c < '0' || c > '9' : c != time_shape[i]) return std::nullopt;
        }
        return std::string{text.substr(0, text.size() - 1)};
    }
};

/// What runs tell each other: whether the last ones could deliver nothing to an endpoint, so that this one need not
/// find that out again, and when something was last delivered. A run has failed that tried, and heard nothing but what
/// made it wait: no answer, or one that says "later". Any other answer is one of a server that is there. While a run is
/// failing it has a second file in hand, with the state after it, which the next one finds where it was killed. One
/// thread at a time, the pipeline's worker. Throws nothing: where the disk fails, nothing is known of the runs before.
class run_state {
public:
    /// Without a look at the disk. `destination` is a hash of the endpoint. From when `is_revoked` on no run is said to
    /// be failing; it outlives this.
    run_state(std::filesystem::path directory, std::string protocol, std::uint64_t destination, std::uint32_t seed,
              const system_calls& calls = system_calls::real(),
              const std::atomic<bool>& is_revoked = spool_directory::never)
        : directory_{std::move(directory), calls},
          is_revoked_{is_revoked},
          protocol_{std::move(protocol)},
          name_{protocol_ + '-'},
          random_{seed} {
        append_hex(name_, destination, 16);
        failing_name_ = name_ + ".failing";
        name_ += suffix_;
        random_.discard(1);  // the first numbers of seeds that are near each other are near
    }

    run_state(const run_state&) = delete;
    run_state& operator=(const run_state&) = delete;
    ~run_state() {
        if (is_revoked_) no_longer_failing();
    }

    /// For how long the endpoint is left alone from now on. To be asked once, before the first attempt of a run. Makes
    /// nothing on disk, but that a run which was killed while it was failing counts.
    std::chrono::milliseconds ask(wall_time now) noexcept {
        count_killed(now);
        before_ = load(name_, now).value_or(breaker_state{});
        is_on_disk_ = before_.failed_runs > 0;
        return before_.remaining(now);
    }

    [[nodiscard]] unsigned failed_runs() const noexcept { return before_.failed_runs; }

    /// An attempt ended. True where `record` is to be called: what the disk says is no longer so.
    [[nodiscard]] bool note(bool is_reached) noexcept {
        if (is_reached) {
            has_reached_ = true;
            return std::exchange(is_on_disk_, false);
        }
        is_on_disk_ = true;  // runs that go on at the same time may have failed too
        return !std::exchange(has_failed_, true) && !has_reached_;
    }

    /// Says on disk that this run is failing, or, where the server is there, forgets what is known of failed runs.
    void record(wall_time now) noexcept {
        if (has_reached_) {
            forget(name_);
            return no_longer_failing();
        }
        try {
            if (!is_newer(failing_name_))
                failing_ = directory_.make(failing_name_, before_.after_failure(now, random_).text(), is_revoked_);
        } catch (...) {  // no memory: then this run counts only when it ends
        }
    }

    /// The run ends. One that tried nothing says nothing.
    void end(wall_time now, bool has_delivered) noexcept {
        try {
            if (has_delivered) {
                const auto text = last_delivery::text(now);
                if (text.size() == last_delivery_size_)
                    directory_.write_in_place(last_delivery::file_name(protocol_), text, is_ours);
            }
        } catch (...) {  // no memory
        }
        if (has_failed_ && !has_reached_) count_failure(before_.failed_runs, now, now);
        no_longer_failing();
    }

private:
    static constexpr std::string_view suffix_ = ".breaker";
    static constexpr std::size_t last_delivery_size_ = last_delivery::magic.size() + last_delivery::time_shape.size();

    /// A run has failed, at that time, that began after so many others.
    void count_failure(unsigned before, wall_time at, wall_time now) noexcept {
        try {
            if (is_newer(name_)) return;
            // Runs that went on at the same time are not in a row: what they noted meanwhile does not add up.
            auto state = load(name_, now).value_or(breaker_state{});
            state.failed_runs = std::min(state.failed_runs, before);
            directory_.write(name_, state.after_failure(at, random_).text());
            for (const auto& [name, size] : directory_.list([](std::string_view n) { return n.ends_with(suffix_); }))
                if (!load(name, now)) forget(name);
        } catch (...) {  // no memory: this run was not one of them
        }
    }

    void count_killed(wall_time now) noexcept {
        try {
            auto left = directory_.claim(failing_name_);  // not one that a run has in hand which goes on
            const auto text = left.is_open() ? left.read(breaker_state::file_size + 1) : std::nullopt;
            if (!text || !is_ours(*text)) return;
            if (const auto state = breaker_state::parse(*text, now))
                count_failure(state->failed_runs - 1, wall_time{std::chrono::milliseconds{state->since}}, now);
            directory_.remove(left);
        } catch (...) {  // no memory: another time
        }
    }

    /// A run that goes on at the same time may have put its own file in that place: this one stands for both.
    void no_longer_failing() noexcept {
        if (failing_.is_open()) directory_.remove(failing_);
        failing_ = {};
    }

    /// Whether no newer release wrote it, whose files are left alone.
    static bool is_ours(std::string_view text) {
        return std::max(format_of(text, breaker_state::format_name), format_of(text, last_delivery::format_name)) <= 1;
    }

    bool is_newer(const std::string& name) {
        const auto text = directory_.read(name, breaker_state::file_size);
        return text && !is_ours(*text);
    }

    std::optional<breaker_state> load(const std::string& name, wall_time now) noexcept {
        try {
            const auto text = directory_.read(name, breaker_state::file_size + 1);
            if (text) return breaker_state::parse(*text, now);
        } catch (...) {
        }
        return std::nullopt;
    }

    void forget(const std::string& name) noexcept {
        try {
            if (is_newer(name)) return;
            if (auto held = directory_.claim(name); held.is_open()) directory_.remove(held);
        } catch (...) {
        }
    }

    spool_directory directory_;
    const std::atomic<bool>& is_revoked_;
    const std::string protocol_;
    std::string name_;
    std::string failing_name_;
    spool_directory::file failing_{};  ///< in hand while this run is failing
    std::minstd_rand random_;
    breaker_state before_;
    bool is_on_disk_ = false;  // there may be a file
    bool has_failed_ = false;
    bool has_reached_ = false;
};

}  // namespace candor::detail

#endif
