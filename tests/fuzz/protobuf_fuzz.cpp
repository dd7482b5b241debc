// Any bytes as a metrics request in protobuf.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <candor/otlp/protobuf.hpp>
#include <candor/otlp/wire.hpp>

#include "decoder_properties.hpp"
#include "require.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view body{reinterpret_cast<const char*>(data), size};
    const auto found =
        check_decoder([](auto bytes, auto& visitor) { return candor::otlp::decode_protobuf(bytes, visitor); }, body);
    candor::otlp::wire_reader in{body};
    require(in.skip_all() || !found.problem.empty(), "what is no message is no request");
    return 0;
}
