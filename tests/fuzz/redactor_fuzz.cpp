// Any text, with any secret: what stands before the first line's end.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <candor/privacy/redactor.hpp>

#include "require.hpp"

namespace {

constexpr std::string_view mark = "[redacted]";

std::string folded(std::string_view text) {
    std::string out{text};
    std::transform(out.begin(), out.end(), out.begin(), candor::detail::to_lower);
    return out;
}

/// Whether it stands anywhere but in what was put there for it.
bool shows(const std::string& redacted, const std::string& secret) {
    for (std::size_t begin = 0; begin <= redacted.size();) {
        const auto end = std::min(redacted.find(mark, begin), redacted.size());
        if (folded(redacted.substr(begin, end - begin)).find(secret) != std::string::npos) return true;
        begin = end + mark.size();
    }
    return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    const std::string secret{input.substr(0, input.find('\n'))};
    const auto text = input.substr(std::min(secret.size() + 1, size));

    const candor::redactor redactor{{secret, "hunter2"}, "/home/ann", {"annabel"}};
    const auto once = redactor.redact(text);
    require(redactor.redact(once) == once, "redacting twice is redacting once");
    require(once.size() <= mark.size() * text.size(), "what is taken out is at least a byte");
    require(!shows(once, "hunter2"), "a secret is taken out");
    if (secret.size() < candor::detail::privacy::shortest_secret) return 0;
    require(!shows(once, folded(secret)), "the other one too");

    std::string escaped;
    for (const char c : secret) {
        const auto byte = static_cast<unsigned char>(c);
        escaped += {'%', "0123456789aBcDeF"[byte >> 4], "0123456789AbCdEf"[byte & 15]};
    }
    require(redactor.redact(escaped) == mark, "so is what every byte is escaped of");

    // Digits and brackets hide nothing.
    std::string plain{text};
    for (auto& c : plain) c = "0123456789 ,;()<>{}!"[static_cast<unsigned char>(c) % 20];
    require(candor::redactor{}.redact(plain) == plain, "a text with nothing to hide stays");
    return 0;
}
