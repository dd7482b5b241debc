#ifndef CANDOR_IDENTITY_IDENTITY_RESOLVER_HPP
#define CANDOR_IDENTITY_IDENTITY_RESOLVER_HPP

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include <candor/identity/account.hpp>
#include <candor/identity/internal_team.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/fnv1a.hpp>

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

/// On whose behalf events are sent, at one time. The ids are JSON, quotes included, and empty where there is none.
struct resolved_identity {
    std::uint32_t refreshes = 0;  ///< after which of them the account source was asked
    bool is_internal = false;     ///< nothing may be sent: the team belongs to the product's maker
    bool is_known = false;        ///< somebody is logged in
    std::string user_id{};
    std::string team{};
    std::string service_account{};  ///< of the team

    /// A hash of the user; 0 where nobody is logged in.
    [[nodiscard]] std::uint64_t name() const noexcept {
        return is_known ? fnv1a(user_id.empty() ? service_account : user_id) : 0;
    }

    /// Appends the chosen properties that need an account, as members of an object whose braces the caller writes;
    /// `first` says that no member precedes them. In the cloud a program runs for a team and not for a person, and says
    /// so as `user_id`.
    void append_properties(identity_fields chosen, bool in_cloud, std::string& out, bool first) const {
        const auto member = [&](std::string_view name, std::string_view json) {
            if (json.empty()) return;
            if (!std::exchange(first, false)) out += ',';
            out.append("\"").append(name).append("\":").append(json);
        };
        if (!is_known) return;
        if (contains(chosen, identity_fields::team) && !team.empty()) {
            member("team", team);
            member("$groups", "{\"team\":");
            out.append(team).append("}");
        }
        if (contains(chosen, identity_fields::environment)) member("environment", in_cloud ? "\"cloud\"" : "\"cli\"");
        if (contains(chosen, identity_fields::user_id))
            member("user_id", in_cloud && !team.empty() ? service_account : user_id);
    }
};

/// On whose behalf events are sent, found out as late as possible: the account source may ask a server, so it is called
/// by the worker, when the first event is about to be sent. `has_to_ask` and `resolve` are the worker's; all else is
/// for any thread.
class identity_resolver {
public:
    /// In the cloud a team without a user is an account too.
    identity_resolver(bool in_cloud, account_source source, internal_team_filter is_internal,
                      diagnostic_sink diagnostics)
        : in_cloud_{in_cloud},
          account_{std::move(source), diagnostics},
          is_internal_{std::move(is_internal)},
          diagnostics_{std::move(diagnostics)} {}

    [[nodiscard]] bool in_cloud() const noexcept { return in_cloud_; }

    /// Somebody may have logged in: what was found before does not hold from here on. Gives the number of this refresh.
    std::uint32_t refresh() noexcept { return refreshes_.fetch_add(1, std::memory_order_relaxed) + 1; }

    /// How many refreshes there were. What is recorded now needs an identity that was found after that many.
    [[nodiscard]] std::uint32_t refreshes() const noexcept { return refreshes_.load(std::memory_order_relaxed); }

    /// Whether `resolve` would call the program.
    [[nodiscard]] bool has_to_ask(std::uint32_t refreshes) const noexcept {
        return !found_ || found_->refreshes < refreshes;
    }

    /// The identity after so many refreshes; asks for the account where that has not been done since. What callbacks
    /// throw goes no further. Good until the next call. Throws `std::bad_alloc`; the next event tries again then.
    const resolved_identity& resolve(std::uint32_t refreshes) {
        if (!has_to_ask(refreshes)) return *found_;
        if (found_) account_.refresh();
        const auto who = ask();
        auto out = std::make_shared<resolved_identity>();
        out->refreshes = refreshes;
        try {
            out->is_internal = is_internal_ && is_internal_(who);
        } catch (...) {
            report(diagnostics_, "the internal-team filter threw; the team counts as external");
        }
        if (who) {
            out->is_known = true;
            if (!is_blank(who->user_id)) out->user_id = quoted(who->user_id);
            if (!who->team_id.empty()) {
                out->team = quoted(who->team_id);
                out->service_account = quoted(who->team_id + "_service_account");
            }
        }
        const std::lock_guard guard{mutex_};
        found_ = std::move(out);
        return *found_;
    }

    /// What was found last; null before.
    [[nodiscard]] std::shared_ptr<const resolved_identity> found() const noexcept {
        const std::lock_guard guard{mutex_};
        return found_;
    }

    /// A hash of the user in whose name events are sent now; 0 where that is nobody, or is to be found out.
    [[nodiscard]] std::uint64_t named_user() const noexcept {
        const auto now = found();
        return now && now->refreshes == refreshes() ? now->name() : 0;
    }

private:
    static bool is_blank(std::string_view id) noexcept { return id.find_first_not_of(" \t\r\n\f\v") == id.npos; }

    std::optional<account> ask() {
        const auto& answer = account_.get();
        const bool is_somebody = answer && (!is_blank(answer->user_id) || (in_cloud_ && !answer->team_id.empty()));
        return is_somebody ? answer : std::nullopt;
    }

    static std::string quoted(const std::string& text) {
        return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }

    const bool in_cloud_;
    cached_account account_;
    const internal_team_filter is_internal_;
    const diagnostic_sink diagnostics_;
    std::atomic<std::uint32_t> refreshes_{0};
    mutable std::mutex mutex_;  // of found_, which the worker alone changes
    std::shared_ptr<const resolved_identity> found_;
};

}  // namespace detail

}  // namespace candor

#endif
