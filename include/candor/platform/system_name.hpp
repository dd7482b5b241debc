#ifndef CANDOR_PLATFORM_SYSTEM_NAME_HPP
#define CANDOR_PLATFORM_SYSTEM_NAME_HPP

namespace candor::detail {

/// The family of operating systems for which this is compiled.
constexpr const char* system_name() noexcept {
#if defined(_WIN32)
    return "Windows";
#elif defined(__APPLE__)
    return "macOS";
#elif defined(__linux__)
    return "Linux";
#else
    return "Unix";
#endif
}

/// The family of processors for which this is compiled.
constexpr const char* processor_name() noexcept {
#if defined(__x86_64__) || defined(_M_X64)
    return "x86_64";
#elif defined(__aarch64__) || defined(_M_ARM64)
    return "arm64";
#else
    return sizeof(void*) == 8 ? "64 bits" : "32 bits";
#endif
}

}  // namespace candor::detail

#endif
