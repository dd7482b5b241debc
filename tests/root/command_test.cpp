#include <candor/command.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <candor/event/init.hpp>
#include <candor/event/login.hpp>
#include <candor/event/sync.hpp>
#include <candor/httplib/transport.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/testing.hpp>

#include <support/becomes_true.hpp>
#include <support/gunzip.hpp>
#include <support/socket_server.hpp>
#include <support/temporary_directory.hpp>

#include <doctest/doctest.h>

namespace command_test {

using candor::testing::fixed_environment;
using candor::testing::manual_clock;
using candor::testing::recording_transport;
using namespace std::chrono_literals;

namespace {

struct pinged {
    static constexpr std::string_view event_name = "pinged";
    std::string text = "a text";
    static constexpr auto fields() { return std::tuple{candor::field("text", &pinged::text, "What was said")}; }
};

using events = candor::event_list<candor::login_succeeded, candor::init_started, candor::init_completed,
                                  candor::sync_started, candor::sync_completed, pinged>;

/// A user at a terminal.
struct user {
    temporary_directory home{};
    std::map<std::string, std::string> variables{{"HOME", home.string()}};
    candor::telemetry_options options{.product = {.name = "acme", .version = "1.4.0", .env_prefix = "ACME"},
                                      .write_key = "topsecretkey",
                                      .data_plane_url = "https://plane.example/base",
                                      .sentry_dsn = "https://topsecretkey@errors.example/7",
                                      .invocation_id = candor::uuid{}};

    struct answer {
        int status = 0;
        std::string out{};
        std::string errors{};
        [[nodiscard]] nlohmann::json json() const { return nlohmann::json::parse(out); }
    };

    [[nodiscard]] answer run(const std::vector<std::string>& words) const {
        std::vector<const char*> argv{"telemetry"};
        for (const auto& word : words) argv.push_back(word.c_str());
        argv.push_back(nullptr);
        std::ostringstream out, errors;
        manual_clock clock;
        const int status = candor::telemetry_command(options, events{}, static_cast<int>(argv.size()) - 1, argv.data(),
                                                     out, errors, clock, fixed_environment{variables});
        return {status, out.str(), errors.str()};
    }

    [[nodiscard]] std::filesystem::path choice() const { return home.path() / ".config/acme/telemetry.json"; }
    [[nodiscard]] std::filesystem::path spool() const { return home.path() / ".local/state/acme/telemetry"; }

    /// A run without a network leaves an event and an error.
    void leave() const {
        recording_transport transport;
        manual_clock clock;
        for (int i = 0; i < 8; ++i) transport.fail(candor::transport_error::unreachable);
        candor::basic_telemetry<recording_transport, manual_clock, fixed_environment> telemetry{
            options, transport, clock, fixed_environment{variables}};
        telemetry.track(pinged{});
        telemetry.capture_message(candor::sentry::severity::error, "failed");
    }
};

/// All that lies below a directory, with what tells whether it was touched.
std::map<std::string, std::tuple<std::filesystem::perms, std::filesystem::file_time_type, std::string>> all_of(
    const std::filesystem::path& directory) {
    std::map<std::string, std::tuple<std::filesystem::perms, std::filesystem::file_time_type, std::string>> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator{directory}) {
        std::ostringstream content;
        if (entry.is_regular_file()) content << std::ifstream{entry.path(), std::ios::binary}.rdbuf();
        out[entry.path().string()] = {entry.status().permissions(), entry.last_write_time(), content.str()};
    }
    return out;
}

/// From here on the ids that this thread makes are the same in every run.
void fix_ids() {
    auto& pool = candor::detail::random_pool::of_this_thread();
    pool.refill();
    std::iota(pool.bytes.begin(), pool.bytes.end(), std::uint8_t{0});
}

}  // namespace

