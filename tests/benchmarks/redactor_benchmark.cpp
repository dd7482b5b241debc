#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <candor/privacy/redactor.hpp>
#include <candor/testing.hpp>
#include <cstddef>
#include <ctime>
#include <map>
#include <string>
#include <string_view>
#include <vector>

// What it takes to redact: a megabyte of text that is made to be slow, with a hundred secrets, beside one look at each
// of its bytes; a message; and to make a redactor from a usual environment.
namespace candor::benchmarks {

namespace {

/// Each a megabyte: beginnings of all that is looked for, and as much as there can be of what is found.
const std::vector<std::string>& adversarial_texts() {
    static const auto texts = [] {
        std::vector<std::string> out;
        for (const std::string_view part : {"a",
                                            "://",
                                            "@",
                                            "eyJ",
                                            "eyJ-",
                                            "password=",
                                            "token:abc,",
                                            "password=a ",
                                            "-----BEGIN ",
                                            "%41",
                                            "%25",
                                            "?",
                                            "basic ",
                                            "://a:b@",
                                            "/x?a=b&",
                                            "a@b.cc ",
                                            "secret-number-",
                                            "secret-number-7-of-the-",
                                            "[redacted",
                                            "wxyz ",
                                            "://wxyz:b@?/",
                                            "/?wxyz=token=a&",
                                            "wxyzeyJ.eyJ&a=b?/"}) {
            auto& text = out.emplace_back();
            while (text.size() < 1'000'000) text += part;
        }
        return out;
    }();
    return texts;
}

/// The longest processor time that `look(text)` takes for any of the texts, in milliseconds, and which that is. Of
/// several runs the shortest counts.
template <class Look>
void measure_worst(benchmark::State& state, Look look) {
    const auto& texts = adversarial_texts();
    std::vector<double> milliseconds(texts.size(), 1e9);
    for ([[maybe_unused]] auto _ : state) {
        for (std::size_t i = 0; i < texts.size(); ++i) {
            const auto start = std::clock();
            look(texts[i]);
            const auto took = static_cast<double>(std::clock() - start) * 1e3 / CLOCKS_PER_SEC;
            milliseconds[i] = std::min(milliseconds[i], took);
        }
    }
    const auto worst = std::max_element(milliseconds.begin(), milliseconds.end());
    state.counters["worst_ms"] = *worst;
    state.SetLabel(texts[static_cast<std::size_t>(worst - milliseconds.begin())].substr(0, 20));
}

void redact_adversarial(benchmark::State& state) {
    std::vector<std::string> secrets;
    for (int i = 1; i < 100; ++i) secrets.push_back("secret-number-" + std::to_string(i) + "-of-the-hundred");
    secrets.push_back("wxyz");
    const redactor r{secrets, "/home/annabel", {"annabel"}};
    measure_worst(state, [&](const std::string& text) {
        auto out = r.redact(text);
        benchmark::DoNotOptimize(out);
    });
}

void look_at_each_byte(benchmark::State& state) {
    std::array<unsigned char, 256> next{};
    for (std::size_t i = 0; i < next.size(); ++i) next[i] = static_cast<unsigned char>(i * 7);
    measure_worst(state, [&](const std::string& text) {
        unsigned char at = 0;
        for (const char c : text) at = next[static_cast<unsigned char>(at ^ static_cast<unsigned char>(c))];
        benchmark::DoNotOptimize(at);
    });
}

/// 60 variables, of which three hold secrets.
testing::fixed_environment usual_environment() {
    std::map<std::string, std::string> variables{{"HOME", "/home/annabel"},
                                                 {"USER", "annabel"},
                                                 {"DB_PASSWORD", "correct-horse-battery"},
                                                 {"GITHUB_TOKEN", "0123456789abcdefghijABCDEFGHIJ0123456789"},
                                                 {"CLIENT_SECRET", "wJalrXUtnFEMI/K7MDENG/bPxRfiCY"}};
    for (int i = 0; variables.size() < 60; ++i) variables["SOME_VARIABLE_" + std::to_string(i)] = "/usr/bin/something";
    return {variables};
}

void redact_message(benchmark::State& state) {
    const auto r = redactor::make(usual_environment());
    const std::string text = "dial postgres://u:p@db:5432/x failed: open /home/annabel/.pgpass: permission denied";
    for ([[maybe_unused]] auto _ : state) {
        auto out = r.redact(text);
        benchmark::DoNotOptimize(out);
    }
}

void make_redactor(benchmark::State& state) {
    const auto variables = usual_environment();
    for ([[maybe_unused]] auto _ : state) {
        auto out = redactor::make(variables);
        benchmark::DoNotOptimize(out);
    }
}

[[maybe_unused]] const auto* const registered = [] {
    benchmark::RegisterBenchmark("redact/adversarial/candor", redact_adversarial)->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark("redact/adversarial/bare", look_at_each_byte)->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark("redact/message/candor", redact_message)->Unit(benchmark::kMicrosecond);
    return benchmark::RegisterBenchmark("redact/make/candor", make_redactor)->Unit(benchmark::kMicrosecond);
}();

}  // namespace

}  // namespace candor::benchmarks
