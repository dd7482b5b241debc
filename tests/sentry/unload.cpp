// Captures an exception that a shared library throws, unloads the library, and lets go of the exception.
// usage: unload LIBRARY WAY END
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include <dlfcn.h>

#include <candor/sentry/client.hpp>
#include <candor/testing.hpp>

#include "unload.hpp"

int main(int, char** argv) {
    const std::string way = argv[2], end = argv[3];
    candor::testing::recording_transport transport;
    candor::testing::manual_clock clock;
    using client = candor::sentry::basic_client<candor::testing::recording_transport, candor::testing::manual_clock>;
    auto errors =
        std::make_unique<client>(candor::sentry::client_options{.dsn = "http://key@127.0.0.1:1/1"}, transport, clock);
    void* const library = ::dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return std::fprintf(stderr, "%s\n", ::dlerror()), 2;
    const auto fail = reinterpret_cast<void (*)(const char*)>(::dlsym(library, "fail"));
    auto answer = candor::admission::invalid;
    try {
        if (way != "outer") fail(way.c_str());
        try {
            fail("own");
        } catch (...) {
            std::throw_with_nested(shared_error{});
        }
    } catch (const std::exception& e) {
        answer = errors->capture(e);
    } catch (...) {
        answer = errors->capture(std::current_exception());
    }
    if (answer != candor::admission::accepted) return 3;
    ::dlclose(library);
    if (::dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) != nullptr) return std::fprintf(stderr, "still loaded\n"), 4;
    if (end == "next") {
        try {
            throw shared_error{};
        } catch (const std::exception& e) {
            if (errors->capture(e) != candor::admission::accepted) return 5;
            if (errors->capture(e) != candor::admission::duplicate) return 6;
        }
    }
    if (end == "shutdown") errors->shutdown();
    errors.reset();
    return 0;
}
