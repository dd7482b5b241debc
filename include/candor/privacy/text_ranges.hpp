#ifndef CANDOR_PRIVACY_TEXT_RANGES_HPP
#define CANDOR_PRIVACY_TEXT_RANGES_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include <candor/policy/ascii.hpp>

/// What the redactor's parts share.
namespace candor::detail::privacy {

/// A predicate of bytes as a table: one look-up for a byte, instead of many comparisons.
class byte_set {
public:
    template <class Predicate>
    constexpr explicit byte_set(Predicate holds) {
        for (unsigned i = 0; i < is_in_.size(); ++i) is_in_[i] = holds(static_cast<char>(i));
    }
    constexpr bool operator()(char c) const noexcept { return is_in_[static_cast<unsigned char>(c)]; }

private:
    std::array<bool, 256> is_in_{};
};

inline constexpr byte_set alphanumeric_bytes{[](char c) { return is_letter(c) || is_digit(c); }};
constexpr bool is_alphanumeric(char c) noexcept { return alphanumeric_bytes(c); }
constexpr bool is_beyond_ascii(char c) noexcept { return static_cast<unsigned char>(c) >= 0x80; }
constexpr bool is_space(char c) noexcept { return is_blank(c) || c == '\n' || c == '\r'; }

/// Where the first byte from `begin` on stands that `holds` does not hold of; else the text's end.
template <class Predicate>
constexpr std::size_t skip_while(std::string_view text, std::size_t begin, Predicate holds) noexcept {
    while (begin < text.size() && holds(text[begin])) ++begin;
    return begin;
}

/// Where the run of bytes that `holds` holds of begins which ends before `end`, but not before `least`.
template <class Predicate>
constexpr std::size_t skip_back_while(std::string_view text, std::size_t end, std::size_t least,
                                      Predicate holds) noexcept {
    while (end > least && holds(text[end - 1])) --end;
    return end;
}

/// What stands at a range. A name that lies in the home directory's path goes with that.
enum class finding : unsigned char { name, home, secret };

struct text_range {
    std::size_t begin;
    std::size_t end;
    finding kind;
};

/// What a redaction leaves.
inline constexpr std::string_view redacted_mark = "[redacted]";

/// What several searches, one after another, have found in a text, in the end in order from left to right.
class text_ranges {
public:
    /// Knows nothing of the text.
    text_ranges() = default;

    /// What has been redacted before is no find: a text that was redacted costs no list.
    explicit text_ranges(std::string_view text) noexcept : text_{text} {}

    /// Adds what one search finds: ranges in the order of their ends, all of one kind. Those that overlap or adjoin
    /// become one, so that the list stays short on `aaaa…`; but home directories never overlap, and each is a `~`.
    void add(std::size_t begin, std::size_t end, finding kind = finding::secret) {
        if (begin >= end || is_mark(begin, end)) return;
        if (kind != finding::home) {
            while (all_.size() > search_ && all_.back().begin >= begin) {
                end = std::max(end, all_.back().end);
                all_.pop_back();
            }
            if (all_.size() > search_ && all_.back().end >= begin) {
                all_.back().end = std::max(all_.back().end, end);
                return;
            }
        }
        if (all_.empty()) all_.reserve(text_.size() / 16);
        all_.push_back({begin, end, kind});
    }

    /// Ends a search.
    void end_search() {
        const auto by_begin = [](const text_range& a, const text_range& b) { return a.begin < b.begin; };
        std::inplace_merge(all_.begin(), all_.begin() + static_cast<std::ptrdiff_t>(search_), all_.end(), by_begin);
        search_ = all_.size();
    }

    /// Adds what has been redacted before, which stays whole. The last search.
    void add_marks() {
        for (auto at = text_.find(redacted_mark); at != std::string_view::npos; at = text_.find(redacted_mark, at)) {
            const auto begin = at;
            at += redacted_mark.size();
            all_.push_back({begin, at, finding::secret});
        }
        end_search();
    }

    [[nodiscard]] bool empty() const noexcept { return all_.empty(); }

    /// Calls `visit(range)` for each range, from left to right.
    template <class Visit>
    void each(Visit visit) const {
        for (const auto& range : all_) visit(range);
    }

    /// Calls `visit(range)` for each stretch that becomes one redaction, from left to right.
    template <class Visit>
    void each_redaction(Visit visit) const {
        for (auto next = all_.begin(); next != all_.end();) {
            text_range whole = *next++;
            for (; next != all_.end() && belongs(whole, *next); ++next) {
                const bool is_of_home = whole.kind == finding::home && next->kind == finding::name;
                if (!is_of_home) whole.kind = finding::secret;
                whole.end = std::max(whole.end, next->end);
            }
            visit(whole);
        }
    }

private:
    [[nodiscard]] bool is_mark(std::size_t begin, std::size_t end) const noexcept {
        return end - begin == redacted_mark.size() && end <= text_.size() &&
               text_.compare(begin, end - begin, redacted_mark) == 0;
    }

    /// Whether two ranges become one redaction: where they overlap, and where `[redacted]` follows another at once.
    static constexpr bool belongs(const text_range& whole, const text_range& next) noexcept {
        return next.begin < whole.end ||
               (next.begin == whole.end && whole.kind != finding::home && next.kind != finding::home);
    }

    std::string_view text_;
    std::vector<text_range> all_;
    std::size_t search_ = 0;  ///< where what the present search has found begins
};

}  // namespace candor::detail::privacy

#endif
