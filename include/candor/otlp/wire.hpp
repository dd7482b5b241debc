#ifndef CANDOR_OTLP_WIRE_HPP
#define CANDOR_OTLP_WIRE_HPP

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <candor/otlp/metrics.hpp>

namespace candor::otlp {

/// How a field is written (protobuf.dev, "Encoding"). 6 and 7 do not exist.
enum class wire_type : std::uint8_t { varint, fixed64, bytes, group_start, group_end, fixed32 };

/// A cursor over the fields of one protobuf message.
///
///     wire_reader in{body};
///     while (in.next()) {
///         switch (in.field()) {
///             case 1: name = in.bytes(); break;
///             case 2: count = in.varint(); break;
///             default: in.skip();
///         }
///     }
///     if (in.problem() != nullptr) …  // what was read so far does not count
///
/// After each `next()` that is true, exactly one of the getters or `skip()` is called. A getter asks for its wire type:
/// another one is a problem. After a problem `next()` is false and getters give zero or nothing.
///
/// It neither allocates nor throws, and never reads outside of the bytes, which must outlive it and what it gives. A
/// message that is not well-formed is refused as soon as that shows: a varint of more than ten bytes or of more than 64
/// bits, a tag or a length of more than five bytes or of more than 32 bits, field number 0, a wire type that does not
/// exist, a field that goes past the end, a group that does not end or that was not begun, messages and groups nested
/// more than `max_depth` deep. Text is not checked to be UTF-8.
class wire_reader {
public:
    /// `depth` says how many messages are open, this one included.
    explicit wire_reader(std::string_view message, int depth = 1) noexcept
        : at_{message.data()}, end_{message.data() + message.size()}, depth_{depth} {
        if (depth > max_depth) fail(too_deep);
    }

    /// Goes to the next field. False at the end, and after a problem.
    [[nodiscard]] bool next() noexcept {
        if (at_ == end_) return false;
        // The tag of a field up to 15 is one byte, and here so is that of every known field.
        const auto byte = static_cast<unsigned char>(*at_);
        if (byte >= 8 && byte < 0x80 && (byte & 7) < 3) [[likely]] {
            ++at_;
            tag_ = byte;
            return true;
        }
        return read_tag() && (type() != wire_type::group_end || fail("a group ends that was not begun"));
    }

    [[nodiscard]] int depth() const noexcept { return depth_; }
    [[nodiscard]] std::uint32_t field() const noexcept { return tag_ >> 3; }
    [[nodiscard]] wire_type type() const noexcept { return static_cast<wire_type>(tag_ & 7); }

    [[nodiscard]] std::uint64_t varint() noexcept { return is(wire_type::varint) ? read_varint() : 0; }
    [[nodiscard]] std::uint64_t fixed64() noexcept { return is(wire_type::fixed64) ? read_fixed64() : 0; }
    [[nodiscard]] double floating() noexcept { return std::bit_cast<double>(fixed64()); }

    /// Bytes, a text or a message.
    [[nodiscard]] std::string_view bytes() noexcept { return is(wire_type::bytes) ? read_bytes() : std::string_view{}; }

    /// Passes over the field, whatever it is, a group with all that is in it.
    void skip() noexcept {
        if (type() == wire_type::group_start) {
            pass_group();
        } else {
            pass_simple();
        }
    }

    /// Passes over all fields from here to the end. False after a problem.
    [[nodiscard]] bool skip_all() noexcept {
        while (next()) skip();
        return problem_ == nullptr;
    }

    /// What is wrong with the message, a literal; null as long as nothing is.
    [[nodiscard]] const char* problem() const noexcept { return problem_; }

private:
    static constexpr const char* truncated = "a field goes past the end of its message";
    static constexpr const char* too_deep = "messages or groups are nested too deep";

    /// Ends the reading. False.
    bool fail(const char* problem) noexcept {
        at_ = end_;
        problem_ = problem;
        return false;
    }

    bool is(wire_type wanted) noexcept { return type() == wanted || fail("a known field has the wrong wire type"); }

    bool read_tag() noexcept {
        tag_ = read_short_varint();
        if (problem_ != nullptr) return false;
        if (field() == 0) return fail("a field has the number 0");
        if (type() > wire_type::fixed32) return fail("a field has a wire type that does not exist");
        return true;
    }

    std::uint64_t read_varint() noexcept {
        std::uint64_t value = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            if (at_ == end_) return fail(truncated), 0;
            const auto byte = static_cast<unsigned char>(*at_++);
            if (shift == 63 && byte > 1) break;
            value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
            if (byte < 0x80) return value;
        }
        return fail("a varint has more than 64 bits"), 0;
    }

    /// A tag or a length: at most 32 bits in at most five bytes.
    std::uint32_t read_short_varint() noexcept {
        if (at_ != end_ && static_cast<unsigned char>(*at_) < 0x80) [[likely]]
            return static_cast<unsigned char>(*at_++);
        const char* const start = at_;
        const auto value = read_varint();
        if (problem_ == nullptr && (at_ - start > 5 || value > 0xffff'ffff)) {
            fail("a tag or a length has more than 32 bits");
        }
        return problem_ == nullptr ? static_cast<std::uint32_t>(value) : 0;
    }

    std::uint64_t read_fixed64() noexcept {
        std::array<unsigned char, 8> bytes{};
        if (left() < bytes.size()) return fail(truncated), 0;
        std::memcpy(bytes.data(), at_, bytes.size());
        at_ += bytes.size();
        if constexpr (std::endian::native == std::endian::big) std::reverse(bytes.begin(), bytes.end());
        return std::bit_cast<std::uint64_t>(bytes);
    }

    std::string_view read_bytes() noexcept {
        const std::size_t size = read_short_varint();
        if (size > left()) return fail(truncated), std::string_view{};
        at_ += size;
        return {at_ - size, size};
    }

    void pass_simple() noexcept {
        switch (type()) {
            case wire_type::varint:
                read_varint();
                break;
            case wire_type::fixed64:
                pass(8);
                break;
            case wire_type::bytes:
                read_bytes();
                break;
            default:
                pass(4);
        }
    }

    void pass(std::size_t size) noexcept {
        if (left() < size) {
            fail(truncated);
        } else {
            at_ += size;
        }
    }

    void pass_group() noexcept {
        std::array<std::uint32_t, max_depth> open{};
        std::size_t count = 0;
        do {
            if (type() == wire_type::group_start) {
                if (depth_ + static_cast<int>(count) >= max_depth) {
                    fail(too_deep);
                } else {
                    open[count++] = field();
                }
            } else if (type() == wire_type::group_end) {
                if (open[--count] != field()) fail("a group ends as another");
            } else {
                pass_simple();
            }
        } while (problem_ == nullptr && count > 0 && read_tag());
    }

    [[nodiscard]] std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }

    const char* at_;
    const char* end_;
    const char* problem_ = nullptr;
    std::uint32_t tag_ = 0;
    int depth_;
};

}  // namespace candor::otlp

#endif
