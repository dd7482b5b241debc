#include <candor/sentry/last_exception.hpp>

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include <doctest/doctest.h>

namespace last_exception_test {

using candor::sentry::detail::last_exception;

namespace {

/// Says when it is destroyed, and captures another exception then.
class meddling : public std::exception {
public:
    meddling(last_exception& last, int& destroyed) noexcept : last_{&last}, destroyed_{&destroyed} {}
    meddling(const meddling&) = delete;
    meddling& operator=(const meddling&) = delete;
    ~meddling() override {
        ++*destroyed_;
        last_->is_repeated(std::runtime_error{"not thrown"});
        try {
            throw std::logic_error{"thrown"};
        } catch (const std::exception& e) {
            last_->is_repeated(e);
        }
    }

private:
    last_exception* last_;
    int* destroyed_;
};

/// Whether an exception of the function is recognised when it is caught for the second time.
template <class Throw>
bool is_recognised(const Throw& throw_it) {
    last_exception last;
    try {
        try {
            throw_it();
        } catch (const std::exception& e) {
            CHECK_FALSE(last.is_repeated(e));
            throw;
        } catch (...) {
            CHECK_FALSE(last.is_repeated(std::current_exception()));
            throw;
        }
    } catch (const std::exception& e) {
        return last.is_repeated(e);
    } catch (...) {
        return last.is_repeated(std::current_exception());
    }
    return false;
}

}  // namespace

// What a library throws that can be unloaded is in `unload.sh`.
TEST_CASE("an exception of the program or of the C++ runtime is recognised") {
    struct own : std::exception {};
    CHECK(is_recognised([] { throw own{}; }));
    CHECK(is_recognised([] { throw std::runtime_error{"plain"}; }));
    CHECK(is_recognised([] { static_cast<void>(std::string{}.at(1)); }));
    CHECK(is_recognised([] { std::rethrow_exception(std::make_exception_ptr(own{})); }));
    CHECK(is_recognised([] { throw 42; }));
    CHECK(is_recognised([] { throw std::string{"no exception"}; }));
    CHECK(is_recognised([] {
        try {
            throw 42;
        } catch (...) {
            try {
                std::throw_with_nested(own{});
            } catch (...) {
                std::throw_with_nested(std::runtime_error{"outer"});
            }
        }
    }));
}

TEST_CASE("the destructor of an exception may capture") {
    int destroyed = 0;
    last_exception last;
    const auto capture = [&] {
        try {
            throw meddling{last, destroyed};
        } catch (const std::exception& e) {
            CHECK_FALSE(last.is_repeated(e));
        }
    };
    capture();
    CHECK(destroyed == 0);
    capture();  // of which the first one's destructor takes the place
    CHECK(destroyed == 2);
    try {
        throw meddling{last, destroyed};
    } catch (...) {
        CHECK_FALSE(last.is_repeated(std::current_exception()));
    }
    last.forget();
    CHECK(destroyed == 3);
}

}  // namespace last_exception_test
