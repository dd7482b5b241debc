// Random histories of a program, its network and its clocks against what must be true of all of them.
#include <candor/delivery/pipeline.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include <candor/testing.hpp>

#include <support/rounds.hpp>
#include <support/temporary_directory.hpp>

#include "lent.hpp"

#include <doctest/doctest.h>

namespace model_test {

namespace {

using namespace std::chrono_literals;
using candor::admission;
using candor::drop_reason;
using candor::transport_error;
using candor::testing::manual_clock;
using candor::tests::line_protocol;

/// A server and the way to it, as the history wants them.
class network {
public:
    enum class mode { up, down, loses_answers, refuses };

    void become(mode next, int status = 0) {
        const std::lock_guard guard{mutex_};
        mode_ = next;
        status_ = status;
    }

    candor::http_response send(const candor::http_request& request) {
        const std::lock_guard guard{mutex_};
        if (cancelled_) return {.error = transport_error::cancelled};
        if (mode_ == mode::down) return {.error = transport_error::unreachable};
        if (mode_ == mode::refuses) return {.status = status_};
        std::istringstream lines{request.body};
        for (std::string line; std::getline(lines, line);) {
            received_.insert(line);
            if (mode_ == mode::up) ++taken_[line];
        }
        if (mode_ == mode::loses_answers) return {.error = transport_error::broken};
        return {.status = 200};
    }

    void cancel() noexcept {
        const std::lock_guard guard{mutex_};
        cancelled_ = true;
    }

    /// The next run has a transport of its own.
    void start_over() {
        const std::lock_guard guard{mutex_};
        cancelled_ = false;
    }

    [[nodiscard]] bool has(const std::string& text) const { return received_.contains(text); }
    /// How often the server has taken a message and said so.
    [[nodiscard]] int times_taken(const std::string& text) const {
        const auto found = taken_.find(text);
        return found == taken_.end() ? 0 : found->second;
    }

private:
    std::mutex mutex_;
    mode mode_ = mode::up;
    int status_ = 0;
    bool cancelled_ = false;
    std::set<std::string> received_;
    std::map<std::string, int> taken_;
};

class history {
public:
    explicit history(std::uint32_t seed) : random_{seed} {}

    void run(int steps) {
        start();
        for (int i = 0; i < steps; ++i) {
            step();
            check_account();
        }
        // In the end the network is there, no run is kept away from it by those that failed, and runs follow each other
        // until nothing is left.
        net_.become(network::mode::up);
        restart();
        clock_.advance(24h);
        for (int i = 0; i < 3; ++i) {
            restart();
            enqueue();
            static_cast<void>(pipeline_->flush(1min));
        }
        pipeline_->shutdown(1h);  // what is stored takes its turns
        check_account();
        const auto end = pipeline_->statistics();
        CHECK(end.spooled == 0);
        CHECK(end.pending == 0);
        for (const auto& text : accepted_) {
            CAPTURE(text);
            const bool is_known = net_.has(text) || dropped_.contains(text);
            CHECK(is_known);
            CHECK(net_.times_taken(text) <= 1);
        }
    }

private:
    using pipeline = candor::tests::lent_pipeline<network, manual_clock>;

    std::uint32_t at_most(std::uint32_t most) { return std::uniform_int_distribution<std::uint32_t>{0, most}(random_); }

    void start() {
        net_.start_over();
        candor::delivery_options options{.batch_messages = 4, .queue_messages = 24};
        options.spool.directory = place_.path() / "spool";
        options.on_dropped = [this](std::string_view text, drop_reason) {
            const std::lock_guard guard{mutex_};
            dropped_.emplace(text);
        };
        pipeline_.emplace("lines", options, nullptr, 1, std::make_unique<line_protocol>(), net_, clock_);
    }

    void restart() {
        pipeline_->shutdown(std::chrono::milliseconds{at_most(1000)});
        check_account();
        CHECK(pipeline_->statistics().pending == 0);
        pipeline_.reset();
        start();
    }

    void enqueue() {
        const auto text = "m" + std::to_string(next_++);
        if (pipeline_->enqueue(std::array{std::string_view{text}}) == admission::accepted) accepted_.insert(text);
    }

    void step() {
        switch (at_most(10)) {
            case 0:
            case 1:
            case 2:
            case 3:
                for (auto n = at_most(6); n > 0; --n) enqueue();
                break;
            case 4:
                static_cast<void>(pipeline_->flush(std::chrono::milliseconds{at_most(40'000)}));
                break;
            case 5:
                clock_.advance(std::chrono::seconds{at_most(400)});
                break;
            case 6:  // an administrator's hand; nothing here grows too old by it
                clock_.set_wall(candor::wall_time{std::chrono::seconds{1'767'323'045 + at_most(500'000)}});
                break;
            case 7:
                net_.become(static_cast<network::mode>(at_most(2)));
                break;
            case 8: {
                constexpr std::array statuses{400, 401, 429, 500};
                net_.become(network::mode::refuses, statuses[at_most(3)]);
                break;
            }
            case 9:  // short runs without a network, until the next ones may not even try
                net_.become(network::mode::down);
                for (auto n = at_most(8); n > 0; --n) {
                    enqueue();
                    restart();
                }
                break;
            default:
                restart();
        }
    }

    void check_account() {
        const auto s = pipeline_->statistics();
        REQUIRE(s.accepted == s.delivered + s.pending + s.spooled + s.dropped.total());
    }

    std::mt19937 random_;
    const temporary_directory place_;
    manual_clock clock_{candor::wall_time{std::chrono::seconds{1'767'323'045}}};
    network net_;
    std::mutex mutex_;
    std::set<std::string> accepted_;
    std::set<std::string> dropped_;
    int next_ = 0;
    std::optional<pipeline> pipeline_;
};

}  // namespace

TEST_CASE(
    "whatever happens, each message is delivered once, or counted as lost, and the account adds up at each step") {
    for (std::uint32_t seed = 0; seed < static_cast<std::uint32_t>(candor::testing::rounds(200)); ++seed) {
        CAPTURE(seed);  // which reproduces it
        history{seed}.run(60);
    }
}

}  // namespace model_test
