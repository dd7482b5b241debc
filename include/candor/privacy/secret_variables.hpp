#ifndef CANDOR_PRIVACY_SECRET_VARIABLES_HPP
#define CANDOR_PRIVACY_SECRET_VARIABLES_HPP

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/platform/directories.hpp>
#include <candor/policy/ascii.hpp>
#include <candor/policy/environment.hpp>
#include <candor/privacy/text_ranges.hpp>

/// What the environment says that must not leave the machine.
namespace candor::detail::privacy {

/// Whether a variable of that name holds a secret, by its words: `DB_PASSWORD`, `GITHUB_TOKEN`, `AWS_ACCESS_KEY_ID`. A
/// name whose end says that it is about one (`…_TOKEN_FILE`, `…_KEY_TYPE`) does not.
inline bool is_secret_variable(std::string_view name) {
    std::string lower{name};
    for (auto& c : lower) c = is_alphanumeric(c) ? to_lower(c) : '_';
    const std::string_view whole{lower};
    const auto contains = [&](std::string_view part) { return whole.find(part) != std::string_view::npos; };
    const auto has_word = [&](std::string_view word) {
        for (auto at = whole.find(word); at != std::string_view::npos; at = whole.find(word, at + 1)) {
            const auto end = at + word.size();
            if ((at == 0 || whole[at - 1] == '_') && (end == whole.size() || whole[end] == '_')) return true;
        }
        return false;
    };
    static constexpr std::string_view parts[] = {"token",      "secret", "password",   "passwd",   "passphrase",
                                                 "credential", "apikey", "privatekey", "accesskey"};
    static constexpr std::string_view words[] = {"key", "pass", "pwd", "auth", "dsn", "jwt", "pat", "cookie"};
    if (std::none_of(std::begin(parts), std::end(parts), contains) &&
        std::none_of(std::begin(words), std::end(words), has_word))
        return false;

    static constexpr std::string_view harmless[] = {
        "pwd", "google_application_credentials",  // a directory, a file
        "sentry_dsn",                             // every copy of a program has it
    };
    static constexpr std::string_view ends_of_harmless[] = {
        "_sentry_dsn", "_file",      "_path",   "_dir",    "_sock",   "_name",     "_type",    "_endpoint",
        "_endpoints",  "_region",    "_arn",    "_url",    "_host",   "_port",     "_ttl",     "_timeout",
        "_lifetime",   "_size",      "_length", "_bits",   "_method", "_provider", "_enabled", "_count",
        "_limit",      "_algorithm", "_prompt", "_helper", "_version"};
    const auto ends_name = [&](std::string_view end) { return whole.ends_with(end); };
    return std::find(std::begin(harmless), std::end(harmless), whole) == std::end(harmless) &&
           std::none_of(std::begin(ends_of_harmless), std::end(ends_of_harmless), ends_name);
}

/// Whether that is a word of ordinary messages, or a user name that half of all machines have: with these taken out,
/// there would be nothing left to read.
inline bool is_common_word(std::string_view text) noexcept {
    static constexpr std::string_view words[] = {
        "root",       "user",      "users",         "admin",    "administrator", "home",        "nobody",
        "daemon",     "guest",     "system",        "local",    "public",        "default",     "test",
        "tests",      "tester",    "testing",       "dev",      "developer",     "develop",     "development",
        "production", "staging",   "build",         "builder",  "runner",        "actions",     "jenkins",
        "circleci",   "gitlab",    "gitlab-runner", "github",   "ubuntu",        "debian",      "centos",
        "fedora",     "alpine",    "linux",         "windows",  "ec2-user",      "azureuser",   "vagrant",
        "docker",     "container", "node",          "python",   "postgres",      "mysql",       "redis",
        "mongo",      "www-data",  "nginx",         "apache",   "app",           "application", "program",
        "server",     "service",   "client",        "host",     "localhost",     "http",        "https",
        "vscode",     "codespace", "runneradmin",   "data",     "database",      "file",        "path",
        "name",       "error",     "none",          "null",     "true",          "false",       "auto",
        "always",     "never",     "enabled",       "disabled", "enable",        "disable",     "optional",
        "required",   "will",      "mark",          "sync",     "work",          "worker",      "main",
        "master",     "demo",      "example",       "sample",   "basic",         "bearer",      "token",
        "pass",       "password",  "secret",        "plain",    "empty",         "unknown"};
    return std::any_of(std::begin(words), std::end(words),
                       [&](std::string_view w) { return equal_ignoring_case(text, w); });
}

/// The shortest secret, and the shortest name, that is looked for: a shorter one would be found in ordinary words.
inline constexpr std::size_t shortest_secret = 4;

/// Whether the value of such a variable is worth hiding: no switch, no small number, not blank, and not too short.
inline bool is_secret_value(std::string_view value) noexcept {
    constexpr std::size_t shortest_number = 6;
    if (value.size() < shortest_secret || is_common_word(value)) return false;
    if (std::all_of(value.begin(), value.end(), is_space)) return false;
    return value.size() >= shortest_number || !std::all_of(value.begin(), value.end(), is_digit);
}

/// Whether that names a person: not a role, nor a word that messages are made of.
inline bool is_personal_name(std::string_view name) noexcept {
    const auto separates = [](char c) { return c == '/' || c == '\\' || is_space(c); };
    return name.size() >= shortest_secret && !is_common_word(name) &&
           std::none_of(name.begin(), name.end(), separates) && !std::all_of(name.begin(), name.end(), is_digit);
}

/// The values of the variables that hold secrets; none where the environment cannot say what it has.
template <environment Environment>
std::vector<std::string> secrets_of(const Environment& of) {
    std::vector<std::string> out;
    const auto visit = [&](std::string_view name, std::string_view value) {
        if (is_secret_variable(name) && is_secret_value(value)) out.emplace_back(value);
    };
    if constexpr (requires { of.each(visit); }) of.each(visit);
    return out;
}

/// The names of the user, from the variables that hold them and from the home directory. A service runs as a user of
/// its own name, so the name of `program` is not a person's.
template <environment Environment>
std::vector<std::string> user_names(const Environment& of, std::string_view program) {
    std::vector<std::string> out;
    const auto add = [&](std::string name) {
        if (is_personal_name(name) && !equal_ignoring_case(name, program) &&
            std::find(out.begin(), out.end(), name) == out.end())
            out.push_back(std::move(name));
    };
    for (const char* variable : {"USER", "LOGNAME", "USERNAME"})
        if (auto value = of.get(variable)) add(std::move(*value));
    if (const auto home = home_directory(of)) {
        const auto path = home->lexically_normal();
        add((path.has_filename() ? path : path.parent_path()).filename().string());
    }
    return out;
}

}  // namespace candor::detail::privacy

#endif
