#ifndef CANDOR_EXAMPLES_PROGRESS_HPP
#define CANDOR_EXAMPLES_PROGRESS_HPP

#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>

#ifndef _WIN32
#include <unistd.h>
#endif

namespace tally {

/// One line on standard error that is written over again and again, and is gone in the end. Nothing where standard
/// error is no terminal.
class progress_line {
public:
    progress_line() = default;
    progress_line(const progress_line&) = delete;
    progress_line& operator=(const progress_line&) = delete;
    ~progress_line() {
        if (!shown_.empty()) std::cerr << clear << std::flush;
    }

    [[nodiscard]] static bool wanted() {
#ifdef _WIN32
        return false;
#else
        const char* terminal = std::getenv("TERM");
        return ::isatty(STDERR_FILENO) == 1 && terminal != nullptr && std::string_view{terminal} != "dumb";
#endif
    }

    /// `text` is shorter than a line and has no control characters.
    void show(std::string text) {
        if (text == shown_) return;
        std::cerr << clear << text << std::flush;
        shown_ = std::move(text);
    }

private:
    static constexpr std::string_view clear = "\r\x1b[K";  // to the first column, and everything from there

    std::string shown_{};
};

}  // namespace tally

#endif
