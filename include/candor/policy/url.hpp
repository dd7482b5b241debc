#ifndef CANDOR_POLICY_URL_HPP
#define CANDOR_POLICY_URL_HPP

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <candor/policy/ascii.hpp>

namespace candor {

/// An absolute http or https URL, as far as candor needs one (RFC 3986, without query and fragment).
struct url {
    std::string scheme{};    ///< `http` or `https`, lower case
    std::string userinfo{};  ///< what stands before `@`, undecoded
    std::string host{};      ///< name or address; an IPv6 address without its brackets
    std::uint16_t port = 0;  ///< the given port, or the scheme's default
    std::string path{};      ///< empty or starting with `/`, without a trailing `/`

    /// `scheme://host:port`: brackets around an IPv6 address, the port only where it is not the default.
    [[nodiscard]] std::string origin() const {
        std::string out = scheme + "://";
        out += host.find(':') == std::string::npos ? host : "[" + host + "]";
        if (port != (scheme == "https" ? 443 : 80)) out += ":" + std::to_string(port);
        return out;
    }
};

namespace detail {

/// Reads a URL. Nothing where the text is not an http or https URL with a host, holds a space or a control
/// character, or has a port outside 1 to 65535, a query or a fragment. Pure; any thread.
inline std::optional<url> parse_url(std::string_view text) {
    if (std::any_of(text.begin(), text.end(),
                    [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; }))
        return std::nullopt;
    url out;
    const auto colon = text.find("://");
    if (colon == std::string_view::npos) return std::nullopt;
    for (const char c : text.substr(0, colon)) out.scheme += to_lower(c);
    if (out.scheme != "http" && out.scheme != "https") return std::nullopt;
    text.remove_prefix(colon + 3);
    if (text.find_first_of("?#\\") != std::string_view::npos) return std::nullopt;

    const auto slash = std::min(text.find('/'), text.size());
    out.path = text.substr(slash);
    while (!out.path.empty() && out.path.back() == '/') out.path.pop_back();

    std::string_view authority = text.substr(0, slash);
    if (const auto at = authority.rfind('@'); at != std::string_view::npos) {
        out.userinfo = authority.substr(0, at);
        authority.remove_prefix(at + 1);
    }
    std::string_view port;
    if (!authority.empty() && authority.front() == '[') {
        const auto bracket = authority.find(']');
        if (bracket == std::string_view::npos) return std::nullopt;
        out.host = authority.substr(1, bracket - 1);
        if (out.host.find(':') == std::string::npos) return std::nullopt;
        port = authority.substr(bracket + 1);
        if (!port.empty() && port.front() != ':') return std::nullopt;
    } else {
        const auto end = std::min(authority.find(':'), authority.size());
        out.host = authority.substr(0, end);
        port = authority.substr(end);
    }
    if (out.host.empty()) return std::nullopt;
    if (port.empty()) {
        out.port = out.scheme == "https" ? 443 : 80;
    } else {
        port.remove_prefix(1);
        const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
        if (error != std::errc{} || end != port.data() + port.size() || out.port == 0) return std::nullopt;
    }
    return out;
}

}  // namespace detail

}  // namespace candor

#endif
