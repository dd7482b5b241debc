#include <candor/identity/account.hpp>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace account_test {

namespace {

using candor::account;
using candor::detail::cached_account;

}  // namespace

TEST_CASE("the account source is asked when first needed, and once") {
    int asked = 0;
    cached_account cache{[&] {
        ++asked;
        return std::optional{account{.user_id = "u1", .team_id = "t1"}};
    }};
    CHECK(asked == 0);
    for (int i = 0; i < 3; ++i) {
        REQUIRE(cache.get());
        CHECK(cache.get()->user_id == "u1");
        CHECK(cache.get()->team_id == "t1");
    }
    CHECK(asked == 1);
}

TEST_CASE("that there is no account is remembered as well") {
    int asked = 0;
    cached_account cache{[&] {
        ++asked;
        return std::optional<account>{};
    }};
    CHECK_FALSE(cache.get());
    CHECK_FALSE(cache.get());
    CHECK(asked == 1);
}

TEST_CASE("a source that throws gives no account and one diagnostic without the exception's text") {
    int asked = 0;
    std::vector<std::string> heard;
    cached_account cache{[&]() -> std::optional<account> {
                             if (++asked == 1) throw std::runtime_error{"GET /me?token=hunter2 failed"};
                             throw 7;
                         },
                         [&](std::string_view text) { heard.emplace_back(text); }};
    CHECK_FALSE(cache.get());
    CHECK_FALSE(cache.get());
    CHECK(asked == 1);
    CHECK(heard == std::vector<std::string>{"the account source threw; events are sent without an account"});
    cache.refresh();
    CHECK_FALSE(cache.get());
    CHECK(asked == 2);
    CHECK(heard.size() == 2);
}

TEST_CASE("after a refresh the source is asked again, when needed") {
    int asked = 0;
    cached_account cache{[&]() -> std::optional<account> {
        if (++asked == 3) throw std::runtime_error{"offline"};
        return asked == 1 ? std::nullopt : std::optional{account{.user_id = "u2"}};
    }};
    CHECK_FALSE(cache.get());
    cache.refresh();
    cache.refresh();
    CHECK(asked == 1);
    REQUIRE(cache.get());
    CHECK(cache.get()->user_id == "u2");
    CHECK(asked == 2);
    cache.refresh();
    CHECK_FALSE(cache.get());  // not the account of before: somebody else may be logged in
    CHECK(asked == 3);
}

TEST_CASE("without a source there is no account and no diagnostic") {
    int heard = 0;
    cached_account cache{{}, [&](std::string_view) { ++heard; }};
    CHECK_FALSE(cache.get());
    CHECK(heard == 0);
}

TEST_CASE("a source that asks for the account itself is not asked again for it") {
    int asked = 0;
    cached_account* self = nullptr;
    cached_account cache{[&] {
        ++asked;
        CHECK_FALSE(self->get());
        return std::optional{account{.user_id = "u1"}};
    }};
    self = &cache;
    CHECK(cache.get());
    CHECK(asked == 1);
}

}  // namespace account_test