TEST_CASE("status says what each source says, for every one of them and both ways of telling") {
    struct example {
        std::vector<std::pair<std::string, std::string>> variables;
        std::vector<std::string> words;
        std::string saved;
        std::string source;
        std::string level;
    };
    std::vector<example> all{{{}, {}, "", "default", "all"}};
    for (const std::string level : {"none", "errors", "stats", "all"}) {
        all.push_back({{}, {"--telemetry-level", level}, "", "flag", level});
        all.push_back({{}, {"--telemetry-level=" + level}, R"({"level":"none"})", "flag", level});
        all.push_back({{{"ACME_TELEMETRY_LEVEL", level}}, {}, R"({"level":"none"})", "variable", level});
        all.push_back({{}, {}, R"({"level":")" + level + "\"}", "saved choice", level});
    }
    all.push_back({{{"ACME_NO_TELEMETRY", "1"}}, {}, "", "legacy variable", "none"});
    all.push_back({{{"DO_NOT_TRACK", "1"}}, {}, "", "DO_NOT_TRACK", "none"});
    all.push_back({{{"DO_NOT_TRACK", "0"}}, {}, "", "default", "all"});
    all.push_back({{}, {}, "garbled", "saved choice", "none"});
    all.push_back({{{"BUILDKITE", "true"}}, {}, "", "CI", "stats"});
    all.push_back({{{"BUILDKITE", "true"}}, {}, R"({"level":"all"})", "saved choice", "all"});
    for (const auto& each : all) {
        user someone;
        someone.options.product.in_ci = candor::level::stats;
        for (const auto& variable : each.variables) someone.variables.insert(variable);
        if (!each.saved.empty()) someone.home.write(".config/acme/telemetry.json", each.saved);
        auto words = each.words;
        words.insert(words.begin(), "status");
        const auto text = someone.run(words);
        CAPTURE(text.out);
        CHECK(text.status == 0);
        CHECK(text.errors.empty());
        CHECK(text.out.starts_with("Telemetry of acme 1.4.0: " + each.level + ", by "));
        CHECK(text.out.find("\n  > " + each.source) != std::string::npos);
        words.push_back("--json");
        const auto json = someone.run(words).json();
        CHECK(json.at("level") == each.level);
        CHECK(json.at("source") == each.source);
        REQUIRE(json.at("sources").size() == 7);
        const std::array<std::string_view, 7> order{"flag",         "variable", "legacy variable", "DO_NOT_TRACK",
                                                    "saved choice", "CI",       "default"};
        int deciding = 0;
        for (std::size_t i = 0; i < order.size(); ++i) {
            const auto& source = json.at("sources")[i];
            CHECK(source.at("source") == order[i]);
            if (!source.at("decides").get<bool>()) continue;
            ++deciding;
            CHECK(source.at("source") == each.source);
            CHECK(source.at("level") == each.level);
        }
        CHECK(deciding == 1);
        const bool events_go = each.level == "stats" || each.level == "all";
        const bool errors_go = each.level == "errors" || each.level == "all";
        CHECK(json.at("sends").at("analytics") == events_go);
        CHECK(json.at("sends").at("errors") == errors_go);
        CHECK(json.at("endpoint") == "https://plane.example");
        CHECK(json.at("spooled") == 0);
        CHECK((text.out + json.dump()).find("topsecretkey") == std::string::npos);
        // Asking leaves nothing behind.
        CHECK_FALSE(std::filesystem::exists(someone.home.path() / ".local"));
    }
}

TEST_CASE("status as a person reads it") {
    user someone;
    someone.variables["ACME_NO_TELEMETRY"] = "yes";
    CHECK(someone.run({}).out ==
          "Telemetry of acme 1.4.0: none, by ACME_NO_TELEMETRY=yes.\n"
          "\n"
          "Warning: ACME_NO_TELEMETRY is deprecated; use ACME_TELEMETRY_LEVEL=none instead.\n"
          "\n"
          "Who was asked, in this order; the first that says anything decides:\n"
          "    flag             nothing\n"
          "    variable         nothing\n"
          "  > legacy variable  none, ACME_NO_TELEMETRY=yes\n"
          "    DO_NOT_TRACK     nothing\n"
          "    saved choice     nothing\n"
          "    CI               nothing\n"
          "    default          all, the default, no choice was made\n"
          "\n"
          "Events: not sent, the level does not allow it.\n"
          "Errors: not sent, the level does not allow it.\n"
          "Waiting to be sent: 0.\n");
}

