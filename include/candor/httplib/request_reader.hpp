#ifndef CANDOR_HTTPLIB_REQUEST_READER_HPP
#define CANDOR_HTTPLIB_REQUEST_READER_HPP

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <candor/policy/ascii.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/server.hpp>

namespace candor::detail {

/// What a request reader has found.
enum class request_part {
    nothing,    ///< more bytes are needed
    head,       ///< `take_head()` has it
    body,       ///< `piece()` is a piece of it
    end,        ///< of the request
    malformed,  ///< `status()` is the answer to it; nothing after it can be read
};

/// Finds HTTP/1.1 requests (RFC 9112) in the bytes of a connection, the same ones however the bytes are split. It knows
/// no socket. Lines end with CR LF and nothing else; what could be read in two ways is malformed. Keeps no more than a
/// head of bounded size. Throws `std::bad_alloc`.
class request_reader {
public:
    static constexpr std::size_t longest_request_line = 8 * 1024;
    static constexpr std::size_t most_head_bytes = 64 * 1024;  ///< the request line aside; trailers likewise
    static constexpr std::size_t most_fields = 256;
    static constexpr std::size_t longest_chunk_line = 1024;

    /// Goes on with `bytes`, and takes off their front what has been read.
    request_part next(std::string_view& bytes) {
        for (;;) {
            if (state_ == state::malformed) return request_part::malformed;
            if (state_ == state::body) {
                if (left_ == 0 && !is_chunked_) return end();
                if (left_ == 0) {
                    state_ = state::chunk_end;
                    continue;
                }
                if (bytes.empty()) return request_part::nothing;
                piece_ = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
                bytes.remove_prefix(piece_.size());
                left_ -= piece_.size();
                return request_part::body;
            }
            if (!take_line(bytes)) {
                if (state_ != state::malformed) return request_part::nothing;
                continue;
            }
            const auto found = read_line();
            line_.clear();
            if (found != request_part::nothing) return found;
        }
    }

    /// The head, or what there is of it where it is malformed.
    http_request_head take_head() noexcept { return std::move(head_); }
    [[nodiscard]] std::string_view piece() const noexcept { return piece_; }
    [[nodiscard]] int status() const noexcept { return status_; }

    /// Whether the first byte of a request has come, and its last one has not.
    [[nodiscard]] bool is_in_request() const noexcept { return state_ != state::request_line || !line_.empty(); }

    // Of the request whose head came last, until the first piece of its body is read.

    [[nodiscard]] bool has_body() const noexcept { return is_chunked_ || left_ > 0; }
    /// Of the body, where that was said.
    [[nodiscard]] std::uint64_t length() const noexcept { return left_; }
    /// Whether the client waits for "100 Continue" before it sends the body.
    [[nodiscard]] bool asks_to_continue() const noexcept { return asks_to_continue_ && !is_old_ && has_body(); }
    /// Whether the connection ends with it.
    [[nodiscard]] bool is_last() const noexcept { return is_last_ || is_old_; }

private:
    enum class state { request_line, fields, body, chunk_size, chunk_end, trailers, malformed };

    static constexpr int bad_request = 400;
    static constexpr int target_too_long = 414;
    static constexpr int fields_too_large = 431;
    static constexpr int not_implemented = 501;
    static constexpr int unknown_version = 505;

    request_part fail(int status) noexcept {
        state_ = state::malformed;
        status_ = status;
        return request_part::malformed;
    }

    request_part end() noexcept {
        state_ = state::request_line;
        line_ = {};  // its memory too: a connection may be idle for long
        return request_part::end;
    }

