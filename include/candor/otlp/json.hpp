#ifndef CANDOR_OTLP_JSON_HPP
#define CANDOR_OTLP_JSON_HPP

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include <candor/otlp/json_members.hpp>
#include <candor/otlp/json_text.hpp>
#include <candor/otlp/metrics.hpp>
#include <candor/otlp/protobuf.hpp>
#include <candor/otlp/protobuf_writer.hpp>

namespace candor::detail {

/// Writes what nlohmann's SAX interface reports as protobuf. Members come in any order, and protobuf_decoder is the one
/// place that copes with that. Holds less than the text takes.
class otlp_json_handler {
public:
    /// Where `json_text_iterator` puts the text of the string that the next call is about.
    [[nodiscard]] std::string_view& plain() noexcept { return plain_; }

    [[nodiscard]] const std::string& protobuf() const noexcept { return writer_.bytes(); }
    [[nodiscard]] const char* problem() const noexcept { return problem_; }

    bool null() { return open_ > 0 || fail(no_object); }  // as if the member were not there
    bool boolean(bool flag) {
        const auto* m = scalar();
        if (m == nullptr) return ignored();
        if (m->form != otlp_form::boolean) return fail(m->problem);
        writer_.varint(m->field, flag ? 1 : 0);
        return true;
    }
    bool number_integer(std::int64_t number) {
        const auto* m = scalar();
        return m == nullptr ? ignored() : integer(*m, number);
    }
    bool number_unsigned(std::uint64_t number) {
        const auto* m = scalar();
        return m == nullptr ? ignored() : integer(*m, number);
    }
    bool number_float(double number, const std::string&) {
        const auto* m = scalar();
        if (m == nullptr) return ignored();
        if (m->form == otlp_form::floating) return floating(*m, number);
        // 10.0 and 1e3 are integers too, as long as a double tells them apart from their neighbours.
        constexpr double exact = 9007199254740992;
        if (std::trunc(number) != number || number <= -exact || number >= exact) return fail(m->problem);
        return integer(*m, static_cast<std::int64_t>(number));
    }
    bool string(const std::string& text) {
        const auto* m = scalar();
        return m == nullptr ? ignored() : string(*m, said(text));
    }
    bool binary(const nlohmann::json::binary_t&) { return fail(not_json); }  // JSON has none

    bool start_object(std::size_t) {
        if (++depth_ > otlp::max_depth) return fail("arrays and objects are nested too deep");
        if (skipped_ > 0) return true;
        if (open_ == 0) {
            frames_[open_++] = {.kind = otlp_object::request};
            return true;
        }
        auto& top = frames_[open_ - 1];
        const auto* m = top.list != nullptr ? top.list : member_;
        if (m == nullptr) return skip();
        if (top.list == nullptr && m->form != otlp_form::object) {
            if (m->form != otlp_form::opaque) return fail(m->problem);
            replace(top, *m, writer_.size());
            writer_.text(m->field, {});
            top.said[m->slot].end = writer_.size();
            return skip();
        }
        if (top.list == nullptr) replace(top, *m, writer_.size());
        frames_[open_++] = {.kind = m->kind, .start = writer_.open(m->field), .slot = m->slot};
        return true;
    }

    bool start_array(std::size_t) {
        if (++depth_ > otlp::max_depth) return fail("arrays and objects are nested too deep");
        if (skipped_ > 0) return true;
        if (open_ == 0) return fail(no_object);
        auto& top = frames_[open_ - 1];
        if (top.list != nullptr) return fail(top.list->problem);
        if (member_ == nullptr) return skip();
        if (member_->form != otlp_form::list) return fail(member_->problem);
        replace(top, *member_, writer_.size());
        frames_[open_++] = {.list = member_, .slot = member_->slot};
        return true;
    }

    bool end_object() {
        --depth_;
        if (skipped_ > 0) return end_of_skipped();
        const auto ended = frames_[--open_];
        if (open_ == 0) return true;
        if (!writer_.close(ended.start)) return fail("the request is too large");
        if (frames_[open_ - 1].list == nullptr) frames_[open_ - 1].said[ended.slot].end = writer_.size();
        return true;
    }

