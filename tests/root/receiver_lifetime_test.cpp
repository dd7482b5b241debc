// rows 46 and 51: what a receiver's callback may do to it and to the process, whatever another thread does at that
// moment, and a disk that does not return.
#include <candor/core.hpp>
#include <candor/testing.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <unistd.h>

#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/otlp_writer.hpp>
#include <support/sanitizer.hpp>
#include <support/stopwatch.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace receiver_lifetime_test {

using candor::testing::manual_server;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

using receiver = candor::otlp::basic_receiver<manual_server, candor::system_clock>;

enum class act { nothing, shutdown, destroy, exit, quick_exit };
constexpr std::array all_acts{act::nothing, act::shutdown, act::destroy, act::exit, act::quick_exit};

std::string name_of(act of) {
    constexpr std::array names{"nothing", "shutdown", "destroy", "exit", "quick_exit"};
    return names[static_cast<std::size_t>(of)];
}
constexpr bool ends_process(act of) { return of >= act::exit; }

constexpr std::chrono::milliseconds budget = 1s;
constexpr int ended_by_callback = 7, ended_by_main = 8;

/// The status of a report of `count` resources.
int report(receiver& to, std::uint8_t count) {
    static const candor::http_request_head head{
        .method = "POST",
        .target = "/v1/metrics",
        .headers = {{"Host", "localhost"}, {"Content-Type", "application/x-protobuf"}}};
    otlp_writer::metric resources{.name = "sync.table.resources"};
    resources.points.push_back(
        {.attributes = {{"sync.table.name", "users"}}, .start = 1, .time = 2U + count, .value = count});
    const otlp_writer::request request{.resources = {{.scopes = {{.metrics = {resources}}}}}};
    return to.server().receive(head, otlp_writer::to_protobuf(request)).status;
}

std::string content(const fs::path& path) {
    std::ifstream file{path};
    return {std::istreambuf_iterator<char>{file}, {}};
}

/// All that the program of a child has. Nothing of it is destroyed when it ends, but what it destroys.
struct child {
    act in_callback;
    act in_main;
    bool is_last;  ///< the callback is about the last write
    fs::path place;
    int output;
    receiver* own = nullptr;
    std::atomic<int> calls{0};
    std::atomic<bool> has_acted{false};  ///< the callback

    void perform(act what, int exit_code) {
        switch (what) {
            case act::nothing:
                return;
            case act::shutdown:
                return own->shutdown();
            case act::destroy:
                return delete own;
            case act::exit:
                std::exit(exit_code);
            case act::quick_exit:
                std::quick_exit(exit_code);
        }
    }

    /// The callback: acts when main does.
    void called_back() {
        if (++calls > 1) return say(output, "called again\n");
        if (in_main == act::shutdown || in_main == act::destroy)
            while (report(*own, 2) != 0) std::this_thread::yield();
        fs::rename(place.string() + ".away", place);
        perform(in_callback, ended_by_callback);
        has_acted = true;
    }

    int run() {
        own = new receiver{{.metrics_file = place / "metrics.txt",
                            .write_interval = is_last ? std::chrono::milliseconds{1h} : 1ms,
                            .diagnostics = [this](auto) { called_back(); },
                            .shutdown_timeout = budget}};
        fs::rename(place, place.string() + ".away");
        if (report(*own, 1) != 200) return 1;
        while (!is_last && calls == 0) std::this_thread::yield();
        perform(in_main, ended_by_main);
        if (ends_process(in_callback)) ::pause();
        while (!has_acted) std::this_thread::yield();
        if (in_main == act::destroy || in_callback == act::destroy) std::exit(0);
        delete own;
        return 0;
    }
};