TEST_CASE("status of a program of whose telemetry nobody has said anything") {
    CHECK(user{}.run({}).out.starts_with("Telemetry of acme 1.4.0: all, by default, no choice was made.\n\n"));
}

TEST_CASE("status of a program that has nowhere to send to, of a development build, and with a wrong variable") {
    user someone;
    someone.options.data_plane_url = someone.options.sentry_dsn = "";
    auto json = someone.run({"--json"}).json();
    CHECK(json.at("endpoint").is_null());
    CHECK(json.at("sends").at("analytics") == false);
    CHECK(someone.run({}).out.find("Events: not sent, no endpoint is configured.") != std::string::npos);
    user developer;
    developer.options.product.version = "development";
    CHECK(developer.run({}).out.find("Errors: not sent, this is a development build.") != std::string::npos);
    CHECK(developer.run({"--json"}).json().at("development") == true);
    developer.variables["ACME_RUDDERSTACK_DATA_PLANE_URL"] = "http://127.0.0.1:1";
    CHECK(developer.run({"--json"}).json().at("endpoint") == "http://127.0.0.1:1");
    user mistaken;
    mistaken.variables["ACME_TELEMETRY_LEVEL"] = "loud";
    const auto answer = mistaken.run({"status", "--json"});
    CHECK(answer.status == 2);
    CHECK(answer.json().at("level") == "none");
    CHECK(answer.json().at("error").get<std::string>().find("loud") != std::string::npos);
    mistaken.variables = {{"HOME", mistaken.home.string()}, {"ACME_SENTRY_DSN", "http://topsecretkey@"}};
    CHECK(mistaken.run({}).out.find("Error: sentry_dsn is ") != std::string::npos);
    CHECK(mistaken.run({}).out.find("topsecretkey") == std::string::npos);
}

TEST_CASE("status judges each destination by itself, as the program's telemetry does") {
    struct example {
        std::map<std::string, std::string> variables;
        std::string events;  ///< why they are not sent; empty where they are
        std::string errors;
        std::string write_key = "topsecretkey";
    };
    const std::string url = "ACME_RUDDERSTACK_DATA_PLANE_URL", key = "ACME_RUDDERSTACK_WRITE_KEY";
    const std::string dsn = "ACME_SENTRY_DSN", debug = "ACME_TELEMETRY_DEBUG";
    const std::string printed = "printed and not sent, " + debug + " is set.";
    const std::vector<example> all{
        {{}, "", ""},
        {{{url, "foo"}}, "not sent, " + url + " is invalid.", ""},
        {{{url, "http://topsecretkey@host"}}, "not sent, " + url + " is invalid.", ""},
        {{{key, "top secret key"}}, "not sent, " + key + " is invalid.", ""},
        {{{url, "http://plane"}}, "not sent, write_key is invalid.", "", ""},
        {{{dsn, "foo"}}, "", "not sent, " + dsn + " is invalid."},
        {{{url, "foo"}, {dsn, "foo"}}, "not sent, " + url + " is invalid.", "not sent, " + dsn + " is invalid."},
        {{{debug, "1"}, {url, "foo"}}, "not sent, " + url + " is invalid.", printed},
        {{{debug, "1"}, {dsn, "foo"}}, printed, "not sent, " + dsn + " is invalid."}};
    for (const auto& each : all) {
        user someone;
        for (const auto& variable : each.variables) someone.variables.insert(variable);
        someone.options.write_key = each.write_key;
        const auto text = someone.run({}).out;
        CAPTURE(text);
        const auto line = [](const char* what, const std::string& why, const char* server) {
            return std::string{"\n"} + what + (why.empty() ? std::string{"sent to "} + server + "." : why) + "\n";
        };
        CHECK(text.find(line("Events: ", each.events, "https://plane.example")) != std::string::npos);
        CHECK(text.find(line("Errors: ", each.errors, "https://errors.example")) != std::string::npos);
        const auto json = someone.run({"--json"}).json();
        CHECK(json.at("sends").at("analytics") == each.events.empty());
        CHECK(json.at("sends").at("errors") == each.errors.empty());
        const bool is_wrong = (each.events + each.errors).find(" is invalid.") != std::string::npos;
        CHECK(json.at("error").is_null() == !is_wrong);
        CHECK((text.find("\nError: ") != std::string::npos) == is_wrong);
        CHECK((text + json.dump()).find("top secret key") == std::string::npos);
        CHECK((text + json.dump()).find("topsecretkey") == std::string::npos);

        recording_transport transport;
        manual_clock clock;
        candor::basic_telemetry<recording_transport, manual_clock, fixed_environment> telemetry{
            someone.options, transport, clock, fixed_environment{someone.variables}};
        CHECK(telemetry.sends_events() == (each.events.empty() || each.events == printed));
        CHECK(telemetry.sends_errors() == (each.errors.empty() || each.errors == printed));
    }
}

