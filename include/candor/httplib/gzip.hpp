#ifndef CANDOR_HTTPLIB_GZIP_HPP
#define CANDOR_HTTPLIB_GZIP_HPP

#include <optional>
#include <string_view>

#ifdef CPPHTTPLIB_ZLIB_SUPPORT
#include <zlib.h>

#include <limits>
#include <new>
#include <vector>
#endif

namespace candor::detail {

/// Compresses one body after another at zlib's fastest level, with the same tables and the same buffer: httplib's
/// own switch makes both anew for each body and uses the default level, which takes 2.5 times as long on JSON.
/// Without zlib it compresses nothing. Not thread-safe.
class gzip_encoder {
public:
    gzip_encoder() = default;
    gzip_encoder(const gzip_encoder&) = delete;
    gzip_encoder& operator=(const gzip_encoder&) = delete;

#ifndef CPPHTTPLIB_ZLIB_SUPPORT
    std::optional<std::string_view> encode(std::string_view) const noexcept { return std::nullopt; }
#else
    ~gzip_encoder() {
        if (ready_) ::deflateEnd(&stream_);
    }

    /// `body` as one gzip member (RFC 1952), valid until the next call; nothing where it cannot be compressed, which
    /// is not an error: send it plain. Throws only `std::bad_alloc`.
    std::optional<std::string_view> encode(std::string_view body) {
        if (body.size() > std::numeric_limits<uInt>::max() / 2) return std::nullopt;
        if (!ready_) {
            constexpr int window_bits = 15 + 16;  // the largest window, and a gzip frame
            constexpr int memory_level = 8;
            if (::deflateInit2(&stream_, Z_BEST_SPEED, Z_DEFLATED, window_bits, memory_level, Z_DEFAULT_STRATEGY) !=
                Z_OK)
                return std::nullopt;
            ready_ = true;
        } else if (::deflateReset(&stream_) != Z_OK) {
            return std::nullopt;
        }
        const auto bound = ::deflateBound(&stream_, static_cast<uLong>(body.size()));
        if (buffer_.size() < bound) buffer_.resize(bound);

        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));  // zlib does not write to it
        stream_.avail_in = static_cast<uInt>(body.size());
        stream_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
        stream_.avail_out = static_cast<uInt>(bound);
        if (::deflate(&stream_, Z_FINISH) != Z_STREAM_END) return std::nullopt;
        return std::string_view{buffer_.data(), stream_.total_out};
    }

private:
    z_stream stream_{};
    std::vector<char> buffer_;
    bool ready_ = false;
#endif
};

}  // namespace candor::detail

#endif
