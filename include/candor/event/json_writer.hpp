#ifndef CANDOR_EVENT_JSON_WRITER_HPP
#define CANDOR_EVENT_JSON_WRITER_HPP

#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>

#include <candor/policy/hex.hpp>
#include <candor/policy/utf8.hpp>

#include <nlohmann/json.hpp>

namespace candor::detail {

/// Sets the high bit of each byte of `word` that is below 0x20, a quote, a backslash or above 0x7f: such a byte cannot
/// stand in a JSON string as it is, or may not be UTF-8. A byte above one that is marked may be marked wrongly.
constexpr std::uint64_t bytes_of_care(std::uint64_t word) noexcept {
    constexpr std::uint64_t ones = 0x0101010101010101;
    constexpr std::uint64_t highs = 0x8080808080808080;
    const std::uint64_t quote = word ^ (ones * '"');
    const std::uint64_t backslash = word ^ (ones * '\\');
    return ((word - ones * 0x20) | (quote - ones) | (backslash - ones) | word) & highs;
}

/// The most bytes that a text can take as JSON, without its quotes: at most six times its size.
inline std::size_t most_of_json(std::string_view text) noexcept {
    std::size_t out = text.size();
    while (!text.empty()) {
        std::uint64_t word = 0;
        if (text.size() >= sizeof word) std::memcpy(&word, text.data(), sizeof word);
        const auto next = text.substr(0, sizeof word);
        if (next.size() < sizeof word || bytes_of_care(word) != 0) {
            for (const char c : next) {
                const auto byte = static_cast<unsigned char>(c);
                if (byte < 0x20 || byte == '"' || byte == '\\') out += 5;  // `\u0000`
                if (byte >= 0x80) out += 2;                                // U+FFFD
            }
        }
        text.remove_prefix(next.size());
    }
    return out;
}

/// Writes JSON (RFC 8259) into a buffer of its own that never grows past a limit. What it writes is always valid:
/// bytes that are not UTF-8 become U+FFFD, control characters are escaped, NaN and infinities are `null`.
///
/// It never throws. What does not fit is not written, and `state()` says why; everything after that is ignored, so a
/// caller checks once, at the end. Each value needs room for the longest of its kind, so one may be refused up to 32
/// bytes before the limit. The first kilobytes live in the object: a usual event allocates nothing.
class json_writer {
public:
    enum class condition { good, too_large, too_deep, out_of_memory };

    /// How deeply arrays and objects of a `nlohmann::json` may nest.
    static constexpr int max_depth = 64;

    explicit json_writer(std::size_t limit) noexcept
        : end_{inline_ + (limit < sizeof inline_ ? limit : sizeof inline_)}, limit_{limit} {}
    json_writer(const json_writer&) = delete;
    json_writer& operator=(const json_writer&) = delete;

    [[nodiscard]] condition state() const noexcept { return state_; }
    [[nodiscard]] std::string_view text() const noexcept { return {begin_, size()}; }
    [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(out_ - begin_); }
    [[nodiscard]] std::size_t limit() const noexcept { return limit_; }

    /// Text that is JSON already.
    void raw(std::string_view json) noexcept {
        if (!reserve(json.size())) return;
        copy(json);
    }

    /// A value as it lies in memory. Its size is known, so it is written without a function call.
    template <class T>
    void memory_of(const T& value) noexcept {
        static_assert(std::is_trivially_copyable_v<T>);
        if (!reserve(sizeof value)) return;
        std::memcpy(out_, &value, sizeof value);
        out_ += sizeof value;
    }

    /// `,"name":`, without the comma after an opening bracket or at the start. The name must need no escaping.
    void key(std::string_view name) noexcept {
        if (!reserve(name.size() + 4)) return;
        comma();
        *out_++ = '"';
        copy(name);
        *out_++ = '"';
        *out_++ = ':';
    }

    void boolean(bool value) noexcept { raw(value ? std::string_view{"true"} : std::string_view{"false"}); }

    template <std::integral Integer>
    void number(Integer value) noexcept {
        if (!reserve(24)) return;
        out_ = std::to_chars(out_, out_ + 24, value).ptr;
    }

    /// The shortest text that reads back as the same value, where the library has that; else 17 digits.
    void number(double value) noexcept {
        if (!std::isfinite(value)) return raw("null");
        if (!reserve(32)) return;
#if defined(__cpp_lib_to_chars)
        out_ = std::to_chars(out_, out_ + 32, value).ptr;
#else
        out_ = nlohmann::detail::to_chars(out_, out_ + 32, value);  // std::snprintf would follow the locale
#endif
    }

