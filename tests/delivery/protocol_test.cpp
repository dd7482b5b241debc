#include <candor/delivery/protocol.hpp>

#include <doctest/doctest.h>

#include "line_protocol.hpp"

namespace protocol_test {

namespace {

struct no_judge {
    static constexpr std::size_t envelope_size = 0;
    static constexpr std::size_t message_overhead = 0;
    candor::detail::preparation prepare(std::string_view, std::string&);
    candor::http_request request();
    void write_body(const candor::detail::message_range&, candor::wall_time, std::string&);
};

struct judges_by_bool : no_judge {
    bool judge(const candor::http_response&, candor::wall_time);
};

}  // namespace

static_assert(candor::detail::protocol<candor::tests::line_protocol>);
static_assert(!candor::detail::protocol<no_judge>);
static_assert(!candor::detail::protocol<judges_by_bool>);

TEST_CASE("a range gives the text of each of its messages, and what they counted as") {
    const candor::detail::message messages[] = {{.offset = 0, .size = 2, .record_size = 10},
                                                {.offset = 2, .size = 3, .record_size = 20}};
    const candor::detail::message_range range{"abcde", messages};
    CHECK(range.text(messages[0]) == "ab");
    CHECK(range.text(messages[1]) == "cde");
    CHECK(range.record_size() == 30);
}

}  // namespace protocol_test
