#ifndef CANDOR_OTLP_PROTOBUF_WRITER_HPP
#define CANDOR_OTLP_PROTOBUF_WRITER_HPP

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include <candor/otlp/wire.hpp>

namespace candor::detail {

/// Writes the fields of a protobuf message one by one. Their numbers are at most 15, so that a tag is one byte.
class protobuf_writer {
public:
    [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }

    void varint(std::uint8_t field, std::uint64_t number) {
        tag(field, otlp::wire_type::varint);
        append(number);
    }

    void fixed64(std::uint8_t field, std::uint64_t number) {
        tag(field, otlp::wire_type::fixed64);
        auto all = std::bit_cast<std::array<char, 8>>(number);
        if constexpr (std::endian::native == std::endian::big) std::reverse(all.begin(), all.end());
        bytes_.append(all.data(), all.size());
    }

    void text(std::uint8_t field, std::string_view content) {
        tag(field, otlp::wire_type::bytes);
        append(content.size());
        bytes_.append(content);
    }

    /// Begins a message whose length will be known at its end. Gives what `close` asks for.
    [[nodiscard]] std::size_t open(std::uint8_t field) {
        tag(field, otlp::wire_type::bytes);
        bytes_.append(length_size, '\0');
        return bytes_.size();
    }

    /// False when a message is too long for a length in protobuf.
    [[nodiscard]] bool close(std::size_t start) {
        const std::uint64_t length = bytes_.size() - start;
        if (length > std::numeric_limits<std::uint32_t>::max()) return false;
        if (length < 0x80) {
            bytes_[start - length_size] = static_cast<char>(length);
            bytes_.erase(start - length_size + 1, length_size - 1);
        } else {
            write_length(start - length_size, length);
        }
        return true;
    }

    /// Turns whole fields, as written here, into one field of an unknown number, which a reader skips.
    void blank(std::size_t begin, std::size_t end) {
        bytes_[begin] = unknown_field << 3 | static_cast<char>(otlp::wire_type::bytes);
        const auto rest = end - begin - 2;
        if (rest < 0x80) {
            bytes_[begin + 1] = static_cast<char>(rest);
        } else {
            write_length(begin + 1, end - begin - 1 - length_size);
        }
    }

private:
    static constexpr std::size_t length_size = 5;
    static constexpr char unknown_field = 15;

    void tag(std::uint8_t field, otlp::wire_type type) {
        bytes_ += static_cast<char>(field << 3 | static_cast<std::uint8_t>(type));
    }

    void append(std::uint64_t number) {
        for (; number >= 0x80; number >>= 7) bytes_ += static_cast<char>(number | 0x80);
        bytes_ += static_cast<char>(number);
    }

    void write_length(std::size_t at, std::uint64_t length) {
        for (std::size_t i = 0; i < length_size; ++i) {
            const bool more = i + 1 < length_size;
            bytes_[at + i] = static_cast<char>((length >> (7 * i) & 0x7f) | (more ? 0x80 : 0));
        }
    }

    std::string bytes_;
};

}  // namespace candor::detail

#endif
