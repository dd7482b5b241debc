#ifndef CANDOR_PRIVACY_KEY_SHAPES_HPP
#define CANDOR_PRIVACY_KEY_SHAPES_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <candor/policy/ascii.hpp>
#include <candor/privacy/encoded_forms.hpp>
#include <candor/privacy/text_ranges.hpp>

/// Secrets that can be recognised by how they look.
namespace candor::detail::privacy {

constexpr bool is_url_base64(char c) noexcept { return is_alphanumeric(c) || c == '-' || c == '_'; }

/// A key that begins with a mark of its maker's.
struct key_shape {
    std::string_view mark;
    std::size_t least;               ///< how many characters follow at least
    bool (*is_part)(char) noexcept;  ///< of what follows
    bool has_digit;                  ///< without a digit it may be ordinary words
};

constexpr bool is_upper_or_digit(char c) noexcept { return is_upper(c) || is_digit(c); }
constexpr bool is_alphanumeric_or_dash(char c) noexcept { return is_alphanumeric(c) || c == '-'; }
constexpr bool is_alphanumeric_or_underscore(char c) noexcept { return is_alphanumeric(c) || c == '_'; }

inline constexpr key_shape key_shapes[] = {
    {"AKIA", 16, is_upper_or_digit, false},  // Amazon, access key ids
    {"ASIA", 16, is_upper_or_digit, false},
    {"AIza", 30, is_url_base64, false},  // Google
    {"GOCSPX-", 20, is_url_base64, false},
    {"ya29.", 20, is_url_base64, false},
    {"ghp_", 16, is_alphanumeric_or_underscore, false},  // GitHub
    {"gho_", 16, is_alphanumeric_or_underscore, false},
    {"ghu_", 16, is_alphanumeric_or_underscore, false},
    {"ghs_", 16, is_alphanumeric_or_underscore, false},
    {"ghr_", 16, is_alphanumeric_or_underscore, false},
    {"github_pat_", 16, is_alphanumeric_or_underscore, false},
    {"glpat-", 16, is_url_base64, false},          // GitLab
    {"xoxa-", 10, is_alphanumeric_or_dash, true},  // Slack
    {"xoxb-", 10, is_alphanumeric_or_dash, true},
    {"xoxe-", 10, is_alphanumeric_or_dash, true},
    {"xoxo-", 10, is_alphanumeric_or_dash, true},
    {"xoxp-", 10, is_alphanumeric_or_dash, true},
    {"xoxr-", 10, is_alphanumeric_or_dash, true},
    {"xoxs-", 10, is_alphanumeric_or_dash, true},
    {"xapp-", 10, is_alphanumeric_or_dash, true},
    {"sk_live_", 10, is_alphanumeric, false},  // Stripe
    {"sk_test_", 10, is_alphanumeric, false},
    {"rk_live_", 10, is_alphanumeric, false},
    {"rk_test_", 10, is_alphanumeric, false},
    {"sk-", 20, is_url_base64, true},  // OpenAI, Anthropic
    {"npm_", 30, is_alphanumeric, false},
    {"pypi-", 30, is_url_base64, false},
    {"dop_v1_", 30, is_alphanumeric, false},  // DigitalOcean
    {"dckr_pat_", 20, is_url_base64, false},  // Docker
    {"hvs.", 20, is_url_base64, false},       // HashiCorp Vault
};

inline constexpr std::string_view web_token_mark = "eyJ";  // `{"` in base64

/// Where `key_from` may find something: the letters that a key begins with, and the letters that may follow each of
/// them. Credentials begin with a `b`, and any letter may follow.
class key_beginnings {
public:
    constexpr key_beginnings() {
        add(web_token_mark);
        for (const auto& shape : key_shapes) add(shape.mark);
        for (const char first : {'b', 'B'}) {
            first_[static_cast<unsigned char>(first)] = true;
            for (auto& before : before_) before |= bit(first);
        }
    }

