#ifndef CANDOR_PRIVACY_ADDRESSES_HPP
#define CANDOR_PRIVACY_ADDRESSES_HPP

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string_view>
#include <vector>

#include <candor/privacy/text_ranges.hpp>

/// What addresses reveal and must not leave the machine: the user of a URL, the values of its query, and e-mail
/// addresses.
namespace candor::detail::privacy {

/// Where a URL in a text ends (RFC 3986, Appendix C).
inline constexpr byte_set ends_url{
    [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '"' || c == '<' || c == '>'; }};

/// Where a URL's authority ends (RFC 3986, 3.2).
inline constexpr byte_set ends_authority{[](char c) { return c == '/' || c == '?' || c == '#'; }};

/// Whether an authority without `@` has something after its colon that is no port.
inline bool has_password(std::string_view authority) noexcept {
    const auto colon = authority.find(':');
    if (colon == std::string_view::npos || authority.front() == '[') return false;
    return skip_while(authority, colon + 1, is_digit) < authority.size();
}

/// Finds what stands between `://` and the last `@` of a URL's authority (RFC 3986, 3.2). Where what follows a colon is
/// no port, an unescaped `/`, `?` or `#` is taken for a part of the password, and the last `@` of the word counts. Adds
/// the place of each such `@` to `ends`.
inline void find_userinfo(std::string_view text, text_ranges& out, std::vector<std::size_t>& ends) {
    static constexpr std::string_view mark = "://";
    std::size_t word_end = 0;  // kept from one `://` of a word to the next, so that no byte is read again and again
    std::size_t last_at = std::string_view::npos;
    const auto add = [&](std::size_t begin, std::size_t end) {
        if (begin == end) return;
        out.add(begin, end);
        if (ends.empty() || ends.back() < end) ends.push_back(end);
    };
    for (auto found = text.find(mark); found != std::string_view::npos; found = text.find(mark, found)) {
        const auto begin = found + mark.size();
        found = begin;
        if (begin > word_end) {
            word_end = skip_while(text, begin, [](char c) { return !ends_url(c); });
            last_at = text.substr(begin, word_end - begin).rfind('@');
            if (last_at != std::string_view::npos) last_at += begin;
        }
        if (last_at == std::string_view::npos || last_at < begin) continue;
        const auto rest = text.substr(begin, word_end - begin);
        const auto authority = rest.substr(0, skip_while(rest, 0, [](char c) { return !ends_authority(c); }));
        const auto at = authority.rfind('@');
        if (at != std::string_view::npos) {
            add(begin, begin + at);
        } else if (has_password(authority)) {
            add(begin, last_at);
        }
    }
    out.end_search();
}

/// Finds what stands before the network of an address as drivers of databases spell it, with no scheme before it:
/// `user:password@tcp(127.0.0.1:3306)/shop`, `user@unix(/run/db.sock)/shop`.
inline void find_driver_userinfo(std::string_view text, text_ranges& out) {
    static constexpr std::string_view networks[] = {"tcp", "tcp4", "tcp6", "unix", "cloudsql"};
    std::size_t done = 0;
    for (auto at = text.find('@'); at != std::string_view::npos; at = text.find('@', at + 1)) {
        const auto end = skip_while(text, at + 1, is_alphanumeric);
        if (end == text.size() || text[end] != '(') continue;
        if (std::find(std::begin(networks), std::end(networks), text.substr(at + 1, end - at - 1)) ==
            std::end(networks))
            continue;
        const auto word = skip_back_while(text, at, done, [](char c) { return !ends_url(c); });
        done = at + 1;
        const auto before = text.substr(word, at - word);
        if (before.find("://") != std::string_view::npos) continue;  // the user of a URL
        const auto assigned = before.substr(0, before.find(':')).rfind('=');
        out.add(assigned == std::string_view::npos ? word : word + assigned + 1, at);
    }
    out.end_search();
}

/// Finds the values in the query of a URL, and of one without scheme and host whose path has a `/`.
inline void find_query_values(std::string_view text, text_ranges& out) {
    std::size_t done = 0;
    for (auto at = text.find('?'); at != std::string_view::npos; at = text.find('?', done)) {
        const auto begin = skip_back_while(text, at, done, [](char c) { return !ends_url(c); });
        done = at + 1;
        if (text.substr(begin, at - begin).find('/') == std::string_view::npos) continue;
        bool is_value = false;
        std::size_t part = done;  // where the name or value begins
        for (;; ++done) {
            const bool is_end = done == text.size() || ends_url(text[done]) || text[done] == '#';
            const bool ends_part = is_end || text[done] == '&' || (text[done] == '=' && !is_value);
            if (!ends_part) continue;
            if (is_value) out.add(part, done);
            if (is_end) break;
            is_value = text[done] == '=' && done > part;
            part = done + 1;
        }
    }
    out.end_search();
}

/// Whether that is the domain of an e-mail address: with a top level of letters, and no version such as `1.2.3-rc.x`.
inline bool is_mail_domain(std::string_view domain) noexcept {
    const auto is_name = [](char c) { return is_letter(c) || is_beyond_ascii(c); };
    const auto first = domain.substr(0, domain.find('.'));
    const auto digits = first.substr(first.starts_with('v') ? 1 : 0);
    const bool is_number = std::all_of(digits.begin(), digits.end(), is_digit);
    if (first.empty() || (is_number && digits.size() < 3)) return false;  // 163.com is a domain of e-mail addresses
    for (auto dot = first.size(); dot < domain.size(); dot = std::min(domain.find('.', dot + 1), domain.size()))
        if (domain.size() - dot > 2 && is_name(domain[dot + 1]) && is_name(domain[dot + 2])) return true;
    return false;
}

/// Finds e-mail addresses, those in a URL (`ann%40example.org`) too. `userinfo_ends` are the `@` that end the user part
/// of a URL, and belong to no e-mail address.
inline void find_mail_addresses(std::string_view text, const std::vector<std::size_t>& userinfo_ends,
                                text_ranges& out) {
    static constexpr std::string_view escaped = "%40";
    auto plain_at = text.find('@');
    auto escaped_at = text.find(escaped);
    auto userinfo_end = userinfo_ends.begin();
    std::size_t done = 0;
    while (plain_at != std::string_view::npos || escaped_at != std::string_view::npos) {
        const auto at = std::min(plain_at, escaped_at);
        const auto after = at + (at == plain_at ? 1 : escaped.size());
        if (at == plain_at) {
            plain_at = text.find('@', after);
        } else {
            escaped_at = text.find(escaped, after);
        }
        while (userinfo_end != userinfo_ends.end() && *userinfo_end < at) ++userinfo_end;
        if (userinfo_end != userinfo_ends.end() && *userinfo_end == at) {
            done = after;
            continue;
        }
        auto begin = skip_back_while(text, at, done, [](char c) {
            return is_alphanumeric(c) || is_beyond_ascii(c) || c == '.' || c == '_' || c == '%' || c == '+' ||
                   c == '-' || c == '\'';
        });
        begin = skip_while(text, begin, [](char c) { return c == '\'' || c == '.'; });
        auto end = skip_while(text, after,
                              [](char c) { return is_alphanumeric(c) || is_beyond_ascii(c) || c == '.' || c == '-'; });
        end = skip_back_while(text, end, after, [](char c) { return c == '.' || c == '-'; });
        done = after;
        if (begin < at && is_mail_domain(text.substr(after, end - after))) out.add(begin, end);
    }
    out.end_search();
}

}  // namespace candor::detail::privacy

#endif
