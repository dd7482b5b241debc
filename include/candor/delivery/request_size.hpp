#ifndef CANDOR_DELIVERY_REQUEST_SIZE_HPP
#define CANDOR_DELIVERY_REQUEST_SIZE_HPP

#include <algorithm>
#include <cstddef>

#include <candor/delivery/batch.hpp>

namespace candor::detail {

/// How much a request may carry, as the answers of a server teach it. One that limits rates counts messages and takes
/// all of a request or nothing, so that one with more than its limit never passes, however long it waits; one that
/// limits sizes refuses what is too large. What has passed after that is kept to, and slowly more is tried again. One
/// thread at a time.
class request_size {
public:
    explicit request_size(const request_limits& most) noexcept : most_{most}, now_{most} {}

    [[nodiscard]] const request_limits& limits() const noexcept { return now_; }

    /// A request of so many messages was told to wait for a rate limit.
    void limited(std::size_t messages) noexcept {
        passed_in_a_row_ = 0;
        if (messages < 2 || ++limited_in_a_row_ < most_limited_) return;
        limited_in_a_row_ = 0;
        now_.messages = std::max<std::size_t>(messages / 2, 1);
    }

    /// A request of that size was refused as too large. A single message says nothing of the others.
    void too_large(const request_limits& size) noexcept {
        passed_in_a_row_ = 0;
        if (size.messages > 1) {
            refused_bytes_ = std::min(refused_bytes_, size.bytes);
        } else {
            refused_bytes_ = most_.bytes + 1;
            now_.bytes = most_.bytes;
        }
    }

    /// A request of that size was taken.
    void passed(const request_limits& size) noexcept {
        limited_in_a_row_ = 0;
        // After a refusal, what passes is what is known of the limit; the half of what did not is the next to try.
        if (refused_bytes_ <= most_.bytes) now_.bytes = std::max(size.bytes, refused_bytes_ / 2);
        if (++passed_in_a_row_ < most_passed_) return;
        passed_in_a_row_ = 0;
        now_.messages = std::min(2 * now_.messages, most_.messages);
    }

private:
    static constexpr unsigned most_limited_ = 3;
    static constexpr unsigned most_passed_ = 10;

    const request_limits most_;
    request_limits now_;
    std::size_t refused_bytes_ = most_.bytes + 1;  ///< the least that was too large
    unsigned limited_in_a_row_ = 0;
    unsigned passed_in_a_row_ = 0;
};

}  // namespace candor::detail

#endif
