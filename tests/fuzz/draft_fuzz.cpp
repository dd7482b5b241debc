// What a file of an earlier run may say that is an event without its identity.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <candor/identity/account.hpp>
#include <candor/policy/url.hpp>
#include <candor/rudderstack/protocol.hpp>

#include "require.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace candor::rudderstack::detail;
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    const std::shared_ptr<event_context> context{new event_context{
        .identity = {true, [] { return std::optional{candor::account{.user_id = "u1", .team_id = "t1"}}; }, {}, {}},
        .run = {},
        .secrets = {},
        .message_bytes = 32768}};
    protocol back_end{*candor::detail::parse_url("http://plane"), "key", context};
    for (const std::uint64_t named : {std::uint64_t{0}, std::uint64_t{1}}) {
        std::string out = "before";
        const auto made = back_end.settle(text, named, out);
        require(out.starts_with("before"), "what stood there stays");
        if (made.dropped) continue;
        const auto message = std::string_view{out}.substr(6);
        require(made.sent_at < message.size() && message[made.sent_at] == ',', "the time of sending has a place");
        require(named == 0 && message.find("\"userId\":\"u1\"") != message.npos, "it names its user");
        require(message.size() < size + 200, "and little else");
    }
    // What is read can be written, and says the same again.
    std::string_view json = text;
    if (const auto draft = take_draft(json)) {
        std::string again;
        append_draft(*draft, json, again);
        std::string_view rest = again;
        require(take_draft(rest) && rest == json, "it reads back as the same");
    }
    return 0;
}