    [[nodiscard]] constexpr bool may_begin_with(char c) const noexcept { return first_[static_cast<unsigned char>(c)]; }
    [[nodiscard]] constexpr bool may_begin_with(char c, char next) const noexcept {
        return (before_[static_cast<unsigned char>(next)] & bit(c)) != 0;
    }

private:
    constexpr void add(std::string_view mark) {
        first_[static_cast<unsigned char>(mark[0])] = true;
        before_[static_cast<unsigned char>(mark[1])] |= bit(mark[0]);
    }
    /// One for each letter, whatever its case.
    static constexpr std::uint32_t bit(char letter) noexcept {
        return std::uint32_t{1} << (static_cast<unsigned char>(letter) & 31u);
    }

    std::array<bool, 256> first_{};
    std::array<std::uint32_t, 256> before_{};  ///< the letters that this one may follow
};
inline constexpr key_beginnings known_beginnings{};

/// Finds the keys of `key_shapes`, JSON Web Tokens, and what follows `Bearer` and `Basic` where it is no plain word.
class key_search {
public:
    key_search(std::string_view text, text_ranges& out) noexcept : text_{text}, out_{out} {}

    void run() {
        std::size_t last_end = 0;  // of a key: what follows it begins anew
        for (auto i = next_first_letter(0); i < text_.size();) {
            const bool begins = (i == last_end || !is_alphanumeric(text_[i - 1])) && may_begin(i);
            const auto end = begins ? key_from(i) : i;
            if (end > i) last_end = end;
            i = next_first_letter(std::max(end, i + 1));
        }
        out_.end_search();
        if (has_access_key_id_) find_secret_access_keys();
    }

private:
    [[nodiscard]] std::size_t next_first_letter(std::size_t begin) const noexcept {
        return skip_while(text_, begin, [](char c) { return !known_beginnings.may_begin_with(c); });
    }

    /// Whether a first letter is worth a closer look, as hardly any letter of a text is.
    [[nodiscard]] bool may_begin(std::size_t at) const noexcept {
        return at + 1 < text_.size() && known_beginnings.may_begin_with(text_[at], text_[at + 1]);
    }

    /// Adds the key that begins at `begin`, and gives its end; `begin` where there is none. Looks only a bounded way
    /// ahead unless it finds one.
    std::size_t key_from(std::size_t begin) {
        const auto rest = text_.substr(begin);
        if (rest.front() == 'b' || rest.front() == 'B') return credentials_from(begin);
        if (rest.starts_with(web_token_mark)) return web_token_from(begin);
        for (const auto& shape : key_shapes) {
            if (rest.front() != shape.mark.front() || !rest.starts_with(shape.mark)) continue;
            const auto tail = begin + shape.mark.size();
            const auto least = text_.substr(tail, shape.least);
            if (least.size() < shape.least || !std::all_of(least.begin(), least.end(), shape.is_part)) continue;
            const auto end = skip_while(text_, tail, shape.is_part);
            const auto key = text_.substr(tail, end - tail);
            if (shape.has_digit && std::none_of(key.begin(), key.end(), is_digit)) return end;  // words, all of it
            if (shape.is_part == is_upper_or_digit) has_access_key_id_ = true;
            out_.add(begin, end);
            return end;
        }
        return begin;
    }

    /// `header.payload.signature`, each of them base64 (RFC 7519); also where it is cut off behind the payload, and
    /// with the five parts of an encrypted one.
    std::size_t web_token_from(std::size_t begin) {
        if (begin < no_token_before_) return begin;
        auto end = skip_while(text_, begin, is_url_base64);
        std::size_t parts = 1;
        bool has_payload = false;
        for (; parts < 5 && end + 1 < text_.size() && text_[end] == '.' && is_url_base64(text_[end + 1]); ++parts) {
            if (parts == 1) has_payload = text_.substr(end + 1).starts_with(web_token_mark);
            end = skip_while(text_, end + 1, is_url_base64);
        }
        if (parts >= 3 || has_payload) {
            out_.add(begin, end);
            return end;
        }
        no_token_before_ = end;  // nor is there one that begins later and has the same end
        return begin;
    }

