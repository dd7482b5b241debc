#ifndef CANDOR_TESTS_SUPPORT_DEFLATE_HPP
#define CANDOR_TESTS_SUPPORT_DEFLATE_HPP

#include <zlib.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace candor::testing {

/// `text` compressed. The window's bits say the format too: 15 is zlib's, 31 is gzip, -15 has no frame.
inline std::string compressed(std::string_view text, int window_bits = 31) {
    z_stream stream{};
    if (::deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        throw std::runtime_error{"deflateInit2"};
    std::string out(::deflateBound(&stream, static_cast<uLong>(text.size())) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int state = ::deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    ::deflateEnd(&stream);
    if (state != Z_STREAM_END) throw std::runtime_error{"deflate"};
    return out;
}

/// A gzip member of so many zeros, made without having them at once.
inline std::string compressed_zeros(std::size_t size) {
    z_stream stream{};
    if (::deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        throw std::runtime_error{"deflateInit2"};
    const std::string zeros(1 << 16, '\0');
    std::string out(size / 1000 + 100, '\0');
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    int state = Z_OK;
    while (state == Z_OK) {
        const auto given = size < zeros.size() ? size : zeros.size();
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(zeros.data()));
        stream.avail_in = static_cast<uInt>(given);
        state = ::deflate(&stream, (size -= given) == 0 ? Z_FINISH : Z_NO_FLUSH);
    }
    out.resize(stream.total_out);
    ::deflateEnd(&stream);
    if (state != Z_STREAM_END) throw std::runtime_error{"deflate"};
    return out;
}

}  // namespace candor::testing

#endif
