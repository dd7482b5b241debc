#ifndef CANDOR_SENTRY_DSN_HPP
#define CANDOR_SENTRY_DSN_HPP

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <candor/policy/ascii.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/url.hpp>

namespace candor::sentry {

/// Where errors go and on whose behalf: `{scheme}://{public key}[:{secret}]@{host}[:{port}]{path}/{project}`
/// (getsentry/sentry-docs, SDK foundations, transport).
struct dsn {
    std::string public_key{};
    std::string project{};  ///< usually digits, but a string
    url server{};           ///< without user part; its path is what stands before the project

    /// Where envelopes are posted.
    [[nodiscard]] std::string envelope_url() const {
        return server.origin() + server.path + "/api/" + project + "/envelope/";
    }
};

/// Reads a DSN. The secret of old servers is passed over. Nothing where the text is no http or https URL with a public
/// key, a host and a project. Pure; any thread.
inline std::optional<dsn> parse_dsn(std::string_view text) {
    const auto is_name = [](std::string_view name) {
        return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
            return candor::detail::is_letter(c) || candor::detail::is_digit(c) || c == '-' || c == '_' || c == '.';
        });
    };
    auto server = candor::detail::parse_url(text);
    if (!server) return std::nullopt;
    dsn out;
    out.public_key = server->userinfo.substr(0, server->userinfo.find(':'));
    const auto slash = server->path.rfind('/');
    if (slash == std::string::npos) return std::nullopt;
    out.project = server->path.substr(slash + 1);
    if (!is_name(out.public_key) || !is_name(out.project)) return std::nullopt;
    server->path.resize(slash);
    while (!server->path.empty() && server->path.back() == '/') server->path.pop_back();
    server->userinfo.clear();
    out.server = *std::move(server);
    return out;
}

namespace detail {

/// Throws `configuration_error`, which does not repeat the keys, where `text` is no DSN.
inline dsn checked_dsn(std::string_view field, std::string_view text) {
    if (auto read = parse_dsn(text)) return *std::move(read);
    throw configuration_error{field, candor::detail::without_userinfo(text),
                              "https://PUBLIC_KEY@HOST/PROJECT, or http, with port and path where needed"};
}

}  // namespace detail

}  // namespace candor::sentry

#endif
