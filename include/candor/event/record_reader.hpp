#ifndef CANDOR_EVENT_RECORD_READER_HPP
#define CANDOR_EVENT_RECORD_READER_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

namespace candor::detail {

/// Takes values and texts from bytes in which they stand one behind the other, as a thread of this process or an
/// earlier one on this machine wrote them. Once something is missing, so is all that follows.
class record_reader {
public:
    explicit record_reader(std::string_view bytes) noexcept : rest_{bytes} {}

    [[nodiscard]] bool is_good() const noexcept { return is_good_; }
    [[nodiscard]] bool is_empty() const noexcept { return rest_.empty(); }
    [[nodiscard]] std::string_view rest() const noexcept { return rest_; }

    template <class T>
    [[nodiscard]] T take() noexcept {
        static_assert(std::is_trivially_copyable_v<T>);
        T out{};
        const auto bytes = take_bytes(sizeof out);
        if (is_good_) std::memcpy(&out, bytes.data(), sizeof out);
        return out;
    }

    /// A text behind its size.
    template <class Size = std::uint32_t>
    [[nodiscard]] std::string_view take_text() noexcept {
        return take_bytes(take<Size>());
    }

    [[nodiscard]] std::string_view take_bytes(std::uint64_t size) noexcept {
        is_good_ = is_good_ && size <= rest_.size();
        if (!is_good_) return {};
        const auto out = rest_.substr(0, static_cast<std::size_t>(size));
        rest_.remove_prefix(out.size());
        return out;
    }

private:
    std::string_view rest_;
    bool is_good_ = true;
};

}  // namespace candor::detail

#endif
