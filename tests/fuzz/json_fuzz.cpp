// Any bytes as a metrics request in JSON.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <nlohmann/json.hpp>

#include <candor/otlp/json.hpp>

#include "decoder_properties.hpp"
#include "require.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view body{reinterpret_cast<const char*>(data), size};
    const auto found =
        check_decoder([](auto text, auto& visitor) { return candor::otlp::decode_json(text, visitor); }, body);
    const bool is_json = nlohmann::json::accept(body);
    require(is_json || !found.problem.empty(), "what is no JSON is no request");
    require(!is_json || found.problem != "the request is not JSON", "what is JSON is not refused for it");
    return 0;
}