TEST_CASE("on, off and level save the choice, say what takes precedence, and what is forbidden is removed") {
    user someone;
    someone.leave();
    CHECK(someone.run({"--json"}).json().at("spooled") == 2);
    auto answer = someone.run({"level", "errors"});
    CHECK(answer.status == 0);
    CHECK(answer.out == "Saved: errors, in " + someone.choice().string() + ".\n");
    auto json = someone.run({"--json"}).json();
    CHECK(json.at("level") == "errors");
    CHECK(json.at("spooled") == 1);
    answer = someone.run({"off"});
    CHECK(answer.status == 0);
    json = someone.run({"--json"}).json();
    CHECK(json.at("level") == "none");
    CHECK(json.at("source") == "saved choice");
    CHECK(json.at("spooled") == 0);
    someone.variables["DO_NOT_TRACK"] = "1";
    CHECK(someone.run({"on"}).out ==
          "Saved: all, in " + someone.choice().string() + ".\nIn this environment DO_NOT_TRACK=1 takes precedence.\n");
    someone.variables.erase("DO_NOT_TRACK");
    CHECK(someone.run({"on", "--json"}).json().at("level") == "all");
}

TEST_CASE("a choice that cannot be saved is said, and ends with 1") {
    user someone;
    someone.home.write(".config", "a file in the place of the directory");
    const auto answer = someone.run({"off"});
    CHECK(answer.status == 1);
    CHECK(answer.out.empty());
    CHECK(answer.errors.find("the telemetry choice was not saved: ") == 0);
}

TEST_CASE("purge removes what waits and says how much that was, and removes nothing else") {
    user someone;
    someone.leave();
    someone.home.write(".local/state/acme/telemetry/note.txt", "of somebody else");
    auto answer = someone.run({"purge"});
    CHECK(answer.status == 0);
    CHECK(answer.out == "Removed what waited to be sent: 2.\n");
    CHECK(answer.errors.empty());
    answer = someone.run({"purge"});
    CHECK(answer.status == 0);
    CHECK(answer.out == "Nothing waits to be sent.\n");
    CHECK(someone.run({"purge", "--json"}).json() == nlohmann::json{{"purged", true}, {"removed", 0}});
    someone.leave();
    CHECK(someone.run({"purge", "--json"}).json() == nlohmann::json{{"purged", true}, {"removed", 2}});
    CHECK(someone.run({"--json"}).json().at("spooled") == 0);
    CHECK(std::filesystem::exists(someone.spool() / "note.txt"));
    CHECK(someone.run({"--json"}).json().at("level") == "all");
}

