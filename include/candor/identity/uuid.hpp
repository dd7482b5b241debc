#ifndef CANDOR_IDENTITY_UUID_HPP
#define CANDOR_IDENTITY_UUID_HPP

#include <array>
#include <atomic>
#include <cerrno>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#ifdef _WIN32
#include <random>
#endif
#ifdef __linux__
#include <fcntl.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>
#endif

#include <candor/policy/fork.hpp>

namespace candor {

namespace detail {

/// Fills a buffer with the operating system's randomness, or throws `std::system_error`.
inline void fill_random(std::uint8_t* out, std::size_t size) {
#if defined(__linux__)
    std::size_t done = 0;
    // Not waiting for the kernel's first entropy after a boot: an id needs to be unique, not unguessable.
    while (done < size) {
        const ssize_t got = ::getrandom(out + done, size - done, GRND_NONBLOCK);
        if (got > 0) {
            done += static_cast<std::size_t>(got);
        } else if (got == 0 || errno != EINTR) {
            break;
        }
    }
    if (done == size) return;
    const int device = ::open("/dev/urandom", O_RDONLY | O_CLOEXEC);  // no such call, or a sandbox forbids it
    int error = device < 0 ? errno : 0;
    while (error == 0 && done < size) {
        const ssize_t got = ::read(device, out + done, size - done);
        if (got > 0) {
            done += static_cast<std::size_t>(got);
        } else if (got == 0 || errno != EINTR) {
            error = got == 0 ? EIO : errno;
        }
    }
    if (device >= 0) ::close(device);
    if (error != 0) throw std::system_error{error, std::generic_category(), "no randomness from the system"};
#elif defined(_WIN32)
    std::random_device device;  // the system's generator, with nothing to link
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(device());
#else
    ::arc4random_buf(out, size);  // macOS and the BSDs: cannot fail
#endif
}

/// Randomness of one thread, fetched in advance: a system call an id would cost more than an event does.
struct random_pool {
    std::array<std::uint8_t, 8192> bytes{};
    std::size_t left = 0;
    unsigned generation = 0;

    void refill() {
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

/// `00` to `ff`, one after the other.
inline constexpr auto hex_pairs = [] {
    std::array<char, 512> out{};
    for (std::size_t i = 0; i < 256; ++i) {
        out[2 * i] = "0123456789abcdef"[i >> 4];
        out[2 * i + 1] = "0123456789abcdef"[i & 15];
    }
    return out;
}();

/// The value of a hexadecimal digit of either case, or -1.
constexpr int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

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
            const int high = detail::hex_value(text[at++]);
            const int low = detail::hex_value(text[at++]);
            if (high < 0 || low < 0) return std::nullopt;
            out.bytes_[i] = static_cast<std::uint8_t>(high * 16 + low);
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
