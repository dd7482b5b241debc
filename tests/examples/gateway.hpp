#ifndef CANDOR_EXAMPLES_GATEWAY_HPP
#define CANDOR_EXAMPLES_GATEWAY_HPP

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace candor::examples {

/// What a RudderStack gateway makes of a batch, without the sockets: the rules of rudder-server 1.70 to 1.83 in their
/// order, and what can be the matter with it. One rule is stricter than there: JSON may nest 512 deep at most.
/// Every member may be called from any thread.
class gateway {
public:
    using clock = std::chrono::steady_clock;

    /// A request as it was read.
    struct request {
        std::string authorization{};
        std::string encoding{};    ///< `Content-Encoding`
        std::string node_count{};  ///< `RS-nodeCount`
        enum class body_state { whole, too_large, unreadable } state = body_state::whole;
        std::string body{};  ///< unpacked
    };

    struct verdict {
        int status;
        std::string text;
        std::vector<nlohmann::json> messages{};  ///< that were taken, as they are stored
    };

    explicit gateway(std::string write_key) : write_key_{std::move(write_key)} {}

    /// From now on everything with the right key is answered 404, until enabled again.
    void disable_source(bool is_disabled = true) {
        const std::lock_guard guard{mutex_};
        is_disabled_ = is_disabled;
    }

    /// From now on nothing can be stored: 500, until the database is back.
    void lose_database(bool is_gone = true) {
        const std::lock_guard guard{mutex_};
        has_database_ = !is_gone;
    }

    /// At most so many events in each window of time, all of a request or none. The first event starts a window.
    void limit_rate(std::size_t events, clock::duration window) {
        const std::lock_guard guard{mutex_};
        limit_ = rate_limit{events, window};
    }

    void lift_rate_limit() {
        const std::lock_guard guard{mutex_};
        limit_.reset();
    }

    /// A proxy in front sends whoever counts the nodes otherwise to `/cluster-info`, with 451.
    void set_node_count(std::size_t nodes) {
        const std::lock_guard guard{mutex_};
        nodes_ = nodes;
    }

    /// The answer of the proxy to `GET /cluster-info`. 404 where no node count was set.
    verdict cluster_info(std::string_view authorization) const {
        const std::lock_guard guard{mutex_};
        if (user_of(authorization) != write_key_) return {401, "invalid write key"};
        if (!nodes_) return {404, "404 page not found\n"};
        return {200, nlohmann::json{{"nodeCount", *nodes_}}.dump()};
    }

    verdict judge(const request& from) {
        const std::lock_guard guard{mutex_};
        if (nodes_ && from.node_count != std::to_string(*nodes_)) return {451, "the number of nodes has changed"};
        const std::string key = user_of(from.authorization);
        if (key.empty()) return {401, "failed to read writekey from header"};
        if (key != write_key_) return {401, "invalid write key"};
        if (is_disabled_) return {404, "source is disabled"};
        if (from.state == request::body_state::too_large) return {413, "request size exceeds max limit"};
        if (from.state == request::body_state::unreadable) return {500, "failed to read body from request"};

        const bool is_decoded = from.encoding.empty() || from.encoding == "gzip" || from.encoding == "identity";
        if (!is_decoded || nests_too_deep(from.body)) return {400, "invalid json"};
        auto document = nlohmann::json::parse(from.body, nullptr, false);
        if (document.is_discarded()) return {400, "invalid json"};
        const auto batch = document.is_object() ? document.find("batch") : document.end();
        if (batch == document.end() || (batch->is_array() && batch->empty())) return {400, "empty batch payload"};
        if (!batch->is_array()) return {400, "event is not a valid rudder event"};
        if (is_over_limit(batch->size())) return {429, "max requests limit reached"};
        for (auto& message : *batch) {
            if (!message.is_object()) return {400, "event is not a valid rudder event"};
            if (!is_identified(message)) return {400, "request neither has anonymousId nor userId"};
            pass_through_float64(message);
        }
        if (!has_database_) return {500, "dial tcp 10.0.0.7:5432: connect: connection refused"};
        return {200, "ok", std::move(batch->get_ref<std::vector<nlohmann::json>&>())};
    }

private:
    struct rate_limit {
        std::size_t events;
        clock::duration window;
        clock::time_point start{};
        std::size_t taken = 0;
    };

    static constexpr int max_depth = 512;  // nlohmann copies and prints by recursion

    /// Counts the events of a request, unless they are more than the window has left.
    bool is_over_limit(std::size_t events) {
        if (!limit_) return false;
        if (const auto now = clock::now(); limit_->taken == 0 || now - limit_->start >= limit_->window) {
            limit_->start = now;
            limit_->taken = 0;
        }
        if (limit_->taken + events > limit_->events) return true;
        limit_->taken += events;
        return false;
    }

    /// The user name of a Basic authorization, or an empty string where there is none.
    static std::string user_of(std::string_view authorization) {
        constexpr std::string_view scheme = "Basic ";
        if (authorization.substr(0, scheme.size()) != scheme) return {};
        std::string decoded;
        unsigned bits = 0;
        int count = 0;
        for (const char c : authorization.substr(scheme.size())) {
            constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            if (c == '=') break;
            const auto digit = digits.find(c);
            if (digit == std::string_view::npos) return {};
            bits = (bits << 6 | static_cast<unsigned>(digit)) & 0xffff;
            count += 6;
            if (count >= 8) {
                count -= 8;
                decoded += static_cast<char>(bits >> count & 0xff);
            }
        }
        const auto colon = decoded.find(':');
        return colon == std::string::npos ? std::string{} : decoded.substr(0, colon);
    }

    /// Whether the gateway sees nothing of this character: blanks, controls, and what has no shape of its own.
    static bool is_unseen(char32_t c) {
        static constexpr std::pair<char32_t, char32_t> unseen[] = {
            {0, U' '},          {0x7f, 0xa0},     {0xad, 0xad},     {0x34f, 0x34f},   {0x61c, 0x61c},
            {0x115f, 0x1160},   {0x1680, 0x1680}, {0x17b4, 0x17b5}, {0x180e, 0x180e}, {0x2000, 0x200f},
            {0x2028, 0x202f},   {0x205f, 0x206f}, {0x2800, 0x2800}, {0x3000, 0x3000}, {0x3164, 0x3164},
            {0xe000, 0xf8ff},   {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff},
            {0xf0000, 0x10ffff}};
        return std::any_of(std::begin(unseen), std::end(unseen),
                           [c](const auto& range) { return range.first <= c && c <= range.second; });
    }

    /// Of valid UTF-8, as JSON that was read is.
    static bool is_blank(std::string_view text) {
        while (!text.empty()) {
            const auto byte = [&text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
            const std::size_t size = byte(0) < 0x80 ? 1 : byte(0) < 0xe0 ? 2 : byte(0) < 0xf0 ? 3 : 4;
            char32_t c = size == 1 ? byte(0) : byte(0) & (0x7fU >> size);
            for (std::size_t i = 1; i < size; ++i) c = c << 6 | (byte(i) & 0x3fU);
            if (!is_unseen(c)) return false;
            text.remove_prefix(size);
        }
        return true;
    }

    /// An id may be of any type but null, as the gateway writes it out before it looks.
    static bool is_identified(const nlohmann::json& message) {
        static constexpr const char* ids[] = {"anonymousId", "userId"};
        return std::any_of(std::begin(ids), std::end(ids), [&](const char* member) {
            const auto id = message.find(member);
            if (id == message.end() || id->is_null()) return false;
            return !id->is_string() || !is_blank(id->get_ref<const std::string&>());
        });
    }

    /// Go reads every number of JSON as a float64: an integer beyond 2^53 is rounded to one that it can hold.
    static void pass_through_float64(nlohmann::json& value) {
        if (value.is_structured()) {
            for (auto& member : value) pass_through_float64(member);
        } else if (value.is_number_integer()) {
            constexpr double exact = 9007199254740992.0;  // up to here, all of them
            if (const auto number = value.get<double>(); std::abs(number) >= exact) value = number;
        }
    }

    static bool nests_too_deep(std::string_view json) {
        int depth = 0;
        bool quoted = false;
        for (std::size_t i = 0; i < json.size(); ++i) {
            const char c = json[i];
            if (quoted) {
                if (c == '\\') ++i;
                quoted = c != '"';
            } else if (c == '"') {
                quoted = true;
            } else if (c == '[' || c == '{') {
                if (++depth > max_depth) return true;
            } else if (c == ']' || c == '}') {
                --depth;
            }
        }
        return false;
    }

    mutable std::mutex mutex_;
    const std::string write_key_;
    bool is_disabled_ = false;
    bool has_database_ = true;
    std::optional<rate_limit> limit_;
    std::optional<std::size_t> nodes_;
};

}  // namespace candor::examples

#endif
