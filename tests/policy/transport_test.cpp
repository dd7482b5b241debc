#include <candor/policy/transport.hpp>

#include <string>
#include <type_traits>

#include <doctest/doctest.h>

namespace transport_test {

namespace {

using candor::http_request;
using candor::http_response;

struct minimal {
    http_response send(const http_request&) { return {}; }
    void cancel() noexcept {}
};
static_assert(candor::transport<minimal>);
static_assert(candor::transport<candor::null_transport>);

struct without_send {
    void cancel() noexcept {}
};
static_assert(!candor::transport<without_send>);

struct without_cancel {
    http_response send(const http_request&) { return {}; }
};
static_assert(!candor::transport<without_cancel>);

struct cancel_throws : minimal {
    void cancel() {}
};
static_assert(!candor::transport<cancel_throws>);

struct send_gives_a_status : minimal {
    int send(const http_request&) { return 200; }
};
static_assert(!candor::transport<send_gives_a_status>);

struct send_gives_a_reference : minimal {
    http_response& send(const http_request&);
};
static_assert(!candor::transport<send_gives_a_reference>);

struct send_changes_the_request : minimal {
    http_response send(http_request&) { return {}; }
};
static_assert(!candor::transport<send_changes_the_request>);

struct send_needs_a_body : minimal {
    http_response send(const http_request&, const std::string&) { return {}; }
};
static_assert(!candor::transport<send_needs_a_body>);

struct send_by_value : minimal {
    http_response send(http_request) { return {}; }
};
static_assert(candor::transport<send_by_value>);

}  // namespace

TEST_CASE("the null transport is stateless and says 200 to everything, also after cancel") {
    CHECK(std::is_empty_v<candor::null_transport>);
    const candor::null_transport transport;
    const http_request request{.url = "http://plane/v1/batch", .body = "{}"};
    CHECK(transport.send(request).status == 200);
    transport.cancel();
    const auto answer = transport.send(request);
    CHECK(answer.status == 200);
    CHECK(answer.error == candor::transport_error::none);
    CHECK(answer.headers.empty());
    CHECK(answer.body.empty());
}

}  // namespace transport_test
