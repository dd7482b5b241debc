#ifndef CANDOR_HTTPLIB_PROXY_HPP
#define CANDOR_HTTPLIB_PROXY_HPP

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <candor/httplib/resolver.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/hex.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/url.hpp>

namespace candor::detail {

/// How a server is reached: directly (`host` empty), through an HTTP proxy, or not at all (`error` set).
struct proxy_route {
    std::string host{};
    std::uint16_t port = 0;
    std::string user{};      ///< decoded
    std::string password{};  ///< decoded
    std::string error{};     ///< for a person; names the variable, never its value, which may hold a password
};

/// The proxy variables, read and obeyed as curl does (https://curl.se/docs/manpage.html, "ENVIRONMENT"): `http_proxy`
/// in lower case only (a CGI program gets `HTTP_PROXY` from its client), `https_proxy` or `HTTPS_PROXY`, else
/// `all_proxy` or `ALL_PROXY`, but for the hosts of `no_proxy` or `NO_PROXY`. Immutable; any thread.
class proxy_settings {
public:
    template <environment Environment>
    explicit proxy_settings(const Environment& environment)
        : http_{first(environment, {"http_proxy", "all_proxy", "ALL_PROXY"})},
          https_{first(environment, {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})},
          exempt_{first(environment, {"no_proxy", "NO_PROXY"}).value} {}

    [[nodiscard]] proxy_route route_to(const url& server) const {
        const auto& chosen = server.scheme == "https" ? https_ : http_;
        if (chosen.value.empty() || is_exempt(server.host)) return {};
        return parse(chosen);
    }

private:
    struct variable {
        std::string name{};
        std::string value{};
    };

    template <class Environment>
    static variable first(const Environment& environment, std::initializer_list<const char*> names) {
        for (const char* name : names) {
            if (auto value = non_empty(environment, name)) return {name, std::move(*value)};
        }
        return {};
    }

    static proxy_route parse(const variable& from) {
        proxy_route out;
        out.error = from.name + " does not name a usable proxy; allowed: [http://][user:password@]host[:port]";
        const auto mark = from.value.find("://");
        const std::string rest = mark == std::string::npos ? from.value : from.value.substr(mark + 3);
        const auto read = parse_url(mark == std::string::npos ? "http://" + rest : from.value);
        if (!read || read->scheme != "http") return out;  // proxies over TLS and SOCKS are not supported
        const bool default_port = parse_url("https://" + rest)->port != read->port;
        const auto colon = std::min(read->userinfo.find(':'), read->userinfo.size());
        auto user = decoded(std::string_view{read->userinfo}.substr(0, colon));
        auto password = decoded(std::string_view{read->userinfo}.substr(std::min(colon + 1, read->userinfo.size())));
        if (!user || !password) return out;
        return {read->host, default_port ? std::uint16_t{1080} : read->port, std::move(*user), std::move(*password)};
    }

    /// `text` without percent-encoding; nothing where it is malformed or hides a control character.
    static std::optional<std::string> decoded(std::string_view text) {
        std::string out;
        for (std::size_t i = 0; i < text.size(); ++i) {
            unsigned char byte = static_cast<unsigned char>(text[i]);
            if (byte == '%') {
                const int escaped = hex_byte(text.substr(i + 1));
                if (escaped < 0) return std::nullopt;
                byte = static_cast<unsigned char>(escaped);
                i += 2;
            }
            if (byte < 0x20 || byte == 0x7f) return std::nullopt;
            out += static_cast<char>(byte);
        }
        return out;
    }

    [[nodiscard]] bool is_exempt(std::string_view host) const {
        if (exempt_ == "*") return true;
        std::string_view list = exempt_;
        while (!list.empty()) {
            const auto end = std::min(list.find_first_of(", \t"), list.size());
            if (matches(list.substr(0, end), host)) return true;
            list.remove_prefix(std::min(end + 1, list.size()));
        }
        return false;
    }

    static bool matches(std::string_view entry, std::string_view host) {
        if (entry.size() > 1 && entry.front() == '[' && entry.back() == ']') entry = entry.substr(1, entry.size() - 2);
        if (is_address(std::string{host})) return in_network(entry, host);
        if (!entry.empty() && entry.front() == '.') entry.remove_prefix(1);
        if (!entry.empty() && entry.back() == '.') entry.remove_suffix(1);
        if (!host.empty() && host.back() == '.') host.remove_suffix(1);
        if (entry.empty() || entry.size() > host.size()) return false;
        const auto tail =
            host.size() - entry.size();  // example.com is for itself and a.example.com, not for badexample.com
        return equal_ignoring_case(host.substr(tail), entry) && (tail == 0 || host[tail - 1] == '.');
    }

    /// Whether the address `host` is `entry`, or lies in it where that is a network such as 10.0.0.0/8.
    static bool in_network(std::string_view entry, std::string_view host) {
        const auto slash = std::min(entry.find('/'), entry.size());
        const std::string network{entry.substr(0, slash)};
        const std::string address{host};
        for (const int family : {AF_INET, AF_INET6}) {
            unsigned char a[16] = {};
            unsigned char b[16] = {};
            if (::inet_pton(family, network.c_str(), a) != 1 || ::inet_pton(family, address.c_str(), b) != 1) continue;
            unsigned bits = family == AF_INET ? 32 : 128;
            if (slash < entry.size()) {
                const auto length = entry.substr(slash + 1);
                unsigned given = 0;
                const auto [end, failure] = std::from_chars(length.data(), length.data() + length.size(), given);
                if (failure != std::errc{} || end != length.data() + length.size() || given > bits) return false;
                bits = given;
            }
            for (unsigned i = 0; i < bits; ++i) {
                if (((a[i / 8] ^ b[i / 8]) >> (7 - i % 8)) & 1) return false;
            }
            return true;
        }
        return false;
    }

    variable http_;
    variable https_;
    std::string exempt_;
};

}  // namespace candor::detail

#endif
