#ifndef CANDOR_DELIVERY_QUEUE_HPP
#define CANDOR_DELIVERY_QUEUE_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <utility>

namespace candor::detail {

/// First in, first out. A producer copies a record to the end of the last block; the consumer reads it where it lies
/// and takes it when it needs it no more. Blocks are kept for reuse, so that in steady state nothing is allocated. Not
/// thread-safe: its owner's mutex guards it; but what `run_at` has found may be read without it until it is taken.
class record_queue {
    /// What stands before a block's bytes: records, each behind its length. The queue does not look into them.
    struct head {
        std::size_t capacity;
        std::size_t end = 0;
        head* next = nullptr;

        [[nodiscard]] char* bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
        [[nodiscard]] const char* bytes() const noexcept { return reinterpret_cast<const char*>(this + 1); }
    };

public:
    static constexpr std::size_t block_size = 64 * 1024;

    /// A place between two records.
    struct cursor {
        const head* block = nullptr;
        std::size_t offset = 0;
    };

    record_queue() = default;
    record_queue(record_queue&& other) noexcept
        : first_{std::exchange(other.first_, nullptr)},
          last_{std::exchange(other.last_, nullptr)},
          taken_{std::exchange(other.taken_, 0)},
          spare_{std::exchange(other.spare_, nullptr)},
          spares_{std::exchange(other.spares_, 0)},
          most_spares_{other.most_spares_} {}
    record_queue& operator=(record_queue&&) = delete;
    ~record_queue() {
        free_all(first_);
        free_all(spare_);
    }

    [[nodiscard]] static std::size_t stored_size(std::size_t record) noexcept { return record + sizeof(std::uint32_t); }

    /// Appends a record. Throws `std::bad_alloc` and changes nothing when there is no memory. Allocates at most once.
    void push(std::span<const std::string_view> parts, std::size_t size) {
        if (last_ == nullptr || last_->capacity - last_->end < stored_size(size)) append_block(stored_size(size));
        const auto length = static_cast<std::uint32_t>(size);
        char* out = last_->bytes() + last_->end;
        std::memcpy(out, &length, sizeof length);
        out += sizeof length;
        for (const std::string_view part : parts) {
            if (!part.empty()) std::memcpy(out, part.data(), part.size());
            out += part.size();
        }
        last_->end += stored_size(size);
    }

    /// The oldest record that is not taken.
    [[nodiscard]] cursor begin() const noexcept { return {first_, taken_}; }

    /// The records from there to the end of their block, which `pop_record` reads one by one; empty at the end.
    [[nodiscard]] std::string_view run_at(cursor& at) const noexcept {
        if (at.block == nullptr) return {};
        if (at.offset == at.block->end && at.block->next != nullptr) at = {at.block->next, 0};
        return {at.block->bytes() + at.offset, at.block->end - at.offset};
    }

    /// Takes the first record off a run, which must not be empty.
    static std::string_view pop_record(std::string_view& run) noexcept {
        std::uint32_t length;
        std::memcpy(&length, run.data(), sizeof length);
        const auto out = run.substr(sizeof length, length);
        run.remove_prefix(stored_size(length));
        return out;
    }

    /// The `count` oldest records are not needed any more. How many bytes they had.
    std::size_t take(std::uint64_t count) noexcept {
        std::size_t bytes = 0;
        for (; count > 0; --count) {
            if (taken_ == first_->end) drop_first();
            std::string_view run{first_->bytes() + taken_, first_->end - taken_};
            bytes += pop_record(run).size();
            taken_ = first_->end - run.size();
        }
        while (first_ != nullptr && taken_ == first_->end && first_->next != nullptr) drop_first();
        if (first_ != nullptr && taken_ == first_->end) {  // empty: the block can be filled from its beginning
            first_->end = taken_ = 0;
        }
        return bytes;
    }

    /// How many emptied blocks are kept.
    void keep_spares(std::size_t most) noexcept { most_spares_ = most; }

private:
    void append_block(std::size_t least) {
        head* added = nullptr;
        if (least <= block_size && spare_ != nullptr) {
            added = std::exchange(spare_, spare_->next);
            --spares_;
            added->end = 0;
            added->next = nullptr;
        } else {
            const std::size_t capacity = std::max(block_size, least);
            added = new (::operator new(sizeof(head) + capacity)) head{.capacity = capacity};
        }
        (last_ == nullptr ? first_ : last_->next) = added;
        last_ = added;
    }

    void drop_first() noexcept {
        head* const emptied = std::exchange(first_, first_->next);
        if (first_ == nullptr) last_ = nullptr;
        taken_ = 0;
        if (emptied->capacity == block_size && spares_ < most_spares_) {
            emptied->next = std::exchange(spare_, emptied);
            ++spares_;
        } else {
            ::operator delete(emptied);
        }
    }

    static void free_all(head* from) noexcept {
        while (from != nullptr) ::operator delete(std::exchange(from, from->next));
    }

    head* first_ = nullptr;
    head* last_ = nullptr;
    std::size_t taken_ = 0;  ///< of the first block
    head* spare_ = nullptr;
    std::size_t spares_ = 0;
    std::size_t most_spares_ = 0;
};

}  // namespace candor::detail

#endif
