#ifndef CANDOR_POLICY_POLICIES_HPP
#define CANDOR_POLICY_POLICIES_HPP

#include <optional>
#include <utility>

#include <candor/policy/clock.hpp>
#include <candor/policy/transport.hpp>

namespace candor::detail {

/// A transport and a clock: made here, or lent by somebody who outlives us.
template <transport Transport, candor::clock Clock>
class policies {
public:
    policies()
        : owned_transport_{std::in_place},
          owned_clock_{std::in_place},
          transport_{*owned_transport_},
          clock_{*owned_clock_} {}
    policies(Transport& transport, Clock& clock) noexcept : transport_{transport}, clock_{clock} {}
    policies(const policies&) = delete;
    policies& operator=(const policies&) = delete;

    [[nodiscard]] Transport& transport() const noexcept { return transport_; }
    [[nodiscard]] Clock& clock() const noexcept { return clock_; }

private:
    std::optional<Transport> owned_transport_;
    std::optional<Clock> owned_clock_;
    Transport& transport_;
    Clock& clock_;
};

}  // namespace candor::detail

#endif
