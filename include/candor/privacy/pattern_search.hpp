#ifndef CANDOR_PRIVACY_PATTERN_SEARCH_HPP
#define CANDOR_PRIVACY_PATTERN_SEARCH_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace candor::detail::privacy {

/// Finds every occurrence of any of a set of patterns in a text, overlapping ones too, in time linear in the text
/// whatever both are (Aho and Corasick). Takes about 28 bytes of memory for each byte of the patterns. Once built it
/// does not change.
class pattern_search {
public:
    using folding = std::array<unsigned char, 256>;

    /// `fold` gives bytes that count as equal the same value.
    explicit pattern_search(const folding& fold) : fold_{fold}, nodes_(1) { root_.fill(0); }

    /// Adds a pattern; an empty one is ignored. A match of it reaches `before` and `after` bytes beyond it.
    void add(std::string_view pattern, unsigned before = 0, unsigned after = 0) {
        if (pattern.empty()) return;
        auto& last = nodes_[insert(pattern)];
        last.reach = std::max(last.reach, static_cast<std::uint32_t>(pattern.size() + before));
        last.after = std::max(last.after, static_cast<std::uint8_t>(after));
    }

    /// Adds a pattern that counts only as a whole word.
    void add_word(std::string_view pattern) {
        if (!pattern.empty()) nodes_[insert(pattern)].word = static_cast<std::uint32_t>(pattern.size());
    }

    /// To be called once, after the last pattern.
    void build() {
        std::vector<std::uint32_t> queue;  // breadth first: a node's suffixes are shorter, so they are done before
        queue.reserve(nodes_.size());
        for (auto child = nodes_[0].child; child != 0; child = nodes_[child].sibling) {
            root_[nodes_[child].byte] = child;
            queue.push_back(child);
        }
        for (std::size_t byte = 0; byte < root_.size(); ++byte) root_[byte] = root_[fold_[byte]];
        for (std::size_t i = 0; i < queue.size(); ++i) {
            auto& at = nodes_[queue[i]];
            const auto& suffix = nodes_[at.suffix];
            at.reach = std::max(at.reach, suffix.reach);
            at.after = std::max(at.after, suffix.after);
            at.words = suffix.word != 0 ? at.suffix : suffix.words;
            for (auto child = at.child; child != 0; child = nodes_[child].sibling) {
                nodes_[child].suffix = step(at.suffix, nodes_[child].byte);
                queue.push_back(child);
            }
        }
    }

    /// Calls `found(begin, end)` for the longest match that ends at a place, from left to right, and
    /// `found_word(begin, end)` for each word. Either may reach beyond the text.
    template <class Found, class FoundWord>
    void each(std::string_view text, Found found, FoundWord found_word) const {
        std::uint32_t state = 0;
        for (std::size_t end = 0; end < text.size();) {
            if (state == 0) {
                end = begin_of_match(text, end);
                if (end == text.size()) return;
                state = root_[static_cast<unsigned char>(text[end])];
            } else {
                state = step(state, fold_[static_cast<unsigned char>(text[end])]);
            }
            ++end;
            if (state == 0) continue;
            const auto& at = nodes_[state];
            if (at.reach != 0) found(end - std::min<std::size_t>(at.reach, end), end + at.after);
            for (auto word = state; word != 0; word = nodes_[word].words)
                if (nodes_[word].word != 0) found_word(end - nodes_[word].word, end);
        }
    }

private:
    struct node {
        std::uint32_t child = 0;
        std::uint32_t sibling = 0;
        std::uint32_t suffix = 0;  ///< the longest proper suffix that a pattern begins with
        std::uint32_t words = 0;   ///< the longest proper suffix that is a word
        std::uint32_t reach = 0;   ///< how far back the longest match goes that ends here
        std::uint32_t word = 0;    ///< the size of the word that ends here
        std::uint8_t byte = 0;
        std::uint8_t after = 0;
    };

    /// Where, from `begin` on, the first byte is that a pattern begins with. A function of its own, because most bytes
    /// of a text are not: its loop stays in registers.
    [[nodiscard]] std::size_t begin_of_match(std::string_view text, std::size_t begin) const noexcept {
        const char* const first = text.data();
        const char* const last = first + text.size();
        return static_cast<std::size_t>(
            std::find_if(first + begin, last, [&](char c) { return root_[static_cast<unsigned char>(c)] != 0; }) -
            first);
    }

    [[nodiscard]] std::uint32_t child(std::uint32_t of, unsigned char byte) const noexcept {
        auto found = nodes_[of].child;
        while (found != 0 && nodes_[found].byte != byte) found = nodes_[found].sibling;
        return found;
    }

    [[nodiscard]] std::uint32_t step(std::uint32_t state, unsigned char byte) const noexcept {
        for (; state != 0; state = nodes_[state].suffix)
            if (const auto next = child(state, byte)) return next;
        return root_[byte];
    }

    std::uint32_t insert(std::string_view pattern) {
        std::uint32_t at = 0;
        for (const char c : pattern) {
            const auto byte = fold_[static_cast<unsigned char>(c)];
            auto next = child(at, byte);
            if (next == 0) {
                next = static_cast<std::uint32_t>(nodes_.size());
                nodes_.push_back({.sibling = nodes_[at].child, .byte = byte});
                nodes_[at].child = next;
            }
            at = next;
        }
        return at;
    }

    folding fold_;
    std::array<std::uint32_t, 256> root_;  ///< the root's children, by the byte as it stands in a text
    std::vector<node> nodes_;              ///< the first is the root
};

/// Every byte as it is, but each ASCII letter as its lower case.
inline pattern_search::folding fold_case() noexcept {
    pattern_search::folding out;
    for (unsigned i = 0; i < out.size(); ++i)
        out[i] = static_cast<unsigned char>(i >= 'A' && i <= 'Z' ? i - 'A' + 'a' : i);
    return out;
}

}  // namespace candor::detail::privacy

#endif
