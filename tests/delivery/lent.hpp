// A pipeline with a transport and a clock of any type.
#ifndef CANDOR_TESTS_DELIVERY_LENT_HPP
#define CANDOR_TESTS_DELIVERY_LENT_HPP

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <candor/delivery/pipeline.hpp>
#include <candor/policy/policies.hpp>

#include "line_protocol.hpp"

namespace candor::tests {

template <transport Transport, clock Clock>
class lent_pipeline : private detail::policies<Transport, Clock>, public detail::pipeline {
public:
    lent_pipeline(std::string name, delivery_options options, diagnostic_sink diagnostics, std::uint32_t seed,
                  std::unique_ptr<detail::protocol> protocol, Transport& transport, Clock& clock)
        : detail::policies<Transport, Clock>{transport, clock},
          detail::pipeline{std::move(name),     std::move(options),    std::move(diagnostics), seed,
                           std::move(protocol), this->any_transport(), this->any_clock()} {}
};

}  // namespace candor::tests

#endif
