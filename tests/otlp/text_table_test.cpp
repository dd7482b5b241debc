#include <candor/otlp/text_table.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

namespace text_table_test {

namespace {

using namespace candor::otlp;
using namespace std::chrono_literals;
using namespace std::string_view_literals;

candor::wall_time at(std::chrono::nanoseconds after) { return candor::wall_time{1'767'323'045s + after}; }

std::string golden(std::string_view name) {
    std::ifstream file{"otlp/golden/" + std::string{name} + ".txt", std::ios::binary};
    REQUIRE(file);
    return {std::istreambuf_iterator<char>{file}, {}};
}

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        const auto end = text.find('\n');
        REQUIRE(end != std::string_view::npos);  // each line is ended
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(end + 1);
    }
    return lines;
}

std::vector<std::string> cells_of(const std::string& line) {
    std::vector<std::string> cells;
    std::size_t begin = line.find('|') + 1;
    for (auto end = line.find('|', begin); end != std::string::npos; begin = end + 1, end = line.find('|', begin)) {
        auto cell = line.substr(begin, end - begin);
        cell.erase(0, cell.find_first_not_of(' '));
        cell.erase(cell.find_last_not_of(' ') + 1);
        cells.push_back(cell);
    }
    return cells;
}

/// The first cell of each row.
std::vector<std::string> names_in(const std::string& table) {
    std::vector<std::string> names;
    for (const auto& line : lines_of(table)) names.push_back(cells_of(line)[0]);
    names.erase(names.begin());
    return names;
}

std::string name_in_cell(std::string_view name) { return names_in(text_table({{.table = std::string{name}}}))[0]; }

}  // namespace

TEST_CASE("an empty table is its header") {
    CHECK(text_table({}) == golden("empty"));
    CHECK(text_table({}, table_columns::full) == golden("empty_full"));
}

TEST_CASE("one running table") {
    CHECK(text_table({{.table = "users", .client_id = "eu-1", .resources = 1234567, .start_time = at(0ns)}}) ==
          golden("one_running"));
}

TEST_CASE("running tables come first, then all by name and client id") {
    const auto ended = [](std::string table, std::string client_id, std::chrono::nanoseconds duration) {
        return row{.table = std::move(table),
                   .client_id = std::move(client_id),
                   .resources = duration / 1ms,
                   .start_time = at(0ns),
                   .end_time = at(duration),
                   .duration = duration};
    };
    CHECK(text_table({ended("b", "x", 61'234ms),
                      {.table = "z", .client_id = "y", .start_time = at(5ms)},
                      ended("a", "y", 1500us),
                      ended("a", "x", 7203s),
                      {.table = "c", .errors = 12, .panics = 1},
                      ended("B", "x", 999ns)}) == golden("running_first"));
}

TEST_CASE("without client ids and times the table is compact") {
    const std::vector<row> rows{{.table = "orders", .resources = 20, .duration = 3s},
                                {.table = "customers", .resources = 1234567, .errors = 3},
                                {.table = "items", .resources = -1, .panics = 1, .duration = 0s}};
    CHECK(text_table(rows) == golden("compact"));
    CHECK(text_table(rows, table_columns::compact) == golden("compact"));
    const auto columns = [](row r) { return cells_of(lines_of(text_table({std::move(r)}))[0]).size(); };
    CHECK(columns({.table = "t"}) == 5);
    CHECK(columns({.table = "t", .client_id = "c"}) == 8);
    CHECK(columns({.table = "t", .start_time = at(0ns)}) == 8);
    CHECK(columns({.table = "t", .end_time = at(0ns)}) == 8);
    CHECK(lines_of(text_table({{.table = "t", .client_id = "c"}}, table_columns::compact))[0] ==
          lines_of(text_table({}))[0]);
}

TEST_CASE("what is unknown is N/A in its own column") {
    const auto cells = [](row r) { return cells_of(lines_of(text_table({std::move(r)}, table_columns::full))[1]); };
    using list = std::vector<std::string>;
    CHECK(cells({.table = "t"}) == list{"t", "N/A", "N/A", "N/A", "N/A", "0", "0", "0"});
    CHECK(cells({.table = "t", .client_id = "c", .start_time = at(0ns)}) ==
          list{"t", "c", "2026-01-02T03:04:05Z", "N/A", "N/A", "0", "0", "0"});
    CHECK(cells({.table = "t", .end_time = at(250ms)}) ==
          list{"t", "N/A", "N/A", "2026-01-02T03:04:05.25Z", "N/A", "0", "0", "0"});
    CHECK(cells({.table = "t", .resources = 5, .duration = 2s}) == list{"t", "N/A", "N/A", "N/A", "2s", "5", "0", "0"});
}

TEST_CASE("columns line up under wide characters, emojis and marks") {
    const auto text = text_table({{.table = "用户表", .client_id = "東京", .resources = 1},
                                  {.table = "ユーザー", .resources = 22},
                                  {.table = "🚀 launches", .resources = 333},
                                  {.table = "👩🏽‍💻", .client_id = "🇩🇪", .resources = 4444},
                                  {.table = "cafe\xcc\x81s", .resources = 55555},
                                  {.table = "사용자", .resources = 666666}});
    CHECK(text == golden("wide_names"));
    const auto lines = lines_of(text);
    for (const auto& line : lines) CHECK(detail::display_width(line) == detail::display_width(lines[0]));
}

TEST_CASE("row 40: hostile names are shown and do nothing") {
    const auto text = text_table({{.table = "\x1b[2J\x1b]0;title\x07"},
                                  {.table = "a\nb\r\nc\td"},
                                  {.table = "| fake | 1s | 5 | 0 | 0 |\n"},
                                  {.table = std::string{"nul\0in", 6}},
                                  {.table = "\xc2\x9b"
                                            "31m C1"},
                                  {.table = "\xe2\x80\xaegnp.exe \xe2\x81\xa6isolated"},
                                  {.table = "not UTF-8: \xff\xc3(\xe2\x82"},
                                  {.table = "a\xe2\x80\x8b"
                                            "b\xef\xbb\xbf"
                                            "c\xc2\xad"},
                                  {.table = "line\xe2\x80\xa8paragraph\xe2\x80\xa9"},
                                  {.table = std::string(60, 'x')},
                                  {.table = ""}});
    CHECK(text == golden("hostile_names"));
    const auto lines = lines_of(text);
    CHECK(lines.size() == 12);
    for (const auto& line : lines) {
        CHECK(std::none_of(line.begin(), line.end(), [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; }));
        CHECK(cells_of(line).size() == 5);
        CHECK(line.size() == lines[0].size());
    }
}

TEST_CASE("each byte that must not be shown stands as two digits") {
    CHECK(name_in_cell("\x1b") == "\\x1b");
    CHECK(name_in_cell("\x7f") == "\\x7f");
    CHECK(name_in_cell("a|b") == "a\\x7cb");
    CHECK(name_in_cell("\xc2\x80") == "\\xc2\\x80");
    CHECK(name_in_cell("\xff") == "\\xff");
    CHECK(name_in_cell("\xc3") == "\\xc3");
    CHECK(name_in_cell("\xed\xa0\x80") == "\\xed\\xa0\\x80");
    for (const auto hidden : {"\xd8\x9c"sv, "\xe2\x80\x8e"sv, "\xe2\x80\x8f"sv, "\xe2\x80\xaa"sv, "\xe2\x80\xae"sv,
                              "\xe2\x81\xa0"sv, "\xe2\x81\xa6"sv, "\xe2\x81\xa9"sv, "\xf3\xa0\x81\xa1"sv}) {
        CAPTURE(hidden);
        CHECK(name_in_cell(hidden).starts_with("\\x"));
    }
    for (const auto shown : {"ö"sv, "表"sv, "👩‍💻"sv, "❤️"sv, "a\\b"sv, "│"sv})
        CHECK(name_in_cell(shown) == shown);
}

TEST_CASE("durations read as Go writes them") {
    using detail::duration_text;
    CHECK(duration_text(0ns) == "0s");
    CHECK(duration_text(1ns) == "1ns");
    CHECK(duration_text(999ns) == "999ns");
    CHECK(duration_text(1us) == "1µs");
    CHECK(duration_text(1100ns) == "1.1µs");
    CHECK(duration_text(1500us) == "1.5ms");
    CHECK(duration_text(2200us) == "2.2ms");
    CHECK(duration_text(999'999'999ns) == "999.999999ms");
    CHECK(duration_text(1s) == "1s");
    CHECK(duration_text(1'000'000'001ns) == "1.000000001s");
    CHECK(duration_text(3300ms) == "3.3s");
    CHECK(duration_text(60s) == "1m0s");
    CHECK(duration_text(61'234ms) == "1m1.234s");
    CHECK(duration_text(4min + 5s + 1ms) == "4m5.001s");
    CHECK(duration_text(7203s) == "2h0m3s");
    CHECK(duration_text(1h) == "1h0m0s");
    CHECK(duration_text(100h + 10ms) == "100h0m0.01s");
    CHECK(duration_text(-1500ms) == "-1.5s");
    CHECK(duration_text(std::chrono::nanoseconds::max()) == "2562047h47m16.854775807s");
    CHECK(duration_text(std::chrono::nanoseconds::min()) == "-2562047h47m16.854775808s");
}

TEST_CASE("numbers have no separators and stand to the right") {
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    constexpr auto least = std::numeric_limits<std::int64_t>::min();
    const auto lines = lines_of(text_table({{.table = "a", .resources = most, .errors = least}, {.table = "b"}}));
    CHECK(lines[1].find("| 9223372036854775807 | -9223372036854775808 |") != std::string::npos);
    CHECK(lines[2].find("|                   0 |                    0 |      0 |") != std::string::npos);
    CHECK(lines[0].find("|           Resources |               Errors | Panics |") != std::string::npos);
}

TEST_CASE("ten thousand rows are one line each, in order and lined up") {
    std::vector<row> rows;
    for (int i = 0; i < 10'000; ++i) {
        const int shuffled = i * 7919 % 10'000;
        rows.push_back({.table = "table_" + std::to_string(shuffled),
                        .client_id = "client " + std::to_string(shuffled % 7),
                        .resources = shuffled,
                        .start_time = at(std::chrono::seconds{shuffled}),
                        .duration = std::chrono::milliseconds{shuffled}});
        if (shuffled % 3 != 0) rows.back().end_time = at(std::chrono::seconds{2 * shuffled});
    }
    const auto lines = lines_of(text_table(rows));
    REQUIRE(lines.size() == 10'001);
    const std::size_t running = 3334;
    std::vector<std::pair<bool, std::string>> order;
    std::int64_t sum = 0;
    for (std::size_t i = 1; i < lines.size(); ++i) {
        REQUIRE(lines[i].size() == lines[0].size());
        const auto cells = cells_of(lines[i]);
        REQUIRE(cells.size() == 8);
        order.emplace_back(cells[3] != "N/A", cells[0]);
        REQUIRE(order.back().first == (i > running));
        REQUIRE(cells[0] == "table_" + cells[5]);
        sum += std::stoll(cells[5]);
    }
    CHECK(std::is_sorted(order.begin(), order.end()));
    CHECK(sum == 10'000LL * 9'999 / 2);
}

}  // namespace text_table_test
