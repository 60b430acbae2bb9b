#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/random.h"
#include "cli/bench/benchmarks.h"
#include "cli/bench/host_bound.h"
#include "cli/bench/report.h"
#include "cli/bench/timing.h"
#include "cli/bench/training.h"
#include "cli/commands.h"
#include "kernels/adamw.h"
#include "train/dynamic_pipeline.h"
#include "train/language_model.h"
#include "train/trainer.h"

namespace pome::cli::bench {
namespace {

struct TrainStepOptions {
    StepOptions step;
    std::string json;
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
void run(const TrainStepOptions& options) {
    const auto config = options.step.config();
    const auto architecture = model::architecture(config);
    ThreadPool pool(options.device.threads);
    const auto device = open_device(options.device, pool);
    train::ParameterSet weights(architecture), gradients(architecture), m(architecture),
        v(architecture);
    Random random(1);
    weights.initialize(random);
    train::DynamicPipeline pipeline(architecture, *device, pool,
                                    train::stage_form({}, options.step.sequence),
                                    {.training = true});
    if (options.overlap) {
        pipeline.overlap_weight_gradients(pool.threads());
    }
    train::LanguageModel language_model(architecture, pipeline, pool, options.step.sequence);
    pipeline.stage_weights(weights);
    std::vector<std::int32_t> tokens, targets;
    for (std::int64_t s = 0; s < options.step.sequence; ++s) {
        tokens.push_back(
            static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(config.vocabulary))));
        targets.push_back(
            static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(config.vocabulary))));
    }
    std::vector<double> all, device_ms, io_ms, host_ms;
    double first_loss = 0.0, loss = 0.0;
    for (int step = 0; step <= options.steps; ++step) {
        pipeline.times() = {};
        const auto start = std::chrono::steady_clock::now();
        std::fill(gradients.all().begin(), gradients.all().end(), 0.0F);
        constexpr double scale = 1024.0;
        loss = language_model.forward(tokens, targets, weights) /
               static_cast<double>(options.step.sequence);
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
        host_ms.push_back(all.back() - device_ms.back());
    }
    if (!(loss < first_loss)) {
        fail(Code::diverged, "cli.bench",
             "the loss did not fall ({} to {}): what was timed is wrong", first_loss, loss);
    }
    const double ms = median(all), host = median(host_ms);
    // What the host cannot do without, measured in the same run.
    const double flops = host_product_flops(architecture, options.step.sequence);
    const double products_ms =
        host_products_ms(architecture, options.step.sequence, gradients, pool);
    const HostBytes bytes = host_bytes(architecture, options.step.sequence);
    const double copies = copy_gbs(pool), bytes_ms = bytes.total() / copies / 1e6;
    const double bound = products_ms + bytes_ms;

    Report report("train_step", device->name(),
                  fmt::format("measured on this machine: wall time of training, {} numerics; {}",
                              options.device.numerics,
                              device->uses_host_processors()
                                  ? "the device's half is the emulation's, nothing of a chip"
                                  : "the device's half is the engine's"));
    report.define("step", fmt::format("{} x {} tokens, dynamic pipeline: forward, backward, weight "
                                      "gradients, AdamW, staging; medians of {}",
                                      options.step.preset, options.step.sequence, options.steps));
    report.define("host", "everything but the device's evaluations");
    report.define("products",
                  fmt::format("{:.2f} GFLOP of weight gradients and classifier, the same "
                              "calls alone: {:.0f} GFLOP/s",
                              flops / 1e9, flops / products_ms / 1e6));
    report.define("bytes", fmt::format("{:.3f} GB of everything else, each array once in and once "
                                       "out, at the copy bandwidth of {:.1f} GB/s (read and "
                                       "written): docs/performance.md",
                                       bytes.total() / 1e9, copies));
    report.columns({{"part", "part"}, {"ms", "ms"}, {"note", ""}});
    report.row({"step", ms,
                fmt::format("{:.0f} to {:.0f}", *std::min_element(all.begin(), all.end()),
                            *std::max_element(all.begin(), all.end()))});
    report.row({"device", median(device_ms), ""});
    report.row({"host", host, fmt::format("of it surfaces {:.1f}", median(io_ms))});
    report.row({"products", products_ms, "bound"});
    report.row({"bytes", bytes_ms, "bound"});
    report.row({"host / (products + bytes)", host / bound, "a ratio"});
    report.note(fmt::format("{:.0f} tokens/s, {:.2f} GB peak memory, {} threads",
                            static_cast<double>(options.step.sequence) * 1e3 / ms,
                            peak_memory() / 1e9, pool.threads()));
    const nlohmann::json fields{
        {"model", options.step.preset},
        {"sequence", options.step.sequence},
        {"numerics", options.device.numerics},
        {"threads", pool.threads()},
        {"overlap", options.overlap},
        {"steps", options.steps},
        {"ms_median", ms},
        {"ms_min", *std::min_element(all.begin(), all.end())},
        {"ms_max", *std::max_element(all.begin(), all.end())},
        {"device_ms", median(device_ms)},
        {"io_ms", median(io_ms)},
        {"host_ms", host},
        {"products_ms", products_ms},
        {"products_gflops", flops / products_ms / 1e6},
        {"bytes", bytes.total()},
        {"copy_gbs", copies},
        {"bytes_ms", bytes_ms},
        {"host_ratio", host / bound},
        {"tokens_per_second", static_cast<double>(options.step.sequence) * 1000.0 / ms},
        {"peak_memory_bytes", peak_memory()},
        {"first_loss", first_loss},
        {"last_loss", loss}};
    for (const auto& [key, value] : fields.items()) {
        report.field(key, value);
    }
    report.finish(options.json);
}

}  // namespace

void add_train_step(CLI::App& bench) {
    auto options = std::make_shared<TrainStepOptions>();
    CLI::App* command = bench.add_subcommand(
        "train_step", "Time and memory of forward, backward and AdamW, batch 1");
    options->step.add_to(*command);
    command->add_option("--steps", options->steps, "counted steps, after one that is not")
        ->capture_default_str()
        ->check(CLI::Range(1, 10000));
    command->add_flag("--overlap", options->overlap,
                      "weight gradients beside the device's evaluations");
    command->add_option("--json", options->json, "also write the figures to this file");
    options->device.add_to(*command);
    command->footer("Example:\n  pome bench train_step --model stories15M --steps 3");
    command->callback([options] { run(*options); });
}

}  // namespace pome::cli::bench
