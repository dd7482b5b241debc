// A disk and a name server that are slow, hang, fail or lie: a library that a program is started under (LD_PRELOAD).
//
//     SYSTEM_FAULTS=rename=hang,pwrite=50     what goes wrong, by call
//     SYSTEM_FAULTS_UNDER=DIRECTORY           whose files are meant
//
// A call hangs for ever (`hang`), takes so many milliseconds more (`50`), fails with that errno (`e28`), does nothing
// and says that it did (`lie`), or ends the program with status 97 (`exit`). The calls are open, pwrite, fsync, rename,
// flock, unlink, close, each with its kin, and getaddrinfo.
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>

namespace {

std::string_view variable(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? std::string_view{} : value;
}

std::string_view fault_of(std::string_view call) {
    for (auto rest = variable("SYSTEM_FAULTS"); !rest.empty();) {
        const auto one = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), one.size() + 1));
        if (one.starts_with(call) && one.substr(call.size()).starts_with('=')) return one.substr(call.size() + 1);
    }
    return {};
}

bool is_meant(std::string_view path) {
    const auto directory = variable("SYSTEM_FAULTS_UNDER");
    return !directory.empty() && path.starts_with(directory);
}

bool is_meant(int file) {
    std::array<char, 4096> path{};
    std::array<char, 32> link{};
    std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", file);
    const auto size = ::readlink(link.data(), path.data(), path.size());
    return size > 0 && is_meant(std::string_view{path.data(), static_cast<std::size_t>(size)});
}

bool is_meant(int directory, const char* name) { return name[0] == '/' ? is_meant(name) : is_meant(directory); }

int number(std::string_view text) {
    int out = 0;
    std::from_chars(text.data(), text.data() + text.size(), out);
    return out;
}

enum class outcome { real, fails, pretends };

outcome outcome_of(std::string_view call) {
    const auto fault = fault_of(call);
    if (fault.empty()) return outcome::real;
    if (fault == "lie") return outcome::pretends;
    if (fault == "exit") ::_exit(97);
    while (fault == "hang") ::pause();
    if (fault.starts_with('e')) {
        errno = number(fault.substr(1));
        return outcome::fails;
    }
    const int wait = number(fault);
    timespec left{wait / 1000, wait % 1000 * 1'000'000L};
    while (::nanosleep(&left, &left) != 0) {
    }
    return outcome::real;
}

/// What the call that this library stands before would answer, or `pretended`.
template <class Result, class... Arguments>
Result answer(std::string_view call, bool is_meant, const char* symbol, Result pretended, Arguments... arguments) {
    const auto kept = errno;
    switch (is_meant ? outcome_of(call) : outcome::real) {
        case outcome::fails:
            return static_cast<Result>(-1);
        case outcome::pretends:
            return pretended;
        case outcome::real:
            break;
    }
    errno = kept;
    return reinterpret_cast<Result (*)(Arguments...)>(::dlsym(RTLD_NEXT, symbol))(arguments...);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
    std::va_list rest;
    va_start(rest, flags);
    const auto mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return answer("open", is_meant(path), "open", -1, path, flags, mode);
}

int openat(int directory, const char* name, int flags, ...) {
    std::va_list rest;
    va_start(rest, flags);
    const auto mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return answer("open", is_meant(directory, name), "openat", -1, directory, name, flags, mode);
}

ssize_t write(int file, const void* bytes, std::size_t size) {
    return answer("pwrite", is_meant(file), "write", static_cast<ssize_t>(size), file, bytes, size);
}

ssize_t pwrite(int file, const void* bytes, std::size_t size, off_t at) {
    return answer("pwrite", is_meant(file), "pwrite", static_cast<ssize_t>(size), file, bytes, size, at);
}

int fsync(int file) { return answer("fsync", is_meant(file), "fsync", 0, file); }
int fdatasync(int file) { return answer("fsync", is_meant(file), "fdatasync", 0, file); }

int rename(const char* from, const char* to) noexcept {
    return answer("rename", is_meant(from), "rename", 0, from, to);
}

int renameat(int from_directory, const char* from, int to_directory, const char* to) noexcept {
    return answer("rename", is_meant(from_directory, from), "renameat", 0, from_directory, from, to_directory, to);
}

int flock(int file, int operation) noexcept { return answer("flock", is_meant(file), "flock", 0, file, operation); }
int unlink(const char* path) noexcept { return answer("unlink", is_meant(path), "unlink", 0, path); }

int unlinkat(int directory, const char* name, int flags) noexcept {
    return answer("unlink", is_meant(directory, name), "unlinkat", 0, directory, name, flags);
}

int close(int file) { return answer("close", is_meant(file), "close", 0, file); }

int getaddrinfo(const char* host, const char* service, const addrinfo* wanted, addrinfo** found) {
    return answer("getaddrinfo", true, "getaddrinfo", EAI_AGAIN, host, service, wanted, found);
}
}
