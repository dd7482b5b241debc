#ifndef CANDOR_RUDDERSTACK_CLIENT_HPP
#define CANDOR_RUDDERSTACK_CLIENT_HPP

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
#include <candor/policy/at_exit.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/fork.hpp>
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

template <transport Transport, clock Clock>
using pipeline = common::pipeline<protocol, Transport, Clock>;

/// The pipeline to a data plane. Throws `configuration_error` where the transport can never reach it.
template <transport Transport, clock Clock>
pipeline<Transport, Clock> make_pipeline(const url& data_plane, std::string_view write_key, event_context* events,
                                         const delivery_options& options, const diagnostic_sink& diagnostics,
                                         Transport& transport, Clock& clock) {
    common::check_reach(transport, data_plane);
    // Programs that started together must not come back together.
    const auto random = uuid::random().bytes();
    const auto seed =
        std::uint32_t{random[0]} << 24 | std::uint32_t{random[1]} << 16 | std::uint32_t{random[2]} << 8 | random[3];
    return {"rudderstack", options, diagnostics, seed, protocol{data_plane, write_key, events}, transport, clock};
}

/// Queues a record whose text could be written, or counts why it could not.
template <class Pipeline>
admission submit(Pipeline& delivery, const record_header& header, json_writer::condition state,
                 std::string_view text) noexcept {
    switch (state) {
        case json_writer::condition::too_large:
            return delivery.refuse(admission::too_large);
        case json_writer::condition::too_deep:
            return delivery.refuse(admission::too_deep);
        case json_writer::condition::out_of_memory:
            return delivery.refuse(admission::out_of_memory);
        case json_writer::condition::good:
            break;
    }
    return delivery.enqueue(std::array{header.bytes(), text});
}

}  // namespace detail

/// Sends messages to a RudderStack data plane, in batches, from one worker thread that the first message starts.
///
/// Every member may be called from any thread. A destroyed client has delivered what it could within
/// `shutdown_timeout`. In a child made by `fork()` it starts anew, with nothing of what waited in the parent.
template <transport Transport, clock Clock>
class basic_client {
public:
    /// Makes its own transport and clock. Throws `configuration_error` for an option that cannot work.
    explicit basic_client(const client_options& options) requires std::default_initializable<Transport> &&
        std::default_initializable<Clock> : session_{sessions(options)} {}

    /// Uses a transport and a clock that outlive it.
    basic_client(const client_options& options, Transport& transport, Clock& clock)
        : policies_{transport, clock}, session_{sessions(options)} {}

    basic_client(const basic_client&) = delete;
    basic_client& operator=(const basic_client&) = delete;

    /// Hands a message over: `track`, `identify`, `page`, `screen`, `group` or `alias`. Never blocks on I/O. Whatever
    /// the answer, the message may be destroyed at once.
    template <detail::message Message>
    admission enqueue(const Message& message) noexcept {
        session* const mine = session_.get();
        if (mine == nullptr) return session_.is_retired() ? admission::closed : admission::out_of_memory;
        auto& delivery = mine->delivery;
        if (const auto refused = delivery.would_refuse()) return *refused;
        if (!detail::is_complete(message)) return delivery.refuse(admission::invalid);
        detail::json_writer text{mine->message_bytes};
        try {
            detail::write_head(text, message);
        } catch (...) {
            return delivery.refuse(admission::out_of_memory);
        }
        detail::record_header header;
        header.head_size = static_cast<std::uint32_t>(text.size());
        header.original_timestamp =
            (message.timestamp ? *message.timestamp : policies_.clock().wall_now()).time_since_epoch().count();
        detail::write_tail(text, message);
        return detail::submit(delivery, header, text.state(), text.text());
    }

    /// Sends at once and waits. True when all that was enqueued before has been delivered; false when something was
    /// given up, when `timeout` passes, or as soon as it is certain to. Do not call it from a callback: false.
    bool flush(std::chrono::milliseconds timeout) noexcept {
        session* const mine = session_.find();
        return mine == nullptr || mine->delivery.flush(timeout);
    }

    /// Delivers for at most `shutdown_timeout`, then puts what is left into the spool. Later calls of `enqueue` answer
    /// `closed`.
    void shutdown() noexcept {
        session_.retire();
        if (session* const mine = session_.find()) mine->shutdown();
    }

    /// Of this process.
    [[nodiscard]] candor::statistics statistics() const noexcept {
        const session* const mine = session_.find();
        return mine == nullptr ? candor::statistics{} : mine->delivery.statistics();
    }

private:
    /// What is of one process.
    struct session {
        session(const client_options& options, const candor::detail::policies<Transport, Clock>& policies)
            : delivery{detail::make_pipeline(detail::checked_data_plane_url(options.data_plane_url), options.write_key,
                                             nullptr, options.delivery, options.diagnostics, policies.transport(),
                                             policies.clock())},
              message_bytes{options.delivery.message_bytes},
              shutdown_timeout{options.shutdown_timeout} {}

        void shutdown() noexcept { delivery.shutdown(shutdown_timeout); }

        detail::pipeline<Transport, Clock> delivery;
        const std::size_t message_bytes;
        const std::chrono::milliseconds shutdown_timeout;
    };
    using bounded_session = candor::detail::until_exit<session>;

    std::function<std::unique_ptr<bounded_session>()> sessions(const client_options& options) {
        candor::detail::check_not_negative("shutdown_timeout", options.shutdown_timeout);
        candor::detail::check(options.delivery);
        detail::check_write_key(options.write_key);
        return [this, options] { return std::make_unique<bounded_session>(options, policies_); };
    }

    candor::detail::policies<Transport, Clock> policies_;
    candor::detail::per_process<bounded_session> session_;
};

}  // namespace candor::rudderstack

#endif
