#include <candor/platform/fork.hpp>

#include <array>
#include <cerrno>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <support/child_process.hpp>

#include <doctest/doctest.h>

namespace fork_test {

namespace {

using candor::detail::closed_in_child;
using candor::detail::count_forks;
using candor::detail::per_process;

struct counted {
    counted() : number{++made} {}
    ~counted() { ++destroyed; }
    int number;
    static inline int made = 0;
    static inline int destroyed = 0;
};

/// What the program says when it runs in a child: its answer is the exit code, and 0 means yes.
template <class Program>
bool holds_in_child(Program program) {
    return run_in_child([&](int) { return program() ? 0 : 1; }).exit_code() == 0;
}

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) != -1; }

std::array<int, 2> make_pipe() {
    std::array<int, 2> out{};
    REQUIRE(::pipe2(out.data(), O_CLOEXEC) == 0);
    return out;
}

}  // namespace

TEST_CASE("each process has its own, made when it is needed, and a parent's is neither used nor destroyed") {
    counted::made = counted::destroyed = 0;
    std::optional<per_process<counted>> all{std::in_place, [] { return std::make_unique<counted>(); }};
    CHECK(all->find()->number == 1);
    CHECK(all->get() == all->find());
    CHECK(holds_in_child([&] {
        const auto* const parents = all->find();
        const bool had_none = parents == nullptr && counted::made == 1;
        const bool has_one = all->get()->number == 2 && all->find() == all->get();
        const bool grandchild = holds_in_child([&] { return all->find() == nullptr && all->get()->number == 3; });
        all.reset();
        return had_none && has_one && grandchild && counted::destroyed == 1;
    }));
    CHECK(holds_in_child([&] {
        all.reset();  // before it made one
        return counted::destroyed == 0;
    }));
    CHECK(counted::made == 1);
    all.reset();
    CHECK(counted::destroyed == 1);
}

TEST_CASE("a child makes none after its parent retired it, or where that fails") {
    bool fails = false;
    per_process<counted> all{[&] {
        if (fails) throw std::bad_alloc{};
        return std::make_unique<counted>();
    }};
    fails = true;
    CHECK(holds_in_child([&] {
        const bool failed = all.get() == nullptr;
        fails = false;
        return failed && all.get() != nullptr;  // the next time it may do
    }));
    fails = false;
    all.retire();
    CHECK(all.get() != nullptr);
    CHECK(holds_in_child([&] { return all.get() == nullptr && all.is_retired(); }));
    CHECK_THROWS_AS(per_process<counted>([]() -> std::unique_ptr<counted> { throw std::runtime_error{"none"}; }),
                    std::runtime_error);
}

TEST_CASE("threads of a child that come first at the same time share one") {
    per_process<counted> all{[] { return std::make_unique<counted>(); }};
    CHECK(holds_in_child([&] {
        std::array<counted*, 4> got{};
        {
            std::vector<std::thread> threads;
            for (auto& mine : got) threads.emplace_back([&all, &mine] { mine = all.get(); });
            for (auto& thread : threads) thread.join();
        }
        return std::set<counted*>(got.begin(), got.end()).size() == 1 && got[0] != nullptr;
    }));
}

TEST_CASE("a child closes the descriptors that are its parent's alone, at once and no others") {
    count_forks();
    const auto kept = make_pipe();
    const auto own = make_pipe();
    const auto twins = make_pipe();
    const auto reused = make_pipe();
    {
        const closed_in_child first{own[0]};
        closed_in_child moved;
        moved = closed_in_child{own[1]};
        const int duplicate = ::fcntl(twins[0], F_DUPFD_CLOEXEC, 0);
        const closed_in_child with_twin{duplicate, twins[0]};
        // The number of the twin means another file by now.
        const closed_in_child with_stranger{reused[0], kept[1]};
        const closed_in_child none{-1};
        CHECK(holds_in_child([&] {
            return !is_open(own[0]) && !is_open(own[1]) && !is_open(duplicate) && !is_open(twins[0]) &&
                   !is_open(reused[0]) && is_open(kept[0]) && is_open(kept[1]) && is_open(twins[1]);
        }));
        CHECK(is_open(own[0]));
        moved.end();
        CHECK(holds_in_child([&] { return !is_open(own[0]) && is_open(own[1]); }));
        ::close(duplicate);
    }
    CHECK(holds_in_child([&] { return is_open(own[0]) && is_open(twins[0]); }));
    for (const auto& pipe : {kept, own, twins, reused}) {
        for (const int end : pipe) ::close(end);
    }
}

TEST_CASE("more descriptors than the table has room for stay open in a child") {
    count_forks();
    std::vector<closed_in_child> all;
    const auto pipe = make_pipe();
    for (std::size_t i = 0; i < candor::detail::descriptors_of_parent.size(); ++i) all.emplace_back(pipe[0]);
    const closed_in_child last{pipe[1]};
    CHECK(holds_in_child([&] { return !is_open(pipe[0]) && is_open(pipe[1]); }));
    all.pop_back();
    const closed_in_child now_there_is_room{pipe[1]};
    CHECK(holds_in_child([&] { return !is_open(pipe[1]); }));
    all.clear();
    for (const int end : pipe) ::close(end);
}

}  // namespace fork_test