    /// Whether `line_` is a whole line now; its end is off.
    bool take_line(std::string_view& bytes) {
        const auto found = bytes.find('\n');
        const auto size = found == bytes.npos ? bytes.size() : found + 1;
        const auto [limit, status] = line_limit();
        if (line_.size() + size > limit) {
            fail(status);
            return false;
        }
        line_ += bytes.substr(0, size);
        bytes.remove_prefix(size);
        if (found == bytes.npos) return false;
        room_ -= std::min(room_, line_.size());
        line_.pop_back();
        if (line_.empty() || line_.back() != '\r') {
            fail(bad_request);
            return false;
        }
        line_.pop_back();
        return true;
    }

    /// How long a line may be, its end included, and the answer to a longer one.
    [[nodiscard]] std::pair<std::size_t, int> line_limit() const noexcept {
        switch (state_) {
            case state::request_line:
                return {longest_request_line, target_too_long};
            case state::fields:
            case state::trailers:
                return {room_, fields_too_large};
            default:
                return {longest_chunk_line, bad_request};
        }
    }

    /// `nothing`: the line says nothing by itself.
    request_part read_line() {
        switch (state_) {
            case state::request_line:
                // An empty line before a request belongs to the body before it, which some clients count wrongly.
                return line_.empty() ? request_part::nothing : read_request_line(line_);
            case state::fields:
                return line_.empty() ? finish_head() : read_field(line_, true);
            case state::chunk_size:
                return read_chunk_size(line_);
            case state::chunk_end:
                if (!line_.empty()) return fail(bad_request);
                state_ = state::chunk_size;
                return request_part::nothing;
            default:  // trailers, which nobody asks for
                return line_.empty() ? end() : read_field(line_, false);
        }
    }

    request_part read_request_line(std::string_view line) {
        head_ = {};
        authority_.clear();
        const auto first = line.find(' ');
        const auto last = line.rfind(' ');
        if (first == last) return fail(bad_request);
        auto target = line.substr(first + 1, last - first - 1);
        const auto version = line.substr(last + 1);
        head_.method = line.substr(0, first);
        head_.target = target;
        if (!is_token(head_.method) || target.empty() || !std::all_of(target.begin(), target.end(), is_visible) ||
            version.size() != 8 || !version.starts_with("HTTP/") || !is_digit(version[5]) || version[6] != '.' ||
            !is_digit(version[7]))
            return fail(bad_request);
        if (version[5] != '1') return fail(unknown_version);
        is_old_ = version[7] == '0';

        const auto scheme = target.substr(0, target.find("://"));
        if (equal_ignoring_case(scheme, "http") || equal_ignoring_case(scheme, "https")) {
            // The absolute form, which proxies are sent, and servers have to take as well.
            target.remove_prefix(std::min(scheme.size() + 3, target.size()));
            const auto path = std::min(target.find_first_of("/?"), target.size());
            authority_ = target.substr(0, path);
            if (authority_.empty()) return fail(bad_request);
            target.remove_prefix(path);
            head_.target = (target.starts_with('/') ? "" : "/") + std::string{target};
        }
        return expect_fields(state::fields);
    }

    request_part expect_fields(state where) noexcept {
        state_ = where;
        room_ = most_head_bytes;
        fields_ = 0;
        return request_part::nothing;
    }

    /// A line that is folded, or has a blank before its colon, has no valid name.
    request_part read_field(std::string_view line, bool is_kept) {
        const auto colon = std::min(line.find(':'), line.size());
        const auto name = line.substr(0, colon);
        const auto value = line.substr(std::min(colon + 1, line.size()));
        if (colon == line.size() || !is_token(name) || !std::all_of(value.begin(), value.end(), is_text))
            return fail(bad_request);
        if (++fields_ > most_fields) return fail(fields_too_large);
        if (is_kept) head_.headers.push_back({std::string{name}, std::string{trimmed(value)}});
        return request_part::nothing;
    }

