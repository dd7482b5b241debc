#include <candor/platform/standard_streams.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <string>

#include <support/child_process.hpp>

#include <doctest/doctest.h>

namespace standard_streams_test {

namespace {

bool is_null(int number) {
    struct stat found {
    }, null{};
    return ::fstat(number, &found) == 0 && ::stat("/dev/null", &null) == 0 && found.st_rdev == null.st_rdev;
}

}  // namespace

TEST_CASE("each standard stream that is missing becomes /dev/null, which programs do not inherit; the others stay") {
    for (int missing = 0; missing < 8; ++missing) {
        CAPTURE(missing);
        const auto child = run_in_child([missing](int output) {
            for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
                ::dup2(output, stream);
                if ((missing & (1 << stream)) != 0) ::close(stream);
            }
            errno = ENOENT;
            candor::detail::occupy_standard_streams();
            if (errno != ENOENT) return 1;
            for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
                const bool was_missing = (missing & (1 << stream)) != 0;
                if (is_null(stream) != was_missing) return 2;
                if (::fcntl(stream, F_GETFD) != (was_missing ? FD_CLOEXEC : 0)) return 3;
                if (::write(stream, "x", 1) != 1) return 4;
            }
            const int next = ::dup(output);
            candor::detail::occupy_standard_streams();
            ::close(next);
            return next > STDERR_FILENO && ::dup(output) == next ? 0 : 5;
        });
        CHECK(child.exit_code() == 0);
        CHECK(child.said ==
              std::string(3 - static_cast<std::size_t>(__builtin_popcount(static_cast<unsigned>(missing))), 'x'));
    }
}

}  // namespace standard_streams_test
