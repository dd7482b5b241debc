#ifndef CANDOR_EVENT_LOGIN_HPP
#define CANDOR_EVENT_LOGIN_HPP

#include <string_view>
#include <tuple>

#include <candor/identity/identity_resolver.hpp>

namespace candor {

/// Somebody logged in. Track it when the new account is in place: the account source is asked again before it is sent.
struct login_succeeded {
    static constexpr std::string_view event_name = "login_success";
    static constexpr bool requires_account = true;
    static constexpr bool refreshes_account = true;
    static constexpr identity_fields identity =
        identity_fields::invocation_uuid | identity_fields::team | identity_fields::environment;

    static constexpr auto fields() { return std::tuple<>{}; }
};

}  // namespace candor

#endif
