#include <candor/delivery/request_size.hpp>

#include <cstddef>

#include <doctest/doctest.h>

namespace request_size_test {

namespace {

using candor::detail::request_limits;
using candor::detail::request_size;

/// How many requests `messages` take at a server that takes at most so many of them in each, or so many bytes.
std::size_t requests(request_size& size, std::size_t messages, std::size_t bytes_each, const request_limits& server) {
    std::size_t out = 0;
    for (auto left = messages; left > 0; ++out) {
        request_limits next{left, left * bytes_each};
        const auto& most = size.limits();
        while (next.messages > 1 && (next.messages > most.messages || next.bytes > most.bytes))
            --next.messages, next.bytes -= bytes_each;
        if (next.messages > server.messages) {
            size.limited(next.messages);
        } else {
            // What is too large is halved at once.
            while (next.bytes > server.bytes && next.messages > 1) {
                size.too_large(next);
                next = {next.messages / 2, next.messages / 2 * bytes_each};
                ++out;
            }
            size.passed(next);
            left -= next.messages;
        }
    }
    return out;
}

}  // namespace

TEST_CASE("a batch that never passes a rate limit is halved after some refusals in a row, and what passes is kept to") {
    request_size size{{.messages = 250, .bytes = 512'000}};
    size.limited(250);
    size.limited(250);
    CHECK(size.limits().messages == 250);
    size.passed({100, 1000});  // not in a row
    size.limited(250);
    size.limited(250);
    CHECK(size.limits().messages == 250);
    size.limited(250);
    CHECK(size.limits().messages == 125);
    for (int i = 0; i < 3; ++i) size.limited(125);
    CHECK(size.limits().messages == 62);
    for (int i = 0; i < 9; ++i) size.passed({62, 1000});
    CHECK(size.limits().messages == 62);
    size.passed({62, 1000});  // more is tried again
    CHECK(size.limits().messages == 124);
    for (int i = 0; i < 30; ++i) size.passed({62, 1000});
    CHECK(size.limits().messages == 250);
    for (int i = 0; i < 30; ++i) size.limited(1);  // one message cannot be halved
    CHECK(size.limits().messages == 250);
}

TEST_CASE(
    "what a server takes of a size is learnt from what it refuses: forty-eight messages in hardly more requests") {
    request_size size{{.messages = 250, .bytes = 10'000'000}};
    const request_limits server{.messages = 250, .bytes = 6 * 1000};
    CHECK(requests(size, 48, 1000, server) == 3 + 8);  // three are refused
    CHECK(requests(size, 48, 1000, server) == 8);
}

TEST_CASE("a single message that is too large says nothing of the others") {
    request_size size{{.messages = 250, .bytes = 512'000}};
    size.too_large({48, 400'000});
    size.too_large({24, 390'000});
    size.passed({24, 10'000});
    CHECK(size.limits().bytes < 390'000);
    size.too_large({1, 380'000});
    CHECK(size.limits().bytes == 512'000);
    size.passed({47, 20'000});
    CHECK(size.limits().bytes == 512'000);
}

}  // namespace request_size_test
