#ifndef CANDOR_PRIVACY_ASSIGNMENTS_HPP
#define CANDOR_PRIVACY_ASSIGNMENTS_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include <candor/policy/ascii.hpp>
#include <candor/privacy/text_ranges.hpp>

/// Secrets that can be recognised by the name beside them: `DB_PASSWORD=…`, `"token": "…"`, `Authorization: Basic …`.
namespace candor::detail::privacy {

/// What a name says of the value beside it.
enum class name_meaning : unsigned char { nothing, secret, password, authorization, cookie };

/// Goes by the end of the name, whatever its case and the separators of its words.
inline name_meaning meaning_of(std::string_view name) noexcept {
    struct named {
        std::string_view end;
        name_meaning meaning;
    };
    using enum name_meaning;
    static constexpr named names[] = {
        {"password", password}, {"passwd", password},      {"passphrase", password},
        {"pwd", password},      {"secret", secret},        {"token", secret},
        {"credential", secret}, {"credentials", secret},   {"authorization", authorization},
        {"cookie", cookie},     {"apikey", secret},        {"accesskey", secret},
        {"secretkey", secret},  {"privatekey", secret},    {"authkey", secret},
        {"signingkey", secret}, {"accountkey", secret},    {"sharedkey", secret},
        {"masterkey", secret},  {"encryptionkey", secret}, {"writekey", secret}};

    std::array<char, 16> letters{};  // the last ones, without separators
    std::size_t begin = letters.size();
    for (std::size_t i = name.size(); i > 0 && begin > 0; --i)
        if (is_alphanumeric(name[i - 1])) letters[--begin] = to_lower(name[i - 1]);
    const std::string_view end{letters.data() + begin, letters.size() - begin};
    if (end.size() < 3 || end == "pwd" || end == "oldpwd") return nothing;  // the latter two: the working directory
    for (const auto& known : names)
        if (end.back() == known.end.back() && end.ends_with(known.end)) return known.meaning;
    const bool ends_with_word_pass =
        end.ends_with("pass") && name.size() > 4 && !is_alphanumeric(name[name.size() - 5]);
    return ends_with_word_pass ? password : nothing;  // not `bypass`, nor a test's `pass=3`
}

/// Finds the values that are assigned to names of secrets, with `=` or `:`.
class assignment_search {
public:
    assignment_search(std::string_view text, text_ranges& out) noexcept : text_{text}, out_{out} {}

    void run() {
        const auto is_no_sign = [](char c) { return c != '=' && c != ':'; };
        for (auto sign = skip_while(text_, 0, is_no_sign); sign < text_.size();
             sign = skip_while(text_, done_, is_no_sign)) {
            const auto meaning = meaning_of(name_before(sign));
            done_ = sign + 1;
            if (meaning != name_meaning::nothing) value_after(sign, meaning);
        }
        out_.end_search();
    }

private:
    static constexpr bool is_quote(char c) noexcept { return c == '"' || c == '\'' || c == '`'; }

    /// The name before a sign, perhaps in quotes or brackets; and the quotes may be escaped.
    [[nodiscard]] std::string_view name_before(std::size_t sign) const noexcept {
        auto end = skip_back_while(text_, sign, done_, is_blank);
        end = skip_back_while(text_, end, done_, [](char c) { return is_quote(c) || c == '\\' || c == ']'; });
        const auto begin = skip_back_while(
            text_, end, done_, [](char c) { return is_alphanumeric(c) || c == '_' || c == '-' || c == '.'; });
        return text_.substr(begin, end - begin);
    }

    void value_after(std::size_t sign, name_meaning meaning) {
        auto begin = sign + 1;
        const char next = begin < text_.size() ? text_[begin] : '\0';
        if (text_[sign] == ':' && (next == ':' || text_.substr(begin).starts_with("//"))) return;
        const bool assigns = text_[sign] == '=' || next == '=';  // what follows a colon may be prose
        if (next == '=' || next == '>') ++begin;
        begin = skip_while(text_, begin, is_blank);

        const auto quote = skip_while(text_, begin, [](char c) { return c == '\\'; });
        const bool is_quoted = quote < text_.size() && is_quote(text_[quote]);
        const bool is_escaped = quote > begin;
        if (is_quoted) begin = quote + 1;
        const auto end_from = [&](std::size_t at) { return is_quoted ? quoted_end(quote, is_escaped) : value_end(at); };

        if (meaning == name_meaning::authorization) {
            if (const auto scheme = scheme_at(begin); scheme.size() > 0) {
                begin = skip_while(text_, begin + scheme.size(), is_blank);
                return add(begin, !is_quoted && has_parts(scheme) ? line_end(begin) : end_from(begin));
            }
        }
        // Before the value's end is looked for: what is not taken out may be looked at again.
        if (!assigns && !is_quoted && is_prose(begin, meaning)) return;
        auto end = end_from(begin);
        const auto value = text_.substr(begin, end - begin);
        if (is_harmless(value) || (!assigns && is_short(value, meaning))) return;
        if (meaning == name_meaning::cookie && !is_quoted && value.find('=') != std::string_view::npos)
            end = line_end(begin);  // and its attributes, and more of them
        add(begin, end);
    }

