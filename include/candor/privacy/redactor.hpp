#ifndef CANDOR_PRIVACY_REDACTOR_HPP
#define CANDOR_PRIVACY_REDACTOR_HPP

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/policy/environment.hpp>
#include <candor/policy/file_system.hpp>

namespace candor {

namespace detail {

/// Finds every occurrence of one text in another, overlapping ones too, in time linear in the other (Knuth, Morris and
/// Pratt): a search that starts anew at each byte takes `text * needle` steps on `aaaa…`.
class text_search {
public:
    explicit text_search(std::string needle) : needle_{std::move(needle)}, border_(needle_.size()) {
        for (std::size_t i = 1; i < needle_.size(); ++i) border_[i] = extend(border_[i - 1], needle_[i]);
    }

    [[nodiscard]] std::size_t size() const noexcept { return needle_.size(); }

    /// Calls `found(begin)` for each occurrence in `text`, from left to right.
    template <class Found>
    void each(std::string_view text, Found found) const {
        std::size_t matched = 0;
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (matched == 0) {  // most of a text: let the C library race to the next candidate
                const void* next = std::memchr(text.data() + i, needle_.front(), text.size() - i);
                if (next == nullptr) return;
                i = static_cast<std::size_t>(static_cast<const char*>(next) - text.data());
            }
            matched = extend(matched, text[i]);
            if (matched < needle_.size()) continue;
            found(i + 1 - matched);
            matched = border_[matched - 1];
        }
    }

private:
    /// How much of the needle the text's end matches when `c` comes after a text that matched `matched` of it.
    [[nodiscard]] std::size_t extend(std::size_t matched, char c) const noexcept {
        while (matched > 0 && needle_[matched] != c) matched = border_[matched - 1];
        return needle_[matched] == c ? matched + 1 : 0;
    }

    std::string needle_;
    std::vector<std::size_t> border_;  ///< of each prefix: its longest proper prefix that is also its suffix
};

}  // namespace detail

/// Takes out of free text what must not leave the machine: secrets that the program registered, the user part of URLs
/// (each becomes `[redacted]`), and the home directory, which names the user (it becomes `~`).
///
/// Works on bytes: any text is fine, valid UTF-8 or not. Takes time proportional to the text's length times the number
/// of secrets, whatever the text. Immutable, so any number of threads may use one.
class redactor {
public:
    /// Redacts the user part of URLs only.
    redactor() = default;

    /// `secrets` are taken out wherever they stand; one shorter than four bytes is ignored, because it would be found
    /// in ordinary words. `home` is ignored where it is empty or the root.
    explicit redactor(const std::vector<std::string>& secrets, std::string home = {}) {
        for (const auto& secret : secrets)
            if (secret.size() >= 4) secrets_.emplace_back(secret);

        while (!home.empty() && is_separator(home.back())) home.pop_back();
        if (home.empty() || home.back() == ':') return;
        windows_home_ = !is_separator(home.front()) || home.front() == '\\';
        std::transform(home.begin(), home.end(), home.begin(), [this](char c) { return folded(c); });
        home_.emplace(std::move(home));
    }

    /// With the home directory that the environment names.
    template <environment Environment>
    [[nodiscard]] static redactor make(const Environment& environment, const std::vector<std::string>& secrets = {}) {
        const auto home = home_directory(environment);
        return redactor{secrets, home ? home->string() : std::string{}};
    }

    /// Appends the redacted text to `out`, which must not be what `text` refers to. Throws only `std::bad_alloc`.
    void append_redacted(std::string_view text, std::string& out) const {
        std::vector<range> ranges;
        find_secrets(text, ranges);
        find_userinfo(text, ranges);
        find_home(text, ranges);
        std::sort(ranges.begin(), ranges.end(), [](const range& a, const range& b) { return a.begin < b.begin; });

        std::size_t copied = 0;
        for (auto next = ranges.begin(); next != ranges.end();) {
            range whole = *next++;
            for (; next != ranges.end() && belongs(whole, *next); ++next) {
                whole.end = std::max(whole.end, next->end);
                whole.secret = true;
            }
            out += text.substr(copied, whole.begin - copied);
            out += whole.secret ? "[redacted]" : "~";
            copied = whole.end;
        }
        out += text.substr(copied);
    }

