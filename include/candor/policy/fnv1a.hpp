#ifndef CANDOR_POLICY_FNV1A_HPP
#define CANDOR_POLICY_FNV1A_HPP

#include <cstdint>
#include <string_view>

namespace candor::detail {

/// FNV-1a (64 bits): tells a torn or changed file, and names a destination without saying it. `before` is that of the
/// bytes in front, where there are any. For signal handlers too: it needs no table.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t before = 0xcbf29ce484222325) noexcept {
    for (const char c : bytes) before = (before ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return before;
}

}  // namespace candor::detail

#endif
