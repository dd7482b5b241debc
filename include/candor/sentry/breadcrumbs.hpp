#ifndef CANDOR_SENTRY_BREADCRUMBS_HPP
#define CANDOR_SENTRY_BREADCRUMBS_HPP

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/policy/clock.hpp>
#include <candor/policy/utf8.hpp>

namespace candor::sentry {

/// Something that happened before an error.
struct breadcrumb {
    wall_time time{};
    std::string level{};     ///< `debug`, `info`, `warning`, `error` or `fatal`
    std::string category{};  ///< what it belongs to: `http`, `ui.click`
    std::string message{};

    friend bool operator==(const breadcrumb&, const breadcrumb&) = default;
};

namespace detail {

/// The beginning of `text` of at most `most` bytes that does not end within a character of UTF-8.
constexpr std::string_view cut_text(std::string_view text, std::size_t most) noexcept {
    if (text.size() <= most) return text;
    std::size_t end = most;
    // A character has at most three bytes after its first; a longer run is not UTF-8 and is cut anywhere.
    while (end > 0 && most - end < 3 && candor::detail::is_continuation(text[end])) --end;
    return text.substr(0, candor::detail::is_continuation(text[end]) ? most : end);
}

/// A breadcrumb in fixed memory: time, the sizes of the texts, the texts. A crash record holds it in the same form.
struct breadcrumb_image {
    using word = std::size_t;  // lock-free on every machine
    static constexpr std::size_t size = 248;
    static constexpr std::size_t head = sizeof(std::int64_t) + 3;
    static constexpr std::size_t most_level = 16;
    static constexpr std::size_t most_category = 32;

    alignas(word) std::array<char, size> bytes{};

    void write(wall_time time, std::string_view level, std::string_view category, std::string_view message) noexcept {
        const std::int64_t count = time.time_since_epoch().count();
        std::memcpy(bytes.data(), &count, sizeof count);
        std::size_t at = head;
        const auto put = [&](std::size_t index, std::string_view text) {
            bytes[sizeof count + index] = static_cast<char>(static_cast<unsigned char>(text.size()));
            std::copy(text.begin(), text.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
            at += text.size();
        };
        put(0, cut_text(level, most_level));
        put(1, cut_text(category, most_category));
        put(2, cut_text(message, size - at));
    }

    /// How many of the bytes are used.
    [[nodiscard]] std::size_t used() const noexcept {
        std::size_t out = head;
        for (std::size_t i = sizeof(std::int64_t); i < head; ++i) out += static_cast<unsigned char>(bytes[i]);
        return std::min(out, size);
    }
};

/// Reads one breadcrumb from the beginning of `bytes` and takes it away. Nothing where they end within it.
inline std::optional<breadcrumb> read_breadcrumb(std::string_view& bytes) {
    if (bytes.size() < breadcrumb_image::head) return std::nullopt;
    std::int64_t count = 0;
    std::memcpy(&count, bytes.data(), sizeof count);
    std::array<std::size_t, 3> sizes{};
    std::size_t whole = breadcrumb_image::head;
    for (std::size_t i = 0; i < sizes.size(); ++i)
        whole += sizes[i] = static_cast<unsigned char>(bytes[sizeof count + i]);
    if (bytes.size() < whole) return std::nullopt;
    auto texts = bytes.substr(breadcrumb_image::head, whole - breadcrumb_image::head);
    bytes.remove_prefix(whole);
    breadcrumb out{.time = wall_time{std::chrono::nanoseconds{count}}};
    std::size_t i = 0;
    for (std::string* text : {&out.level, &out.category, &out.message}) {
        *text = texts.substr(0, sizes[i]);
        texts.remove_prefix(sizes[i++]);
    }
    return out;
}

/// A place for one breadcrumb after the other, each with a number. One writer at a time, any number of readers.
class breadcrumb_slot {
public:
    using word = breadcrumb_image::word;

    /// Makes the caller the writer. False where there is one already, or a later breadcrumb has been written.
    bool claim(word number) noexcept {
        word state = state_.load(std::memory_order_relaxed);
        return state % 2 == 0 && state <= writing(number) &&
               state_.compare_exchange_strong(state, writing(number), std::memory_order_acquire);
    }

    /// For the writer.
    void write(word number, const breadcrumb_image& image) noexcept {
        for (std::size_t i = 0; i < words_.size(); ++i) {
            word value = 0;
            std::memcpy(&value, image.bytes.data() + i * sizeof value, sizeof value);
            // Each store releases, so that whoever reads the word also sees that the slot was being written.
            words_[i].store(value, std::memory_order_release);
        }
        state_.store(written(number), std::memory_order_release);
    }

    /// False where the breadcrumb of this number is not there as a whole.
    bool read(word number, breadcrumb_image& image) const noexcept {
        if (state_.load(std::memory_order_acquire) != written(number)) return false;
        for (std::size_t i = 0; i < words_.size(); ++i) {
            const word value = words_[i].load(std::memory_order_acquire);
            std::memcpy(image.bytes.data() + i * sizeof value, &value, sizeof value);
        }
        return state_.load(std::memory_order_relaxed) == written(number);
    }

private:
    static_assert(std::atomic<word>::is_always_lock_free && breadcrumb_image::size % sizeof(word) == 0);

    static constexpr word writing(word number) noexcept { return 2 * number + 1; }
    static constexpr word written(word number) noexcept { return 2 * number + 2; }

    std::atomic<word> state_{0};  ///< 0: never used
    std::array<std::atomic<word>, breadcrumb_image::size / sizeof(word)> words_{};
};

}  // namespace detail

/// The newest breadcrumbs, in fixed memory. No locks and no allocation but in `snapshot`: any thread may add and read
/// at any time, in a signal handler and after a fork too. What happens to be written while it is read is left out, and
/// so is one that comes while another thread, a whole round behind, still writes to the same place.
class breadcrumb_ring {
public:
    static constexpr std::size_t capacity = 32;

    /// Adds one in place of the oldest. A level is cut at 16 bytes, a category at 32, a message so that all three
    /// together take 237. The texts go into a crash record as they are: they have been redacted before.
    void add(wall_time time, std::string_view level, std::string_view category, std::string_view message) noexcept {
        detail::breadcrumb_image image;
        image.write(time, level, category, message);

        const auto number = next_.fetch_add(1, std::memory_order_relaxed);
        auto& slot = slots_[number % capacity];
        if (slot.claim(number)) slot.write(number, image);
    }

    /// Those that are there, oldest first. Throws `std::bad_alloc`.
    [[nodiscard]] std::vector<breadcrumb> snapshot() const {
        std::vector<breadcrumb> out;
        each([&](const detail::breadcrumb_image& image) {
            std::string_view bytes{image.bytes.data(), image.bytes.size()};
            if (auto read = detail::read_breadcrumb(bytes)) out.push_back(*std::move(read));
        });
        return out;
    }

    /// Calls `visit(const detail::breadcrumb_image&)` for each, oldest first, with a copy that is whole.
    template <class Visit>
    void each(Visit visit) const {
        const auto end = next_.load(std::memory_order_acquire);
        detail::breadcrumb_image image;
        for (auto number = end < capacity ? 0 : end - capacity; number != end; ++number)
            if (slots_[number % capacity].read(number, image)) visit(std::as_const(image));
    }

private:
    std::atomic<detail::breadcrumb_slot::word> next_{0};
    std::array<detail::breadcrumb_slot, capacity> slots_{};
};

}  // namespace candor::sentry

#endif
