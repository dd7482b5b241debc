// A shared library with candor in it, which `unload.cpp` loads, uses and unloads.
#include <candor/candor.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>

#include <unistd.h>

namespace {

struct used {
    static constexpr std::string_view event_name = "used";
    std::string how{};
    static constexpr auto fields() { return std::tuple{candor::field("how", &used::how, "How")}; }
};

int ready = -1, release = -1;
std::atomic<bool> hangs{false};

/// Says that it is called, and returns when it is told to.
void hang() {
    static_cast<void>(::write(ready, "r", 1));
    hangs = true;
    char byte = 0;
    static_cast<void>(::read(release, &byte, 1));
}

struct hanging_resolver {
    candor::resolved_name operator()(const std::string&) const {
        hang();
        return {.error = "hung"};
    }
};

using telemetry = candor::basic_telemetry<candor::basic_httplib_transport<hanging_resolver>, candor::system_clock>;

}  // namespace

/// Uses telemetry in the way that is named, and writes a byte to `to` when it is there. What hangs reads one from
/// `from` first. All but `resolving` never destroys what it made.
extern "C" void use_candor(const char* way, const char* url, int to, int from);
extern "C" void use_candor(const char* way, const char* url, int to, int from) {
    const std::string_view name = way;
    ready = to;
    release = from;
    candor::telemetry_options options{
        .product = {.name = "unload", .version = "1.0.0", .env_prefix = "UNLOAD"},
        .write_key = "key",
        .data_plane_url = name.starts_with("resolving") ? "http://name.invalid" : url,
        .sentry_dsn = name == "handlers" ? "http://key@127.0.0.1:1/1" : "",
        .capture_uncaught = name == "handlers",
        .capture_crashes = name == "handlers",
        .shutdown_timeout = std::chrono::milliseconds{50},
        .delivery = {.connect_timeout = std::chrono::minutes{1}, .request_timeout = std::chrono::minutes{1}}};
    options.delivery.spool.enabled = false;  // whose memory of failed runs would keep the next one from trying
    if (name == "callback") options.delivery.on_attempt = [](const auto&, const auto&) { hang(); };
    auto made = std::make_unique<telemetry>(options);
    if (name != "handlers") {
        made->track(used{.how = way});
        made->flush(std::chrono::milliseconds{1});
    }
    if (name.starts_with("resolving"))  // the end gives it 50 ms, which may be too little on a busy machine
        while (!hangs) std::this_thread::yield();
    if (name == "shut_down") made->shutdown();
    if (name == "handlers" || name == "shut_down") static_cast<void>(::write(ready, "r", 1));
    if (name != "resolving") static_cast<void>(made.release());
}
