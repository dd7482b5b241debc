#ifndef CANDOR_OTLP_NAME_INDEX_HPP
#define CANDOR_OTLP_NAME_INDEX_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace candor::otlp::detail {

/// One more word for a hash.
constexpr std::uint64_t mix(std::uint64_t hash, std::uint64_t word) noexcept {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;
    return hash ^ (hash >> 32);
}

/// The bytes at `from` as a number.
template <class Word>
[[nodiscard]] inline Word load(const char* from) noexcept {
    Word word;
    std::memcpy(&word, from, sizeof word);
    return word;
}

/// A hash of a text: quick for the twenty to forty bytes that names have, and best in its high bits. Texts can be made
/// that have the same hash, so whoever keeps a list must bound it.
[[nodiscard]] inline std::uint64_t hash_text(std::uint64_t seed, std::string_view text) noexcept {
    const char* at = text.data();
    std::size_t left = text.size();
    std::uint64_t hash = mix(seed, left);
    if (left >= 8) {
        for (; left > 8; left -= 8, at += 8) hash = mix(hash, load<std::uint64_t>(at));
        return mix(hash, load<std::uint64_t>(at + left - 8));  // it may overlap with the one before
    }
    if (left >= 4) return mix(hash, std::uint64_t{load<std::uint32_t>(at)} << 32 | load<std::uint32_t>(at + left - 4));
    std::uint64_t last = 0;
    for (; left > 0; --left) last = last << 8 | static_cast<unsigned char>(*at++);
    return mix(hash, last);
}

/// Whether the text at `other`, of the same size, is the same: as `std::memcmp` says, but without a call.
[[nodiscard]] inline bool equal_text(std::string_view text, const char* other) noexcept {
    const char* at = text.data();
    std::size_t left = text.size();
    if (left < 8) {
        for (; left > 0; --left) {
            if (*at++ != *other++) return false;
        }
        return true;
    }
    for (; left > 8; left -= 8, at += 8, other += 8) {
        if (load<std::uint64_t>(at) != load<std::uint64_t>(other)) return false;
    }
    return load<std::uint64_t>(at + left - 8) == load<std::uint64_t>(other + left - 8);
}

/// Finds positions in its owner's list by the hash of what is there: open addressing, never more than half full. Not
/// thread-safe.
class name_index {
public:
    static constexpr std::uint32_t none = 0xffff'ffff;

    /// The position that was inserted with `hash` and for which `equal(position)` is true, or `none`.
    template <class Equal>
    [[nodiscard]] std::uint32_t find(std::uint64_t hash, Equal equal) const {
        if (size_ == 0) return none;
        const std::size_t mask = slots_.size() - 1;
        for (std::size_t i = hash >> shift_;; i = (i + 1) & mask) {
            const slot& s = slots_[i];
            if (s.generation != generation_) return none;
            if (s.hash == hash && equal(s.position)) return s.position;
        }
    }

    /// Makes room, so that `insert` does not throw until there are `count`.
    void reserve(std::size_t count) {
        if (count * 2 <= slots_.size()) return;
        std::size_t capacity = 64;
        int bits = 6;
        for (; capacity < count * 2; capacity *= 2) ++bits;
        const std::vector<slot> old = [&] {
            std::vector<slot> larger(capacity);
            larger.swap(slots_);
            return larger;
        }();
        shift_ = 64 - bits;
        for (const slot& s : old) {
            if (s.generation == generation_) place(s);
        }
    }

    void insert(std::uint64_t hash, std::uint32_t position) {
        reserve(size_ + 1);
        place({hash, position, generation_});
        ++size_;
    }

    /// Forgets all, and keeps its memory. Takes the same time however much that is.
    void clear() noexcept {
        size_ = 0;
        if (++generation_ == 0) {  // after four thousand million times
            for (slot& s : slots_) s = {};
            generation_ = 1;
        }
    }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    struct slot {
        std::uint64_t hash = 0;
        std::uint32_t position = 0;
        std::uint32_t generation = 0;  ///< taken where it is that of the index
    };

    void place(const slot& s) noexcept {
        const std::size_t mask = slots_.size() - 1;
        std::size_t i = s.hash >> shift_;
        while (slots_[i].generation == generation_) i = (i + 1) & mask;
        slots_[i] = s;
    }

    std::vector<slot> slots_{};
    std::size_t size_ = 0;
    int shift_ = 0;  ///< leaves as many bits of a hash as `slots_` needs
    std::uint32_t generation_ = 1;
};

}  // namespace candor::otlp::detail

#endif