void check(act in_callback, act in_main, bool is_last) {
    const temporary_directory directory;
    fs::create_directory(directory.path() / "place");
    const auto end = run_in_child([&](int output) {
        std::exit((new child{in_callback, in_main, is_last, directory.path() / "place", output})->run());
        return 0;
    });
    CAPTURE(name_of(in_callback));
    CAPTURE(name_of(in_main));
    CAPTURE(is_last);
    CAPTURE(end.signal());
    const int code = end.exit_code();
    const bool is_expected = (ends_process(in_callback) && code == ended_by_callback) ||
                             (ends_process(in_main) && code == ended_by_main) ||
                             (!ends_process(in_callback) && !ends_process(in_main) && code == 0);
    CHECK(is_expected);
    CHECK(end.took < budget + candor::testing::slack);
    CHECK(end.said == "");
    if (is_last || code != 0 || in_callback == act::destroy) return;
    CHECK(content(directory.path() / "place" / "metrics.txt").find("users") != std::string::npos);
}

/// A run under SYSTEM_FAULTS of support/system_faults.cpp.
struct trial {
    std::string faults{};
    bool is_last = true;  ///< what hangs is the last write
};

constexpr auto trial_budget = 500ms;
constexpr const char* program = "row 51: a receiver that ends writes its file";

/// This test program again, where it runs that case alone.
child_end run_trial(const trial& of, const fs::path& place) {
    return run_in_child([&](int output) {
        const auto self = fs::read_symlink("/proc/self/exe");
        ::setenv("LD_PRELOAD", (self.parent_path() / "libsystem_faults.so").c_str(), 1);
        ::setenv("RECEIVER_FAULTS", of.faults.c_str(), 1);
        ::setenv("RECEIVER_INTERVAL", of.is_last ? "3600000" : "1", 1);
        ::setenv("SYSTEM_FAULTS_UNDER", place.c_str(), 1);
        ::setenv("REPORT_TO", std::to_string(output).c_str(), 1);
        ::execl(self.c_str(), self.c_str(), "--out=/dev/null", (std::string{"--test-case="} + program).c_str(),
                nullptr);
        return 98;
    });
}

}  // namespace

TEST_CASE("row 46: a callback may end its receiver or the process, whatever main does") {
    for (const auto in_callback : all_acts) {
        for (const auto in_main : all_acts) {
            if (in_callback == act::destroy && in_main == act::destroy) continue;  // nobody destroys an object twice
            if (in_callback == act::nothing && in_main == act::nothing) continue;
            if (ends_process(in_callback) && ends_process(in_main)) continue;  // glibc before 2.41 does not bear that
#ifdef CANDOR_TESTS_THREAD_SANITIZER
            if (in_callback == act::shutdown && in_main == act::exit) continue;  // nobody joins what has ended: a leak
#endif
            check(in_callback, in_main, false);
        }
    }
}

TEST_CASE("row 46: the callback about the last write may, too") {
    for (const auto in_callback : all_acts) {
        for (const auto in_main : {act::shutdown, act::destroy}) {
            if (in_callback != act::destroy) check(in_callback, in_main, true);
        }
    }
}

TEST_CASE("row 46: after a receiver was destroyed in its callback, nothing is written or called") {
    const temporary_directory directory;
    const auto place = directory.path() / "place", file = place / "metrics.txt";
    fs::create_directory(place);
    std::atomic<int> calls{0};
    std::atomic<bool> is_prepared{false}, is_replaced{false};
    std::unique_ptr<receiver> own;
    const auto marker = std::make_shared<int>();  // the callback's; the thread ends when that is destroyed
    candor::otlp::receiver_options options{.metrics_file = file, .write_interval = 1ms};
    options.diagnostics = [&, kept = marker](auto) {
        ++calls;
        while (!is_prepared) std::this_thread::yield();
        fs::rename(directory.path() / "away", place);
        own = std::make_unique<receiver>(candor::otlp::receiver_options{.metrics_file = file});
        is_replaced = true;
    };
    own = std::make_unique<receiver>(options);
    options.diagnostics = {};
    fs::rename(place, directory.path() / "away");
    CHECK(report(*own, 3) == 200);
    is_prepared = true;
    REQUIRE(becomes_true([&] { return is_replaced && marker.use_count() == 1; }));
    CHECK(calls == 1);
    CHECK(content(file) == candor::otlp::text_table({}));
}

