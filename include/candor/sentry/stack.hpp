#ifndef CANDOR_SENTRY_STACK_HPP
#define CANDOR_SENTRY_STACK_HPP

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iterator>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/platform/windows.hpp>  // before <unwind.h>, which may bring its part

#ifdef _MSC_VER
#include <version>
#ifdef __cpp_lib_stacktrace
#include <stacktrace>
#endif
#else
#include <cxxabi.h>
#include <unwind.h>
#endif
#if defined(__GLIBC__) || defined(__APPLE__)
#include <execinfo.h>
#endif
#ifdef __linux__
#include <elf.h>
#include <link.h>
#include <sys/types.h>
#include <unistd.h>
#endif

#include <candor/identity/uuid.hpp>
#include <candor/policy/hex.hpp>

namespace candor::sentry {

/// The most frames of a stack that are captured and sent.
inline constexpr std::size_t most_frames = 50;

/// A program or library in the memory of a process, with what a server needs to find its debug information.
struct module_image {
    std::string file{};         ///< path as the loader knows it; in the record of a crash the name alone
    std::string build_id{};     ///< lower-case hex; empty where the file was linked without one
    std::string debug_id{};     ///< the build id in the form that Sentry goes by; empty without one
    std::uint64_t address = 0;  ///< where it begins
    std::uint64_t size = 0;     ///< bytes from there

