#include <candor/platform/at_exit.hpp>

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

TEST_CASE("two threads that end a process meet in two copies of candor, and it ends") {
    static std::atomic<int> calls;
    struct object_of_this_copy {
        static void call(void*) noexcept {
            // The first thread stays until the other one comes, which it does not where a system lets them end the
            // process one after the other.
            ++calls;
            for (int i = 0; i < 1'000'000 && calls < 2; ++i) std::this_thread::yield();
        }
        at_exit end{call, this};
    };
    // The other copy lets the thread go on that comes there first, and keeps the other one for ever.
    static std::atomic<std::thread::id> first_in_other_copy;
    const auto end_other_copy = [] {
        std::thread::id nobody{};
        first_in_other_copy.compare_exchange_strong(nobody, std::this_thread::get_id());
        while (first_in_other_copy.load() != std::this_thread::get_id()) ::pause();
    };
    const auto end = run_in_child([&](int) {
        static const object_of_this_copy object;
        std::atexit(end_other_copy);                // the first thread, which is not the first one there
        at_exit::come_first<struct earlier_use>();  // the second
        std::atexit(end_other_copy);                // the second
        at_exit::come_first<struct later_use>();    // the first
        std::thread{[] {
            while (calls == 0) std::this_thread::yield();
            std::exit(7);
        }}.detach();
        std::exit(7);
        return 0;
    });
    CHECK(end.exit_code() == 7);
}

}  // namespace at_exit_test
