#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "base/random.h"
#include "cli/bench/benchmarks.h"
#include "cli/bench/host_bound.h"
#include "cli/bench/report.h"
#include "cli/bench/timing.h"
#include "cli/bench/training.h"
#include "cli/bench/training_step.h"
#include "cli/commands.h"
#include "train/config.h"
#include "train/model_file.h"

namespace pome::cli::bench {
namespace {

struct TrainStepOptions {
    StepOptions step;
    std::string json, weights, tokens;
    int steps = 5, batch = 1;
    bool overlap = false;
    std::string recompute = "cheap";
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

/// What a step is given, from a file of 32-bit integers. Throws Error{malformed_file}.
std::vector<std::int32_t> read_tokens(const TrainStepOptions& options, std::int64_t vocabulary) {
    const std::string bytes = read_text(options.tokens);
    std::vector<std::int32_t> tokens(
        static_cast<std::size_t>(2 * options.batch * options.step.sequence));
    if (bytes.size() != tokens.size() * sizeof(std::int32_t)) {
        fail(Code::malformed_file, "cli.bench",
             "{}: {} bytes; {} sequences of {} tokens and as many targets are {} integers of 4 "
             "bytes",
             options.tokens, bytes.size(), options.batch, options.step.sequence, tokens.size());
    }
    std::memcpy(tokens.data(), bytes.data(), bytes.size());
    for (const std::int32_t token : tokens) {
        if (token < 0 || token >= vocabulary) {
            fail(Code::malformed_file, "cli.bench", "{}: token {} is not below {}", options.tokens,
                 token, vocabulary);
        }
    }
    return tokens;
}

train::ParameterSet starting_weights(const TrainStepOptions& options,
                                     const model::Architecture& architecture, Random& random) {
    if (options.weights.empty()) {
        train::ParameterSet weights(architecture);
        weights.initialize(random);
        return weights;
    }
    auto loaded = train::load_model(options.weights);
    train::expect_same_model(loaded.architecture.config, architecture.config, options.weights);
    return std::move(loaded.weights);
}

/// Forward, backward and AdamW of a batch: what a training step costs.
void run(const TrainStepOptions& options) {
    const auto config = options.step.config();
    const auto architecture = model::architecture(config);
    ThreadPool pool(options.device.threads);
    const auto device = open_device(options.device, pool);
    Random random(1);
    // Before anything else takes memory: a file that is read takes some for a moment.
    train::ParameterSet weights = starting_weights(options, architecture, random);
    const auto tokens = options.tokens.empty() ? random_tokens(options.batch, options.step.sequence,
                                                               config.vocabulary, random)
                                               : read_tokens(options, config.vocabulary);
    TrainingStep step(architecture, *device, pool, options.step.sequence,
                      {options.overlap, train::recompute_from(options.recompute)},
                      std::move(weights));
    const double positions =
        static_cast<double>(options.batch) * static_cast<double>(options.step.sequence);
    std::vector<double> all, device_ms, io_ms, host_ms, losses;
    for (int i = 0; i <= options.steps; ++i) {
        const StepFigures figures = step.run(tokens);
        losses.push_back(figures.loss);
        if (i == 0) {  // touches memory for the first time: not counted
            continue;
        }
        all.push_back(figures.ms);
        device_ms.push_back(figures.device_ms);
        io_ms.push_back(figures.io_ms);
        host_ms.push_back(figures.ms - figures.device_ms);
    }
    const double first_loss = losses.front(), loss = losses.back();
    if (!(loss < first_loss)) {
        fail(Code::diverged, "cli.bench",
             "the loss did not fall ({} to {}): what was timed is wrong", first_loss, loss);
    }
    const double ms = median(all), host = median(host_ms);
    const double peak = peak_memory();  // what measures the bound takes its own
    // What the host cannot do without, measured in the same run.
    const double flops = options.batch * host_product_flops(architecture, options.step.sequence);
    const double products_ms = options.batch * host_products_ms(architecture, options.step.sequence,
                                                                step.gradients(), pool);
    const HostBytes bytes = host_bytes(architecture, options.step.sequence, options.batch);
    const double copies = copy_gbs(pool), bytes_ms = bytes.total() / copies / 1e6;
    const double bound = products_ms + bytes_ms;

    Report report("train_step", device->name(),
                  fmt::format("measured on this machine: wall time of training, {} numerics; {}",
                              options.device.numerics,
                              device->uses_host_processors()
                                  ? "the device's half is the emulation's, nothing of a chip"
                                  : "the device's half is the engine's"));
    report.define(
        "step",
        fmt::format("{}, {} x {} tokens, dynamic pipeline: forward, backward, weight "
                    "gradients, AdamW, staging; medians of {}",
                    options.step.preset, options.batch, options.step.sequence, options.steps));
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
                            positions * 1e3 / ms, peak / 1e9, pool.threads()));
    const nlohmann::json fields{{"model", options.step.preset},
                                {"sequence", options.step.sequence},
                                {"numerics", options.device.numerics},
                                {"threads", pool.threads()},
                                {"overlap", options.overlap},
                                {"recompute", options.recompute},
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
                                {"tokens_per_second", positions * 1000.0 / ms},
                                {"peak_memory_bytes", peak},
                                {"batch", options.batch},
                                {"losses", losses},
                                {"milliseconds", all}};
    for (const auto& [key, value] : fields.items()) {
        report.field(key, value);
    }
    report.finish(options.json);
}

}  // namespace

void add_train_step(CLI::App& bench) {
    auto options = std::make_shared<TrainStepOptions>();
    CLI::App* command =
        bench.add_subcommand("train_step", "Time and memory of forward, backward and AdamW");
    options->step.add_to(*command);
    command->add_option("--steps", options->steps, "counted steps, after one that is not")
        ->capture_default_str()
        ->check(CLI::Range(1, 10000));
    command->add_option("--batch", options->batch, "sequences of an update, one after another")
        ->capture_default_str()
        ->check(CLI::Range(1, 1024));
    command->add_option("--weights", options->weights,
                        "a model of that size to start from, instead of random numbers");
    command->add_option("--tokens", options->tokens,
                        "what to train on, instead of random numbers: for each sequence its tokens "
                        "and then its targets, 32-bit integers");
    command->add_flag("--overlap", options->overlap,
                      "weight gradients beside the device's evaluations");
    command
        ->add_option("--recompute", options->recompute,
                     "nothing, cheap or everything: what backward programs compute again")
        ->capture_default_str()
        ->check(CLI::IsMember({"nothing", "cheap", "everything"}));
    command->add_option("--json", options->json, "also write the figures to this file");
    options->device.add_to(*command);
    command->footer("Example:\n  pome bench train_step --model stories15M --steps 3");
    command->callback([options] { run(*options); });
}

}  // namespace pome::cli::bench