    /// The credentials behind `Bearer` or `Basic`. These words stand in messages too: what follows must look like it.
    std::size_t credentials_from(std::size_t begin) {
        static constexpr std::string_view schemes[] = {"bearer", "basic"};
        for (const auto scheme : schemes) {
            const auto blank = begin + scheme.size();
            if (!equal_ignoring_case(text_.substr(begin, scheme.size()), scheme)) continue;
            const auto at = skip_while(text_, blank, is_blank);
            if (at == blank) continue;
            const bool is_basic = scheme == schemes[1];
            const auto end = skip_while(text_, at, is_basic ? is_base64 : is_bearer);
            const auto value = text_.substr(at, end - at);
            if (is_basic ? !encodes_colon(value) : is_word(value)) return begin;
            out_.add(at, end);
            return end;
        }
        return begin;
    }

    static constexpr bool is_base64(char c) noexcept { return base64_value(c) >= 0 || c == '='; }
    static constexpr bool is_bearer(char c) noexcept { return is_base64(c) || c == '.' || c == '~'; }

    /// `authentication`, `Token-based`: no digit, no capital within.
    static bool is_word(std::string_view text) noexcept {
        constexpr std::size_t shortest = 6;
        constexpr std::size_t longest_word = 20;
        if (text.size() < shortest) return true;
        const auto is_part = [](char c) { return is_lower(c) || c == '-' || c == '.' || c == '/' || c == '_'; };
        return text.size() < longest_word && is_letter(text[0]) && std::all_of(text.begin() + 1, text.end(), is_part);
    }

    /// Whether that is base64 of something like `user:password`.
    static bool encodes_colon(std::string_view text) noexcept {
        unsigned bits = 0;
        unsigned count = 0;
        for (const char c : text) {
            const int value = base64_value(c);
            if (value < 0) return false;
            bits = bits << 6 | static_cast<unsigned>(value);
            count += 6;
            if (count < 8) continue;
            count -= 8;
            if ((bits >> count & 0xff) == ':') return true;
        }
        return false;
    }

    /// Amazon's secret access keys are just 40 characters of base64, so they are looked for only where there is an
    /// access key id.
    void find_secret_access_keys() {
        const auto is_part = [](char c) { return is_alphanumeric(c) || c == '+' || c == '/'; };
        for (std::size_t i = 0; i < text_.size();) {
            const auto end = skip_while(text_, i, is_part);
            const auto run = text_.substr(i, end - i);
            if (run.size() == 40 && std::any_of(run.begin(), run.end(), is_upper) &&
                std::any_of(run.begin(), run.end(), is_lower) && std::any_of(run.begin(), run.end(), is_digit))
                out_.add(i, end);
            i = end + 1;
        }
        out_.end_search();
    }

    std::string_view text_;
    text_ranges& out_;
    std::size_t no_token_before_ = 0;
    bool has_access_key_id_ = false;
};

inline void find_keys(std::string_view text, text_ranges& out) { key_search{text, out}.run(); }

/// Finds private keys in PEM (RFC 7468), whatever stands between the lines. One whose end is missing goes on to the
/// text's end.
inline void find_private_keys(std::string_view text, text_ranges& out) {
    constexpr std::string_view dashes = "-----";
    constexpr std::string_view opening = "-----BEGIN ";
    constexpr std::size_t longest_label = 64;
    for (auto begin = text.find(opening); begin != std::string_view::npos; begin = text.find(opening, begin)) {
        const auto label = text.substr(begin + opening.size(), longest_label);
        if (label.substr(0, label.find(dashes)).find("PRIVATE KEY") == std::string_view::npos) {
            begin += opening.size();
            continue;
        }
        auto end = text.find("-----END ", begin);
        if (end != std::string_view::npos) {
            end += dashes.size();
            const auto closing = text.substr(end, longest_label + dashes.size()).find(dashes);
            end = closing == std::string_view::npos ? std::string_view::npos : end + closing + dashes.size();
        }
        end = std::min(end, text.size());
        out.add(begin, end);
        begin = end;
    }
    out.end_search();
}

}  // namespace candor::detail::privacy

#endif
