#include "cli/bench/benchmarks.h"
#include "cli/bench/timing.h"
#include "cli/bench/training.h"
#include "kernels/gemm.h"
#include "kernels/libraries.h"
#include "model/architecture.h"

namespace pome::cli::bench {
namespace {

struct CompareOptions {
    ModelOptions common;
    StepOptions step;
};

/// Milliseconds of all matrix products of a training step in fp32 on this machine's processors:
/// forward, backward and weight gradient of each weight, the classifier's three, and the six of
/// each head's attention. The real step does more (norms, softmax, AdamW), so this is a lower
/// bound.
struct Products {
    double ms = 0.0, flops = 0.0;
};

Products host_products(const model::ModelConfig& config, std::int64_t sequence, ThreadPool& pool) {
    const auto architecture = model::architecture(config);
    Products sum;
    std::vector<float> a, b, c;
    const auto time = [&](std::int64_t m, std::int64_t n, std::int64_t k, double times) {
        a.assign(static_cast<std::size_t>(m * k), 0.5F);
        b.assign(static_cast<std::size_t>(k * n), 0.25F);
        c.assign(static_cast<std::size_t>(m * n), 0.0F);
        const auto product = [&] {
            kernels::gemm(false, false, m, n, k, 1.0F, a.data(), k, b.data(), n, 0.0F, c.data(), n,
                          pool);
        };
        product();
        const float expected = 0.125F * static_cast<float>(k);
        if (c.front() != expected || c.back() != expected) {
            fail(Code::evaluation_failed, "cli.bench",
                 "the product {} x {} x {} is {} and {}, not {}: what would be timed is wrong", m,
                 n, k, c.front(), c.back(), expected);
        }
        sum.ms += times * median_ms(product);
        sum.flops +=
            times * 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    };
    std::map<std::pair<std::int64_t, std::int64_t>, double> weights;
    for (const auto& parameter : architecture.parameters) {
        if (parameter.shape.rank() == 2 && parameter.name != architecture.embedding &&
            parameter.name != architecture.head) {
            weights[std::pair{parameter.shape[0], parameter.shape[1]}] += 1.0;
        }
    }
    weights[std::pair{config.vocabulary, config.width}] += 1.0;
    for (const auto& [shape, count] : weights) {
        const auto [out, in] = shape;
        time(out, sequence, in, count);  // y = W x
        time(in, sequence, out, count);  // dx = W^T dy
        time(out, in, sequence, count);  // dW = dy x^T
    }
    const auto heads = static_cast<double>(config.heads * config.layers);
    time(sequence, sequence, config.head_size(), 2.0 * heads);  // scores, their gradient
    time(sequence, config.head_size(), sequence, 4.0 * heads);  // values, dv, dq, dk
    return sum;
}

void run(const CompareOptions& options) {
    const device::Profile& profile = options.common.profile();
    Report report("compare", options.common.device,
                  "each row says whether it was measured or modelled");
    report.define("step", fmt::format("{}, one sequence of {} tokens, forward, backward, weight "
                                      "gradients and update",
                                      options.step.preset, options.step.sequence));
    report.define("FLOP", "of products alone, a multiplication and an addition counted apart");
    report.define("TFLOPS", "FLOP of the row's products over its milliseconds");
    report.define("J", "modelled: of the engine's rail alone; measured: not read on this machine");
    report.columns({{"where", "where"},
                    {"kind", "kind"},
                    {"gflop", "GFLOP"},
                    {"ms", "ms"},
                    {"tflops", "TFLOPS"},
                    {"joules", "J"},
                    {"note", "what"}});
    const auto plan = planned_step(options.step, "dynamic");
    const Modelled step = model(plan, profile);
    const auto row = [&](const std::string& where, const char* kind, double flops, double ms,
                         Cell joules, const std::string& note) {
        report.row(
            {where, std::string(kind), flops / 1e9, ms, flops / ms / 1e9, std::move(joules), note});
    };
    row("Mac with " + profile.chip, "model", step.flops + plan.host_flops, step.ms(),
        step.joules + profile.energy->idle_watts * step.host_ms / 1e3,
        "dynamic pipeline: engine and host, one after the other");
    row("engine of " + profile.chip, "model", step.flops, step.engine.total(), step.joules,
        "the engine's programs alone");
    ThreadPool pool(options.common.threads);
    const auto config = options.step.config();
    const Products host = host_products(config, options.step.sequence, pool);
    row(fmt::format("this machine, {} threads", pool.threads()), "measured", host.flops, host.ms,
        {},
        "matrix products in fp32 alone, " + kernels::blas_library() +
            ": a lower bound of the step");
    report.note(
        "an engine itself and MLX on a GPU need a Mac: this build measures neither, so no rows");
    report.finish(options.common.json);
}

}  // namespace

void add_compare(CLI::App& bench) {
    auto options = std::make_shared<CompareOptions>();
    CLI::App* command = bench.add_subcommand(
        "compare", "The same training step on a chip's model and on this machine's processors");
    options->step.add_to(*command);
    command->add_option("--threads", options->common.threads, "processor threads; 0 takes all")
        ->capture_default_str()
        ->check(CLI::Range(0, 4096));
    options->common.add_to(*command);
    command->footer("Example:\n  pome bench compare --device emulator:m4max");
    command->callback([options] { run(*options); });
}

}  // namespace pome::cli::bench
