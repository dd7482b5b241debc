// Any bytes as what a client sends on a connection: however they are cut, the same requests are found in them, each
// within its bounds, and the same end.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <candor/httplib/request_reader.hpp>

#include "require.hpp"

namespace {

using candor::detail::request_part;
using candor::detail::request_reader;

struct found_request {
    candor::http_request_head head{};
    std::string body{};
    bool is_whole = false;
    bool is_last = false;
};

bool operator==(const found_request& a, const found_request& b) {
    return a.head.method == b.head.method && a.head.target == b.head.target && a.body == b.body &&
           a.is_whole == b.is_whole && a.is_last == b.is_last &&
           std::equal(a.head.headers.begin(), a.head.headers.end(), b.head.headers.begin(), b.head.headers.end(),
                      [](const auto& x, const auto& y) { return x.name == y.name && x.value == y.value; });
}

struct outcome {
    std::vector<found_request> requests{};
    int status = 0;
    bool is_in_request = false;

    bool operator==(const outcome&) const = default;
};

/// Reads `bytes`, cut where `next_size` says.
template <class Size>
outcome read(std::string_view bytes, Size next_size) {
    request_reader reader;
    outcome out;
    while (!bytes.empty() && out.status == 0) {
        const std::vector<char> piece{bytes.begin(), bytes.begin() + std::ptrdiff_t(next_size(bytes.size()))};
        bytes.remove_prefix(piece.size());
        std::string_view left{piece.data(), piece.size()};
        for (auto part = reader.next(left); part != request_part::nothing; part = reader.next(left)) {
            if (part == request_part::malformed) {
                out.status = reader.status();
                break;
            }
            if (part == request_part::head) {
                out.requests.push_back({.head = reader.take_head(), .is_last = reader.is_last()});
                require(reader.has_body() || reader.length() == 0, "a length is one of a body");
                continue;
            }
            require(!out.requests.empty() && !out.requests.back().is_whole, "a body has a head");
            if (part == request_part::end) {
                out.requests.back().is_whole = true;
            } else {
                require(!reader.piece().empty(), "a piece is of some size");
                out.requests.back().body += reader.piece();
            }
        }
        require(left.empty() || out.status != 0, "all bytes are used up");
    }
    out.is_in_request = reader.is_in_request();
    return out;
}

bool is_plain(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != 0x7f); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes{reinterpret_cast<const char*>(data), size};
    const auto whole = read(bytes, [](std::size_t left) { return left; });
    require(read(bytes, [](std::size_t) { return std::size_t{1}; }) == whole, "byte by byte it is the same");
    std::uint32_t random = 1;
    for (const char c : bytes.substr(0, 16)) random = random * 31 + static_cast<unsigned char>(c);
    const auto cut = read(bytes, [&](std::size_t left) {
        random = random * 1664525 + 1013904223;
        return std::min<std::size_t>(left, 1 + (random >> 16) % 64);
    });
    require(cut == whole, "in pieces of any size it is the same");

    constexpr int statuses[] = {0, 400, 414, 431, 501, 505};
    require(std::count(std::begin(statuses), std::end(statuses), whole.status) == 1, "an error is one of a few");
    for (const auto& found : whole.requests) {
        const auto& head = found.head;
        require(!head.method.empty() && !head.target.empty(), "a request asks for something");
        require(head.target.size() <= request_reader::longest_request_line, "a target is bounded");
        require(head.headers.size() <= request_reader::most_fields + 1, "fields are bounded");
        std::size_t length = 0;
        for (const auto& [name, value] : head.headers) {
            require(!name.empty() && is_plain(name) && is_plain(value), "a field is of text");
            require(name.find_first_of(": \t") == name.npos, "a name is one");
            length += name.size() + value.size();
        }
        require(length <= request_reader::most_head_bytes + request_reader::longest_request_line, "a head is bounded");
        const auto count = [&](std::string_view name) {
            return std::count_if(head.headers.begin(), head.headers.end(), [&](const auto& field) {
                return candor::detail::equal_ignoring_case(field.name, name);
            });
        };
        require(count("Host") <= 1, "there is one host");
        require(count("Transfer-Encoding") == 0 || count("Content-Length") == 0, "a body ends in one place");
        require(count("Transfer-Encoding") + count("Content-Length") > 0 || found.body.empty(), "a body is announced");
        require(found.is_whole || &found == &whole.requests.back(), "only the last request may be cut");
    }
    return 0;
}
