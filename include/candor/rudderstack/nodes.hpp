#ifndef CANDOR_RUDDERSTACK_NODES_HPP
#define CANDOR_RUDDERSTACK_NODES_HPP

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace candor::rudderstack::detail {

/// The CRC-32 of IEEE 802.3. `before` is that of the bytes in front, where there are any.
constexpr std::uint32_t crc32_ieee(std::string_view bytes, std::uint32_t before = 0) noexcept {
    std::uint32_t out = ~before;
    for (const char c : bytes) {
        out ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) out = (out >> 1) ^ ((out & 1) != 0 ? 0xedb88320U : 0U);
    }
    return ~out;
}

/// Takes a string of JSON off the beginning of `json`, as it stands there, quotes included. Nothing where none begins
/// there, or it does not end.
inline std::optional<std::string_view> take_json_string(std::string_view& json) noexcept {
    if (!json.starts_with('"')) return std::nullopt;
    for (std::size_t end = 1; end < json.size(); ++end) {
        if (json[end] == '\\') {
            ++end;
        } else if (json[end] == '"') {
            const auto out = json.substr(0, end + 1);
            json.remove_prefix(end + 1);
            return out;
        }
    }
    return std::nullopt;
}

/// What a string of JSON says; empty where it is none.
inline std::string text_of(std::string_view json_string) {
    const auto parsed = nlohmann::json::parse(json_string, nullptr, false);
    return parsed.is_string() ? parsed.get<std::string>() : std::string{};
}

/// Which of the data plane's nodes a message is for, as RudderStack's proxy counts them. Its ids stand among the texts
/// that it begins with, as candor writes messages.
inline std::uint32_t node_of(std::string_view message, std::uint32_t nodes) {
    if (nodes == 1) return 0;
    std::string user, anonymous;
    for (char before = '{'; message.starts_with(before); before = ',') {
        message.remove_prefix(1);
        const auto key = take_json_string(message);
        if (!key || !message.starts_with(':')) break;
        message.remove_prefix(1);
        const auto value = take_json_string(message);
        if (!value) break;
        if (key == R"("userId")") user = text_of(*value);
        if (key == R"("anonymousId")") anonymous = text_of(*value);
    }
    return crc32_ieee(anonymous, crc32_ieee(":", crc32_ieee(user))) % nodes;
}

/// The number of nodes that the data plane's `/cluster-info` names. Nothing where the answer is anything else.
inline std::optional<std::uint32_t> node_count(std::string_view answer) {
    constexpr std::uint64_t most = 65'536;
    const auto parsed = nlohmann::json::parse(answer, nullptr, false);
    if (!parsed.is_object()) return std::nullopt;
    const auto found = parsed.find("nodeCount");
    if (found == parsed.end() || !found->is_number_unsigned()) return std::nullopt;
    const auto count = found->get<std::uint64_t>();
    if (count == 0 || count > most) return std::nullopt;
    return static_cast<std::uint32_t>(count);
}

}  // namespace candor::rudderstack::detail

#endif
