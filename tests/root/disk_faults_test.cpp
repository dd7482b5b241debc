#include <candor/candor.hpp>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <candor/testing.hpp>

#include <examples/data_plane.hpp>
#include <support/becomes_true.hpp>
#include <support/child_process.hpp>
#include <support/own_namespaces.hpp>
#include <support/socket_server.hpp>
#include <support/temporary_directory.hpp>

#include "fault_program.hpp"

#include <doctest/doctest.h>

// What a disk and other processes can do to the spool: files, mounts, processes and servers are real.
namespace disk_faults_test {

namespace {

using namespace std::chrono_literals;
using candor::admission;
using candor::drop_reason;
using candor::examples::data_plane;
using candor::testing::closed_port;
using candor::testing::in_own_namespaces;
using candor::testing::manual_clock;
using candor::tests::machine;
using candor::tests::noted;
namespace fs = std::filesystem;

/// A data plane that is not there before it is started, at an address that is known: a spool belongs to an address.
class late_data_plane {
public:
    [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

    data_plane& start(std::function<void(const nlohmann::json&)> on_message = {}) {
        nobody_.reset();
        return server_.emplace(
            candor::examples::data_plane_options{.port = port_, .on_message = std::move(on_message)});
    }

private:
    std::optional<closed_port> nobody_{std::in_place};
    const int port_ = nobody_->port();
    std::optional<data_plane> server_;
};

/// The notes of what arrived, sorted.
std::vector<std::string> notes(const data_plane& server) {
    std::vector<std::string> out;
    for (const auto& message : server.messages()) out.push_back(message["properties"]["note"]);
    std::sort(out.begin(), out.end());
    return out;
}

/// A run that delivers something fresh and what it finds.
candor::statistics deliver(const machine& m, const std::string& url, const std::string& note = "fresh") {
    auto options = m.options(url);
    options.shutdown_timeout = 20s;
    candor::telemetry t{options};
    t.track(noted{.note = note});
    t.shutdown();
    return t.statistics();
}

/// The same of one whose clock says that.
candor::statistics run_with_clock(const machine& m, const std::string& url, candor::wall_time time) {
    candor::httplib_transport own;
    manual_clock clock{time};
    candor::basic_telemetry<candor::httplib_transport, manual_clock> t{m.options(url), own, clock};
    t.track(noted{.note = "fresh"});
    t.shutdown();
    return t.statistics();
}

std::string content_of(const fs::path& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

/// A pipe of which a child reads a word that the parent writes later, perhaps never.
class signpost {
public:
    signpost() {
        if (::pipe2(ends_, O_CLOEXEC) != 0) throw std::runtime_error{"pipe"};
    }
    signpost(const signpost&) = delete;
    signpost& operator=(const signpost&) = delete;
    ~signpost() {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    [[nodiscard]] bool write(std::uint16_t port) const { return ::write(ends_[1], &port, sizeof port) == sizeof port; }
    [[nodiscard]] std::uint16_t read() const {
        std::uint16_t port = 0;
        return ::read(ends_[0], &port, sizeof port) == sizeof port ? port : std::uint16_t{0};
    }

private:
    int ends_[2] = {-1, -1};
};

}  // namespace

TEST_CASE("row 14: a file of the spool from the future is dated now, so that it expires") {
    const machine m;
    late_data_plane plane;
    const auto run_at = [&](candor::wall_time time) { return run_with_clock(m, plane.url(), time); };
    const candor::wall_time now{std::chrono::sys_days{std::chrono::November / 23 / 2026}};
    CHECK(run_at(now + 87'600h).spooled == 1);
    auto& server = plane.start();
    server.answer_next(200);
    server.answer_next(503);
    CHECK(run_at(now).spooled == 1);  // it was read, and put back
    REQUIRE(m.files().size() == 1);
    const auto later = run_at(now + 721h);
    CHECK(later.dropped[drop_reason::expired] == 1);
    CHECK(m.files().empty());
    CHECK(server.messages().size() == 2);
}

TEST_CASE(
    "row 20: on a full disk nothing half-written is left, the queue goes on in memory, and what is lost is counted") {
    const machine m;
    fs::create_directory(m.spool());
    CHECK(in_own_namespaces([&]() -> std::string {
              if (::mount("candor", m.spool().c_str(), "tmpfs", 0, "size=64k,mode=0700") != 0) return "cannot mount";
              {
                  std::ofstream full{m.spool() / "full"};
                  full << std::string(100'000, 'x') << std::flush;
                  if (full) return "the disk is not full";
              }
              late_data_plane plane;
              auto options = m.options(plane.url());
              options.delivery.queue_messages = 8;  // from four on it would go to the disk
              {
                  candor::telemetry t{options};
                  for (int i = 0; i < 8; ++i)
                      if (t.track(noted{}) != admission::accepted) return "not accepted";
                  if (t.flush(0ms)) return "delivered to nobody";
                  auto& server = plane.start();
                  if (!t.flush(20s)) return "not delivered from memory";
                  if (server.messages().size() != 8 || t.statistics().delivered != 8) return "not all delivered";
              }
              const closed_port nobody;
              options.data_plane_url = nobody.url("");
              candor::telemetry t{options};
              for (int i = 0; i < 3; ++i) t.track(noted{});
              t.shutdown();
              const auto s = t.statistics();
              if (s.spooled != 0 || s.dropped[drop_reason::shutdown] != 3) return "not counted";
              if (std::distance(fs::directory_iterator{m.spool()}, {}) != 1) return "something is left";
              fs::remove(m.spool() / "full");
              m.leave(nobody.url(""), {"a"});
              return m.files().size() == 1 ? "" : "not stored where there is room again";
          }) == "");
}

TEST_CASE("row 20: where a file may not be as large, nothing half-written is left and no signal ends the program") {
    const machine m;
    const auto end = run_in_child([&](int) {
        const rlimit limit{1000, 1000};
        if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
        const closed_port nobody;
        {
            candor::telemetry t{m.options(nobody.url(""))};
            for (int i = 0; i < 10; ++i) t.track(noted{});
            t.shutdown();
            if (t.statistics().dropped[drop_reason::shutdown] != 10) return 2;
        }
        for (const auto& entry : fs::directory_iterator{m.spool()})
            if (entry.path().filename().string().starts_with(".new-")) return 3;
        m.leave(nobody.url(""), {"small"});
        return 0;
    });
    CHECK(end.signal() == 0);
    CHECK(end.exit_code() == 0);
    CHECK(m.files().size() == 1);
}

TEST_CASE("row 21: on a read-only mount telemetry is constructed and delivers, and what it cannot store is counted") {
    const machine m;
    for (const bool is_there : {true, false}) {
        CAPTURE(is_there);
        CHECK(in_own_namespaces([&]() -> std::string {
                  const auto mount_point = m.directory.path() / "state";
                  fs::create_directory(mount_point);
                  if (::mount("candor", mount_point.c_str(), "tmpfs", 0, "mode=0700") != 0) return "cannot mount";
                  if (is_there) fs::create_directory(mount_point / "spool");
                  if (::mount(nullptr, mount_point.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0)
                      return "cannot mount read-only";
                  data_plane server;
                  auto options = m.options(server.url());
                  options.delivery.spool.directory = mount_point / "spool";
                  {
                      candor::telemetry t{options};
                      t.track(noted{});
                      if (!t.flush(20s)) return "not delivered";
                  }
                  const closed_port nobody;
                  options.data_plane_url = nobody.url("");
                  candor::telemetry t{options};
                  t.track(noted{});
                  t.shutdown();
                  if (t.statistics().spooled != 0) return "stored";
                  return t.statistics().dropped[drop_reason::shutdown] == 1 ? "" : "not counted";
              }) == "");
    }
}

TEST_CASE("row 21: a spool that is removed while the program runs is made anew") {
    const machine m;
    const closed_port nobody;
    auto options = m.options(nobody.url(""));
    options.delivery.queue_messages = 4;
    options.shutdown_timeout = 5s;
    {
        candor::telemetry t{options};
        t.track(noted{});
        t.track(noted{});
        REQUIRE(becomes_true([&] {
            static_cast<void>(t.flush(0ms));
            return t.statistics().spooled == 2;
        }));
        CHECK(m.files().size() >= 1);
        fs::remove_all(m.spool());
        t.track(noted{});
        t.shutdown();
        CHECK(t.statistics().spooled == 3);
    }
    CHECK(m.files().size() == 1);
    CHECK((fs::status(m.spool()).permissions() & fs::perms::mask) == fs::perms::owner_all);
}

TEST_CASE("row 22: a file that is cut, changed or huge is set aside, and the others are sent") {
    const machine m;
    late_data_plane plane;
    m.leave(plane.url(), {"a", "b", "c", "d", "e", "f"});
    const auto files = m.files();
    REQUIRE(files.size() == 6);
    std::map<std::string, fs::path> by_note;
    for (const auto& file : files) {
        const auto text = content_of(file);
        const auto at = text.find("\"note\":\"");
        REQUIRE(at != text.npos);
        by_note[text.substr(at + 8, 1)] = file;
    }
    REQUIRE(by_note.size() == 6);
    fs::resize_file(by_note["a"], fs::file_size(by_note["a"]) - 10);
    fs::resize_file(by_note["b"], 0);
    std::fstream{by_note["c"]}.seekp(100) << '!';
    fs::resize_file(by_note["d"], 1'000'000'000);
    auto& server = plane.start();
    const auto s = deliver(m, plane.url());
    CHECK(notes(server) == std::vector<std::string>{"e", "f", "fresh"});
    CHECK(s.delivered == 3);
    CHECK(s.recovered == 2);
    CHECK(m.files().empty());
    for (const char* damaged : {"a", "b", "c", "d"}) CHECK(fs::exists(by_note[damaged].string() + ".damaged"));
    deliver(m, plane.url());  // what is set aside stays so
    CHECK(server.messages().size() == 4);
}

TEST_CASE("row 22: a huge file does not drive healthy ones out of the spool") {
    const machine m;
    const closed_port nobody;
    m.leave(nobody.url(""), {"a", "b", "c"});
    const auto files = m.files();
    REQUIRE(files.size() == 3);
    std::filesystem::resize_file(files.back(), 1'000'000'000);
    m.leave(nobody.url(""), {"d"});
    CHECK(m.files().size() == 3);
    CHECK(std::filesystem::exists(files.back().string() + ".damaged"));
}

TEST_CASE("row 23: what the server answers and does not take is given up after five runs, and never before") {
    const machine m;
    late_data_plane plane;
    m.leave(plane.url(), {"poison"});
    auto& server = plane.start();
    for (int attempt = 1; attempt <= 5; ++attempt) {
        CAPTURE(attempt);
        CHECK(m.files().size() == 1);
        server.answer_next(200);
        server.answer_next(500);
        const auto s = deliver(m, plane.url());
        CHECK(s.delivered == 1);
        CHECK(s.dropped[drop_reason::exhausted] == (attempt == 5 ? 1 : 0));
    }
    CHECK(m.files().empty());
    deliver(m, plane.url());
    CHECK(notes(server) == std::vector<std::string>(6, "fresh"));
}

TEST_CASE("row 24: two processes that drain one spool at the same time send each message once") {
    const machine m;
    const signpost ports[2];
    std::vector<std::unique_ptr<child_process>> children;
    for (const auto& port : ports) {
        children.push_back(std::make_unique<child_process>([&](int) {
            const auto at = port.read();
            return at != 0 && deliver(m, "http://127.0.0.1:" + std::to_string(at)).delivered >= 1 ? 0 : 1;
        }));
    }
    late_data_plane plane;
    std::vector<std::string> expected;
    for (int i = 0; i < 50; ++i) expected.push_back("m" + std::to_string(i));
    m.leave(plane.url(), expected);
    CHECK(m.files().size() == 50);
    expected.insert(expected.end(), 2, "fresh");
    std::sort(expected.begin(), expected.end());
    auto& server = plane.start();
    for (const auto& port : ports) REQUIRE(port.write(static_cast<std::uint16_t>(server.port())));
    for (auto& child : children) CHECK(child->wait().exit_code() == 0);
    CHECK(notes(server) == expected);
    CHECK(m.files().empty());
}

TEST_CASE("row 24: what a process has claimed that is killed, another one delivers under the same id") {
    const machine m;
    const signpost port;
    child_process child{[&](int) {
        deliver(m, "http://127.0.0.1:" + std::to_string(port.read()));
        return 0;
    }};
    late_data_plane plane;
    m.leave(plane.url(), {"orphan"});
    std::atomic<bool> is_held{false}, is_released{false};
    auto& server = plane.start([&](const nlohmann::json& message) {
        if (message["properties"]["note"] != "orphan" || is_held.exchange(true)) return;
        becomes_true([&] { return is_released.load(); });
    });
    REQUIRE(port.write(static_cast<std::uint16_t>(server.port())));
    const bool came = becomes_true([&] { return is_held.load(); });
    ::kill(child.id(), SIGKILL);
    CHECK(child.wait().signal() == SIGKILL);
    is_released = true;
    REQUIRE(came);
    CHECK(m.files().size() == 1);
    const auto s = deliver(m, plane.url());
    CHECK(s.recovered == 1);
    CHECK(s.delivered == 2);
    CHECK(m.files().empty());
    std::vector<std::string> ids;
    for (const auto& message : server.messages())
        if (message["properties"]["note"] == "orphan") ids.push_back(message["messageId"]);
    REQUIRE(ids.size() == 2);
    CHECK(ids[0] == ids[1]);
}

TEST_CASE("row 25: a link, a second name, a FIFO and a stranger's file in the spool are not sent, opened or removed") {
    const machine m;
    const temporary_directory elsewhere;
    late_data_plane plane;
    m.leave(plane.url(), {"a", "b", "c", "d"});
    const auto files = m.files();
    REQUIRE(files.size() == 4);
    const auto target = elsewhere.path() / "target", other = elsewhere.path() / "other";
    fs::rename(files[0], target);
    fs::create_symlink(target, files[0]);
    fs::create_hard_link(files[1], other);
    fs::remove(files[2]);
    REQUIRE(::mkfifo(files[2].c_str(), 0600) == 0);
    const bool is_root = ::geteuid() == 0;
    if (is_root) REQUIRE(::chown(files[3].c_str(), 1, 1) == 0);
    const auto before = content_of(target), before_other = content_of(other);
    auto& server = plane.start();
    deliver(m, plane.url());
    CHECK(notes(server).size() == (is_root ? 1 : 2));
    CHECK(content_of(target) == before);
    CHECK(content_of(other) == before_other);
    CHECK(fs::is_symlink(files[0]));
    CHECK(fs::exists(files[1]));
    CHECK(fs::is_fifo(files[2]));
    CHECK(fs::exists(files[3]) == is_root);
}

TEST_CASE("row 55: a clock that is far ahead for one run loses nothing") {
    const machine m;
    late_data_plane plane;
    const candor::wall_time now{std::chrono::sys_days{std::chrono::November / 23 / 2026}};
    CHECK(run_with_clock(m, plane.url(), now).spooled == 1);
    CHECK(run_with_clock(m, plane.url(), now + 960h).spooled == 1);
    plane.start();
    CHECK(run_with_clock(m, plane.url(), now + 1h).delivered == 3);
    CHECK(m.files().empty());
}

TEST_CASE("row 55: hundreds of small files are kept") {
    const machine m;
    const closed_port nobody;
    std::vector<std::string> notes;
    for (int i = 0; i < 300; ++i) notes.push_back(std::to_string(i));
    m.leave(nobody.url(""), notes);
    CHECK(candor::detail::count_spooled({.directory = m.spool()}) == 300);
}

}  // namespace disk_faults_test