TEST_CASE("row 51: a callback that does not return holds no receiver longer than its budget") {
    const temporary_directory directory;
    const auto place = directory.path() / "place";
    fs::create_directory(place);
    const auto may_return = std::make_shared<std::atomic<bool>>(false),
               has_returned = std::make_shared<std::atomic<bool>>(false);
    {
        candor::otlp::receiver_options options{.metrics_file = place / "metrics.txt", .shutdown_timeout = 50ms};
        options.diagnostics = [may_return, has_returned](auto) {
            while (!*may_return) std::this_thread::yield();
            *has_returned = true;
        };
        receiver own{options};
        fs::remove_all(place);
        CHECK(report(own, 3) == 200);
        const candor::testing::stopwatch watch;
        own.shutdown();
        CHECK(watch.elapsed() < candor::testing::slack);
        CHECK(own.statistics().file_failures == 2);  // it failed, and was not seen to the end
    }
    *may_return = true;
    CHECK(becomes_true([&] { return has_returned.use_count() == 1; }));
    CHECK(*has_returned);
}

TEST_CASE("row 51: a receiver that ends writes its file") {
    const temporary_directory directory;
    const char* const place = std::getenv("SYSTEM_FAULTS_UNDER");
    const char* const interval = std::getenv("RECEIVER_INTERVAL");
    const auto path = (place == nullptr ? directory.path() : fs::path{place}) / "metrics.txt";
    auto own = std::make_unique<receiver>(candor::otlp::receiver_options{
        .metrics_file = path,
        .write_interval = std::chrono::milliseconds{interval == nullptr ? 20'000 : std::atoi(interval)},
        .shutdown_timeout = trial_budget});
    if (const char* const faults = std::getenv("RECEIVER_FAULTS")) ::setenv("SYSTEM_FAULTS", faults, 1);
    REQUIRE(report(*own, 3) == 200);
    if (interval != nullptr && std::string_view{interval} == "1") {
        // the write that hangs is under way: its temporary file is there
        REQUIRE(becomes_true(
            [&] { return std::distance(fs::directory_iterator{path.parent_path()}, fs::directory_iterator{}) > 1; }));
    }
    const candor::testing::stopwatch watch;
    own->shutdown();
    const auto failures = own->statistics().file_failures;
    own.reset();
    if (const char* const descriptor = std::getenv("REPORT_TO")) {
        std::ostringstream text;
        text << watch.elapsed().count() << ' ' << failures;
        return say(std::atoi(descriptor), text.str());
    }
    CHECK(failures == 0);
    CHECK(content(path).find("users") != std::string::npos);
}

TEST_CASE("row 51: a disk that hangs holds no receiver longer than its budget") {
    for (const auto& of : std::vector<trial>{
             {"pwrite=hang"}, {"rename=hang"}, {"flock=hang"}, {"fsync=hang", false}, {"rename=hang", false}}) {
        CAPTURE(of.faults);
        const temporary_directory directory;
        const auto end = run_trial(of, directory.path());
        CHECK(end.exit_code() == 0);
        std::istringstream said{end.said};
        std::int64_t took = -1, failures = -1;
        said >> took >> failures;
        CHECK(failures == 1);
        CHECK(took >= 0);
        CHECK(std::chrono::milliseconds{took} < trial_budget + candor::testing::slack);
    }
}

TEST_CASE("row 51: nothing is synced when a receiver ends") {
    const temporary_directory directory;
    const auto end = run_trial({"fsync=exit"}, directory.path());
    CHECK(end.exit_code() == 0);
    CHECK(end.said.ends_with(" 0"));
    CHECK(content(directory.path() / "metrics.txt").find("users") != std::string::npos);
}

}  // namespace receiver_lifetime_test
