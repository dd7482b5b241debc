#ifndef CANDOR_IDENTITY_IDENTITY_RESOLVER_HPP
#define CANDOR_IDENTITY_IDENTITY_RESOLVER_HPP

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include <candor/identity/account.hpp>
#include <candor/identity/internal_team.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/policy/diagnostic.hpp>

namespace candor {

/// Which identity properties an event carries. A set of bits.
enum class identity_fields : std::uint8_t {
    invocation_uuid = 1,
    team = 2,  ///< `team` and `$groups.team`
    environment = 4,
    user_id = 8,
    all = 15,
};

[[nodiscard]] constexpr identity_fields operator|(identity_fields a, identity_fields b) noexcept {
    return static_cast<identity_fields>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

[[nodiscard]] constexpr bool contains(identity_fields set, identity_fields one) noexcept {
    return (static_cast<unsigned>(set) & static_cast<unsigned>(one)) != 0;
}

/// A property that candor itself adds to an event.
struct identity_property {
    identity_fields bit;
    std::string_view name;
    std::string_view description;
};

/// Every identity property there is. All but the first stand only in events sent with an account.
inline constexpr std::array identity_properties{
    identity_property{identity_fields::invocation_uuid, "invocation_uuid", "Random UUID of this run of the program"},
    identity_property{identity_fields::team, "team", "Id of the account's team"},
    identity_property{identity_fields::team, "$groups", "The team's id again, under `team`, for grouping"},
    identity_property{identity_fields::environment, "environment", "`cloud` or `cli`: where the program runs"},
    identity_property{identity_fields::user_id, "user_id", "Id of the account"},
};

namespace detail {

constexpr bool is_identity_property(std::string_view name) {
    for (const auto& property : identity_properties)
        if (property.name == name) return true;
    return false;
}

/// On whose behalf events are sent, found out as late as possible: the account source may ask a server, so it is
/// called by the worker, when the first event is about to be sent. Used by one thread at a time.
class identity_resolver {
public:
    /// `cloud` says that the program runs as a service of its team: the user is then `<team>_service_account`.
    identity_resolver(uuid invocation, bool cloud, account_source source, internal_team_filter is_internal,
                      diagnostic_sink diagnostics)
        : invocation_{invocation.to_string()},
          cloud_{cloud},
          account_{cloud ? in_cloud(std::move(source)) : std::move(source), diagnostics},
          is_internal_{std::move(is_internal)},
          diagnostics_{std::move(diagnostics)} {}

    /// Asks for the account where that has not been done yet, or where `refresh` says to ask again. What callbacks
    /// throw goes no further.
    void resolve(bool refresh) {
        if (resolved_ && !refresh) return;
        if (refresh) account_.refresh();
        resolved_ = internal_ = known_ = false;  // where memory runs out below, the next event tries again
        const std::optional<account>& who = account_.get();
        try {
            internal_ = is_internal_ && is_internal_(who);
        } catch (...) {
            report(diagnostics_, "the internal-team filter threw; the team counts as external");
        }
        if (who) {
            user_id_ = quoted(who->user_id);
            team_ = quoted(who->team_id);
            has_team_ = !who->team_id.empty();
            known_ = true;
        }
        resolved_ = true;
    }

    [[nodiscard]] bool is_resolved() const noexcept { return resolved_; }

    /// Whether nothing may be sent, because the team belongs to the product's maker. After `resolve`.
    [[nodiscard]] bool internal() const noexcept { return internal_; }

    /// Whether somebody is logged in. After `resolve`.
    [[nodiscard]] bool known() const noexcept { return known_; }

    /// The account's id as JSON, quotes included. After `resolve`, where `known()`.
    [[nodiscard]] std::string_view user_id() const noexcept { return user_id_; }

    /// Appends the chosen properties, as members of an object whose braces the caller writes; `first` says that no
    /// member precedes them.
    void append_properties(identity_fields chosen, std::string& out, bool first) const {
        const auto member = [&](std::string_view name, std::string_view json) {
            if (!std::exchange(first, false)) out += ',';
            out.append("\"").append(name).append("\":").append(json);
        };
        if (contains(chosen, identity_fields::invocation_uuid)) {
            if (!std::exchange(first, false)) out += ',';
            out.append("\"invocation_uuid\":\"").append(invocation_).append("\"");
        }
        if (!known_) return;
        if (contains(chosen, identity_fields::team) && has_team_) {
            member("team", team_);
            if (!std::exchange(first, false)) out += ',';
            out.append("\"$groups\":{\"team\":").append(team_).append("}");
        }
        if (contains(chosen, identity_fields::environment)) member("environment", cloud_ ? "\"cloud\"" : "\"cli\"");
        if (contains(chosen, identity_fields::user_id)) member("user_id", user_id_);
    }

private:
    static account_source in_cloud(account_source source) {
        if (!source) return source;
        return [source = std::move(source)]() -> std::optional<account> {
            auto who = source();
            if (who) who = cloud_account(*std::move(who));
            return who;
        };
    }

    static std::string quoted(const std::string& text) {
        return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }

    std::string invocation_;
    bool cloud_;
    cached_account account_;
    internal_team_filter is_internal_;
    diagnostic_sink diagnostics_;
    bool resolved_ = false;
    bool internal_ = false;
    bool known_ = false;
    bool has_team_ = false;
    std::string user_id_;
    std::string team_;
};

}  // namespace detail

}  // namespace candor

#endif
