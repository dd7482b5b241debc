#include <candor/sentry/event.hpp>

#include <vector>

#include <doctest/doctest.h>

namespace event_test {

using candor::sentry::module_image;
using candor::sentry::detail::make_frame;

TEST_CASE("a frame names the module that its address lies in, and the event keeps that module once") {
    const std::vector<module_image> loaded{{.file = "/opt/acme/bin/acme", .address = 0x1000, .size = 0x1000},
                                           {.file = "/lib/libother.so", .address = 0x5000, .size = 0x100}};
    std::vector<module_image> used;
    CHECK(make_frame(0x1000, "first", loaded, used).package == "/opt/acme/bin/acme");
    CHECK(make_frame(0x1fff, "last", loaded, used).package == "/opt/acme/bin/acme");
    CHECK(used.size() == 1);
    CHECK(make_frame(0x2000, "behind", loaded, used).package.empty());
    CHECK(make_frame(0xfff, "before", loaded, used).package.empty());
    CHECK(used.size() == 1);
    const auto other = make_frame(0x50ff, "other", loaded, used);
    CHECK(other.instruction_addr == 0x50ff);
    CHECK(other.function == "other");
    CHECK(used.size() == 2);
}

}  // namespace event_test
