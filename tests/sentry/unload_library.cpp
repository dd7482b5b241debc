// A shared library without candor, which throws. `unload.cpp` loads it, captures what it threw and unloads it.
#include <exception>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "unload.hpp"

namespace {

struct own_error : std::exception {
    own_error() = default;
    own_error(const own_error&) = default;
    own_error& operator=(const own_error&) = default;
    ~own_error() override {}
};

struct own_value {
    own_value() = default;
    own_value(const own_value&) = default;
    own_value& operator=(const own_value&) = default;
    ~own_value() { destroyed = true; }
    static inline volatile bool destroyed = false;
};

}  // namespace

extern "C" void fail(const char* how);
extern "C" void fail(const char* how) {
    const std::string_view name = how;
    if (name == "own") throw own_error{};
    if (name == "value") throw own_value{};
    if (name == "shared") throw shared_error{};
    if (name == "made") std::rethrow_exception(std::make_exception_ptr(std::runtime_error{"made"}));
    if (name == "optional") static_cast<void>(std::optional<int>{}.value());
    if (name == "nested") {
        try {
            throw own_value{};
        } catch (...) {
            std::throw_with_nested(std::runtime_error{"nested"});
        }
    }
    throw std::runtime_error{"the runtime's"};
}
