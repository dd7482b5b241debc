#ifndef CANDOR_PRIVACY_REDACTOR_HPP
#define CANDOR_PRIVACY_REDACTOR_HPP

#include <algorithm>
#include <cstddef>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/platform/directories.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/environment.hpp>
#include <candor/privacy/addresses.hpp>
#include <candor/privacy/assignments.hpp>
#include <candor/privacy/encoded_forms.hpp>
#include <candor/privacy/key_shapes.hpp>
#include <candor/privacy/pattern_search.hpp>
#include <candor/privacy/secret_variables.hpp>
#include <candor/privacy/text_ranges.hpp>

namespace candor {

/// Takes out of free text what must not leave the machine. Each of these becomes `[redacted]`:
///
/// 1. the secrets that the program registered and those in the environment, in upper and lower case, percent-encoded,
///    as in a form and in base64;
/// 2. the user part of URLs and of the addresses of database drivers, and the values of queries;
/// 3. what looks like a key of a well-known service, a JSON Web Token or a private key;
/// 4. what is assigned to a name such as `password`, and what follows `Bearer` and `Basic`;
/// 5. e-mail addresses;
/// 6. the user's name as a whole word;
///
/// and the home directory becomes `~`. All else stays, byte for byte, and what has been redacted once stays as it is.
///
/// Works on bytes: any text is fine, valid UTF-8 or not. Takes time proportional to the text's length, whatever the
/// text and however many secrets. Immutable, and cheap to copy; any number of threads may use one.
class redactor {
public:
    /// Knows no secrets, no home directory and no user.
    redactor() = default;

    /// `secrets` are taken out wherever they stand; one shorter than four bytes is ignored, because it would be found
    /// in ordinary words, and one of four is not looked for in base64. `home` is ignored where it is no path or the
    /// root. `names` are the names of the user.
    explicit redactor(const std::vector<std::string>& secrets, std::string home = {},
                      const std::vector<std::string>& names = {}) {
        know_secrets(secrets, names);
        know_home(std::move(home));
    }

    /// With what the environment adds: the home directory, the names of the user, and secrets. Secrets are the values
    /// of variables whose names look like it (`DB_PASSWORD`), of four bytes and more, unless they are common words. A
    /// user of the same name as `program` is the account that a service runs as, and stays.
    template <environment Environment>
    [[nodiscard]] static redactor make(const Environment& environment, const std::vector<std::string>& secrets = {},
                                       std::string_view program = {}) {
        const auto home = home_directory(environment);
        auto all = detail::privacy::secrets_of(environment);
        all.insert(all.end(), secrets.begin(), secrets.end());
        return redactor{all, home ? home->string() : std::string{}, detail::privacy::user_names(environment, program)};
    }

    /// Appends the redacted text to `out`, which must not be what `text` refers to. Throws only `std::bad_alloc`.
    void append_redacted(std::string_view text, std::string& out) const {
        constexpr int most_passes = 8;
        std::string last;
        std::string next;
        // What a redaction leaves side by side may mean something that it did not before: `eyJ` behind a secret now
        // begins a word.
        for (int pass = 0; pass < most_passes; ++pass) {
            if (!rewrite(text, next)) {
                out += text;
                return;
            }
            last.swap(next);
            text = last;
        }
        out += mark;  // a text that was made for it
    }

    /// The redacted text.
    [[nodiscard]] std::string redact(std::string_view text) const {
        std::string out;
        append_redacted(text, out);
        return out;
    }

private:
    using text_ranges = detail::privacy::text_ranges;
    using pattern_search = detail::privacy::pattern_search;
    using finding = detail::privacy::finding;

    static constexpr std::string_view mark = detail::privacy::redacted_mark;

    static constexpr bool is_separator(char c) noexcept { return c == '/' || c == '\\'; }

    void know_secrets(const std::vector<std::string>& secrets, const std::vector<std::string>& names) {
        using namespace detail::privacy;
        pattern_search patterns{fold_case()};
        bool is_empty = true;
        for (const auto& secret : secrets) {
            if (secret.size() < shortest_secret) continue;
            is_empty = false;
            patterns.add(secret);
            // A secret that contains escapes may have been escaped again, or decoded.
            if (const auto decoded = percent_decoded(secret); decoded.size() >= shortest_secret) patterns.add(decoded);
            if (secret.find(' ') != std::string::npos) {  // in a form, as `+`
                auto of_form = secret;
                std::replace(of_form.begin(), of_form.end(), ' ', '+');
                patterns.add(of_form);
            }
            if (secret.size() < shortest_in_base64) continue;
            each_base64_form(secret, [&](std::string_view form, unsigned before, unsigned after) {
                patterns.add(form, before, after);
            });
        }
        for (const auto& name : names) {
            is_empty = is_empty && name.empty();
            patterns.add_word(name);
        }
        if (is_empty) return;
        patterns.build();
        patterns_ = std::make_shared<const pattern_search>(std::move(patterns));
    }

