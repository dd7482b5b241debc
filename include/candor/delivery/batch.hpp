#ifndef CANDOR_DELIVERY_BATCH_HPP
#define CANDOR_DELIVERY_BATCH_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
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

/// How much one request may carry.
struct request_limits {
    std::size_t messages = 0;
    std::size_t bytes = 0;
};

/// Ready messages, one behind the other, and the ranges of them that are still to be sent. One thread at a time.
class batch {
public:
    /// Makes room, so that nothing but the text itself needs memory later.
    void reserve(std::size_t messages) {
        messages_.reserve(messages);
        ranges_.reserve(messages + 1);
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

    /// Makes a record into a message at the end, which is the batch's `index`-th record. `text` is good until the next
    /// call.
    addition add(protocol& maker, std::string_view record, std::uint32_t index, moment now,
                 const delivery_options& limits) noexcept {
        return append(maker, {.record_size = record.size(), .index = index}, limits, limits.batch_bytes,
                      [&] { return maker.prepare(record, now, text_); });
    }

    /// The same of a message that was stored, `as` what is known of it; of a draft, whose run had named that user.
    /// There is always room.
    addition add_stored(protocol& maker, std::string_view text, const message& as, std::uint64_t named,
                        const delivery_options& limits) noexcept {
        return append(maker, as, limits, std::numeric_limits<std::size_t>::max(), [&]() -> preparation {
            if (as.is_draft) return maker.settle(text, named, text_);
            text_ += text;
            return {.sent_at = as.sent_at};
        });
    }

    [[nodiscard]] std::size_t size() const noexcept { return messages_.size(); }

    /// All of it is to be sent. Throws `std::bad_alloc` where there are more messages than room was made for.
    void send_whole() {
        ranges_.reserve(messages_.size() + 1);
        if (!messages_.empty()) ranges_.emplace_back(messages_);
    }

    [[nodiscard]] bool is_settled() const noexcept { return ranges_.empty(); }
    [[nodiscard]] message_range next() const noexcept { return {text_, ranges_.back()}; }
    void pop() noexcept { ranges_.pop_back(); }

    /// Sends the next range, which holds several messages, as its two halves instead, the first one first.
    void split() noexcept { cut(ranges_.back().size() / 2); }

    /// Sends the next range in parts where it is more than a request may carry, or goes to several places.
    void fit(const protocol& maker, const request_limits& most) noexcept {
        const auto& range = ranges_.back();
        const auto group = [&](const message& m) { return maker.group_of(next().text(m)); };
        const auto first = group(range.front());
        std::size_t count = 0, bytes = maker.envelope_size();
        for (const auto& m : range) {
            bytes += m.size + maker.message_overhead();
            const bool fits = count < most.messages && bytes <= most.bytes && group(m) == first;
            if (count > 0 && !fits) return cut(count);
            ++count;
        }
    }

    /// What is not settled of its records is to be sent in ranges of messages that go to one place each, so that these
    /// are few. Throws `std::bad_alloc`, and changes nothing then.
    void group(const protocol& maker) {
        std::vector<std::pair<std::uint32_t, message>> left;
        bool has_groups = false;
        each_unsettled([&](const message& m) {
            left.emplace_back(maker.group_of(std::string_view{text_}.substr(m.offset, m.size)), m);
            has_groups = has_groups || left.back().first != left.front().first;
        });
        if (!has_groups && ranges_.size() < 2) return;
        std::sort(left.begin(), left.end(), [](const auto& a, const auto& b) {
            return std::pair{a.first, a.second.index} < std::pair{b.first, b.second.index};
        });
        std::vector<message> messages;
        messages.reserve(std::max(messages_.capacity(), left.size()));
        for (const auto& [group, m] : left) messages.push_back(m);
        ranges_.reserve(left.size() + 1);
        messages_ = std::move(messages);
        ranges_.clear();
        const std::span<const message> all{messages_};
        for (std::size_t end = left.size(); end > 0;) {
            std::size_t begin = end;
            while (begin > 0 && left[begin - 1].first == left[end - 1].first) --begin;
            ranges_.push_back(all.subspan(begin, end - begin));
            end = begin;
        }
    }

    /// The message that the `index`-th record became, and those behind it as far as their numbers follow one another.
    [[nodiscard]] message_range row_from(std::uint32_t index) const noexcept {
        const std::span<const message> all{messages_};
        const auto found = std::find_if(all.begin(), all.end(), [&](const message& m) { return m.index == index; });
        const auto first = static_cast<std::size_t>(found - all.begin());
        std::size_t end = first;
        while (end < all.size() && all[end].index == index + (end - first)) ++end;
        return {text_, all.subspan(first, end - first)};
    }

    /// Calls `visit` for each message that is not settled.
    template <class Visit>
    void each_unsettled(const Visit& visit) const {
        for (auto range = ranges_.rbegin(); range != ranges_.rend(); ++range)
            for (const auto& m : *range) visit(m);
    }

    /// The number of the first record that is not settled. Nothing where all are.
    [[nodiscard]] std::optional<std::uint32_t> first_unsettled() const noexcept {
        std::optional<std::uint32_t> out;
        for (const auto& range : ranges_)
            if (!out || range.front().index < *out) out = range.front().index;
        return out;
    }

    /// Gives up what is not settled of the records before the `end`-th.
    message_count drop_before(std::uint32_t end) noexcept {
        message_count out;
        for (auto& range : ranges_) {
            while (!range.empty() && range.front().index < end) {
                ++out.messages;
                out.bytes += range.front().record_size;
                range = range.subspan(1);
            }
        }
        std::erase_if(ranges_, [](const auto& range) { return range.empty(); });
        return out;
    }

private:
    template <class Make>
    addition append(const protocol& maker, message added, const delivery_options& limits, std::size_t most_bytes,
                    const Make& make) noexcept {
        const std::size_t start = messages_.empty() ? 0 : messages_.back().offset + messages_.back().size;
        preparation made;
        try {
            text_.resize(start);
            made = make();
        } catch (...) {
            made.dropped = drop_reason::failed;
        }
        const std::size_t size = text_.size() - start;
        if (!made.dropped && size + maker.message_overhead() > limits.message_bytes)
            made.dropped = drop_reason::too_large;
        if (made.dropped) return {true, made.dropped, std::string_view{text_}.substr(start)};

        const std::size_t body =
            maker.envelope_size() + text_.size() + (messages_.size() + 1) * maker.message_overhead();
        if (!messages_.empty() && body > most_bytes) return {.has_room = false};
        added.offset = start;
        added.size = size;
        added.sent_at = made.sent_at;
        try {
            messages_.push_back(added);
        } catch (...) {  // no memory
            return {.dropped = drop_reason::failed, .text = std::string_view{text_}.substr(start)};
        }
        return {};
    }

    /// The first `count` messages of the next range become a range of their own, which is next.
    void cut(std::size_t count) noexcept {
        const std::span<const message> whole = ranges_.back();
        ranges_.back() = whole.subspan(count);
        ranges_.push_back(whole.first(count));
    }

    std::string text_;
    std::vector<message> messages_;
    std::vector<std::span<const message>> ranges_;  // of messages_; the last is next
};

}  // namespace candor::detail

#endif
