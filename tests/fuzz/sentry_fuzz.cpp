// What a program or a server says to the Sentry client: a DSN, and the headers of an answer.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <candor/sentry/dsn.hpp>
#include <candor/sentry/rate_limit.hpp>

#include "require.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    if (const auto dsn = candor::sentry::parse_dsn(text)) {
        require(!dsn->public_key.empty() && !dsn->project.empty() && !dsn->server.host.empty(), "a DSN has its parts");
        // What is read can be written, and says the same again.
        const auto again = candor::sentry::parse_dsn(dsn->server.scheme + "://" + dsn->public_key + "@" +
                                                     dsn->server.origin().substr(dsn->server.scheme.size() + 3) +
                                                     dsn->server.path + "/" + dsn->project);
        require(again && again->envelope_url() == dsn->envelope_url(), "it reads back as the same");
        require(dsn->envelope_url().find_first_of(std::string_view{"\r\n\0 ", 4}) == std::string::npos,
                "its URL is one");
    }
    for (const int status : {200, 429}) {
        for (const char* name : {"X-Sentry-Rate-Limits", "Retry-After"}) {
            const auto wait = candor::sentry::detail::rate_limit_for_errors(
                {.status = status, .headers = {{name, std::string{text}}}}, candor::wall_time{});
            require(!wait || (*wait >= std::chrono::milliseconds{0} && *wait <= std::chrono::hours{24}),
                    "a day at most");
            require(status != 429 || wait || name[0] == 'X', "429 always means a wait");
        }
    }
    return 0;
}
