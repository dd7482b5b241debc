#ifndef CANDOR_TESTS_SUPPORT_LOSSY_HPP
#define CANDOR_TESTS_SUPPORT_LOSSY_HPP

#include <linux/filter.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <limits>
#include <stdexcept>

namespace candor::testing {

/// From now on the kernel takes every packet to this socket with a chance of one in `one_in` for lost. What lies in the
/// packets it does not know: acknowledgements and ends get lost too.
inline void lose_packets(int socket, std::uint32_t one_in) {
    constexpr auto random = static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_RANDOM);
    std::array<sock_filter, 4> program{{
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, random},
        {BPF_JMP | BPF_JGE | BPF_K, 0, 1, std::numeric_limits<std::uint32_t>::max() / one_in},
        {BPF_RET | BPF_K, 0, 0, std::numeric_limits<std::uint32_t>::max()},
        {BPF_RET | BPF_K, 0, 0, 0},
    }};
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0)
        throw std::runtime_error{"cannot attach a filter"};
}

}  // namespace candor::testing

#endif