    bool end_array() {
        --depth_;
        if (skipped_ > 0) return end_of_skipped();
        const auto slot = frames_[--open_].slot;
        frames_[open_ - 1].said[slot].end = writer_.size();
        return true;
    }

    bool key(const std::string& text) {
        if (skipped_ > 0) return true;
        const auto name = said(text);
        const auto members = otlp_members[static_cast<std::size_t>(frames_[open_ - 1].kind)];
        member_ = find(members, name);
        if (member_ == nullptr && name.find('_') != name.npos) member_ = find_snake_case(members, name);
        return true;
    }

    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) { return fail(not_json); }

private:
    static constexpr const char* not_json = "the request is not JSON";
    static constexpr const char* no_object = "the request is not an object";

    /// A part of what was written: what a member with braces or brackets has said.
    struct part {
        std::size_t begin = 0;
        std::size_t end = 0;
    };

    /// An object or an array that is open and read.
    struct frame {
        otlp_object kind = otlp_object::request;
        const otlp_member* list = nullptr;  ///< of an array, the member that it is
        std::size_t start = 0;              ///< of an object, where its fields start
        std::size_t slot = 0;               ///< among its parent's parts
        std::array<part, 2> said{};         ///< of an object
    };

    bool fail(const char* problem) noexcept {
        if (problem_ == nullptr) problem_ = problem;
        return false;
    }

    [[nodiscard]] std::string_view said(const std::string& text) const noexcept {
        return plain_.data() != nullptr ? plain_ : std::string_view{text};
    }

    bool ignored() noexcept { return problem_ == nullptr; }

    bool skip() noexcept {
        skipped_ = depth_;
        return true;
    }

    bool end_of_skipped() noexcept {
        if (depth_ < skipped_) skipped_ = 0;
        return true;
    }

    /// The member that a scalar is of; null when it is not to be read, or nothing may stand here.
    const otlp_member* scalar() noexcept {
        if (skipped_ > 0) return nullptr;
        if (open_ == 0) {
            fail(no_object);
            return nullptr;
        }
        const auto* list = frames_[open_ - 1].list;
        if (list == nullptr) return member_;
        fail(list->problem);
        return nullptr;
    }

    /// Of members that replace each other the last counts.
    void replace(frame& top, const otlp_member& m, std::size_t begin) {
        auto& said = top.said[m.slot];
        if (said.begin < said.end) writer_.blank(said.begin, said.end);
        said = {begin, begin};
    }

    static const otlp_member* find(std::span<const otlp_member> members, std::string_view name) noexcept {
        for (const auto& m : members) {
            if (m.name == name) return &m;
        }
        return nullptr;
    }

    static const otlp_member* find_snake_case(std::span<const otlp_member> members, std::string_view name) noexcept {
        std::array<char, 32> camel_case{};
        std::size_t size = 0;
        if (name.size() > camel_case.size()) return nullptr;
        for (std::size_t i = 0; i < name.size(); ++i) {
            const bool raised = name[i] == '_' && i + 1 < name.size() && name[i + 1] >= 'a' && name[i + 1] <= 'z';
            camel_case[size++] = raised ? static_cast<char>(name[++i] - 'a' + 'A') : name[i];
        }
        return find(members, {camel_case.data(), size});
    }

    template <class Integer>
    bool integer(const otlp_member& m, Integer number) {
        switch (m.form) {
            case otlp_form::varint:
            case otlp_form::sfixed64:
                if (!std::in_range<std::int64_t>(number)) break;
                if (m.form == otlp_form::varint) {
                    writer_.varint(m.field, static_cast<std::uint64_t>(number));
                } else {
                    writer_.fixed64(m.field, static_cast<std::uint64_t>(number));
                }
                return true;
            case otlp_form::fixed64:
                if (!std::in_range<std::uint64_t>(number)) break;
                writer_.fixed64(m.field, static_cast<std::uint64_t>(number));
                return true;
            case otlp_form::uint32:
                if (!std::in_range<std::uint32_t>(number)) break;
                writer_.varint(m.field, static_cast<std::uint64_t>(number));
                return true;
            case otlp_form::temporality:
                if (!std::in_range<std::int32_t>(number)) break;
                writer_.varint(m.field, static_cast<std::uint64_t>(number));
                return true;
            case otlp_form::floating:
                return floating(m, static_cast<double>(number));
            default:
                break;
        }
        return fail(m.problem);
    }

