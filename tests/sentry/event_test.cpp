#include <candor/sentry/event.hpp>

#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace event_test {

using candor::sentry::module_image;
using candor::sentry::detail::is_release;
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

TEST_CASE("what a server forgets is no release") {
    std::string umlauts;
    for (int i = 0; i < 200; ++i) umlauts += "\u00e4";
    for (const std::string& text : {std::string{}, std::string{"acme@1.4.0"}, std::string{"..."},
                                    std::string{"latest@1"}, std::string(200, 'x'), umlauts}) {
        CAPTURE(text);
        CHECK(is_release(text));
    }
    for (const std::string& text :
         {std::string{"acme@feature/x"}, std::string{"acme@1\n"}, std::string{"a\rb"}, std::string{"."},
          std::string{".."}, std::string{"latest"}, std::string{"none"}, std::string(201, 'x'), umlauts + "x"}) {
        CAPTURE(text);
        CHECK_FALSE(is_release(text));
    }
}

}  // namespace event_test