    friend bool operator==(const module_image&, const module_image&) = default;
};

namespace detail {

/// The last part of a path: the directories before it reveal where somebody builds or keeps programs.
inline std::string_view file_name(std::string_view path) noexcept {
    const auto separator = path.find_last_of("/\\");
    return separator == std::string_view::npos ? path : path.substr(separator + 1);
}

/// A build id as Sentry names debug information (getsentry/symbolic, debug identifiers): the first 16 bytes as a UUID
/// whose first three fields were little-endian numbers in a little-endian file. Empty where `build_id` is no hex.
inline std::string debug_id_of(std::string_view build_id) {
    std::array<std::uint8_t, 16> bytes{};
    if (build_id.empty() || build_id.size() % 2 != 0) return {};
    for (std::size_t i = 0; i < std::min(build_id.size() / 2, bytes.size()); ++i) {
        const int byte = candor::detail::hex_byte(build_id.substr(2 * i));
        if (byte < 0) return {};
        bytes[i] = static_cast<std::uint8_t>(byte);
    }
    if constexpr (std::endian::native == std::endian::little) {
        std::reverse(bytes.begin(), bytes.begin() + 4);
        std::reverse(bytes.begin() + 4, bytes.begin() + 6);
        std::reverse(bytes.begin() + 6, bytes.begin() + 8);
    }
    return uuid{bytes}.to_string();
}

#ifdef _MSC_VER
/// Calls `visit(instruction pointer)` for each frame of the calling thread, newest first, until that returns false.
/// Takes no memory. Its own frame may be the first.
template <class Visit>
void walk_stack(Visit& visit) noexcept {
    void* addresses[most_frames + 14];  // the handler of a crash has some above it
    const auto count = ::CaptureStackBackTrace(0, static_cast<DWORD>(std::size(addresses)), addresses, nullptr);
    for (DWORD i = 0; i < count && visit(reinterpret_cast<std::uintptr_t>(addresses[i])); ++i) {
    }
}
#else
/// Calls `visit(instruction pointer)` for each frame of the calling thread, newest first, until that returns false.
/// After a first call anywhere in the process it takes no memory, which is what a signal handler needs. Its own frame
/// is the caller's.
template <class Visit>
[[gnu::always_inline]] inline void walk_stack(Visit& visit) noexcept {
    const auto step = [](_Unwind_Context* context, void* argument) -> _Unwind_Reason_Code {
        const auto address = static_cast<std::uintptr_t>(_Unwind_GetIP(context));
        return (*static_cast<Visit*>(argument))(address) ? _URC_NO_REASON : _URC_END_OF_STACK;
    };
    _Unwind_Backtrace(step, &visit);
}
#endif

#ifdef __linux__
/// The build id among the notes of a segment, in hex (the ELF specification, note section; GNU's type 3).
inline std::string build_id_in(const char* notes, std::size_t size, std::size_t alignment) {
    const auto padded = [&](std::size_t length) { return (length + alignment - 1) / alignment * alignment; };
    ElfW(Nhdr) note;
    while (size >= sizeof note) {
        std::memcpy(&note, notes, sizeof note);
        notes += sizeof note;
        size -= sizeof note;
        if (note.n_namesz > size || padded(note.n_namesz) > size) break;
        const std::size_t name = padded(note.n_namesz);
        if (note.n_descsz > size - name) break;
        if (note.n_type == NT_GNU_BUILD_ID && std::string_view{notes, note.n_namesz} == std::string_view{"GNU", 4}) {
            std::string out;
            for (std::size_t i = 0; i < note.n_descsz; ++i) out += candor::detail::hex_pair(notes[name + i]);
            return out;
        }
        const std::size_t whole = std::min(name + padded(note.n_descsz), size);
        notes += whole;
        size -= whole;
    }
    return {};
}

/// What the loader says of one image. Nothing of a size where it holds no memory.
inline module_image describe_image(const dl_phdr_info& info) {
    module_image out;
    const std::span headers{info.dlpi_phdr, info.dlpi_phnum};
    ElfW(Addr) begin = 0, end = 0;
    for (const auto& header : headers) {
        if (header.p_type != PT_LOAD || header.p_memsz == 0) continue;
        begin = end == 0 ? header.p_vaddr : std::min(begin, header.p_vaddr);
        end = std::max(end, header.p_vaddr + header.p_memsz);
    }
    out.file = info.dlpi_name != nullptr ? info.dlpi_name : "";
    out.address = info.dlpi_addr + begin;
    out.size = end - begin;
    for (const auto& header : headers) {
        if (header.p_type != PT_NOTE || !out.build_id.empty()) continue;
        // A tool may have left notes in the file that no segment loads: nothing to be read in memory.
        const bool is_loaded = std::any_of(headers.begin(), headers.end(), [&](const auto& load) {
            return load.p_type == PT_LOAD && (load.p_flags & PF_R) != 0 && header.p_vaddr >= load.p_vaddr &&
                   header.p_memsz <= load.p_filesz && header.p_vaddr - load.p_vaddr <= load.p_filesz - header.p_memsz;
        });
        if (is_loaded)
            out.build_id = build_id_in(reinterpret_cast<const char*>(info.dlpi_addr + header.p_vaddr), header.p_memsz,
                                       header.p_align == 8 ? 8 : 4);
    }
    out.debug_id = debug_id_of(out.build_id);
    return out;
}
#endif

}  // namespace detail

/// Writes the return addresses of the calling thread's stack to `out`, newest first, without this function's own frame
/// and the `skip` newest after it, and returns how many: at most `most_frames`. By the unwinder of the C++ runtime
/// (`<unwind.h>`), about 5 us for 20 frames; with MSVC by `<stacktrace>` in C++23, else none there. Takes no memory
/// after its first call. Any thread.
#ifndef _MSC_VER
[[gnu::noinline]]
#endif
inline std::size_t
capture_stack(std::span<void*> out, std::size_t skip = 0) noexcept {
    const std::size_t most = std::min(out.size(), most_frames);
    std::size_t count = 0;
#ifndef _MSC_VER
    std::size_t passed = 0;
    auto visit = [&](std::uintptr_t address) {
        // The first frame is this function's.
        if (passed++ <= skip) return true;
        if (count == most || address == 0) return false;  // above the first function there is nothing
        out[count++] = reinterpret_cast<void*>(address);
        return true;
    };
    detail::walk_stack(visit);
#elif defined(__cpp_lib_stacktrace)
    try {
        for (const auto& entry : std::stacktrace::current(skip + 1, most)) out[count++] = entry.native_handle();
    } catch (const std::exception&) {  // no memory
    }
#else
    static_cast<void>(most);
    static_cast<void>(skip);
#endif
    return count;
}

/// The program and the libraries that are loaded now, the program first. Linux; elsewhere none. Takes the loader's
/// lock: not for signal handlers. Throws `std::bad_alloc`. Any thread.
inline std::vector<module_image> loaded_modules() {
    std::vector<module_image> out;
#ifdef __linux__
    const auto add = [](dl_phdr_info* info, std::size_t, void* argument) -> int {
        auto& modules = *static_cast<std::vector<module_image>*>(argument);
        try {
            auto image = detail::describe_image(*info);
            if (image.size != 0) modules.push_back(std::move(image));
            return 0;
        } catch (const std::bad_alloc&) {  // must not pass through the loader, which is C
            return 1;
        }
    };
    if (::dl_iterate_phdr(add, &out) != 0) throw std::bad_alloc{};
    if (!out.empty() && out.front().file.empty()) {  // the program has no name there
        char path[4096];
        const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
        if (length > 0) out.front().file.assign(path, static_cast<std::size_t>(length));
    }
#endif
    return out;
}

namespace detail {

/// The type or function that a mangled name stands for, or the name itself where it is none.
inline std::string demangled(const char* mangled) {
#ifndef _MSC_VER
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> name{abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                           &std::free};
    if (status == 0 && name) return name.get();
#endif
    return mangled;
}

/// The function that a return address lies in, demangled; empty where it is not known. Known are only the symbols that
/// the loader has: those of shared libraries, and of a program linked with -rdynamic. glibc and macOS; elsewhere none.
/// Slow, and takes memory: for the worker.
inline std::string symbol_name(const void* return_address) {
#if defined(__GLIBC__) || defined(__APPLE__)
    // The call stands before the address, which may already belong to the next function.
    void* const call = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(return_address) - 1);
    const std::unique_ptr<char*, decltype(&std::free)> lines{::backtrace_symbols(&call, 1), &std::free};
    if (!lines) return {};
    std::string_view text{*lines};
#ifdef __APPLE__
    const auto end = text.rfind(" + ");  // 0   program   0x0000000100003f5c _ZN1a1bEv + 28
    if (end == std::string_view::npos) return {};
    const auto begin = text.rfind(' ', end - 1) + 1;
#else
    const auto begin = text.rfind('(') + 1;  // program(_ZN1a1bEv+0x1c) [0x55d0c5d0a1e9]
    const auto end = text.find_first_of("+)", begin);
    if (begin == 0 || end == std::string_view::npos) return {};
#endif
    return demangled(std::string{text.substr(begin, end - begin)}.c_str());
#else
    static_cast<void>(return_address);
    return {};
#endif
}

}  // namespace detail

}  // namespace candor::sentry

#endif
