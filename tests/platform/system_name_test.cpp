#include <candor/platform/system_name.hpp>

#include <sys/utsname.h>

#include <string_view>

#include <doctest/doctest.h>

namespace system_name_test {

TEST_CASE("the system and the processor are those that the machine names") {
    struct utsname machine {};
    REQUIRE(::uname(&machine) == 0);
    const std::string_view system{machine.sysname}, processor{machine.machine};
    CHECK(candor::detail::system_name() == (system == "Darwin" ? std::string_view{"macOS"} : system));
    if (processor == "x86_64") CHECK(candor::detail::processor_name() == processor);
    if (processor == "aarch64") CHECK(std::string_view{candor::detail::processor_name()} == "arm64");
}

}  // namespace system_name_test
