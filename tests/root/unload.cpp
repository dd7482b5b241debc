// Unloads a library with candor in it at many moments, and ends in each way.
// usage: unload LIBRARY; exit status 0 where every child ended as it would have without candor.
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using way = std::string;

long threads() {
    return std::distance(std::filesystem::directory_iterator{"/proc/self/task"}, std::filesystem::directory_iterator{});
}

/// A port of 127.0.0.1 that takes connections and never answers.
std::string silent_server() {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener, 100) != 0 ||
        ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        std::abort();
    return "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

[[noreturn]] void run(const char* library, const way& use, const way& end, const std::string& silent) {
    ::alarm(60);
    const rlimit no_core{};
    ::setrlimit(RLIMIT_CORE, &no_core);
    std::array<int, 2> ready{}, release{};
    if (::pipe(ready.data()) != 0 || ::pipe(release.data()) != 0) ::_exit(90);
    void* const handle = ::dlopen(library, RTLD_NOW);
    if (handle == nullptr) ::_exit((std::fprintf(stderr, "%s\n", ::dlerror()), 91));
    const auto use_candor =
        reinterpret_cast<void (*)(const char*, const char*, int, int)>(::dlsym(handle, "use_candor"));
    use_candor(use.c_str(), use == "request" ? silent.c_str() : "http://127.0.0.1:1", ready[1], release[0]);
    char byte = 0;
    if (use != "request" && ::read(ready[0], &byte, 1) != 1) ::_exit(92);
    ::dlclose(handle);
    if (::write(release[1], "r", 1) != 1) ::_exit(93);
    // What was left behind comes back now, and ends; a sanitizer may have a thread of its own.
    if (use == "resolving")
        for (int i = 0; i < 10'000 && threads() > 1; ++i) std::this_thread::yield();
    if (end == "fork") {
        const pid_t child = ::fork();
        if (child == 0) std::exit(0);
        int status = 0;
        if (::waitpid(child, &status, 0) != child || status != 0) ::_exit(94);
    }
    if (end == "abort") std::abort();
    if (end == "quick_exit") std::quick_exit(0);
    std::exit(0);
}

}  // namespace

int main(int, char** argv) {
    const auto silent = silent_server();
    int failures = 0;
    for (const way use : {"resolving", "resolving_on", "request", "callback", "shut_down", "handlers"}) {
        for (const way end : {"exit", "fork", "abort", "quick_exit"}) {
            const pid_t child = ::fork();
            if (child == 0) run(argv[1], use, end, silent);
            int status = 0;
            ::waitpid(child, &status, 0);
            const bool is_well = end == "abort" ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT : status == 0;
            if (is_well) continue;
            std::fprintf(stderr, "unloaded while %s, then %s: status %d\n", use.c_str(), end.c_str(), status);
            ++failures;
        }
    }
    return failures == 0 ? 0 : 1;
}
