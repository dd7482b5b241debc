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

/// What came of decompressing a body.
struct inflated {
    std::size_t size = 0;                 ///< of the plain body
    std::optional<body_error> problem{};  ///< why there is none
};

/// Decompresses `bytes` into the `room` bytes at `out`; with null for `out` it only counts, so that a caller can learn
/// the size of the plain body before it has memory for it. Stops with `too_large` as soon as there would be more than
/// `room`. gzip (RFC 1952) may be several members in a row; deflate is zlib's format (RFC 1950). A stream that ends
/// early, fails its checksum or is followed by something else is `undecodable`.
#ifdef CPPHTTPLIB_ZLIB_SUPPORT
inline inflated inflate(std::string_view bytes, content_coding coding, char* out, std::size_t room) noexcept {
    constexpr std::size_t most_at_once = 1U << 30;  // zlib counts in unsigned int
    z_stream stream{};
    // The window is that of the sender, and the frame that of the header: neither is guessed.
    if (::inflateInit2(&stream, coding == content_coding::gzip ? 15 + 16 : 15) != Z_OK)
        return {.problem = body_error::overloaded};
    const std::unique_ptr<z_stream, int (*)(z_stream*)> end{&stream, ::inflateEnd};

    std::size_t size = 0;
    char scratch[16 * 1024];
    for (;;) {
        const auto given = std::min(bytes.size(), most_at_once);
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // zlib does not write to it
        stream.avail_in = static_cast<uInt>(given);
        const bool has_room = out != nullptr && size < room;
        const auto space = has_room ? std::min(room - size, most_at_once) : sizeof scratch;
        stream.next_out = reinterpret_cast<Bytef*>(has_room ? out + size : scratch);
        stream.avail_out = static_cast<uInt>(space);

        const int state = ::inflate(&stream, Z_NO_FLUSH);
        const auto taken = given - stream.avail_in;
        const auto made = space - stream.avail_out;
        bytes.remove_prefix(taken);
        if (made > room - size) return {.problem = body_error::too_large};
        size += made;

        if (state == Z_STREAM_END) {
            if (bytes.empty()) return {.size = size};
            if (coding != content_coding::gzip || ::inflateReset(&stream) != Z_OK)
                return {.problem = body_error::undecodable};
        } else if (state == Z_MEM_ERROR) {
            return {.problem = body_error::overloaded};
        } else if (state != Z_OK || (taken == 0 && made == 0)) {
            return {.problem = body_error::undecodable};
        }
    }
}
#else
inline inflated inflate(std::string_view, content_coding, char*, std::size_t) noexcept {
    return {.problem = body_error::encoding};
}
#endif

}  // namespace candor::detail

#endif