TEST_CASE("preview has the bytes that a server receives, of events and of errors, and sends and keeps nothing") {
    candor::testing::socket_server server{candor::testing::behaviours::answer()};
    user someone;
    someone.options.data_plane_url = server.url("/base");
    someone.options.sentry_dsn = "http://topsecretkey@127.0.0.1:" + std::to_string(server.port()) + "/7";
    someone.options.account = [] { return std::optional<candor::account>{{"u1", "t1"}}; };
    fix_ids();
    {
        auto options = someone.options;
        options.delivery.spool.enabled = false;
        candor::httplib_transport transport;
        manual_clock clock;
        candor::basic_telemetry<candor::httplib_transport, manual_clock, fixed_environment> telemetry{
            options, transport, clock, fixed_environment{someone.variables}};
        telemetry.track(candor::login_succeeded{});
        telemetry.track(candor::init_started{});
        telemetry.track(candor::init_completed{});
        telemetry.track(candor::sync_started{});
        telemetry.track(candor::sync_completed{});
        telemetry.track(pinged{});
        telemetry.capture_message(candor::sentry::severity::error, "an error");
        static_cast<void>(telemetry.flush(0s));
        REQUIRE(becomes_true([&] { return telemetry.statistics().delivered == 7; }));
    }
    const auto received = server.requests();
    fix_ids();
    const auto shown = someone.run({"preview", "--json"}).json().at("requests");
    REQUIRE(received.size() == 2);
    REQUIRE(shown.size() == 2);
    for (const auto& request : shown) {
        const auto path = request.at("url").get<std::string>().substr(server.url("").size());
        const auto same = std::find_if(received.begin(), received.end(),
                                       [&](const auto& one) { return one.starts_with("POST " + path + " "); });
        REQUIRE(same != received.end());
        CHECK(request.at("body") == candor::testing::gunzip(same->substr(same->find("\r\n\r\n") + 4)));
    }
    const auto text = someone.run({"preview"}).out;
    CHECK(text.find("POST " + server.url("") + "/base/v1/batch\n{\"batch\":[") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(someone.spool()));
    CHECK(someone.run({"preview", "--telemetry-level=none"}).out == "Nothing would be sent.\n");
    const auto only_errors = someone.run({"preview", "--json", "--telemetry-level", "errors"}).json().at("requests");
    REQUIRE(only_errors.size() == 1);
    CHECK(only_errors[0].at("url") == server.url("") + "/api/7/envelope/");
}

TEST_CASE("what only shows changes nothing, at any level") {
    user someone;
    someone.leave();
    const std::string crash = "of a run that crashed";
    someone.home.write(".local/state/acme/telemetry/crash-01234567-89ab-4def-8123-456789abcdef", crash);
    someone.home.write(".local/state/acme/telemetry/rudderstack-old.spool.damaged", "damaged");
    someone.home.write(".config/acme/telemetry.json", R"({"level":"none"})");
    std::filesystem::permissions(someone.spool(), std::filesystem::perms{0755});
    const auto before = all_of(someone.home.path());
    for (const std::string debug : {"0", "1"}) {
        someone.variables["ACME_TELEMETRY_DEBUG"] = debug;
        for (const std::string level : {"none", "errors", "stats", "all"})
            for (const std::string command : {"status", "preview", "log", "catalog"})
                CHECK(someone.run({command, "--telemetry-level", level}).status == 0);
        CHECK(all_of(someone.home.path()) == before);
    }
    for (const auto level : {candor::level::none, candor::level::errors, candor::level::stats, candor::level::all}) {
        recording_transport transport;
        manual_clock clock;
        auto options = someone.options;
        options.level = level;
        options.delivery.dry_run = true;
        candor::basic_telemetry<recording_transport, manual_clock, fixed_environment> telemetry{
            options, transport, clock, fixed_environment{{{"HOME", someone.home.string()}}}};
        telemetry.track(pinged{});
    }
    CHECK(all_of(someone.home.path()) == before);
}

TEST_CASE("log shows what was sent where a log is kept, and preview and status leave it alone") {
    user someone;
    CHECK(someone.run({"log"}).out == "No log is kept. ACME_TELEMETRY_LOG names a file to keep one in.\n");
    CHECK(someone.run({"log", "--json"}).json() ==
          nlohmann::json{{"log", nullptr}, {"requests", nlohmann::json::array()}});
    const auto log = someone.home.string() + "/sent.log";
    someone.variables["ACME_TELEMETRY_LOG"] = log;
    CHECK(someone.run({"log"}).out == "Nothing has been sent since the log " + log + " was begun.\n");
    CHECK(someone.run({"preview"}).status == 0);
    CHECK(someone.run({}).out.find("Logged in " + log + ".\n") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(log));
    recording_transport transport;
    manual_clock clock;
    {
        candor::basic_telemetry<recording_transport, manual_clock, fixed_environment> telemetry{
            someone.options, transport, clock, fixed_environment{someone.variables}};
        telemetry.track(pinged{});
    }
    REQUIRE(transport.requests().size() == 1);
    const auto json = someone.run({"log", "--json"}).json();
    CHECK(json.at("log") == log);
    REQUIRE(json.at("requests").size() == 1);
    const auto& logged = json.at("requests")[0];
    CHECK(logged.at("url") == transport.requests()[0].url);
    CHECK(logged.at("body") == transport.requests()[0].body);
    CHECK(logged.at("answer") == "200");
    const auto text = someone.run({"log"}).out;
    CHECK(text.starts_with("POST https://plane.example/base/v1/batch\n{\n  \"batch\": [\n"));
    CHECK(text.ends_with("\nanswer: 200\n\n"));
}

