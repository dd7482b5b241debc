// Secrets of each class, in each form, planted wherever a program may say something: none of them comes out anywhere.
#include <candor/candor.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <unistd.h>

#include <candor/event/init.hpp>
#include <candor/testing.hpp>

#include <examples/data_plane.hpp>
#include <support/base64.hpp>
#include <support/child_process.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace canary_test {

namespace {

using namespace std::chrono_literals;
using candor::testing::fixed_environment;
using candor::testing::manual_clock;

/// A text that a program says, and what of it must not come out, in either case.
struct canary {
    std::string text;
    std::vector<std::string> hidden;
};

const std::string registered = "Canary-Secr3t/one+1";
const std::string of_variable = "canary:Vari@ble?two";

std::string escaped(std::string_view bytes, std::string_view digits) {
    std::string out;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
    return out;
}

std::string with(std::string text, std::string_view what, std::string_view by) {
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
        text.replace(at, what.size(), by);
    return text;
}

std::string upper(std::string text) {
    for (auto& c : text)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    return text;
}

std::string folded(std::string_view text) {
    std::string out{text};
    for (auto& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::vector<canary> canaries() {
    std::vector<canary> out;
    for (const auto& secret : {registered, of_variable}) {
        const auto percent = escaped(secret, "0123456789ABCDEF");
        for (const auto& form : {secret, upper(secret), percent, escaped(secret, "0123456789abcdef"),
                                 with(percent, "%", "%25"), with(with(secret, "?", "%3f"), "/", "%2F")})
            out.push_back({"got " + form + ".", {form}});
        for (const std::string_view last : {"+/", "-_"}) {
            for (const std::string_view before : {"", "a", "ab", "user:"}) {
                const auto form = base64(std::string{before} + secret, last);
                for (const std::string_view padding : {"", "="})
                    out.push_back(
                        {"got " + form + std::string{padding} + " there", {form.substr(8), form.substr(0, 16)}});
            }
        }
    }
    out.push_back({"dial postgres://canaryuser:canarypass@db:5432/x", {"canaryuser", "canarypass"}});
    out.push_back({"GET https://h/v1?page=1&key=canaryquery", {"canaryquery"}});
    out.push_back({"sent Bearer canarybearer123", {"canarybearer"}});
    out.push_back({"sent Basic " + base64("canary:basic", "+/"), {base64("canary:basic", "+/")}});
    out.push_back({"password=canarypass", {"canarypass"}});
    out.push_back({R"({"token": "canarytoken"})", {"canarytoken"}});
    out.push_back(
        {"key AKIA"
         "CANARYCANARY1234 refused",
         {"canarycanary"}});
    out.push_back(
        {"key ghp"
         "_canarycanarycanarycanary0123456789",
         {"canarycanary"}});
    out.push_back({"eyJjYW5hcnki.eyJjYW5hcnki.Y2FuYXJ5 expired", {"jYW5hcnki", "Y2FuYXJ5"}});
    out.push_back({"-----BEGIN PRIVATE KEY-----\ncanarykey\n-----END PRIVATE KEY-----", {"canarykey", "private"}});
    out.push_back({"mail canary@example.org", {"canary@", "example.org"}});
    out.push_back({"open /home/canaryhome/x", {"canaryhome", "open /home"}});
    out.push_back({"no entry for Canaryname", {"canaryname"}});
    return out;
}

struct said {
    static constexpr std::string_view event_name = "said";
    std::string one{};
    std::vector<std::string> more{};
    std::optional<std::string> perhaps{};
    static constexpr auto fields() {
        return std::tuple{candor::free_text("one", &said::one, "Anything"),
                          candor::free_text("more", &said::more, "Anything"),
                          candor::free_text("perhaps", &said::perhaps, "Anything")};
    }
};

/// Answers 200, or does not, and keeps what it was given. `problem` is what it says went wrong.
class plain_transport {
public:
    candor::http_response send(const candor::http_request& request) {
        const std::lock_guard guard{mutex_};
        sent_ += request.url + "\n";
        for (const auto& header : request.headers) sent_ += header.name + ": " + header.value + "\n";
        sent_ += request.body + "\n";
        if (problem.empty()) return {.status = 200};
        return {.error = candor::transport_error::unreachable, .message = problem};
    }
    static void cancel() noexcept {}

    [[nodiscard]] std::string sent() const {
        const std::lock_guard guard{mutex_};
        return sent_;
    }

    std::string problem{};

private:
    mutable std::mutex mutex_;
    std::string sent_;
};

using telemetry = candor::basic_telemetry<plain_transport, manual_clock, fixed_environment>;

const std::vector<std::string> event_paths{"PA ", "PB ", "PC ", "PD ", "PE ", "PF ", "PG "};
const std::vector<std::string> breadcrumb_paths{"P1 ", "P2 "};
const std::vector<std::string> error_paths{"PH ", "PI ", "PJ ", "PK ", "PL ", "PM ", "PN ", "P1 ", "P2 "};

/// Says the text, behind the name of the path that it takes, on every one that there is.
template <class Telemetry>
void say_everywhere(Telemetry& t, const std::string& text) {
    t.add_breadcrumb("P1 " + text, "P2 " + text);
    t.track(candor::init_started{.spec_path = "PA " + text, .error = "PB " + text});
    t.track(candor::init_completed{.spec_path = "PC " + text, .error = "PD " + text});
    t.track(said{"PE " + text, {"PF " + text}, "PG " + text});
    try {
        try {
            throw std::runtime_error{"PH " + text};
        } catch (...) {
            std::throw_with_nested(std::logic_error{"PI " + text});
        }
    } catch (const std::exception& error) {
        const std::string file = "/src/" + text;  // of which the last part is sent
        const std::string function = "PJ " + text;
        t.capture(error, {.file = file.c_str(), .function = function.c_str(), .line = 7});
        t.flush(5s);  // before its names go
    }
    t.capture(std::make_exception_ptr(std::runtime_error{"PK " + text}));
    t.capture_message(candor::sentry::severity::warning, "PL " + text);
}

candor::telemetry_options options(const std::string& text) {
    return {.product = {.name = "acme", .version = "1.4.0", .env_prefix = "ACME"},
            .write_key = "k",
            .data_plane_url = "http://plane",
            .sentry_dsn = "http://key@errors/7",
            .internal_team = [](const auto&) { return false; },
            .secrets = {registered},
            .before_send =
                [text](candor::sentry::event& e) {
                    e.tags["tag"] = "PM " + text;
                    e.contexts["more"][text] = "PN " + text;
                    return true;
                }};
}

std::map<std::string, std::string> variables(const std::string& state = {}) {
    std::map<std::string, std::string> out{
        {"HOME", "/home/canaryhome"}, {"USER", "canaryname"}, {"ACME_DB_PASSWORD", of_variable}};
    if (!state.empty()) out.emplace("XDG_STATE_HOME", state);
    return out;
}

void check_hides(const std::string& content, const canary& bird, const std::vector<std::string>& paths) {
    const auto low = folded(content);
    for (const auto& secret : bird.hidden) CHECK_MESSAGE(low.find(folded(secret)) == std::string::npos, secret);
    for (const auto& path : paths) {  // that it is there, and was caught
        const auto at = content.find(path);
        CHECK_MESSAGE(at != std::string::npos, path);
        const auto near = content.substr(std::min(at, content.size()), 60);
        const bool is_caught = near.find("[reda") != std::string::npos || near.find('~') != std::string::npos;
        CHECK_MESSAGE(is_caught, near);
    }
}

std::string content_of(const std::filesystem::path& directory, std::string_view beginning = {}) {
    std::string out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator{directory}) {
        if (!entry.is_regular_file() || !entry.path().filename().string().starts_with(beginning)) continue;
        std::ifstream in{entry.path(), std::ios::binary};
        out.append(std::istreambuf_iterator<char>{in}, {});
    }
    return out;
}

template <class... Lists>
std::vector<std::string> all(const Lists&... lists) {
    std::vector<std::string> out;
    (out.insert(out.end(), lists.begin(), lists.end()), ...);
    return out;
}

}  // namespace

TEST_CASE("no canary is in a request") {
    for (const auto& bird : canaries()) {
        CAPTURE(bird.text);
        plain_transport transport;
        manual_clock clock;
        {
            telemetry t{options(bird.text), transport, clock, variables()};
            say_everywhere(t, bird.text);
            CHECK(t.flush(5s));
        }
        check_hides(transport.sent(), bird, all(event_paths, error_paths));
    }
}

TEST_CASE("no canary is in the spool of a run without a network, nor in what it says of that") {
    for (const auto& bird : canaries()) {
        CAPTURE(bird.text);
        const temporary_directory state;
        plain_transport transport;
        transport.problem = "PO " + bird.text;
        manual_clock clock;
        std::mutex mutex;
        std::string log;
        auto o = options(bird.text);
        o.diagnostics = [&](std::string_view text) {
            const std::lock_guard guard{mutex};
            log += std::string{text} + "\n";
        };
        {
            telemetry t{o, transport, clock, variables(state.string())};
            say_everywhere(t, bird.text);
            t.shutdown();
            CHECK(t.statistics().spooled == 6);
        }
        check_hides(content_of(state.path()), bird, all(event_paths, error_paths));
        check_hides(log, bird, {"PO "});
        // And the next run sends it as it is.
        plain_transport next;
        { telemetry t{options(bird.text), next, clock, variables(state.string())}; }
        check_hides(next.sent(), bird, {});
    }
}

TEST_CASE("no canary is in the log of what was sent, nor in what a debugged run prints") {
    for (const auto& bird : canaries()) {
        CAPTURE(bird.text);
        const temporary_directory state;
        auto logging = variables();
        logging.emplace("ACME_TELEMETRY_LOG", (state.path() / "sent.log").string());
        plain_transport transport;
        manual_clock clock;
        {
            telemetry t{options(bird.text), transport, clock, logging};
            say_everywhere(t, bird.text);
            CHECK(t.flush(5s));
        }
        check_hides(content_of(state.path()), bird, all(event_paths, error_paths));

        auto debugging = variables();
        debugging.emplace("ACME_TELEMETRY_DEBUG", "1");
        const auto run = run_in_child([&](int output) {
            ::dup2(output, STDERR_FILENO);
            plain_transport silent;
            manual_clock moment;
            telemetry t{options(bird.text), silent, moment, debugging};
            say_everywhere(t, bird.text);
            t.shutdown();
            return silent.sent().empty() ? 0 : 1;
        });
        CHECK(run.exit_code() == 0);
        check_hides(run.said, bird, all(event_paths, error_paths));
    }
}

TEST_CASE("no canary is in what is said of a variable that is wrong") {
    for (const auto& bird : canaries()) {
        CAPTURE(bird.text);
        plain_transport transport;
        manual_clock clock;
        std::string log;
        auto o = options(bird.text);
        o.diagnostics = [&](std::string_view text) { log += std::string{text} + "\n"; };
        for (const char* name : {"ACME_SENTRY_DSN", "ACME_RUDDERSTACK_DATA_PLANE_URL"}) {
            auto wrong = variables();
            wrong.emplace(name, bird.text);
            telemetry t{o, transport, clock, wrong};
        }
        check_hides(log, bird, {"is \""});
    }
}

TEST_CASE("no canary is in the record of a crash, nor in its event") {
    const auto program = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
    for (const auto& bird : canaries()) {
        CAPTURE(bird.text);
        const temporary_directory state;
        auto o = options(bird.text);
        o.capture_crashes = true;
        const auto end = run_in_child([&](int) {
            plain_transport transport;
            manual_clock clock;
            telemetry t{o, transport, clock, variables(state.string())};
            t.add_breadcrumb("P1 " + bird.text, "P2 " + bird.text);
            std::raise(SIGSEGV);
            return 1;
        });
        CHECK(end.signal() == SIGSEGV);
        const auto record = content_of(state.path(), "crash-");
        check_hides(record, bird, breadcrumb_paths);
        CHECK(record.find(program) == std::string::npos);

        plain_transport transport;
        manual_clock clock;
        clock.advance(std::chrono::hours{24 * 3650});  // the breadcrumbs are not of the future
        { telemetry t{o, transport, clock, variables(state.string())}; }
        check_hides(transport.sent(), bird, all(breadcrumb_paths, std::vector<std::string>{"PM ", "PN "}));
    }
}

TEST_CASE("a service that runs as a user of its own name says what it is") {
    plain_transport transport;
    manual_clock clock;
    {
        telemetry t{options("nothing"), transport, clock, {{{"USER", "acme"}, {"HOME", "/var/lib/acme"}}}};
        t.capture_message(candor::sentry::severity::error, "acme failed in /var/lib/acme/x");
    }
    CHECK(transport.sent().find("\"acme failed in ~/x\"") != std::string::npos);
    CHECK(transport.sent().find("\"release\":\"acme@1.4.0\"") != std::string::npos);
}

TEST_CASE("no canary is in what a server reads off the wire") {
    std::string received;
    bool is_compressed = true;
    const auto note = [&](const nlohmann::json& what) { received += what.dump() + "\n"; };
    candor::examples::data_plane plane{{.write_key = "k",
                                        .on_message = note,
                                        .on_error = note,
                                        .on_request = [&](const candor::examples::received_request& request) {
                                            is_compressed &= request.header("Content-Encoding") == "gzip";
                                        }}};
    const auto server = "127.0.0.1:" + std::to_string(plane.port());
    for (const auto& bird : canaries()) {
        CAPTURE(bird.text);
        received.clear();
        auto o = options(bird.text);
        o.data_plane_url = "http://" + server;
        o.sentry_dsn = "http://key@" + server + "/7";
        candor::httplib_transport transport;
        candor::system_clock clock;
        {
            candor::basic_telemetry<candor::httplib_transport, candor::system_clock, fixed_environment> t{
                o, transport, clock, variables()};
            say_everywhere(t, bird.text);
            CHECK(t.flush(5s));
        }
        check_hides(received, bird, all(event_paths, error_paths));
    }
#ifdef CPPHTTPLIB_ZLIB_SUPPORT
    CHECK(is_compressed);
#endif
    static_cast<void>(is_compressed);
}

}  // namespace canary_test
