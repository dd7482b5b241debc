#ifndef CANDOR_RUDDERSTACK_CLIENT_HPP
#define CANDOR_RUDDERSTACK_CLIENT_HPP

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <candor/delivery/options.hpp>
#include <candor/delivery/pipeline.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/policy/at_exit.hpp>
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

template <transport Transport, clock Clock>
using pipeline = common::pipeline<protocol, Transport, Clock>;

/// The pipeline to a data plane. Throws `configuration_error` where the transport can never reach it.
template <transport Transport, clock Clock>
pipeline<Transport, Clock> make_pipeline(const url& data_plane, std::string_view write_key, event_context* events,
                                         const delivery_options& options, const diagnostic_sink& diagnostics,
                                         Transport& transport, Clock& clock) {
    if constexpr (requires { transport.check(data_plane); }) transport.check(data_plane);
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
/// `shutdown_timeout`.
template <transport Transport, clock Clock>
class basic_client {
public:
    /// Makes its own transport and clock. Throws `configuration_error` for an option that cannot work.
    explicit basic_client(const client_options& options) requires std::default_initializable<Transport> &&
        std::default_initializable<Clock> : shutdown_timeout_{options.shutdown_timeout},
                                            message_bytes_{options.delivery.message_bytes},
                                            delivery_{make_delivery(options)} {}

    /// Uses a transport and a clock that outlive it.
    basic_client(const client_options& options, Transport& transport, Clock& clock)
        : policies_{transport, clock},
          shutdown_timeout_{options.shutdown_timeout},
          message_bytes_{options.delivery.message_bytes},
          delivery_{make_delivery(options)} {}

    basic_client(const basic_client&) = delete;
    basic_client& operator=(const basic_client&) = delete;
    ~basic_client() {
        at_exit_.reset();
        shutdown();
    }

    /// Hands a message over: `track`, `identify`, `page`, `screen`, `group` or `alias`. Never blocks on I/O. Whatever
    /// the answer, the message may be destroyed at once.
    template <detail::message Message>
    admission enqueue(const Message& message) noexcept {
        if (const auto refused = delivery_.would_refuse()) return *refused;
        if (!detail::is_complete(message)) return delivery_.refuse(admission::invalid);
        detail::json_writer text{message_bytes_};
        try {
            detail::write_head(text, message);
        } catch (...) {
            return delivery_.refuse(admission::out_of_memory);
        }
        detail::record_header header;
        header.head_size = static_cast<std::uint32_t>(text.size());
        header.original_timestamp =
            (message.timestamp ? *message.timestamp : policies_.clock().wall_now()).time_since_epoch().count();
        detail::write_tail(text, message);
        return detail::submit(delivery_, header, text.state(), text.text());
    }

    /// Sends at once and waits. True when all that was enqueued before has been delivered; false when something was
    /// given up, when `timeout` passes, or as soon as it is certain to. Do not call it from a callback: false.
    bool flush(std::chrono::milliseconds timeout) noexcept { return delivery_.flush(timeout); }

    /// Delivers for at most `shutdown_timeout`, then gives up what is left. Later calls of `enqueue` answer `closed`.
    void shutdown() noexcept { delivery_.shutdown(shutdown_timeout_); }

    [[nodiscard]] candor::statistics statistics() const noexcept { return delivery_.statistics(); }

private:
    detail::pipeline<Transport, Clock> make_delivery(const client_options& options) {
        candor::detail::check_not_negative("shutdown_timeout", options.shutdown_timeout);
        candor::detail::check(options.delivery);
        detail::check_write_key(options.write_key);
        const url data_plane = detail::checked_data_plane_url(options.data_plane_url);
        return detail::make_pipeline(data_plane, options.write_key, nullptr, options.delivery, options.diagnostics,
                                     policies_.transport(), policies_.clock());
    }

    candor::detail::policies<Transport, Clock> policies_;
    std::chrono::milliseconds shutdown_timeout_;
    std::size_t message_bytes_;
    detail::pipeline<Transport, Clock> delivery_;
    std::optional<candor::detail::at_exit> at_exit_{
        std::in_place, [](void* self) noexcept { static_cast<basic_client*>(self)->shutdown(); }, this};
};

}  // namespace candor::rudderstack

#endif
