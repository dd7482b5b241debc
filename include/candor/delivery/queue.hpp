#ifndef CANDOR_DELIVERY_QUEUE_HPP
#define CANDOR_DELIVERY_QUEUE_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <utility>

namespace candor::detail {

/// A run of records, one behind the other, in one block of memory, and a link to the next such block. Records are
/// bytes; the block does not look into them.
class record_block {
public:
    static constexpr std::size_t usual_size = 64 * 1024;

    /// An empty block of no capacity, which allocates nothing.
    record_block() = default;

    /// One allocation.
    explicit record_block(std::size_t capacity)
        : head_{new (::operator new(sizeof(head) + capacity)) head{.capacity = capacity}} {}

    [[nodiscard]] static std::size_t stored_size(std::size_t record) noexcept { return record + sizeof(std::uint32_t); }
    [[nodiscard]] bool fits(std::size_t record) const noexcept {
        return head_ && head_->capacity - head_->end >= stored_size(record);
    }
    [[nodiscard]] bool empty() const noexcept { return !head_ || head_->begin == head_->end; }
    [[nodiscard]] bool is_usual() const noexcept { return head_ && head_->capacity == usual_size; }
    void clear() noexcept { head_->begin = head_->end = 0; }

    /// Appends one record, given in parts. It must fit.
    void push(std::span<const std::string_view> parts, std::size_t size) noexcept {
        const auto length = static_cast<std::uint32_t>(size);
        char* out = bytes() + head_->end;
        std::memcpy(out, &length, sizeof length);
        out += sizeof length;
        for (const std::string_view part : parts) {
            if (!part.empty()) std::memcpy(out, part.data(), part.size());
            out += part.size();
        }
        head_->end += stored_size(size);
    }

    /// The oldest record. Its bytes stay where they are until the block is cleared. The block must not be empty.
    [[nodiscard]] std::string_view front() const noexcept {
        std::uint32_t length;
        std::memcpy(&length, bytes() + head_->begin, sizeof length);
        return {bytes() + head_->begin + sizeof length, length};
    }

    void pop() noexcept { head_->begin += stored_size(front().size()); }

private:
    friend class block_list;

    /// What stands before a block's bytes.
    struct head {
        std::size_t capacity;
        std::size_t begin = 0;
        std::size_t end = 0;
        head* next = nullptr;
    };
    struct freed {
        void operator()(head* memory) const noexcept { ::operator delete(memory); }
    };

    [[nodiscard]] char* bytes() const noexcept { return reinterpret_cast<char*>(head_.get() + 1); }

    std::unique_ptr<head, freed> head_;
};

/// Blocks in a row, first in, first out. A list, so that to add one takes no memory.
class block_list {
public:
    block_list() = default;
    block_list(block_list&& other) noexcept { *this = std::move(other); }
    block_list& operator=(block_list&& other) noexcept {
        std::swap(first_, other.first_);
        std::swap(last_, other.last_);
        return *this;
    }
    ~block_list() {
        while (!empty()) take();
    }

    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

    void push(record_block block) noexcept {
        auto* const added = block.head_.release();
        (empty() ? first_ : last_->next) = added;
        last_ = added;
    }

    /// The first one. There must be one.
    record_block take() noexcept {
        record_block out;
        out.head_.reset(first_);
        first_ = std::exchange(first_->next, nullptr);
        return out;
    }

private:
    record_block::head* first_ = nullptr;
    record_block::head* last_ = nullptr;
};

/// First in, first out. A producer copies a record to the end of the last block; the consumer takes whole blocks.
/// Blocks are kept for reuse, so that in steady state nothing is allocated. Not thread-safe: its owner's mutex guards
/// it.
class record_queue {
public:
    [[nodiscard]] bool empty() const noexcept { return full_.empty() && filling_.empty(); }

    /// Appends a record. Throws `std::bad_alloc` and changes nothing when there is no memory. Allocates at most once.
    void push(std::span<const std::string_view> parts, std::size_t size) {
        if (!filling_.fits(size)) {
            const std::size_t needed = std::max(record_block::usual_size, record_block::stored_size(size));
            record_block next = needed == record_block::usual_size && spares_ > 0 ? take_spare() : record_block{needed};
            if (!filling_.empty()) full_.push(std::move(filling_));
            filling_ = std::move(next);
        }
        filling_.push(parts, size);
    }

    /// Takes the oldest block. There must be one.
    record_block take() noexcept { return full_.empty() ? std::move(filling_) : full_.take(); }

    /// Gives an emptied block back.
    void recycle(record_block block) noexcept {
        if (!block.is_usual() || spares_ == most_spares_) return;
        block.clear();
        spare_.push(std::move(block));
        ++spares_;
    }

    /// How many emptied blocks are kept.
    void keep_spares(std::size_t most) noexcept { most_spares_ = most; }

private:
    record_block take_spare() noexcept {
        --spares_;
        return spare_.take();
    }

    block_list full_;
    record_block filling_;
    block_list spare_;
    std::size_t spares_ = 0;
    std::size_t most_spares_ = 0;
};

}  // namespace candor::detail

#endif
