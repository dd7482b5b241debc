#ifndef CANDOR_RUDDERSTACK_CLIENT_HPP
#define CANDOR_RUDDERSTACK_CLIENT_HPP

#include <algorithm>
#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <candor/delivery/options.hpp>
#include <candor/delivery/pipeline.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/platform/at_exit.hpp>
#include <candor/platform/errno_guard.hpp>
#include <candor/platform/fork.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/policies.hpp>
#include <candor/policy/transport.hpp>
#include <candor/rudderstack/message.hpp>
#include <candor/rudderstack/protocol.hpp>

namespace candor::rudderstack {

struct client_options {
    std::string write_key{};       ///< of the source
    std::string data_plane_url{};  ///< `/v1/batch` is added to its path
    std::chrono::milliseconds shutdown_timeout{2000};
    delivery_options delivery{};
    diagnostic_sink diagnostics{};  ///< called on the worker thread
};

namespace detail {

/// The pipeline to a data plane. Throws `configuration_error` where the transport can never reach it.
template <transport Transport, clock Clock>
std::unique_ptr<common::pipeline> make_pipeline(const url& data_plane, std::string_view write_key,
                                                std::shared_ptr<event_context> events, const delivery_options& options,
                                                const diagnostic_sink& diagnostics,
                                                common::policies<Transport, Clock>& policies) {
    common::check_reach(policies.transport(), data_plane);
    return std::make_unique<common::pipeline>("rudderstack", options, diagnostics, common::random_seed(),
                                              std::make_unique<protocol>(data_plane, write_key, std::move(events)),
                                              policies.any_transport(), policies.any_clock());
}

/// Counts a record whose text could not be written.
inline admission refuse(common::pipeline& delivery, json_writer::condition why) noexcept {
    switch (why) {
        case json_writer::condition::too_large:
            return delivery.refuse(admission::too_large);
        case json_writer::condition::too_deep:
            return delivery.refuse(admission::too_deep);
        default:
            return delivery.refuse(admission::out_of_memory);
    }
}

}  // namespace detail

/// Sends messages to a RudderStack data plane, in batches, from one worker thread that the first message starts.
///
/// Every member may be called from any thread. A destroyed client has delivered what it could within
/// `shutdown_timeout`. In a child made by `fork()` it starts anew, with nothing of what waited in the parent.
template <transport Transport, clock Clock>
class basic_client {
public:
    /// Makes its own transport and clock. Throws `configuration_error` for an option that cannot work. Not in a signal
    /// handler.
    explicit basic_client(const client_options& options) requires std::default_initializable<Transport> &&
        std::default_initializable<Clock> : session_{sessions(options)} {
        errno_.restore();
    }

    /// Uses a transport and a clock that outlive it. Not in a signal handler.
    basic_client(const client_options& options, Transport& transport, Clock& clock)
        : policies_{transport, clock}, session_{sessions(options)} {
        errno_.restore();
    }

    basic_client(const basic_client&) = delete;
    basic_client& operator=(const basic_client&) = delete;
    ~basic_client() { errno_.renew(); }

    /// Hands a message over: `track`, `identify`, `page`, `screen`, `group` or `alias`. Never blocks on I/O. Whatever
    /// the answer, the message may be destroyed at once. Not in a signal handler.
    template <detail::message Message>
    admission enqueue(const Message& message) noexcept {
        const candor::detail::errno_guard guard;
        session* const mine = session_.get();
        if (mine == nullptr) return session_.is_retired() ? admission::closed : admission::out_of_memory;
        auto& delivery = *mine->delivery;
        if (const auto refused = delivery.would_refuse()) return *refused;
        if (!detail::is_complete(message)) return delivery.refuse(admission::invalid);
        detail::json_writer text{mine->text_bytes};
        try {
            detail::write_head(text, message, mine->anonymous_id);
        } catch (...) {
            return delivery.refuse(admission::out_of_memory);
        }
        detail::record_header header;
        header.head_size = static_cast<std::uint32_t>(text.size());
        header.original_timestamp =
            (message.timestamp ? *message.timestamp : policies_.clock().wall_now()).time_since_epoch().count();
        detail::write_tail(text, message);
        if (text.state() != detail::json_writer::condition::good) return detail::refuse(delivery, text.state());
        return delivery.enqueue(std::array{header.bytes(), text.text()});
    }

    /// Sends at once and waits. True when all that was enqueued before has been delivered; false when something was
    /// given up, or went to the spool for a later run, when `timeout` passes, or as soon as it is certain to. In a
    /// callback it does not wait, and is false. Not in a signal handler.
    bool flush(std::chrono::milliseconds timeout) noexcept {
        const candor::detail::errno_guard guard;
        auto* const mine = session_.find();
        return mine == nullptr || mine->call([&](session& of) { return of.delivery->flush(timeout); });
    }

    /// Delivers for at most `shutdown_timeout`, then puts what is left into the spool. Later calls of `enqueue` answer
    /// `closed`. Not in a signal handler.
    void shutdown() noexcept {
        const candor::detail::errno_guard guard;
        session_.retire();
        if (auto* const mine = session_.find()) mine->call([](session& of) { of.shutdown(); });
    }

    /// Of this process. Not in a signal handler.
    [[nodiscard]] candor::statistics statistics() const noexcept {
        const session* const mine = session_.find();
        return mine == nullptr ? candor::statistics{} : mine->delivery->statistics();
    }

private:
    /// What belongs to one process.
    struct session {
        session(const client_options& options, const uuid& own_id, candor::detail::policies<Transport, Clock>& policies)
            : delivery{detail::make_pipeline(detail::checked_data_plane_url(options.data_plane_url), options.write_key,
                                             nullptr, options.delivery, options.diagnostics, policies)},
              text_bytes{options.delivery.message_bytes -
                         std::min(options.delivery.message_bytes, detail::size_of_times)},
              anonymous_id{own_id.to_string()},
              shutdown_timeout{options.shutdown_timeout} {}

        void shutdown() noexcept { delivery->shutdown(shutdown_timeout); }
        void shutdown_at_exit() noexcept { delivery->shutdown_at_exit(shutdown_timeout); }
        void let_go() noexcept {
            if (delivery->is_calling_back()) delivery->let_go();
        }

        const std::unique_ptr<candor::detail::pipeline> delivery;
        const std::size_t text_bytes;  ///< of a message without its times
        const std::string anonymous_id;
        const std::chrono::milliseconds shutdown_timeout;
    };
    using bounded_session = candor::detail::until_exit<session>;

    std::function<std::unique_ptr<bounded_session>()> sessions(const client_options& options) {
        candor::detail::check_not_negative("shutdown_timeout", options.shutdown_timeout);
        candor::detail::check(options.delivery);
        detail::check_write_key(options.write_key);
        return [this, options, own_id = uuid::random()] {
            return std::make_unique<bounded_session>(options, own_id, policies_);
        };
    }

    candor::detail::object_errno_guard errno_{};
    candor::detail::policies<Transport, Clock> policies_;
    candor::detail::per_process<bounded_session> session_;
};

}  // namespace candor::rudderstack

#endif
