#ifndef CANDOR_HTTPLIB_REQUEST_EXCHANGE_HPP
#define CANDOR_HTTPLIB_REQUEST_EXCHANGE_HPP

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <candor/httplib/inflate.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/server.hpp>

namespace candor::detail {

/// Memory that several threads share. Thread-safe.
class byte_budget {
public:
    explicit byte_budget(std::size_t size) noexcept : left_{size} {}

    bool take(std::size_t bytes) noexcept {
        auto left = left_.load(std::memory_order_relaxed);
        while (left >= bytes) {
            if (left_.compare_exchange_weak(left, left - bytes, std::memory_order_relaxed)) return true;
        }
        return false;
    }
    void give_back(std::size_t bytes) noexcept { left_.fetch_add(bytes, std::memory_order_relaxed); }

private:
    std::atomic<std::size_t> left_;
};

/// One request from its head to its answer: gathers the body, decompressed, and asks the service. What it gathers is
/// within `body_limit` and takes from a budget that all requests share. One thread at a time.
class request_exchange {
public:
    /// What all exchanges of a server share. The service outlives it.
    struct environment {
        environment(http_service& asked, std::size_t limit) noexcept
            : service{asked}, body_limit{limit}, budget{limit > SIZE_MAX / 2 ? limit : limit * 2} {}

        http_service& service;
        const std::size_t body_limit;
        byte_budget budget;
    };

    request_exchange(environment& around, http_request_head head) noexcept
        : around_{around}, head_{std::move(head)}, decoder_{coding_of(head_).value_or(content_coding::identity)} {}
    request_exchange(const request_exchange&) = delete;
    request_exchange& operator=(const request_exchange&) = delete;
    ~request_exchange() { around_.budget.give_back(body_.size()); }

    [[nodiscard]] const http_request_head& head() const noexcept { return head_; }

    // Each of these returns the answer where there is one; then nothing more is asked of the exchange.

    /// The head is whole. `length` is that of the body as it comes, 0 where it is not known.
    std::optional<http_response> begin(std::uint64_t length) noexcept {
        if (auto early = around_.service.begin(head_)) return early;
        if (!coding_of(head_)) return refuse(body_error::encoding);
        if (length > around_.body_limit) return refuse(body_error::too_large);
        return std::nullopt;
    }

    std::optional<http_response> take(std::string_view piece) noexcept {
        try {
            received_ += piece.size();
            if (received_ > around_.body_limit) return refuse(body_error::too_large);
            if (const auto problem = decoder_.decode(piece, [&](std::string_view plain) { return append(plain); }))
                return refuse(*problem);
            return std::nullopt;
        } catch (const std::bad_alloc&) {
            return refuse(body_error::overloaded);
        }
    }

    http_response end() noexcept {
        return decoder_.is_whole() ? around_.service.complete(head_, body_) : refuse(body_error::undecodable);
    }

    http_response refuse(body_error why) noexcept { return around_.service.refuse(head_, why); }

private:
    static std::optional<content_coding> coding_of(const http_request_head& head) noexcept {
        const auto* const coding = head.header("Content-Encoding");
        return parse_content_coding(coding == nullptr ? "" : *coding);
    }

    std::optional<body_error> append(std::string_view plain) {
        if (plain.size() > around_.body_limit - body_.size()) return body_error::too_large;
        if (!around_.budget.take(plain.size())) return body_error::overloaded;
        try {
            body_ += plain;
        } catch (...) {
            around_.budget.give_back(plain.size());
            throw;
        }
        return std::nullopt;
    }

    environment& around_;
    http_request_head head_;
    body_decoder decoder_;
    std::size_t received_ = 0;
    std::string body_;
};

}  // namespace candor::detail

#endif
