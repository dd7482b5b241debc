#ifndef CANDOR_POLICY_POLICIES_HPP
#define CANDOR_POLICY_POLICIES_HPP

#include <condition_variable>
#include <mutex>
#include <optional>

#include <candor/policy/clock.hpp>
#include <candor/policy/http.hpp>
#include <candor/policy/transport.hpp>

namespace candor::detail {

/// A transport as delivery sees it, whatever its type: what delivers is compiled once.
class transport_interface {
public:
    virtual http_response send(const http_request& request) = 0;
    virtual void cancel() noexcept = 0;

protected:
    ~transport_interface() = default;
};

template <transport Transport>
class transport_adapter final : public transport_interface {
public:
    explicit transport_adapter(Transport& to) noexcept : to_{to} {}
    http_response send(const http_request& request) override { return to_.send(request); }
    void cancel() noexcept override { to_.cancel(); }

private:
    Transport& to_;
};

/// A clock, likewise.
class clock_interface {
public:
    [[nodiscard]] virtual steady_time now() const noexcept = 0;
    [[nodiscard]] virtual wall_time wall_now() const noexcept = 0;
    virtual void idle_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                            steady_time deadline) = 0;
    virtual void wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                            steady_time deadline) = 0;

protected:
    ~clock_interface() = default;
};

template <candor::clock Clock>
class clock_adapter final : public clock_interface {
public:
    explicit clock_adapter(Clock& to) noexcept : to_{to} {}
    [[nodiscard]] steady_time now() const noexcept override { return to_.now(); }
    [[nodiscard]] wall_time wall_now() const noexcept override { return to_.wall_now(); }
    void idle_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                    steady_time deadline) override {
        to_.idle_until(lock, changed, deadline);
    }
    void wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                    steady_time deadline) override {
        to_.wait_until(lock, changed, deadline);
    }

private:
    Clock& to_;
};

/// A transport and a clock: made here, or lent by somebody who outlives us.
template <transport Transport, candor::clock Clock>
class policies {
public:
    policies()
        : owned_transport_{std::in_place},
          owned_clock_{std::in_place},
          transport_{*owned_transport_},
          clock_{*owned_clock_} {}
    policies(Transport& transport, Clock& clock) noexcept : transport_{transport}, clock_{clock} {}
    policies(const policies&) = delete;
    policies& operator=(const policies&) = delete;

    [[nodiscard]] Transport& transport() const noexcept { return transport_; }
    [[nodiscard]] Clock& clock() const noexcept { return clock_; }

    /// The same, for what is no template.
    [[nodiscard]] transport_interface& any_transport() noexcept { return any_transport_; }
    [[nodiscard]] clock_interface& any_clock() noexcept { return any_clock_; }

private:
    std::optional<Transport> owned_transport_;
    std::optional<Clock> owned_clock_;
    Transport& transport_;
    Clock& clock_;
    transport_adapter<Transport> any_transport_{transport_};
    clock_adapter<Clock> any_clock_{clock_};
};

}  // namespace candor::detail

#endif
