#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/random.h"
#include "cli/commands.h"
#include "kernels/adamw.h"
#include "train/dynamic_pipeline.h"
#include "train/language_model.h"
#include "train/trainer.h"

namespace pome::cli {
namespace {

struct BenchCommand {
    std::string preset = "stories110M", json;
    std::int64_t sequence = 256;
    int steps = 5;
    bool overlap = false;
    DeviceOptions device;
};

/// Peak resident memory of this process in bytes.
double peak_memory() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return static_cast<double>(usage.ru_maxrss);
#else
    return static_cast<double>(usage.ru_maxrss) * 1024.0;
#endif
}

/// Forward, backward and AdamW of one sequence of random tokens: what a training step costs.
void train_step(const BenchCommand& options) {
    auto config = model::preset(options.preset);
    config.sequence = std::max(config.sequence, options.sequence);
    const auto architecture = model::architecture(config);
    ThreadPool pool(options.device.threads);
    const auto device = open_device(options.device, pool);
    train::ParameterSet weights(architecture), gradients(architecture), m(architecture),
        v(architecture);
    Random random(1);
    weights.initialize(random);
    train::DynamicPipeline pipeline(architecture, *device, pool,
                                    train::stage_form({}, options.sequence), {.training = true});
    if (options.overlap) {
        pipeline.overlap_weight_gradients(pool.threads());
    }
    train::LanguageModel language_model(architecture, pipeline, pool, options.sequence);
    pipeline.stage_weights(weights);
    std::vector<std::int32_t> tokens, targets;
    for (std::int64_t s = 0; s < options.sequence; ++s) {
        tokens.push_back(
            static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(config.vocabulary))));
        targets.push_back(
            static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(config.vocabulary))));
    }
    std::vector<double> all, device_ms, io_ms;
    double first_loss = 0.0, loss = 0.0;
    for (int step = 0; step <= options.steps; ++step) {
        pipeline.times() = {};
        const auto start = std::chrono::steady_clock::now();
        std::fill(gradients.all().begin(), gradients.all().end(), 0.0F);
        constexpr double scale = 1024.0;
        loss = language_model.forward(tokens, targets, weights) /
               static_cast<double>(options.sequence);
        language_model.backward(scale, weights, gradients);
        const double norm = std::sqrt(kernels::sum_of_squares(gradients.all(), pool)) / scale;
        kernels::AdamW rule{3e-5F,   0.9F, 0.95F,
                            1e-8F,   0.1F, static_cast<float>(std::min(1.0, 1.0 / norm) / scale),
                            step + 1};
        for (std::size_t i = 0; i < weights.size(); ++i) {
            kernels::adamw(rule, gradients.values(i), weights.values(i), m.values(i), v.values(i),
                           pool);
        }
        pipeline.stage_weights(weights);
        const std::chrono::duration<double, std::milli> passed =
            std::chrono::steady_clock::now() - start;
        if (step == 0) {  // touches memory for the first time: not counted
            first_loss = loss;
            continue;
        }
        all.push_back(passed.count());
        device_ms.push_back(pipeline.times().device);
        io_ms.push_back(pipeline.times().io);
    }
    if (!(loss < first_loss)) {
        fail(Code::diverged, "cli.bench",
             "the loss did not fall ({} to {}): what was timed is wrong", first_loss, loss);
    }
    const auto median = [](std::vector<double> values) {
        std::sort(values.begin(), values.end());
        return values[values.size() / 2];
    };
    const double ms = median(all);
    const nlohmann::json record{
        {"task", "train_step"},
        {"model", options.preset},
        {"sequence", options.sequence},
        {"device", device->name()},
        {"numerics", options.device.numerics},
        {"threads", pool.threads()},
        {"overlap", options.overlap},
        {"steps", options.steps},
        {"ms_median", ms},
        {"ms_min", *std::min_element(all.begin(), all.end())},
        {"ms_max", *std::max_element(all.begin(), all.end())},
        {"device_ms", median(device_ms)},
        {"io_ms", median(io_ms)},
        {"tokens_per_second", static_cast<double>(options.sequence) * 1000.0 / ms},
        {"peak_memory_bytes", peak_memory()},
        {"first_loss", first_loss},
        {"last_loss", loss}};
    fmt::print(
        "{} x {} tokens on {} ({}), {} threads: {:.0f} ms/step ({:.0f} to {:.0f}; device {:.0f}, "
        "io {:.0f}), {:.0f} tokens/s, {:.2f} GB peak\n",
        options.preset, options.sequence, device->name(), options.device.numerics, pool.threads(),
        ms, record["ms_min"].get<double>(), record["ms_max"].get<double>(), median(device_ms),
        median(io_ms), record["tokens_per_second"].get<double>(), peak_memory() / 1e9);
    if (!options.json.empty()) {
        write_file_atomic(options.json, record.dump(1) + "\n");
    }
}

}  // namespace

void add_bench(CLI::App& app) {
    CLI::App* bench = app.add_subcommand("bench", "Measure");
    bench->require_subcommand(1);
    auto options = std::make_shared<BenchCommand>();
    CLI::App* command = bench->add_subcommand(
        "train_step", "Time and memory of forward, backward and AdamW, batch 1");
    command
        ->add_option("--model", options->preset,
                     "stories260K, stories15M, stories42M or stories110M")
        ->capture_default_str();
    command->add_option("--sequence", options->sequence, "tokens")
        ->capture_default_str()
        ->check(CLI::Range(2, 65536));
    command->add_option("--steps", options->steps, "counted steps, after one that is not")
        ->capture_default_str()
        ->check(CLI::Range(1, 10000));
    command->add_flag("--overlap", options->overlap,
                      "weight gradients beside the device's evaluations");
    command->add_option("--json", options->json, "also write the figures to this file");
    options->device.add_to(*command);
    command->footer("Example:\n  pome bench train_step --model stories15M --steps 3");
    command->callback([options] { train_step(*options); });
}

}  // namespace pome::cli