    /// All that the protocol itself reads in a head (RFC 9112, section 6.3).
    request_part finish_head() {
        std::size_t hosts = 0, codings = 0, chunked = 0;
        std::optional<std::uint64_t> length;
        bool is_coded = false, ends_chunked = false, is_clear = true;
        is_last_ = asks_to_continue_ = false;
        for (auto& [name, value] : head_.headers) {
            if (equal_ignoring_case(name, "Host")) {
                ++hosts;
                if (!authority_.empty()) value = authority_;
            } else if (equal_ignoring_case(name, "Content-Length")) {
                const auto size = number(value, 10);
                if (!size || (length && *length != *size)) is_clear = false;
                length = size;
            } else if (equal_ignoring_case(name, "Transfer-Encoding")) {
                is_coded = true;
                for_each_element(value, [&](std::string_view coding) {
                    ends_chunked = equal_ignoring_case(coding, "chunked");
                    chunked += ends_chunked ? 1 : 0;
                    ++codings;
                });
            } else if (equal_ignoring_case(name, "Connection")) {
                for_each_element(value, [&](std::string_view option) {
                    is_last_ = is_last_ || equal_ignoring_case(option, "close");
                });
            } else if (equal_ignoring_case(name, "Expect")) {
                asks_to_continue_ = equal_ignoring_case(value, "100-continue");
            }
        }
        if (hosts > 1 || (hosts == 0 && !is_old_)) is_clear = false;
        if (is_coded && (length || is_old_ || !ends_chunked || chunked > 1)) is_clear = false;
        if (!is_clear) return fail(bad_request);
        if (codings > 1) return fail(not_implemented);
        if (hosts == 0 && !authority_.empty()) head_.headers.push_back({"Host", authority_});
        is_chunked_ = is_coded;
        left_ = length.value_or(0);
        state_ = is_chunked_ ? state::chunk_size : state::body;
        return request_part::head;
    }

    /// The extensions of a chunk are ignored.
    request_part read_chunk_size(std::string_view line) {
        const auto size = number(trimmed(line.substr(0, line.find(';'))), 16);
        if (!size || line.starts_with(' ') || line.starts_with('\t') || !std::all_of(line.begin(), line.end(), is_text))
            return fail(bad_request);
        if (*size == 0) return expect_fields(state::trailers);
        left_ = *size;
        state_ = state::body;
        return request_part::nothing;
    }

    static std::optional<std::uint64_t> number(std::string_view digits, int base) noexcept {
        std::uint64_t out = 0;
        const auto* const end = digits.data() + digits.size();
        const auto read = std::from_chars(digits.data(), end, out, base);
        if (read.ec != std::errc{} || read.ptr != end) return std::nullopt;
        return out;
    }

    static bool is_visible(char c) noexcept { return c > ' ' && c < '\x7f'; }
    static bool is_text(char c) noexcept { return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != '\x7f'); }

    static bool is_token(std::string_view text) noexcept {
        constexpr std::string_view separators = "\"(),/:;<=>?@[\\]{}";
        return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
            return is_visible(c) && separators.find(c) == separators.npos;
        });
    }

    /// For each element of a comma-separated list that is not empty.
    template <class Function>
    static void for_each_element(std::string_view list, Function function) {
        while (!list.empty()) {
            const auto comma = std::min(list.find(','), list.size());
            if (const auto element = trimmed(list.substr(0, comma)); !element.empty()) function(element);
            list.remove_prefix(std::min(comma + 1, list.size()));
        }
    }

    state state_ = state::request_line;
    int status_ = 0;
    std::string line_;        ///< as far as it has come
    std::size_t room_ = 0;    ///< for the lines that follow
    std::size_t fields_ = 0;  ///< of those lines
    http_request_head head_;
    std::string authority_;  ///< of a target in the absolute form: it stands above the Host
    std::string_view piece_;
    std::uint64_t left_ = 0;  ///< of the body, or of its chunk
    bool is_chunked_ = false;
    bool is_old_ = false;  ///< HTTP/1.0
    bool is_last_ = false;
    bool asks_to_continue_ = false;
};

}  // namespace candor::detail

#endif
