#ifndef CANDOR_SENTRY_CAPTURE_HPP
#define CANDOR_SENTRY_CAPTURE_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>

#if defined(__GLIBCXX__) || defined(_LIBCPP_VERSION)
#include <cxxabi.h>
#endif

#include <candor/identity/uuid.hpp>
#include <candor/sentry/severity.hpp>
#include <candor/sentry/stack.hpp>

namespace candor::sentry {

namespace detail {

/// An address in the function that calls it, just before what that function does next. Null where the compiler does not
/// say.
#if defined(__GNUC__)
[[gnu::noinline]] inline const void* here() noexcept { return __builtin_return_address(0); }
#else
inline const void* here() noexcept { return nullptr; }
#endif

}  // namespace detail

/// Where in the program something was captured. What `std::source_location` says, which not every supported compiler
/// has, and an address, by which the frames of candor's own functions, inlined or not, are told from the caller's.
struct source_location {
    const char* file = "";
    const char* function = "";
    std::uint32_t line = 0;
    const void* address = nullptr;

    /// Of the caller, where it stands as a default argument.
    [[nodiscard]] static source_location current(const char* file = __builtin_FILE(),
                                                 const char* function = __builtin_FUNCTION(),
                                                 std::uint32_t line = __builtin_LINE(),
                                                 const void* address = detail::here()) noexcept {
        return {file, function, line, address};
    }
};

namespace detail {

inline constexpr int most_exceptions = 10;  ///< of a chain; what lies deeper is left out
/// Bytes of one text that are copied. Much more than is sent, so that a secret is never cut before it is recognised.
inline constexpr std::size_t most_captured_text = 64 * 1024;

/// The name of a type as the compiler writes it, for programs without RTTI.
template <class T>
constexpr std::string_view static_type_name() noexcept {
#if defined(_MSC_VER)
    std::string_view name = __FUNCSIG__;
    constexpr std::string_view before = "static_type_name<", after = ">(void)";
#else
    std::string_view name = __PRETTY_FUNCTION__;
    constexpr std::string_view before = "T = ", after = "]";
#endif
    name.remove_prefix(std::min(name.find(before) + before.size(), name.size()));
    name = name.substr(0, name.rfind(after));
    return name.substr(0, name.find(';'));  // GCC says what std::string_view is, too
}

/// The name of an exception's type, without the wrapper that `std::throw_with_nested` puts around it.
inline std::string exception_type(const std::string& mangled) {
    std::string name = demangled(mangled.c_str());
    for (const std::string_view wrapper : {"std::_Nested_exception<", "std::__1::__nested<", "std::__nested<"}) {
        if (!name.starts_with(wrapper) || !name.ends_with('>')) continue;
        name.pop_back();
        name.erase(0, wrapper.size());
        while (name.ends_with(' ')) name.pop_back();
    }
    return name;
}

/// Calls `found(type, text)` for an exception and then for each one nested in it, the outermost first. Where the
/// program has RTTI, the type is the mangled name of the dynamic type, else it is `static_type`.
template <class Found>
void each_exception(const std::exception& outer, std::string_view static_type, const Found& found,
                    int most = most_exceptions);

template <class Found>
void each_exception(const std::exception_ptr& outer, const Found& found, int most = most_exceptions) {
    if (!outer || most == 0) return;
    try {
        std::rethrow_exception(outer);
    } catch (const std::exception& e) {
        each_exception(e, "std::exception", found, most);
    } catch (...) {
#if defined(__GLIBCXX__) || defined(_LIBCPP_VERSION)
        const std::type_info* type = abi::__cxa_current_exception_type();
        found(type != nullptr ? std::string_view{type->name()} : std::string_view{"foreign exception"}, {});
#else
        found("unknown exception", {});
#endif
    }
}

template <class Found>
void each_exception(const std::exception& outer, [[maybe_unused]] std::string_view static_type, const Found& found,
                    [[maybe_unused]] int most) {
    const char* text = outer.what();
    const std::string_view says = text == nullptr ? std::string_view{} : text;
#if defined(__cpp_rtti) || defined(_CPPRTTI)
    found(typeid(outer).name(), says);
    if (const auto* nested = dynamic_cast<const std::nested_exception*>(&outer); nested != nullptr)
        each_exception(nested->nested_ptr(), found, most - 1);
#else
    found(static_type, says);
#endif
}

/// The frames from the capturing function on: of all return addresses its own lies closest behind `where.address`. All
/// of them where that is not known.
inline std::span<void* const> callers(std::span<void* const> stack, const source_location& where) noexcept {
    if (where.address == nullptr) return stack;
    const auto distance = [&](const void* address) {
        return reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(where.address);
    };
    const auto own = std::min_element(stack.begin(), stack.end(),
                                      [&](const void* a, const void* b) { return distance(a) < distance(b); });
    return stack.subspan(own == stack.end() ? 0 : static_cast<std::size_t>(own - stack.begin()));
}

/// What the record of a capture begins with. The thread that captures writes it; the worker reads it and makes the
/// event, so that names are demangled and texts redacted there. Behind it stand the addresses of the stack, then for
/// each exception, the outermost first, its type and its text; for a message, an empty type and the text.
struct capture_header {
    uuid id{};
    std::int64_t timestamp = 0;  ///< nanoseconds since 1970
    source_location where{};
    const char* mechanism = "generic";  ///< what noticed the error
    severity level = severity::error;
    bool handled = true;
    bool is_event = false;  ///< the JSON of an event follows and nothing else
    std::uint32_t frames = 0;
};
static_assert(std::is_trivially_copyable_v<capture_header>);

inline void append(const void* data, std::size_t size, std::string& out) {
    if (size != 0) out.append(static_cast<const char*>(data), size);
}

/// A long text ends with a whole word, so that no part of a secret is left that would not be recognised.
inline void append_text(std::string_view text, std::string& out) {
    if (text.size() > most_captured_text) {
        text = text.substr(0, most_captured_text);
        if (const auto space = text.find_last_of(" \t\r\n"); space != std::string_view::npos)
            text = text.substr(0, space);
    }
    const auto size = static_cast<std::uint32_t>(text.size());
    append(&size, sizeof size, out);
    out += text;
}

}  // namespace detail

}  // namespace candor::sentry

#endif
