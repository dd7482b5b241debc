#ifndef CANDOR_DELIVERY_PAYLOAD_LOG_HPP
#define CANDOR_DELIVERY_PAYLOAD_LOG_HPP

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <candor/platform/append_file.hpp>
#include <candor/platform/read_file.hpp>
#include <candor/policy/config_file.hpp>
#include <candor/policy/diagnostic.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/http.hpp>

namespace candor::detail {

/// A request in a form for a person: where to, and its body, each line of which that is JSON stands indented.
inline std::string readable_request(std::string_view url, std::string_view body) {
    std::string out = "POST " + printable(url, url.size()) + '\n';
    while (!body.empty()) {
        const auto line = body.substr(0, body.find('\n'));
        body.remove_prefix(std::min(line.size() + 1, body.size()));
        const auto json = nlohmann::ordered_json::parse(line, nullptr, false);
        if (json.is_discarded()) {
            out += printable(line, line.size());
        } else {
            out += json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
        }
        out += '\n';
    }
    return out;
}

/// One request that may have reached its server.
struct logged_request {
    std::string url{};
    std::string answer{};  ///< `200`, or why there is none
    std::string body{};    ///< as it was sent, before compression
};

/// Appends each request that may have reached its server to a file, a line of JSON each:
///
///     {"url":"https://…/v1/batch","answer":"200","body":"{\"batch\":[…]}"}
///
/// The file is readable by its owner only. Before it grows beyond 5 MiB it is renamed to the same name with `.old`,
/// in the place of the last one of that name. Several processes may append to one file. What cannot be written is
/// said once and does no harm. Thread-safe.
class payload_log {
public:
    static constexpr std::size_t max_bytes = 5 * 1024 * 1024;

    payload_log(std::filesystem::path file, diagnostic_sink diagnostics)
        : file_{std::move(file)}, diagnostics_{std::move(diagnostics)} {}

    /// Throws only `std::bad_alloc`.
    void append(const http_request& request, const http_response& response) {
        // Of these no byte of the body has left.
        if (response.error == transport_error::unreachable || response.error == transport_error::tls) return;
        const nlohmann::ordered_json line{
            {"url", request.url}, {"answer", answer_of(response)}, {"body", request.body}};
        const auto text = line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
        const auto problem = append_to_file(file_, old_name(file_), text, max_bytes);
        if (!problem.empty() && !has_complained_.exchange(true))
            report(diagnostics_, "what is sent is not logged: " + printable_path(file_) + " " + problem);
    }

    /// What such a file holds, the oldest first, what was renamed too. Nothing where there is no file. Lines that are
    /// none of ours are left out. Throws only `std::bad_alloc`.
    static std::vector<logged_request> read(const std::filesystem::path& file) {
        std::vector<logged_request> out;
        for (const auto& path : {old_name(file), file}) {
            const auto found = read_file(path, 2 * max_bytes);
            for (std::string_view left{found.content}; !left.empty();) {
                const auto line = left.substr(0, left.find('\n'));
                left.remove_prefix(std::min(line.size() + 1, left.size()));
                const auto json = nlohmann::json::parse(line, nullptr, false);
                if (json.is_object()) out.push_back({text(json, "url"), text(json, "answer"), text(json, "body")});
            }
        }
        return out;
    }

private:
    static std::filesystem::path old_name(std::filesystem::path file) { return file += ".old"; }

    static std::string text(const nlohmann::json& of, const char* name) {
        const auto found = of.find(name);
        return found != of.end() && found->is_string() ? found->get<std::string>() : std::string{};
    }

    static std::string answer_of(const http_response& response) {
        switch (response.error) {
            case transport_error::none:
                return std::to_string(response.status);
            case transport_error::timeout:
                return "timed out";
            case transport_error::cancelled:
                return "cancelled";
            default:
                return "the connection broke";
        }
    }

    const std::filesystem::path file_;
    const diagnostic_sink diagnostics_;
    std::atomic<bool> has_complained_{false};
};

}  // namespace candor::detail

#endif
