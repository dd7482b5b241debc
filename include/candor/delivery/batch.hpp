#ifndef CANDOR_DELIVERY_BATCH_HPP
#define CANDOR_DELIVERY_BATCH_HPP

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/delivery/options.hpp>
#include <candor/delivery/protocol.hpp>
#include <candor/delivery/statistics.hpp>

namespace candor::detail {

/// Ready messages, one behind the other, and the ranges of them that are still to be sent. One thread at a time.
class batch {
public:
    /// Makes room, so that nothing but the text itself needs memory later.
    void reserve(std::size_t messages) {
        messages_.reserve(messages);
        ranges_.reserve(65);  // halving takes one for each bit of a number, and one more
    }

    void clear() noexcept {
        text_.clear();
        messages_.clear();
        ranges_.clear();
    }

    /// What became of a record.
    struct addition {
        bool has_room = true;                  ///< false: it belongs to the next batch, and was not added
        std::optional<drop_reason> dropped{};  ///< it was not added, and is to be given up
        std::string_view text{};               ///< of the message that is given up
    };

    /// Makes a record into a message at the end. `text` is good until the next call.
    addition add(protocol& maker, std::string_view record, moment now, const delivery_options& limits) noexcept {
        const std::size_t start = messages_.empty() ? 0 : messages_.back().offset + messages_.back().size;
        text_.resize(start);
        preparation made;
        try {
            made = maker.prepare(record, now, text_);
        } catch (...) {
            made.dropped = drop_reason::failed;
        }
        const std::size_t size = text_.size() - start;
        if (!made.dropped && size + maker.message_overhead() > limits.message_bytes)
            made.dropped = drop_reason::too_large;
        if (made.dropped) return {true, made.dropped, std::string_view{text_}.substr(start)};

        const std::size_t body =
            maker.envelope_size() + text_.size() + (messages_.size() + 1) * maker.message_overhead();
        if (!messages_.empty() && body > limits.batch_bytes) return {.has_room = false};
        messages_.push_back({start, size, made.sent_at, record.size()});
        return {};
    }

    /// Takes messages that are made already, instead of what it holds. They lie in `text`. Throws `std::bad_alloc`.
    void load(std::string text, const std::vector<message>& messages) {
        clear();
        text_ = std::move(text);
        messages_.assign(messages.begin(), messages.end());  // which keeps the room that was made
        send_whole();
    }

    [[nodiscard]] std::size_t size() const noexcept { return messages_.size(); }

    /// All of it is to be sent in one request.
    void send_whole() noexcept {
        if (!messages_.empty()) ranges_.emplace_back(messages_);
    }

    [[nodiscard]] bool is_settled() const noexcept { return ranges_.empty(); }
    /// None of it is settled yet.
    [[nodiscard]] bool is_whole() const noexcept {
        std::size_t left = 0;
        for (const auto& range : ranges_) left += range.size();
        return left == messages_.size();
    }
    [[nodiscard]] message_range next() const noexcept { return {text_, ranges_.back()}; }
    void pop() noexcept { ranges_.pop_back(); }

    /// Sends the next range, which holds several messages, as its two halves instead, the first one first.
    void split() noexcept {
        const std::span<const message> whole = ranges_.back();
        const std::size_t half = whole.size() / 2;
        ranges_.back() = whole.subspan(half);
        ranges_.push_back(whole.first(half));
    }

private:
    std::string text_;
    std::vector<message> messages_;
    std::vector<std::span<const message>> ranges_;  // of messages_; the last is next
};

}  // namespace candor::detail

#endif