    bool floating(const otlp_member& m, double number) {
        writer_.fixed64(m.field, std::bit_cast<std::uint64_t>(number));
        return true;
    }

    bool string(const otlp_member& m, std::string_view text) {
        switch (m.form) {
            case otlp_form::text:
                writer_.text(m.field, text);
                return true;
            case otlp_form::bytes:
                writer_.text(m.field, {});
                return true;  // nobody is told which
            case otlp_form::varint:
            case otlp_form::fixed64:
            case otlp_form::sfixed64:
            case otlp_form::uint32:
                return decimal(m, text);
            case otlp_form::floating:
                if (text == "NaN") return floating(m, std::numeric_limits<double>::quiet_NaN());
                if (text == "Infinity") return floating(m, std::numeric_limits<double>::infinity());
                if (text == "-Infinity") return floating(m, -std::numeric_limits<double>::infinity());
                return fail(m.problem);
            case otlp_form::temporality:
                if (text == "AGGREGATION_TEMPORALITY_UNSPECIFIED") return integer(m, 0);
                if (text == "AGGREGATION_TEMPORALITY_DELTA") return integer(m, 1);
                if (text == "AGGREGATION_TEMPORALITY_CUMULATIVE") return integer(m, 2);
                return fail(m.problem);
            default:
                return fail(m.problem);
        }
    }

    bool decimal(const otlp_member& m, std::string_view text) {
        std::int64_t number = 0;
        if (parse(text, number)) return integer(m, number);
        std::uint64_t large = 0;
        return parse(text, large) ? integer(m, large) : fail(m.problem);
    }

    template <class Integer>
    static bool parse(std::string_view text, Integer& number) noexcept {
        const char* const end = text.data() + text.size();
        const auto [at, error] = std::from_chars(text.data(), end, number);
        return error == std::errc{} && at == end;
    }

    protobuf_writer writer_;
    std::array<frame, otlp::max_depth> frames_{};
    std::size_t open_ = 0;                 ///< how many frames are
    const otlp_member* member_ = nullptr;  ///< whose value comes next; null when it is skipped
    int depth_ = 0;                        ///< how many arrays and objects are open
    int skipped_ = 0;                      ///< the depth where skipping began; 0 when nothing is skipped
    std::string_view plain_{};
    const char* problem_ = nullptr;
};

}  // namespace candor::detail

namespace candor::otlp {

/// Decodes an ExportMetricsServiceRequest in JSON (opentelemetry-proto:docs/specification.md, "JSON Protobuf Encoding")
/// and tells the visitor what is in it once the text has been read to its end.
///
/// 64-bit integers are numbers or decimal strings, exact; floating-point numbers are numbers or one of "NaN",
/// "Infinity", "-Infinity". Members are lowerCamelCase or snake_case, a temporality is its number or its name. Members
/// that are not read may be anything; `null` is as if the member were not there; of members of the same name, and of
/// the kinds of data of one metric, the last counts. Not well-formed is what is not JSON in UTF-8, a member of the
/// wrong type, more than `max_depth` open arrays and objects, and more than `max_attributes` attributes.
///
/// Takes time linear in the size of the body, and memory for what is read of it. Throws `std::bad_alloc` and what the
/// visitor throws. Independent calls may run at the same time.
template <visitor V>
decoded decode_json(std::string_view body, V& visitor) {
    candor::detail::otlp_json_handler handler;
    const candor::detail::json_text_iterator text{body, handler.plain()};
    if (!nlohmann::json::sax_parse(text, text.end(), &handler)) return {handler.problem()};
    return decode_protobuf(handler.protobuf(), visitor);
}

}  // namespace candor::otlp

#endif
