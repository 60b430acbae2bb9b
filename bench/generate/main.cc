// Generating text, batch 1, temperature 0: Pome's decoder on the emulator (exact and fast numerics)
// and a plain C implementation in fp32 compiled with -Ofast -march=native -fopenmp, on the same
// weights, in rounds that alternate.
//   bench_generate [--model FILE | --preset stories110M] [--tokens N] [--rounds N] [--threads N]
//                  [--chip m4] [--json FILE]
// Without --model the weights are random. Before anything is timed, contenders read the same text:
// the logits that Pome computes must agree with those of the plain implementation within what fp16
// can do, and with --model (whose likeliest tokens stand out) so must the tokens.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/random.h"
#include "device/emulator/emulator.h"
#include "generate/plain_llama.h"
#include "train/decoder.h"
#include "train/model_file.h"
#include "train/trainer.h"

namespace {

using namespace pome;

struct Options {
    std::string model, preset = "stories110M", chip = "m4", json;
    std::int64_t tokens = 64;
    int rounds = 5, threads = 0;
};

/// Something that reads one token after another.
struct Contender {
    std::string name;
    std::function<void()> restart;
    std::function<std::vector<float>(std::int32_t token)> step;
    std::vector<double> tokens_per_second;
};

train::LoadedModel make_model(const Options& options) {
    if (!options.model.empty()) {
        return train::load_model(options.model);
    }
    const auto architecture = model::architecture(model::preset(options.preset));
    train::LoadedModel made{architecture, train::ParameterSet(architecture), "random", {}};
    Random random(1);
    made.weights.initialize(random);
    return made;
}

struct PlainDeleter {
    void operator()(plain_llama* model) const { plain_llama_free(model); }
};

Contender plain(const train::LoadedModel& model, int threads) {
    const auto& config = model.architecture.config;
    // Its weights lie in memory as malloc gives it, as in a plain program.
    const auto own = std::make_shared<std::vector<std::vector<float>>>();
    const auto pointer = [&](const std::string& name) {
        const auto values = model.weights.values(name);
        return own->emplace_back(values.begin(), values.end()).data();
    };
    auto layers = std::make_shared<std::vector<plain_layer>>();
    for (std::size_t block = 0; block + 1 < model.architecture.blocks.size(); block += 2) {
        const auto& a = model.architecture.blocks[block];
        const auto& f = model.architecture.blocks[block + 1];
        layers->push_back({pointer(a.norm), pointer(a.weights[0]), pointer(a.weights[1]),
                           pointer(a.weights[2]), pointer(a.weights[3]), pointer(f.norm),
                           pointer(f.weights[0]), pointer(f.weights[1]), pointer(f.weights[2])});
    }
    const plain_sizes sizes{
        static_cast<int>(config.width),      static_cast<int>(config.hidden),
        static_cast<int>(config.layers),     static_cast<int>(config.heads),
        static_cast<int>(config.kv_heads),   static_cast<int>(config.vocabulary),
        static_cast<int>(config.sequence),   static_cast<float>(config.norm_epsilon),
        static_cast<float>(config.rope_base)};
    plain_llama_threads(threads);
    const std::shared_ptr<plain_llama> state(
        plain_llama_make(sizes, layers->data(), pointer(model.architecture.embedding),
                         pointer(model.architecture.final_norm), pointer(model.architecture.head)),
        PlainDeleter());
    if (!state) {
        fail(Code::invalid_argument, "bench.generate", "no memory for the plain implementation");
    }
    auto position = std::make_shared<int>(0);
    return {"plain C fp32",
            [position] { *position = 0; },
            [own, state, layers, position, count = config.vocabulary](std::int32_t token) {
                const float* logits = plain_llama_step(state.get(), token, (*position)++);
                return std::vector<float>(logits, logits + count);
            },
            {}};
}

Contender pome_on(const train::LoadedModel& model, device::Device& device, ThreadPool& pool,
                  const std::string& name) {
    const auto decoder = std::make_shared<train::Decoder>(model.architecture, model.weights, device,
                                                          pool, train::stage_form({}, 0));
    return {name,
            [decoder] { decoder->clear(); },
            [decoder](std::int32_t token) {
                decoder->read({&token, 1});
                return decoder->logits();
            },
            {}};
}

std::int32_t likeliest(const std::vector<float>& logits) {
    return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) -
                                     logits.begin());
}

