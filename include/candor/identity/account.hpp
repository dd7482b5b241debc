#ifndef CANDOR_IDENTITY_ACCOUNT_HPP
#define CANDOR_IDENTITY_ACCOUNT_HPP

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include <candor/policy/diagnostic.hpp>

namespace candor {

/// On whose behalf the program runs: ids only, never an e-mail address or a display name.
struct account {
    std::string user_id{};
    std::string team_id{};  ///< empty where there is no team
};

/// Says on whose behalf the program runs, or that nobody is logged in.
///
/// Called on candor's worker, never on a thread of the program, and only when an event is about to be sent: once, and
/// again after a login, an earlier run's too, where that is delivered now. It may read files and use the network, but
/// must return in bounded time, because shutdown waits for it. What it captures must stay valid for as long as the
/// telemetry object lives. What it throws counts as no account, with a diagnostic.
using account_source = std::function<std::optional<account>()>;

namespace detail {

/// The answer of an account source, asked for when first needed and then kept, whether there is an account or not: a
/// lookup that failed is not repeated for every event. For one thread, candor's worker.
class cached_account {
public:
    /// Asks nothing yet. An empty source means that there is never an account.
    explicit cached_account(account_source source, diagnostic_sink diagnostic = {})
        : source_{std::move(source)}, diagnostic_{std::move(diagnostic)} {}

    /// The account. The reference is good until the next call of a member.
    [[nodiscard]] const std::optional<account>& get() noexcept {
        if (!known_) {
            known_ = true;
            account_.reset();
            if (source_) ask();
        }
        return account_;
    }

    /// Somebody may have logged in: the next `get()` asks again.
    void refresh() noexcept { known_ = false; }

private:
    void ask() noexcept {
        try {
            account_ = source_();
        } catch (...) {
            // Without the exception's text: a failed lookup often quotes its URL or token.
            report(diagnostic_, "the account source threw; events are sent without an account");
        }
    }

    account_source source_;
    diagnostic_sink diagnostic_;
    std::optional<account> account_;
    bool known_ = false;
};

}  // namespace detail

}  // namespace candor

#endif