TEST_CASE("status knows the last delivery, and revoked consent takes that along") {
    user someone;
    CHECK(someone.run({"--json"}).json().at("last_delivery") ==
          nlohmann::json{{"analytics", nullptr}, {"errors", nullptr}});
    recording_transport transport;
    manual_clock clock;
    {
        candor::basic_telemetry<recording_transport, manual_clock, fixed_environment> telemetry{
            someone.options, transport, clock, fixed_environment{someone.variables}};
        telemetry.track(pinged{});
        clock.advance(1s);
    }
    CHECK(someone.run({"--json"}).json().at("last_delivery") ==
          nlohmann::json{{"analytics", "2026-01-02T03:04:06Z"}, {"errors", nullptr}});
    CHECK(someone.run({}).out.find(
              "Events: sent to https://plane.example.\n  last delivered 2026-01-02T03:04:06Z.\n") != std::string::npos);
    CHECK(someone.run({"off"}).status == 0);
    CHECK(someone.run({"--json"}).json().at("last_delivery").at("analytics").is_null());
}

TEST_CASE("status says that a debugged program sends nothing") {
    user someone;
    someone.variables["ACME_TELEMETRY_DEBUG"] = "1";
    const auto json = someone.run({"--json"}).json();
    CHECK(json.at("debug") == true);
    CHECK(json.at("sends").at("analytics") == false);
    CHECK(json.at("sends").at("errors") == false);
    CHECK(someone.run({}).out.find("Events: printed and not sent, ACME_TELEMETRY_DEBUG is set.\n") !=
          std::string::npos);
    CHECK(someone.run({"preview", "--json"}).json().at("requests").size() == 2);
}

TEST_CASE("catalog has every event of the list, and its fields") {
    const user someone;
    const auto json = someone.run({"catalog", "--json"}).json();
    REQUIRE(json.at("events").size() == 6);
    CHECK(json.at("events")[5].at("name") == "pinged");
    CHECK(json.at("events")[5].at("fields")[0].at("description") == "What was said");
    const auto text = someone.run({"catalog"}).out;
    CHECK(text.starts_with("# What acme can send\n\n"));
    CHECK(text.find("## `pinged`\n") != std::string::npos);
}

TEST_CASE("what is no such command is said with the usage, and ends with 2") {
    const user someone;
    const std::vector<std::pair<std::vector<std::string>, std::string>> all{
        {{"of"}, R"(unknown command "of")"},
        {{"level"}, "level takes one of none, errors, stats, all"},
        {{"level", "loud"}, "level takes one of none, errors, stats, all, not loud"},
        {{"level", "none", "more"}, R"(unexpected argument "more")"},
        {{"on", "off"}, R"(unexpected argument "off")"},
        {{"status", "--yaml"}, R"(unknown option "--yaml")"},
        {{"\x1b[2J"}, R"(unknown command "\x1b[2J")"}};
    for (const auto& each : all) {
        const auto& words = each.first;
        const auto& complaint = each.second;
        CAPTURE(complaint);
        const auto answer = someone.run(words);
        CHECK(answer.status == 2);
        CHECK(answer.out.empty());
        CHECK(answer.errors.starts_with(complaint + "\nusage: telemetry"));
        CHECK(answer.errors.find('\x1b') == std::string::npos);
        CHECK_FALSE(std::filesystem::exists(someone.choice()));
    }
}

}  // namespace command_test