/// Reads what the plain implementation writes with both. Returns the largest difference of logits
/// against their spread; throws Error where contenders disagree.
double compare(Contender& judge, Contender& other, std::int64_t tokens, bool same_tokens) {
    judge.restart();
    other.restart();
    std::int32_t token = 1;  // bos
    double worst = 0.0;
    for (std::int64_t i = 0; i < tokens; ++i) {
        const auto want = judge.step(token), got = other.step(token);
        double sum = 0.0, difference = 0.0;
        for (std::size_t v = 0; v < want.size(); ++v) {
            sum += static_cast<double>(want[v]) * static_cast<double>(want[v]);
            difference = std::max(difference, std::fabs(static_cast<double>(want[v] - got[v])));
        }
        worst = std::max(worst, difference / std::sqrt(sum / static_cast<double>(want.size())));
        token = likeliest(want);
        if (same_tokens && likeliest(got) != token) {
            fail(Code::diverged, "bench.generate",
                 "{} writes token {} at position {}, {} writes {}", other.name, likeliest(got), i,
                 judge.name, token);
        }
    }
    // A hundred roundings to fp16 one after another, 2^-11 each, do not add up to more.
    constexpr double bound = 0.1;
    if (!(worst < bound)) {
        fail(Code::diverged, "bench.generate",
             "logits of {} differ from those of {} by {:.3f} of their spread; {} is allowed",
             other.name, judge.name, worst, bound);
    }
    return worst;
}

double generate(Contender& contender, std::int64_t tokens) {
    contender.restart();
    std::int32_t token = likeliest(contender.step(1));
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t i = 1; i < tokens; ++i) {
        token = likeliest(contender.step(token));
    }
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    return static_cast<double>(tokens - 1) / passed.count();
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

int race(const Options& options) {
    const auto model = make_model(options);
    const auto& config = model.architecture.config;
    ThreadPool pool(options.threads);
    const std::int64_t tokens = std::min(options.tokens, config.sequence);
    using device::emulator::Mode;
    const auto exact = device::emulator::make_emulator(options.chip, {.mode = Mode::exact}, pool),
               fast = device::emulator::make_emulator(options.chip, {.mode = Mode::fast}, pool);
    std::vector<Contender> contenders{plain(model, pool.threads()),
                                      pome_on(model, *fast, pool, "pome fast"),
                                      pome_on(model, *exact, pool, "pome exact")};
    nlohmann::json record{
        {"task", "generate"},
        {"model", options.model.empty() ? options.preset + ", random weights" : options.model},
        {"device", exact->name()},
        {"threads", pool.threads()},
        {"hardware_threads", std::thread::hardware_concurrency()},
        {"tokens", tokens},
        {"rounds", options.rounds}};
    for (std::size_t i = 1; i < contenders.size(); ++i) {
        const double difference =
            compare(contenders[0], contenders[i], tokens, !options.model.empty());
        fmt::print("{}: logits within {:.4f} of their spread of {}{}\n", contenders[i].name,
                   difference, contenders[0].name,
                   options.model.empty() ? "" : ", the same tokens");
        record["differences"][contenders[i].name] = difference;
    }
    for (int round = 0; round < options.rounds; ++round) {
        for (Contender& contender : contenders) {
            // Threads of the contender before spin for a while before they sleep.
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            contender.tokens_per_second.push_back(generate(contender, tokens));
        }
    }
    const double base = median(contenders[0].tokens_per_second);
    fmt::print("{:<14}{:>10}{:>18}{:>8}   tokens/s, median and range of {} rounds, {} threads\n",
               "contender", "median", "range", "ratio", options.rounds, pool.threads());
    for (const Contender& contender : contenders) {
        const auto& all = contender.tokens_per_second;
        const double middle = median(all), least = *std::min_element(all.begin(), all.end()),
                     most = *std::max_element(all.begin(), all.end());
        fmt::print("{:<14}{:>10.1f}{:>18}{:>8.2f}\n", contender.name, middle,
                   fmt::format("{:.1f} to {:.1f}", least, most), middle / base);
        record["contenders"].push_back({{"name", contender.name},
                                        {"tokens_per_second", middle},
                                        {"least", least},
                                        {"most", most},
                                        {"rounds", all},
                                        {"ratio", middle / base}});
    }
    if (!options.json.empty()) {
        std::ofstream(options.json) << record.dump(2) << "\n";
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Tokens a second of generation against plain C");
    Options options;
    app.add_option("--model", options.model, "a real model; the contenders' tokens must be equal")
        ->check(CLI::ExistingPath);
    app.add_option("--preset", options.preset, "the sizes of a random one")->capture_default_str();
    app.add_option("--chip", options.chip, "of the emulator")->capture_default_str();
    app.add_option("--tokens", options.tokens, "of a text")
        ->capture_default_str()
        ->check(CLI::Range(2, 65536));
    app.add_option("--rounds", options.rounds, "texts of each contender")
        ->capture_default_str()
        ->check(CLI::Range(1, 1000));
    app.add_option("--threads", options.threads, "0: as many as the machine has")
        ->capture_default_str()
        ->check(CLI::Range(0, 1024));
    app.add_option("--json", options.json, "also write the figures to this file");
    CLI11_PARSE(app, argc, argv);
    try {
        return race(options);
    } catch (const Error& error) {
        fmt::print(stderr, "{}\n", error.text());
        return 1;
    }
}
