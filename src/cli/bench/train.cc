#include "cli/bench/benchmarks.h"
#include "cli/bench/training.h"

namespace pome::cli::bench {

namespace {

void run(const ModelOptions& options) {
    const device::Profile& profile = options.profile();
    Report report = options.report("train");
    constexpr double tokens = 256.0;
    report.define("step",
                  "Stories110M's shape, one sequence of 256 tokens: forward, backward, weight "
                  "gradients; Pome's rows also AdamW and staging; compiling not counted");
    report.define("TFLOPS", "FLOP of the engine over its milliseconds");
    const double peak = peak_tflops(profile);
    report.define("peak", fmt::format("{:.2f} TFLOPS, pointwise_tflops of the profile", peak));
    report.define("J/token",
                  "at the engine's rail, idle while the host works; the host's is not "
                  "modelled");
    report.define("model/published", "milliseconds of the step");
    report.field("peak_tflops", peak);
    report.columns({{"name", "pipeline"},
                    {"model_ms", "ms/step"},
                    {"engine_ms", "engine"},
                    {"dispatch_ms", "dispatch"},
                    {"compute_ms", "compute"},
                    {"bytes_ms", "bytes"},
                    {"host_ms", "host"},
                    {"engine_gflop", "engine GFLOP"},
                    {"engine_tflops", "TFLOPS"},
                    {"engine_share", "% peak"},
                    {"tokens_per_second", "tokens/s"},
                    {"mj_per_token", "mJ/token"},
                    {"published_ms", "published ms"},
                    {"published_tokens_per_second", "tokens/s"},
                    {"ratio", "model/published"},
                    {"source", "published by"}});
    const auto add = [&](const std::string& name, const Modelled& step,
                         std::vector<const device::emulator::Measurement*> rows) {
        if (rows.empty()) {
            rows.push_back(nullptr);
        }
        const double engine = step.engine.total(), rate = step.flops / engine / 1e9;
        const double joules = step.joules + profile.energy->idle_watts * step.host_ms / 1e3;
        for (const auto* row : rows) {
            const auto given = [&](double value) { return row != nullptr ? Cell(value) : Cell(); };
            const double measured = row != nullptr ? row->milliseconds : 1.0;
            report.row({name, step.ms(), engine, step.engine.dispatch, step.engine.compute,
                        step.engine.weights + step.engine.activations, step.host_ms,
                        step.flops / 1e9, rate, report.share(rate, peak), tokens / step.ms() * 1e3,
                        joules * 1e3 / tokens, given(measured), given(tokens / measured * 1e3),
                        given(step.ms() / measured), row != nullptr ? Cell(row->source) : Cell()});
        }
    };
    for (const char* pipeline : {"dynamic", "static", "static-extras"}) {
        add(fmt::format("Pome {}", pipeline),
            model(planned_step({}, pipeline, profile.limits.max_channels), profile), {});
    }
    const std::vector<std::int64_t> whole{768, 2048, 12, 12, 64, 256, 12, 32000},
        compacted{768, 2048, 12, 12, 64, 256, 12, 9205};
    for (const auto& workload :
         {Workload{"maderix static", "static", whole, {}},
          Workload{"maderix static with extras", "static", whole, {"extras"}},
          Workload{"maderix dynamic, packed, 9,205 tokens", "dynamic", compacted, {}},
          Workload{"maderix dynamic, inputs, 9,205 tokens", "dynamic", compacted, {"inputs"}}}) {
        add(workload.name, model(workload, profile), published(workload, profile));
    }
    report.note("Pome's resident pipeline has no step plan yet: no row; `pome train` measures it");
    report.finish(options.json);
}

}  // namespace

void add_train(CLI::App& bench) {
    auto options = std::make_shared<ModelOptions>();
    CLI::App* command = bench.add_subcommand(
        "train", "A training step of Stories110M by each pipeline: where its time goes");
    options->add_to(*command);
    command->footer("Example:\n  pome bench train --device emulator:m4max");
    command->callback([options] { run(*options); });
}

}  // namespace pome::cli::bench
