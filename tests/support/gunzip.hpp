#ifndef CANDOR_TESTS_SUPPORT_GUNZIP_HPP
#define CANDOR_TESTS_SUPPORT_GUNZIP_HPP

#include <zlib.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace candor::testing {

/// The content of one gzip member. Throws where `bytes` are anything else.
inline std::string gunzip(std::string_view bytes) {
    z_stream stream{};
    if (::inflateInit2(&stream, 15 + 16) != Z_OK) throw std::runtime_error{"inflateInit2"};
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    std::string out;
    int state = Z_OK;
    while (state == Z_OK) {
        char buffer[64 * 1024];
        stream.next_out = reinterpret_cast<Bytef*>(buffer);
        stream.avail_out = sizeof buffer;
        state = ::inflate(&stream, Z_NO_FLUSH);
        out.append(buffer, sizeof buffer - stream.avail_out);
    }
    const bool is_whole = state == Z_STREAM_END && stream.avail_in == 0;
    ::inflateEnd(&stream);
    if (!is_whole) throw std::runtime_error{"not one whole gzip member"};
    return out;
}

}  // namespace candor::testing

#endif
