#include <candor/sentry/capture.hpp>

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <candor/event/record_reader.hpp>

#include <doctest/doctest.h>

namespace capture_test {

using candor::detail::record_reader;
using candor::sentry::detail::each_exception;
using candor::sentry::detail::exception_type;

namespace {

using seen = std::vector<std::pair<std::string, std::string>>;

struct lost_connection : std::runtime_error {
    using std::runtime_error::runtime_error;
};

template <class What>
seen chain_of(const What& what) {
    seen out;
    const auto note = [&](std::string_view type, std::string_view text) {
        out.emplace_back(exception_type(std::string{type}), text);
    };
    if constexpr (std::is_same_v<What, std::exception_ptr>) {
        each_exception(what, note);
    } else {
        each_exception(what, "static", note);
    }
    return out;
}

std::exception_ptr nested(int depth) {
    try {
        try {
            if (depth == 0) throw lost_connection{"0"};
            std::rethrow_exception(nested(depth - 1));
        } catch (...) {
            if (depth == 0) throw;
            std::throw_with_nested(std::runtime_error{std::to_string(depth)});
        }
    } catch (...) {
        return std::current_exception();
    }
}

}  // namespace

TEST_CASE("a chain of exceptions is told from the outermost to its cause, by dynamic types") {
    CHECK(chain_of(nested(2)) == seen{{"std::runtime_error", "2"},
                                      {"std::runtime_error", "1"},
                                      {"capture_test::(anonymous namespace)::lost_connection", "0"}});
    const lost_connection gone{"gone"};
    const std::exception& base = gone;
    CHECK(chain_of(base) == seen{{"capture_test::(anonymous namespace)::lost_connection", "gone"}});
}

TEST_CASE("a long chain ends, and a null one is none") {
    CHECK(chain_of(nested(50)).size() == 10);
    CHECK(chain_of(std::exception_ptr{}).empty());
}

TEST_CASE("what is no std::exception is known by its type") {
    CHECK(chain_of(std::make_exception_ptr(42)) == seen{{"int", ""}});
}

TEST_CASE("an exception whose text is null has none") {
    struct silent : std::exception {
        [[nodiscard]] const char* what() const noexcept override { return nullptr; }
    };
    CHECK(chain_of(silent{})[0].second.empty());
}

TEST_CASE("without RTTI the static type's name would be sent") {
    CHECK(candor::sentry::detail::static_type_name<std::runtime_error>() == "std::runtime_error");
    CHECK(candor::sentry::detail::static_type_name<lost_connection>().find("lost_connection") !=
          std::string_view::npos);
}

TEST_CASE("a location is where its default argument stands") {
    const auto here = candor::sentry::source_location::current();
    CHECK(std::string_view{here.file}.find("capture_test.cpp") != std::string_view::npos);
    CHECK(here.line == __LINE__ - 2);
    CHECK(here.function[0] != '\0');
    CHECK(here.address != nullptr);
}

TEST_CASE("the stack begins with the function that captures, whatever stands above it") {
    char code[1000];
    const candor::sentry::source_location where{.line = 1, .address = code + 100};
    void* const stack[] = {code + 900, code + 50, code + 110, code + 300, code + 10};
    const auto callers = candor::sentry::detail::callers(stack, where);
    REQUIRE(callers.size() == 3);
    CHECK(callers[0] == code + 110);
    CHECK(candor::sentry::detail::callers(stack, {}).size() == 5);
    CHECK(candor::sentry::detail::callers({}, where).empty());
}

TEST_CASE("what is appended is read again, a long text cut") {
    std::string record;
    const int number = 7;
    candor::sentry::detail::append(&number, sizeof number, record);
    candor::sentry::detail::append_text("a", record);
    candor::sentry::detail::append_text({}, record);
    candor::sentry::detail::append_text(std::string(100'000, 'x'), record);
    record_reader reader{record};
    CHECK(reader.take<int>() == 7);
    CHECK(reader.take_text() == "a");
    CHECK(reader.take_text().empty());
    CHECK_FALSE(reader.is_empty());
    CHECK(reader.take_text() == std::string(65536, 'x'));
    CHECK(reader.is_empty());
}

TEST_CASE("a long text is cut between words, so that no secret is cut in two") {
    std::string record;
    candor::sentry::detail::append_text(std::string(65500, 'x') + " token-" + std::string(100, 's'), record);
    record_reader reader{record};
    CHECK(reader.take_text() == std::string(65500, 'x'));
}

}  // namespace capture_test
