#ifndef CANDOR_SENTRY_EVENT_HPP
#define CANDOR_SENTRY_EVENT_HPP

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/identity/uuid.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/utf8.hpp>
#include <candor/sentry/breadcrumbs.hpp>
#include <candor/sentry/severity.hpp>
#include <candor/sentry/stack.hpp>

namespace candor::sentry {

/// One call of a stack.
struct frame {
    std::uint64_t instruction_addr = 0;  ///< 0 where only the source is known
    std::string function{};
    std::string package{};   ///< the program or library, without its directory
    std::string filename{};  ///< of the source, without its directory
    std::uint32_t line = 0;
};

/// One exception of a chain, or one crash.
struct exception {
    std::string type{};
    std::string value{};
    std::string mechanism = "generic";
    bool handled = true;
    std::map<std::string, std::string> mechanism_data{};
    std::vector<frame> frames{};  ///< the newest first
};

/// What is reported of one error (getsentry/sentry-docs, SDK data model, event payloads). `before_send` may change all
/// of it but its id and time. Every text passes the redactor when it is written.
struct event {
    uuid id{};
    wall_time timestamp{};
    severity level = severity::error;
    std::string release{};                  ///< `name@version`
    std::string message{};                  ///< empty where an exception says it all
    std::vector<exception> exceptions{};    ///< the innermost cause first
    std::vector<breadcrumb> breadcrumbs{};  ///< the oldest first
    std::map<std::string, std::string> tags{};
    std::map<std::string, std::map<std::string, std::string>> contexts{};
    std::vector<module_image> modules{};  ///< those that frames lie in
};

namespace detail {

/// What a server takes as a release; it forgets any other.
inline constexpr const char* release_rule =
    "at most 200 characters without / and line breaks, and neither ., .., latest nor none";

/// Whether it keeps that rule. An empty one says nothing.
inline bool is_release(std::string_view text) noexcept {
    constexpr std::size_t most_characters = 200;
    const auto characters = text.size() - static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
                                return candor::detail::is_continuation(c);
                            }));
    return characters <= most_characters && text.find_first_of("/\r\n") == text.npos && text != "." && text != ".." &&
           text != "latest" && text != "none";
}

/// An address as Sentry writes it.
inline std::string hexadecimal(std::uint64_t value) {
    char digits[16];
    return "0x" + std::string(digits, std::to_chars(digits, digits + sizeof digits, value, 16).ptr);
}

/// The frame of an address, and its module added to those of the event.
inline frame make_frame(std::uint64_t address, std::string function, const std::vector<module_image>& loaded,
                        std::vector<module_image>& used) {
    frame out{.instruction_addr = address, .function = std::move(function)};
    const auto holds = [address](const module_image& m) { return address - m.address < m.size; };
    const auto found = std::find_if(loaded.begin(), loaded.end(), holds);
    if (found == loaded.end()) return out;
    out.package = found->file;
    if (std::none_of(used.begin(), used.end(), holds)) used.push_back(*found);
    return out;
}

}  // namespace detail

}  // namespace candor::sentry

#endif
