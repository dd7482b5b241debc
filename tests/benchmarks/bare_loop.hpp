#ifndef CANDOR_TESTS_BENCHMARKS_BARE_LOOP_HPP
#define CANDOR_TESTS_BENCHMARKS_BARE_LOOP_HPP

#include "ten_fields.hpp"

#include <httplib.h>

#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <candor/event/rfc3339.hpp>
#include <candor/httplib/gzip.hpp>
#include <candor/identity/uuid.hpp>

namespace candor::benchmarks {

/// The reference: the least that a program could do by itself. `track` copies the event and hands it over; one thread
/// formats, without care for what a string may hold, and posts batches over a kept-alive `httplib::Client`. No retries,
/// no limits in bytes, no account, no statistics. The messages have the size and the parts of candor's.
class bare_loop {
public:
    /// `port` 0 has nowhere to post to: what is handed over stays until the queue is full.
    bare_loop(std::uint16_t port, bool compress) : port_{port}, compress_{compress}, worker_{[this] { run(); }} {}

    bare_loop(const bare_loop&) = delete;
    bare_loop& operator=(const bare_loop&) = delete;

    /// Delivers all that was accepted.
    ~bare_loop() {
        {
            const std::lock_guard guard{mutex_};
            closing_ = true;
        }
        work_.notify_one();
        worker_.join();
    }

    /// False where the queue is full.
    bool track(const ten_fields& event) {
        {
            const std::lock_guard guard{mutex_};
            if (accepted_ - settled_ >= queue_messages) return false;
            waiting_.push_back({event, std::chrono::system_clock::now()});
            ++accepted_;
            if (waiting_.size() != batch_messages) return true;
        }
        work_.notify_one();
        return true;
    }

    /// How many are accepted and not delivered.
    [[nodiscard]] std::size_t pending() const {
        const std::lock_guard guard{mutex_};
        return accepted_ - settled_;
    }

private:
    static constexpr std::size_t queue_messages = 10'000;
    static constexpr std::size_t batch_messages = 250;

    struct entry {
        ten_fields event;
        wall_time time;
    };

    void run() {
        std::optional<httplib::Client> client;
        std::vector<entry> taken;
        for (;;) {
            taken.clear();
            {
                std::unique_lock lock{mutex_};
                work_.wait(lock, [&] { return closing_ || (port_ != 0 && waiting_.size() >= batch_messages); });
                if (port_ == 0 || waiting_.empty()) return;
                std::swap(taken, waiting_);
            }
            if (!client) {
                client.emplace("127.0.0.1", port_);
                client->set_keep_alive(true);
                client->set_tcp_nodelay(true);
            }
            for (std::size_t first = 0; first < taken.size(); first += batch_messages) {
                const std::size_t count = std::min(batch_messages, taken.size() - first);
                post(*client, taken.data() + first, count);
                const std::lock_guard guard{mutex_};
                settled_ += count;
            }
        }
    }

    void post(httplib::Client& client, const entry* first, std::size_t count) {
        body_ = "{\"batch\":[";
        const wall_time now = std::chrono::system_clock::now();
        for (const entry* next = first; next != first + count; ++next) {
            if (next != first) body_ += ',';
            format(*next, now);
        }
        body_ += "]}";
        std::string_view payload = body_;
        httplib::Headers headers{{"Authorization", "Basic a2V5Og=="}};
        if (const auto shorter = compress_ ? encoder_.encode(body_) : std::nullopt) {
            payload = *shorter;
            headers.emplace("Content-Encoding", "gzip");
        }
        client.Post("/v1/batch", headers, payload.data(), payload.size(), "application/json");
    }

    void format(const entry& from, wall_time now) {
        body_ += R"({"type":"track","messageId":")";
        add(id());
        body_ += R"(","anonymousId":")";
        add(invocation_);
        body_ += R"(","event":"transfer_finished","originalTimestamp":")";
        add(from.time);
        body_ += R"(","sentAt":")";
        add(now);
        body_ += R"(","context":{"library":{"name":"bare","version":"0.0.0"}},"properties":{"serial":)";
        add(from.event.serial);
        body_.append(",\"pipeline\":\"").append(from.event.pipeline);
        body_.append("\",\"source\":\"").append(from.event.source);
        body_.append("\",\"destination\":\"").append(from.event.destination);
        body_.append("\",\"release\":\"").append(from.event.release);
        body_ += "\",\"duration\":";
        add(std::chrono::nanoseconds{from.event.duration}.count());
        body_ += ",\"bytes_read\":";
        add(from.event.bytes_read);
        body_ += ",\"error_rate\":";
        add(from.event.error_rate);
        body_ += from.event.incremental ? ",\"incremental\":true" : ",\"incremental\":false";
        body_ += ",\"tables\":[";
        for (const auto& table : from.event.tables) {
            if (body_.back() != '[') body_ += ',';
            body_.append("\"").append(table).append("\"");
        }
        body_ += R"(],"invocation_uuid":")";
        add(invocation_);
        body_ += R"("},"channel":"server"})";
    }

    template <class Number>
    void add(Number value) {
        char text[32];
        body_.append(text, std::to_chars(text, text + sizeof text, value).ptr);
    }

    void add(wall_time time) {
        char text[candor::detail::rfc3339_size];
        body_.append(text, candor::detail::write_rfc3339(time, text));
    }

    void add(const uuid& id) {
        char text[uuid::text_size];
        id.write(text);
        body_.append(text, sizeof text);
    }

    uuid id() {
        std::array<std::uint8_t, 16> bytes;
        for (std::size_t at = 0; at < bytes.size(); at += 8) {
            const std::uint64_t random = random_();
            std::memcpy(bytes.data() + at, &random, 8);
        }
        return uuid{bytes};
    }

    const std::uint16_t port_;
    const bool compress_;
    std::mt19937_64 random_{1};
    const uuid invocation_ = uuid::random();
    std::string body_;
    candor::detail::gzip_encoder encoder_;

    mutable std::mutex mutex_;
    std::condition_variable work_;
    std::vector<entry> waiting_;
    std::size_t accepted_ = 0;
    std::size_t settled_ = 0;
    bool closing_ = false;
    std::thread worker_;
};

}  // namespace candor::benchmarks

#endif
