#ifndef CANDOR_DELIVERY_QUEUE_HPP
#define CANDOR_DELIVERY_QUEUE_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace candor::detail {

/// A run of records, one behind the other, in one block of memory. Records are bytes; the block does not look into
/// them.
class record_block {
public:
    static constexpr std::size_t usual_size = 64 * 1024;

    /// An empty block of no capacity, which allocates nothing.
    record_block() = default;

    explicit record_block(std::size_t capacity)
        : bytes_{std::make_unique_for_overwrite<char[]>(capacity)}, capacity_{capacity} {}

    [[nodiscard]] static std::size_t stored_size(std::size_t record) noexcept { return record + sizeof(std::uint32_t); }
    [[nodiscard]] bool fits(std::size_t record) const noexcept { return capacity_ - end_ >= stored_size(record); }
    [[nodiscard]] bool empty() const noexcept { return next_ == end_; }
    [[nodiscard]] bool is_usual() const noexcept { return capacity_ == usual_size; }
    void clear() noexcept { next_ = end_ = 0; }

    /// Appends one record, given in parts. It must fit.
    void push(std::span<const std::string_view> parts, std::size_t size) noexcept {
        const auto length = static_cast<std::uint32_t>(size);
        char* out = bytes_.get() + end_;
        std::memcpy(out, &length, sizeof length);
        out += sizeof length;
        for (const std::string_view part : parts) {
            if (!part.empty()) std::memcpy(out, part.data(), part.size());
            out += part.size();
        }
        end_ += stored_size(size);
    }

    /// The oldest record. Its bytes stay where they are until the block is cleared. The block must not be empty.
    [[nodiscard]] std::string_view front() const noexcept {
        std::uint32_t length;
        std::memcpy(&length, bytes_.get() + next_, sizeof length);
        return {bytes_.get() + next_ + sizeof length, length};
    }

    void pop() noexcept { next_ += stored_size(front().size()); }

private:
    std::unique_ptr<char[]> bytes_;
    std::size_t capacity_ = 0;
    std::size_t end_ = 0;
    std::size_t next_ = 0;
};

/// First in, first out. A producer copies a record to the end of the last block; the consumer takes whole blocks.
/// Blocks are kept for reuse, so that in steady state nothing is allocated. Not thread-safe: its owner's mutex guards
/// it.
class record_queue {
public:
    [[nodiscard]] bool empty() const noexcept { return blocks_.empty(); }

    /// Appends a record. Throws `std::bad_alloc` and changes nothing when there is no memory.
    void push(std::span<const std::string_view> parts, std::size_t size) {
        if (blocks_.empty() || !blocks_.back().fits(size)) {
            const std::size_t needed = std::max(record_block::usual_size, record_block::stored_size(size));
            if (needed == record_block::usual_size && !spare_.empty()) {
                blocks_.push_back(std::move(spare_.back()));
                spare_.pop_back();
            } else {
                blocks_.emplace_back(needed);
            }
        }
        blocks_.back().push(parts, size);
    }

    /// Takes the oldest block. There must be one.
    record_block take() noexcept {
        record_block block = std::move(blocks_.front());
        blocks_.pop_front();
        return block;
    }

    /// Gives an emptied block back.
    void recycle(record_block block) noexcept {
        if (!block.is_usual() || spare_.size() == spare_.capacity()) return;
        block.clear();
        spare_.push_back(std::move(block));
    }

    /// Makes room for spare blocks once, so that recycling never allocates.
    void reserve_spares(std::size_t count) { spare_.reserve(count); }

private:
    std::deque<record_block> blocks_;
    std::vector<record_block> spare_;
};

}  // namespace candor::detail

#endif
