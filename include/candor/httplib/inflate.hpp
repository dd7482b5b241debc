#ifndef CANDOR_HTTPLIB_INFLATE_HPP
#define CANDOR_HTTPLIB_INFLATE_HPP

#include <cstddef>
#include <optional>
#include <string_view>

#ifdef CPPHTTPLIB_ZLIB_SUPPORT
#include <zlib.h>

#include <algorithm>
#include <memory>
#endif

#include <candor/policy/http.hpp>
#include <candor/policy/server.hpp>

namespace candor::detail {

/// How a body was compressed.
enum class content_coding { identity, gzip, deflate };

/// What a Content-Encoding header says (RFC 9110, section 8.4.1); nothing where it is none that can be undone here: all
/// but `identity` need zlib.
inline std::optional<content_coding> parse_content_coding(std::string_view header) noexcept {
    if (header.empty() || equal_ignoring_case(header, "identity")) return content_coding::identity;
#ifdef CPPHTTPLIB_ZLIB_SUPPORT
    if (equal_ignoring_case(header, "gzip")) return content_coding::gzip;
    if (equal_ignoring_case(header, "deflate")) return content_coding::deflate;
#endif
    return std::nullopt;
}

/// Undoes the compression of a body as its pieces come. gzip (RFC 1952) may be several members in a row; deflate is
/// zlib's format (RFC 1950). A stream that ends early, fails its checksum or is followed by something else is
/// `undecodable`. One thread at a time.
class body_decoder {
public:
    explicit body_decoder(content_coding coding) noexcept : coding_{coding} {}
    body_decoder(const body_decoder&) = delete;
    body_decoder& operator=(const body_decoder&) = delete;

    /// Gives `take` what `bytes` say, a small piece at a time, until it returns why it wants no more. Returns that, or
    /// what is wrong with them.
    template <class Take>
    std::optional<body_error> decode(std::string_view bytes, Take take) {
        return coding_ == content_coding::identity ? take(bytes) : inflate(bytes, take);
    }

#ifdef CPPHTTPLIB_ZLIB_SUPPORT
    /// Whether what has come is a whole body.
    [[nodiscard]] bool is_whole() const noexcept { return coding_ == content_coding::identity || is_at_end_; }

private:
    struct stream_end {
        void operator()(z_stream* of) const noexcept {
            ::inflateEnd(of);
            delete of;
        }
    };

    template <class Take>
    std::optional<body_error> inflate(std::string_view bytes, Take take) {
        if (!stream_) {
            auto made = std::make_unique<z_stream>();
            // The window is that of the sender, and the frame that of the header: neither is guessed.
            if (::inflateInit2(made.get(), coding_ == content_coding::gzip ? 15 + 16 : 15) != Z_OK)
                return body_error::overloaded;
            stream_.reset(made.release());
        }
        char plain[16 * 1024];
        bool is_full = false;  // then there may be more where all bytes have been taken
        while (!bytes.empty() || is_full) {
            if (is_at_end_) {
                if (coding_ != content_coding::gzip || ::inflateReset(stream_.get()) != Z_OK)
                    return body_error::undecodable;
                is_at_end_ = false;
            }
            constexpr std::size_t most_at_once = 1U << 30;  // zlib counts in unsigned int
            const auto given = std::min(bytes.size(), most_at_once);
            stream_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // zlib does not write to it
            stream_->avail_in = static_cast<uInt>(given);
            stream_->next_out = reinterpret_cast<Bytef*>(plain);
            stream_->avail_out = sizeof plain;
            const int state = ::inflate(stream_.get(), Z_NO_FLUSH);
            bytes.remove_prefix(given - stream_->avail_in);
            if (state == Z_MEM_ERROR) return body_error::overloaded;
            if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR) return body_error::undecodable;
            is_at_end_ = state == Z_STREAM_END;
            is_full = !is_at_end_ && stream_->avail_out == 0;
            const std::string_view made{plain, sizeof plain - stream_->avail_out};
            if (const auto problem = made.empty() ? std::nullopt : take(made)) return problem;
        }
        return std::nullopt;
    }

    const content_coding coding_;
    std::unique_ptr<z_stream, stream_end> stream_;
    bool is_at_end_ = false;
#else
    [[nodiscard]] bool is_whole() const noexcept { return true; }

private:
    template <class Take>
    std::optional<body_error> inflate(std::string_view, Take) noexcept {
        return body_error::encoding;
    }

    const content_coding coding_;
#endif
};

}  // namespace candor::detail

#endif
