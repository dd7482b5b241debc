// What the program of `unload.sh` and the library that it loads both know.
#ifndef CANDOR_TESTS_SENTRY_UNLOAD_HPP
#define CANDOR_TESTS_SENTRY_UNLOAD_HPP

#include <exception>
#include <string>

/// All of it is inline: the program and the library each have their own of what is not exported.
class __attribute__((visibility("default"))) shared_error : public std::exception {
public:
    [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

private:
    std::string text_ = "a text that is too long for the string itself";
};

#endif
