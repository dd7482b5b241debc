// A program that reports one failure to the Sentry server of its argument, a DSN, as any program would.
#include <chrono>
#include <exception>
#include <iostream>
#include <stdexcept>

#include <candor/candor.hpp>

namespace {

void write_file() { throw std::runtime_error{"no space left on device"}; }

void run_sync() {
    try {
        write_file();
    } catch (...) {
        std::throw_with_nested(std::logic_error{"the sync failed"});
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    try {
        candor::sentry::client errors{{.dsn = argv[1],
                                       .release = "acme@1.4.0",
                                       .tags = {{"plugin", "aws"}},
                                       .shutdown_timeout = std::chrono::seconds{10}}};
        errors.add_breadcrumb("sync", "started");
        try {
            run_sync();
        } catch (const std::exception& failure) {
            errors.capture(failure);
        }
        errors.capture_message(candor::sentry::severity::warning, "that was all");
        if (errors.flush(std::chrono::seconds{30})) return 0;
        std::cerr << "report: not delivered\n";
    } catch (const std::exception& failure) {
        std::cerr << "report: " << failure.what() << '\n';
    }
    return 1;
}