    void add(std::size_t begin, std::size_t end) {
        out_.add(begin, end);
        done_ = std::max(done_, end);
    }

    [[nodiscard]] std::size_t line_end(std::size_t begin) const noexcept {
        return skip_while(text_, begin, [](char c) { return c != '\n' && c != '\r'; });
    }

    [[nodiscard]] std::size_t value_end(std::size_t begin) const noexcept {
        const auto end = skip_while(
            text_, begin, [](char c) { return !is_space(c) && !is_quote(c) && c != '&' && c != ';' && c != '\0'; });
        return skip_back_while(text_, end, begin, [](char c) {
            return c == ',' || c == '.' || c == ':' || c == ')' || c == '}' || c == ']' || c == '>';
        });
    }

    /// Where the text in quotes ends. Where the closing quote is missing, the text was cut off and ends with the line.
    [[nodiscard]] std::size_t quoted_end(std::size_t quote, bool is_escaped) const noexcept {
        auto end = quote + 1;
        while (end < text_.size() && text_[end] != text_[quote] && text_[end] != '\n' && text_[end] != '\r')
            end += !is_escaped && text_[end] == '\\' && end + 1 < text_.size() ? 2u : 1u;
        return is_escaped && text_[end - 1] == '\\' && end > quote + 1 ? end - 1 : end;
    }

    /// The scheme that an authorization names; empty where it names none.
    [[nodiscard]] std::string_view scheme_at(std::size_t begin) const noexcept {
        static constexpr std::string_view schemes[] = {"basic",     "bearer", "token",     "apikey",
                                                       "negotiate", "ntlm",   "digest",    "hawk",
                                                       "oauth",     "mac",    "signature", "aws4-hmac-sha256"};
        for (const auto scheme : schemes) {
            const auto end = begin + scheme.size();
            if (end < text_.size() && is_blank(text_[end]) &&
                equal_ignoring_case(text_.substr(begin, scheme.size()), scheme))
                return scheme;
        }
        return {};
    }

    /// Whether the credentials of a scheme go on behind a blank: `Digest username="…", realm="…"`.
    static bool has_parts(std::string_view scheme) noexcept {
        return scheme != "basic" && scheme != "bearer" && scheme != "token" && scheme != "apikey";
    }

    /// `unexpected token: '}'`
    static bool is_short(std::string_view value, name_meaning meaning) noexcept {
        return value.size() < 4 && meaning != name_meaning::password;
    }

    /// Whether a message goes on behind its colon: `invalid token: unexpected end`. A password may be a word, so there
    /// it must be one that messages have.
    [[nodiscard]] bool is_prose(std::size_t begin, name_meaning meaning) const noexcept {
        constexpr std::size_t longest = 20;
        const auto is_part = [](char c) { return is_letter(c) || c == '-' || c == '\''; };
        std::size_t end = begin;
        while (end < text_.size() && end - begin <= longest && is_part(text_[end])) ++end;
        const auto word = text_.substr(begin, end - begin);
        if (word.empty() || word.size() > longest) return false;
        constexpr std::string_view stops = " \t\r\n,.;:)";
        if (end < text_.size() && stops.find(text_[end]) == std::string_view::npos) return false;
        if (meaning != name_meaning::password)
            return std::none_of(word.begin() + 1, word.end(), is_upper) ||
                   std::none_of(word.begin(), word.end(), is_lower);
        static constexpr std::string_view usual[] = {
            "must",    "is",       "was",        "required", "incorrect",      "invalid",      "wrong",
            "missing", "empty",    "not",        "no",       "cannot",         "can't",        "could",
            "too",     "expected", "unexpected", "access",   "authentication", "failed",       "unknown",
            "denied",  "expired",  "the",        "this",     "permission",     "unauthorized", "forbidden",
            "error",   "bad",      "please",     "use"};
        return std::any_of(std::begin(usual), std::end(usual),
                           [&](std::string_view w) { return equal_ignoring_case(word, w); });
    }

    static bool is_harmless(std::string_view value) noexcept {
        static constexpr std::string_view words[] = {"true", "false", "null", "nullptr",  "none",
                                                     "nil",  "yes",   "no",   "undefined"};
        for (const auto word : words)
            if (equal_ignoring_case(value, word)) return true;
        return std::all_of(value.begin(), value.end(), [](char c) { return c == '*'; });
    }

    std::string_view text_;
    text_ranges& out_;
    std::size_t done_ = 0;  ///< what lies before is not taken for a name again
};

inline void find_assignments(std::string_view text, text_ranges& out) { assignment_search{text, out}.run(); }

}  // namespace candor::detail::privacy

#endif