    /// Makes the spellings of one path equal: either separator, and on Windows either case.
    void know_home(std::string home) {
        while (!home.empty() && is_separator(home.back())) home.pop_back();
        if (home.find_first_of("/\\") == std::string::npos) return;
        auto fold = detail::privacy::fold_case();
        if (home.front() == '/') std::iota(fold.begin(), fold.end(), static_cast<unsigned char>(0));
        fold['\\'] = '/';
        pattern_search search{fold};
        search.add(home);
        search.build();
        home_ = std::make_shared<const pattern_search>(std::move(search));
    }

    /// Puts the text into `out` without what a single pass over it finds. False, with `out` as it was, where that finds
    /// nothing.
    bool rewrite(std::string_view text, std::string& out) const {
        text_ranges found{text};
        search(text, found);
        if (found.empty()) return false;
        found.add_marks();
        bool changes = false;
        std::size_t size = text.size();
        found.each_redaction([&](const detail::privacy::text_range& at) {
            changes = changes || text.substr(at.begin, at.end - at.begin) != mark;
            size = size - (at.end - at.begin) + mark.size();
        });
        if (!changes) return false;
        out.clear();
        out.reserve(size);
        std::size_t copied = 0;
        found.each_redaction([&](const detail::privacy::text_range& at) {
            out += text.substr(copied, at.begin - copied);
            out += at.kind == finding::home ? std::string_view{"~"} : mark;
            copied = at.end;
        });
        out += text.substr(copied);
        return true;
    }

    void search(std::string_view text, text_ranges& out) const {
        using namespace detail::privacy;
        if (patterns_) {
            find_patterns(
                text, [](std::size_t place) { return place; }, out);
            if (const auto decoded = percent_decoded(text); !decoded.empty())
                find_patterns(decoded, percent_position{text}, out);
        }
        find_home(text, out);
        find_keys(text, out);
        if (text.find('-') != std::string_view::npos) find_private_keys(text, out);
        find_assignments(text, out);
        std::vector<std::size_t> userinfo_ends;
        find_userinfo(text, out, userinfo_ends);
        find_driver_userinfo(text, out);
        find_query_values(text, out);
        find_mail_addresses(text, userinfo_ends, out);
    }

    /// `place` says where in the text a byte of `bytes` stands.
    template <class Place>
    void find_patterns(std::string_view bytes, Place place, text_ranges& out) const {
        using namespace detail::privacy;
        text_ranges secrets;
        text_ranges words;
        patterns_->each(
            bytes, [&](std::size_t begin, std::size_t end) { secrets.add(begin, std::min(end, bytes.size())); },
            [&](std::size_t begin, std::size_t end) {
                if (is_word(bytes, begin, end)) words.add(begin, end, finding::name);
            });
        secrets.end_search();
        words.end_search();
        for (auto* list : {&secrets, &words}) {
            auto at = place;
            list->each([&](const text_range& r) {
                const auto begin = at(r.begin);
                out.add(begin, at(r.end), r.kind);
            });
            out.end_search();
        }
    }

    static bool is_word(std::string_view text, std::size_t begin, std::size_t end) noexcept {
        using namespace detail::privacy;
        const auto is_part = [](char c) { return is_alphanumeric(c) || c == '_'; };
        return (begin == 0 || !is_part(text[begin - 1])) && (end == text.size() || !is_part(text[end]));
    }

    void find_home(std::string_view text, text_ranges& out) const {
        if (!home_) return;
        home_->each(
            text,
            [&](std::size_t begin, std::size_t end) {
                if (ends_component(text.substr(end))) out.add(begin, end, finding::home);
            },
            [](std::size_t, std::size_t) {});
        out.end_search();
    }

    /// Whether a path's component ends before `rest`: `/home/ann` is not the beginning of `/home/anna`, nor of
    /// `/home/ann.old`, but a full stop may follow it. So may any byte outside ASCII, as in a typographic quotation
    /// mark.
    static bool ends_component(std::string_view rest) noexcept {
        const auto next = rest.find_first_not_of('.');
        if (next == std::string_view::npos) return true;
        const char c = rest[next];
        return !detail::privacy::is_alphanumeric(c) && c != '_' && c != '-';
    }

    std::shared_ptr<const pattern_search> patterns_;  ///< secrets and names; null where there are none
    std::shared_ptr<const pattern_search> home_;
};

namespace detail {

/// The same sink, but for redacted texts: the error of a transport, and a value that cannot work, may quote anything.
inline diagnostic_sink redacting(const diagnostic_sink& sink, const redactor& secrets) {
    if (!sink) return {};
    return [sink, secrets](std::string_view text) { sink(secrets.redact(text)); };
}

}  // namespace detail

}  // namespace candor

#endif
