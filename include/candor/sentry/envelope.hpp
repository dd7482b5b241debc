#ifndef CANDOR_SENTRY_ENVELOPE_HPP
#define CANDOR_SENTRY_ENVELOPE_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <candor/event/json_writer.hpp>
#include <candor/event/rfc3339.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/utf8.hpp>
#include <candor/privacy/redactor.hpp>
#include <candor/sentry/event.hpp>
#include <candor/version.hpp>

namespace candor::sentry::detail {

namespace common = candor::detail;
using common::json_writer;

inline constexpr std::size_t largest_event = 1024 * 1024;
inline constexpr std::size_t longest_text = 8192;  ///< characters of a message and of an exception's value
inline constexpr std::size_t longest_tag = 200;    ///< characters
inline constexpr std::size_t id_size = 32;

inline constexpr std::string_view sdk = R"({"name":"candor","version":")" CANDOR_VERSION_STRING R"("})";

/// The beginning of `text`, which is UTF-8, of at most so many characters.
inline std::string_view first_characters(std::string_view text, std::size_t characters) noexcept {
    if (text.size() <= characters) return text;
    std::size_t seen = 0;
    for (std::size_t i = 0; i < text.size(); ++i)
        if (!common::is_continuation(text[i]) && seen++ == characters) return text.substr(0, i);
    return text;
}

/// An id as Sentry writes it: 32 digits.
inline std::string id_text(const uuid& id) {
    std::string out = id.to_string();
    std::erase(out, '-');
    return out;
}

/// Writes an event as JSON, every text redacted, then cut to what Sentry takes. For one event.
class event_writer {
public:
    event_writer(json_writer& out, const redactor& secrets) : out_{out}, secrets_{secrets} {}

    void write(const event& e) {
        out_.raw("{");
        member("event_id", id_text(e.id));
        member("timestamp", common::to_rfc3339(e.timestamp));
        member("platform", "native");
        member("level", to_string(e.level));
        text("release", e.release, longest_tag);
        member("server_name", "oss");  // on purpose: where it is missing, a server puts what it can find out
        if (!e.message.empty()) {
            open("message", "{");
            text("formatted", e.message, longest_text);
            out_.raw("}");
        }
        if (!e.exceptions.empty()) {
            open("exception", R"({"values":[)");
            for (const auto& x : e.exceptions) write(x);
            out_.raw("]}");
        }
        if (!e.breadcrumbs.empty()) {
            open("breadcrumbs", R"({"values":[)");
            for (const auto& b : e.breadcrumbs) write(b);
            out_.raw("]}");
        }
        if (!e.tags.empty()) write("tags", e.tags, longest_tag);
        if (!e.contexts.empty()) {
            open("contexts", "{");
            for (const auto& [name, context] : e.contexts) write(secrets_.redact(name), context, longest_text);
            out_.raw("}");
        }
        if (!e.modules.empty()) {
            open("debug_meta", R"({"images":[)");
            for (const auto& m : e.modules) write(m);
            out_.raw("]}");
        }
        out_.key("sdk");
        out_.raw(sdk);
        out_.raw("}");
    }

private:
    void write(const exception& x) {
        out_.separate();
        out_.raw("{");
        text("type", x.type, longest_text);
        text("value", x.value, longest_text);
        open("mechanism", "{");
        text("type", x.mechanism, longest_tag);
        out_.key("handled");
        out_.boolean(x.handled);
        if (!x.mechanism_data.empty()) write("data", x.mechanism_data, longest_tag);
        out_.raw("}");
        if (!x.frames.empty()) {
            open("stacktrace", R"({"frames":[)");
            const auto end = x.frames.begin() + static_cast<std::ptrdiff_t>(std::min(x.frames.size(), most_frames));
            for (auto f = end; f != x.frames.begin();) write(*--f);  // the oldest first
            out_.raw("]}");
        }
        out_.raw("}");
    }

    void write(const frame& f) {
        out_.separate();
        out_.raw("{");
        if (f.instruction_addr != 0) member("instruction_addr", hexadecimal(f.instruction_addr));
        if (!f.function.empty()) text("function", f.function, longest_text);
        if (!f.package.empty()) name_of("package", f.package);
        if (!f.filename.empty()) name_of("filename", f.filename);
        if (f.line != 0) {
            out_.key("lineno");
            out_.number(f.line);
        }
        out_.raw("}");
    }

    void write(const breadcrumb& b) {
        out_.separate();
        out_.raw("{");
        member("timestamp", common::to_rfc3339(b.time));
        text("level", b.level, longest_tag);
        if (!b.category.empty()) text("category", b.category, longest_tag);
        text("message", b.message, longest_text);
        out_.raw("}");
    }

    void write(const module_image& m) {
        out_.separate();
        out_.raw("{");
        member("type", "elf");
        name_of("code_file", m.file);
        if (!m.build_id.empty()) text("code_id", m.build_id, longest_tag);
        if (!m.debug_id.empty()) text("debug_id", m.debug_id, longest_tag);
        member("image_addr", hexadecimal(m.address));
        out_.key("image_size");
        out_.number(m.size);
        out_.raw("}");
    }

    void write(std::string_view name, const std::map<std::string, std::string>& texts, std::size_t longest) {
        open(name, "{");
        for (const auto& [key, value] : texts) text(secrets_.redact(key), value, longest);
        out_.raw("}");
    }

    void open(std::string_view name, std::string_view bracket) {
        key(name);
        out_.raw(bracket);
    }

    /// A name may come from the program.
    void key(std::string_view name) {
        out_.separate();
        out_.string(name);
        out_.raw(":");
    }

    void member(std::string_view name, std::string_view value) {
        out_.key(name);
        out_.string(value);
    }

    void text(std::string_view name, std::string_view value, std::size_t longest) {
        scratch_.clear();
        secrets_.append_redacted(value, scratch_);
        key(name);
        out_.string(first_characters(scratch_, longest));
    }

    /// The file name at the end of a path. It is taken from the redacted path, so that nothing is left of a secret that
    /// contains a separator.
    void name_of(std::string_view name, std::string_view path) {
        scratch_.clear();
        secrets_.append_redacted(path, scratch_);
        key(name);
        out_.string(first_characters(file_name(scratch_), longest_text));
    }

    json_writer& out_;
    const redactor& secrets_;
    std::string scratch_;
};

/// Appends the event's JSON to `out`. One that would be larger than `limit` bytes is written without breadcrumbs; where
/// that is not enough, also without the program's own tags and contexts; then without stacks and modules. False, with
/// `out` as it was, where even that does not fit.
inline bool append_event(event e, const redactor& secrets, std::size_t limit, std::string& out) {
    for (int trimmed = 0;; ++trimmed) {
        json_writer json{limit};
        event_writer{json, secrets}.write(e);
        if (json.state() == json_writer::condition::good) {
            out += json.text();
            return true;
        }
        switch (trimmed) {
            case 0:
                e.breadcrumbs.clear();
                break;
            case 1:
                e.tags.clear();
                e.contexts.clear();
                break;
            case 2:
                e.modules.clear();
                for (auto& x : e.exceptions) x.frames.clear();
                break;
            default:
                return false;
        }
    }
}

/// The id in an event's JSON, which stands first there.
inline std::string_view event_id_of(std::string_view event_json) noexcept {
    constexpr std::string_view before = R"({"event_id":")";
    return event_json.substr(std::min(before.size(), event_json.size()), id_size);
}

/// Appends an envelope's header. It holds the time of sending, so no copy of it is ever stored.
inline void append_envelope_header(std::string_view event_id, wall_time sent_at, std::string& out) {
    char time[common::rfc3339_size];
    const char* end = common::write_rfc3339(sent_at, time);
    out.append(R"({"event_id":")").append(event_id).append(R"(","sent_at":")");
    out.append(time, static_cast<std::size_t>(end - time)).append(R"(","sdk":)").append(sdk).append("}\n");
}

/// Appends an item with its header.
inline void append_item(std::string_view type, std::string_view payload, std::string& out) {
    out.append(R"({"type":")").append(type).append(R"(","length":)").append(std::to_string(payload.size()));
    out.append("}\n").append(payload).append("\n");
}

}  // namespace candor::sentry::detail

#endif
