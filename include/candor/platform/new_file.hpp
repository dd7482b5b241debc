#ifndef CANDOR_PLATFORM_NEW_FILE_HPP
#define CANDOR_PLATFORM_NEW_FILE_HPP

#include <filesystem>

#ifdef _WIN32
#include <stdio.h>
#else
#include <cerrno>

#include <fcntl.h>
#endif

#include <candor/platform/descriptor.hpp>
#include <candor/platform/standard_streams.hpp>

namespace candor::detail {

/// Makes an empty file, for this user alone, under a name that is not taken, not even by a link. Returns 0 or what went
/// wrong: EEXIST where the name is taken. Of several processes at once, one makes it. Thread-safe.
inline int make_new_file(const std::filesystem::path& path) noexcept {
#ifdef _WIN32
    FILE* file = nullptr;
    if (const auto error = ::_wfopen_s(&file, path.c_str(), L"wbx"); error != 0) return error;
    ::fclose(file);
    return 0;
#else
    occupy_standard_streams();
    const descriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    return file ? 0 : errno;
#endif
}

}  // namespace candor::detail

#endif