    /// The redacted text.
    [[nodiscard]] std::string redact(std::string_view text) const {
        std::string out;
        append_redacted(text, out);
        return out;
    }

private:
    /// Bytes to replace: by `[redacted]` where secret, else by `~`.
    struct range {
        std::size_t begin;
        std::size_t end;
        bool secret;
    };

    static constexpr bool is_separator(char c) noexcept { return c == '/' || c == '\\'; }

    /// Whether two ranges become one redaction: where they overlap, and where one secret follows another at once.
    static constexpr bool belongs(const range& whole, const range& next) noexcept {
        return next.begin < whole.end || (next.begin == whole.end && whole.secret && next.secret);
    }

    static void add_secret(std::vector<range>& ranges, std::size_t begin, std::size_t end) {
        if (!ranges.empty() && ranges.back().begin <= begin && begin <= ranges.back().end) {
            ranges.back().end = std::max(ranges.back().end, end);  // keeps the list short on `aaaa…`
        } else {
            ranges.push_back({begin, end, true});
        }
    }

    void find_secrets(std::string_view text, std::vector<range>& ranges) const {
        for (const auto& secret : secrets_)
            secret.each(text, [&](std::size_t at) { add_secret(ranges, at, at + secret.size()); });
    }

    /// Finds what stands between `://` and the last `@` of a URL's authority (RFC 3986, 3.2), a URL ending as its
    /// Appendix C says. Where what follows a colon is no port, an unescaped `/`, `?` or `#` is taken for a part of
    /// the password, and the last `@` of the word counts.
    static void find_userinfo(std::string_view text, std::vector<range>& ranges) {
        static constexpr std::string_view mark = "://";
        const auto ends_url = [](char c) {
            return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '"' || c == '<' || c == '>';
        };
        std::size_t word_end = 0;  // kept from one `://` of a word to the next, so that no byte is read again and again
        std::size_t last_at = std::string_view::npos;
        for (auto found = text.find(mark); found != std::string_view::npos; found = text.find(mark, found)) {
            const auto begin = found + mark.size();
            found = begin;
            if (begin > word_end) {
                const auto end = std::find_if(text.begin() + static_cast<std::ptrdiff_t>(begin), text.end(), ends_url);
                word_end = static_cast<std::size_t>(end - text.begin());
                last_at = text.substr(begin, word_end - begin).rfind('@');
                if (last_at != std::string_view::npos) last_at += begin;
            }
            if (last_at == std::string_view::npos || last_at < begin) continue;
            const auto rest = text.substr(begin, word_end - begin);
            const auto authority = rest.substr(0, rest.find_first_of("/?#"));
            const auto at = authority.rfind('@');
            if (at != std::string_view::npos) {
                if (at > 0) add_secret(ranges, begin, begin + at);
            } else if (has_password(authority)) {
                add_secret(ranges, begin, last_at);
            }
        }
    }

    /// Whether an authority without `@` has something after its colon that is no port.
    static bool has_password(std::string_view authority) noexcept {
        const auto colon = authority.find(':');
        if (colon == std::string_view::npos || authority.front() == '[') return false;
        return authority.find_first_not_of("0123456789", colon + 1) != std::string_view::npos;
    }

    /// Makes the spellings of one path equal: either separator, and on Windows either case.
    [[nodiscard]] char folded(char c) const noexcept {
        if (c == '\\') return '/';
        if (windows_home_ && c >= 'A' && c <= 'Z') return static_cast<char>(c - 'A' + 'a');
        return c;
    }

    void find_home(std::string_view text, std::vector<range>& ranges) const {
        if (!home_) return;
        std::string path{text};
        std::transform(path.begin(), path.end(), path.begin(), [this](char c) { return folded(c); });
        const auto size = home_->size();
        home_->each(path, [&](std::size_t at) {
            if (ends_component(text.substr(at + size))) ranges.push_back({at, at + size, false});
        });
    }

    /// Whether a path's component ends before `rest`: `/home/ann` is not the beginning of `/home/anna`, nor of
    /// `/home/ann.old`, but a full stop may follow it. So may any byte outside ASCII, as in a typographic quotation
    /// mark.
    static bool ends_component(std::string_view rest) noexcept {
        const auto next = rest.find_first_not_of('.');
        if (next == std::string_view::npos) return true;
        const char c = rest[next];
        return !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-');
    }

    std::vector<detail::text_search> secrets_;
    std::optional<detail::text_search> home_;  ///< folded
    bool windows_home_ = false;
};

}  // namespace candor

#endif
