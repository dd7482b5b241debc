#ifndef CANDOR_IDENTITY_UUID_HPP
#define CANDOR_IDENTITY_UUID_HPP

#include <array>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <candor/platform/errno_guard.hpp>
#include <candor/platform/fork.hpp>
#include <candor/platform/random.hpp>
#include <candor/policy/hex.hpp>

namespace candor {

namespace detail {

/// Randomness of one thread, fetched in advance: a system call an id would cost more than an event does.
struct random_pool {
    std::array<std::uint8_t, 8192> bytes{};
    std::size_t left = 0;
    unsigned generation = 0;

    void refill() {
        const errno_guard guard;
        count_forks();
        left = 0;
        generation = fork_generation.load(std::memory_order_relaxed);
        fill_random(bytes.data(), bytes.size());
        left = bytes.size();
    }

    std::array<std::uint8_t, 16> take() {
        std::array<std::uint8_t, 16> out;
        // After a fork the child holds the parent's bytes, which both would use.
        if (left < out.size() || generation != fork_generation.load(std::memory_order_relaxed)) refill();
        left -= out.size();
        std::memcpy(out.data(), bytes.data() + left, out.size());
        std::memset(bytes.data() + left, 0, out.size());
        return out;
    }

    static random_pool& of_this_thread() noexcept {
        static constinit thread_local random_pool pool;
        return pool;
    }
};

}  // namespace detail

/// A universally unique identifier (RFC 9562). A plain value of 16 bytes; a default one is nil.
class uuid {
public:
    /// The bytes that `write` writes.
    static constexpr std::size_t text_size = 36;

    constexpr uuid() = default;
    explicit constexpr uuid(const std::array<std::uint8_t, 16>& bytes) noexcept : bytes_{bytes} {}

    /// A new random one: version 4, variant 1. From a pool of the operating system's randomness that each thread has
    /// and a forked child discards (a child made by `fork()`; not by `_Fork()`, `vfork()` or a bare system call).
    /// Throws `std::system_error` where the system gives no randomness at all. Thread-safe; not for signal handlers.
    [[nodiscard]] static uuid random() {
        uuid out{detail::random_pool::of_this_thread().take()};
        out.bytes_[6] = static_cast<std::uint8_t>((out.bytes_[6] & 0x0f) | 0x40);
        out.bytes_[8] = static_cast<std::uint8_t>((out.bytes_[8] & 0x3f) | 0x80);
        return out;
    }

    /// Reads `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, digits of either case, any version. Nothing for any other form.
    [[nodiscard]] static constexpr std::optional<uuid> parse(std::string_view text) noexcept {
        if (text.size() != text_size) return std::nullopt;
        uuid out;
        std::size_t at = 0;
        for (std::size_t i = 0; i < 16; ++i) {
            if (hyphen_before(i) && text[at++] != '-') return std::nullopt;
            const int byte = detail::hex_byte(text.substr(at, 2));
            if (byte < 0) return std::nullopt;
            out.bytes_[i] = static_cast<std::uint8_t>(byte);
            at += 2;
        }
        return out;
    }

    [[nodiscard]] constexpr const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }
    [[nodiscard]] constexpr bool is_nil() const noexcept { return *this == uuid{}; }

    /// Writes the `text_size` characters of the lower-case form to `out`, without a terminating NUL.
    void write(char* out) const noexcept { write(out, std::make_index_sequence<16>{}); }

    /// The lower-case form.
    [[nodiscard]] std::string to_string() const {
        std::string out(text_size, '\0');
        write(out.data());
        return out;
    }

    friend constexpr bool operator==(const uuid&, const uuid&) = default;
    friend constexpr std::strong_ordering operator<=>(const uuid&, const uuid&) = default;

private:
    /// Without a loop: every position is known, and this runs for every event.
    template <std::size_t... I>
    void write(char* out, std::index_sequence<I...>) const noexcept {
        out[8] = out[13] = out[18] = out[23] = '-';
        (std::memcpy(out + position(I), detail::hex_pairs.data() + std::size_t{2} * bytes_[I], 2), ...);
    }

    /// Where the digits of a byte stand in the text.
    static constexpr std::size_t position(std::size_t byte) noexcept {
        std::size_t at = 2 * byte;
        for (std::size_t i = 0; i <= byte; ++i) at += hyphen_before(i);
        return at;
    }

    static constexpr bool hyphen_before(std::size_t byte) noexcept {
        return byte == 4 || byte == 6 || byte == 8 || byte == 10;
    }

    std::array<std::uint8_t, 16> bytes_{};
};

}  // namespace candor

#endif
