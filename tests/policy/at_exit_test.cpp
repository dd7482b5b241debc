#include <candor/policy/at_exit.hpp>

#include <atomic>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include <unistd.h>

#include <support/child_process.hpp>

#include <doctest/doctest.h>

namespace at_exit_test {

namespace {

using candor::detail::at_exit;

/// Says its letter when the process ends.
struct object {
    explicit object(int descriptor, char letter) : output{descriptor}, name{letter} {}
    static void speak(void* self) noexcept {
        const auto& me = *static_cast<object*>(self);
        static_cast<void>(::write(me.output, &me.name, 1));
    }
    int output;
    char name;
    at_exit end{speak, this};
};

std::string said_by(void (*program)(int)) {
    return run_in_child([&](int output) {
               program(output);
               return 0;
           })
        .said;
}

}  // namespace

TEST_CASE("what lives when the process ends is called, the newest first") {
    CHECK(said_by([](int output) {
              const object a{output, 'a'};
              { const object gone{output, 'x'}; }
              const object b{output, 'b'};
              std::exit(0);
          }) == "ba");
}

TEST_CASE("quick_exit calls it too, _exit does not") {
    CHECK(said_by([](int output) {
              const object a{output, 'a'};
              std::quick_exit(0);
          }) == "a");
    CHECK(said_by([](int output) {
              const object a{output, 'a'};
              ::_exit(0);
          }) == "");
}

TEST_CASE("a child leaves its parent's objects alone") {
    CHECK(said_by([](int output) {
              const object a{output, 'p'};
              if (::fork() == 0) {
                  const object b{output, 'c'};
                  std::exit(0);
              }
              ::wait(nullptr);
              ::_exit(0);
          }) == "c");
}

TEST_CASE("a destructor waits for the call that is under way") {
    CHECK(said_by([](int output) {
              static std::atomic<bool> is_called, is_destroyed;
              static int descriptor = output;
              struct slow {
                  static void call(void*) noexcept {
                      is_called = true;
                      // As long as the other thread may take to destroy the object, if it does not wait.
                      for (int i = 0; i < 100'000 && !is_destroyed; ++i) std::this_thread::yield();
                      static_cast<void>(::write(descriptor, is_destroyed ? "gone" : "kept", 4));
                  }
                  at_exit end{call, this};
              };
              static std::optional<slow> object{std::in_place};
              std::thread{[] {
                  while (!is_called) std::this_thread::yield();
                  object.reset();
                  is_destroyed = true;
              }}.detach();
              std::quick_exit(0);
          }) == "kept");
}

}  // namespace at_exit_test