    /// A string in quotes.
    void string(std::string_view text) noexcept {
        if (!reserve(text.size() + 2)) return;
        *out_++ = '"';
        while (!text.empty()) {
            const std::size_t plain = copy_plain(text);
            text.remove_prefix(plain);
            if (text.empty()) break;
            // A byte becomes six at the most; room for the rest and for the closing quote must remain.
            if (!reserve(text.size() + 7)) return;
            text.remove_prefix(static_cast<unsigned char>(text.front()) < 0x80 ? escape(text.front()) : utf8(text));
        }
        *out_++ = '"';
    }

    /// A value as the program built it. Objects keep nlohmann's order.
    void value(const nlohmann::json& json, int depth = 0) noexcept {
        using type = nlohmann::json::value_t;
        if (state_ != condition::good) return;
        switch (json.type()) {
            case type::object:
                if (depth == max_depth) return fail(condition::too_deep);
                raw("{");
                members(json, depth);
                return raw("}");
            case type::array:
                if (depth == max_depth) return fail(condition::too_deep);
                raw("[");
                for (const auto& element : json) {
                    separate();
                    value(element, depth + 1);
                    if (state_ != condition::good) return;
                }
                return raw("]");
            case type::string:
                return string(*json.get_ptr<const std::string*>());
            case type::boolean:
                return boolean(*json.get_ptr<const bool*>());
            case type::number_integer:
                return number(*json.get_ptr<const std::int64_t*>());
            case type::number_unsigned:
                return number(*json.get_ptr<const std::uint64_t*>());
            case type::number_float:
                return number(*json.get_ptr<const double*>());
            default:
                return raw("null");  // null, binary, discarded
        }
    }

    /// The members of an object without its braces. Other values have none.
    void members(const nlohmann::json& object, int depth = 0) noexcept {
        if (!object.is_object()) return;
        for (auto member = object.begin(); member != object.end(); ++member) {
            separate();
            string(member.key());
            raw(":");
            value(*member, depth + 1);
            if (state_ != condition::good) return;
        }
    }

    /// A comma, unless a bracket was just opened or nothing is written yet.
    void separate() noexcept {
        if (reserve(1)) comma();
    }

private:
    void comma() noexcept {
        if (out_ != begin_ && out_[-1] != '{' && out_[-1] != '[') *out_++ = ',';
    }

    void copy(std::string_view text) noexcept {
        if (!text.empty()) std::memcpy(out_, text.data(), text.size());
        out_ += text.size();
    }

    /// From now on there is no room for anything.
    void fail(condition why) noexcept {
        if (state_ == condition::good) state_ = why;
        end_ = out_;
    }

    bool reserve(std::size_t more) noexcept { return static_cast<std::size_t>(end_ - out_) >= more || grow(more); }

    bool grow(std::size_t more) noexcept {
        if (state_ != condition::good) return false;
        const std::size_t used = size();
        if (more > limit_ - used) return fail(condition::too_large), false;
        std::size_t capacity = (used + more) * 2;
        if (capacity > limit_) capacity = limit_;
        std::unique_ptr<char[]> larger{new (std::nothrow) char[capacity]};
        if (!larger) return fail(condition::out_of_memory), false;
        std::memcpy(larger.get(), begin_, used);
        heap_ = std::move(larger);
        begin_ = heap_.get();
        out_ = begin_ + used;
        end_ = begin_ + capacity;
        return true;
    }

    /// Copies the bytes up to the first one that needs care, eight at a time, and returns how many.
    std::size_t copy_plain(std::string_view text) noexcept {
        std::size_t done = 0;
        for (; text.size() - done >= 8; done += 8) {
            std::uint64_t word;
            std::memcpy(&word, text.data() + done, 8);
            if (bytes_of_care(word) != 0) break;
            std::memcpy(out_ + done, &word, 8);
        }
        for (; done < text.size(); ++done) {
            const auto byte = static_cast<unsigned char>(text[done]);
            if (byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\') break;
            out_[done] = text[done];
        }
        out_ += done;
        return done;
    }

    std::size_t escape(char c) noexcept {
        *out_++ = '\\';
        switch (c) {
            case '"':
            case '\\':
                *out_++ = c;
                break;
            case '\n':
                *out_++ = 'n';
                break;
            case '\r':
                *out_++ = 'r';
                break;
            case '\t':
                *out_++ = 't';
                break;
            default:
                copy("u00");
                copy(hex_pair(c));
        }
        return 1;
    }

    /// Copies a character, or puts one U+FFFD for the bytes that make up none. Returns how many bytes of `text` that
    /// was.
    std::size_t utf8(std::string_view text) noexcept {
        const auto first = first_character(text);
        copy(first.is_well_formed ? text.substr(0, first.size) : std::string_view{"\xef\xbf\xbd"});
        return first.size;
    }

    char inline_[2048];
    std::unique_ptr<char[]> heap_;
    char* begin_ = inline_;
    char* out_ = inline_;
    char* end_;
    std::size_t limit_;
    condition state_ = condition::good;
};

}  // namespace candor::detail

#endif
